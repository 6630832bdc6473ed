"""Section: the best development figure against the number of tuning trials, so that a loss that needs many is seen as such."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from bench.record import Record
from reports import _figures, _plots, _rows, _tuning, _words
from reports import _markup as html
from reports._study import Study

TITLE = "Best against tuning budget"
ORDER = 61
EXCHANGEABLE = ("random",)  # samplers whose trials could have come in any order
_EXPECTED = (
    "Expected best of n trials, over all choices of n among the trials of the search: these were drawn at random, so any n of "
    "them are a search as good as any other."
)
_SO_FAR = (
    "Best of the first n trials, in the order in which they were asked for: the sampler learns from what it saw, so these n are "
    "the one search of n trials that there was, and another seed would have given another line."
)
_COUNTED = (
    "A pruned trial counts with its last figure, one that failed finds nothing. The figure is the development figure that was "
    "searched by, best-of-n of the same data: it flatters every loss, and only the shapes are compared."
)


def render(records: Study) -> Markup:
    """A line a search, and its figure at 1, 2, 4, ... trials."""
    found = {key: figures(trials, records) for key, trials in _tuning.searches(records).items()}
    found = {key: seen for key, seen in found.items() if len(seen) > 1 and any(map(math.isfinite, seen))}
    if not found and not records.searched:
        return Markup("")
    if not found:
        return html.paragraph("No search has two trials that ended: there is no best against a budget yet.")
    random = records.settings("tune").get("sampler") in EXCHANGEABLE
    higher = _figures.higher_is_better(records.objective)
    lines = {key: (expected_best if random else best_so_far)(seen, higher) for key, seen in found.items()}
    caption = _EXPECTED if random else _SO_FAR
    return html.join([html.paragraph(caption, _COUNTED, kind="note"), _picture(records, lines), _table(records, lines)])


def figures(trials: Sequence[Record], study: Study) -> list[float]:
    """What each trial that ended found, in the order of the search; NaN where it found nothing."""
    ended = [record for record in trials if record.state in ("finished", "pruned", "failed")]
    return [math.nan if record.state == "failed" else _tuning.reached(record, study.objective) for record in ended]


def best_so_far(found: Sequence[float], higher: bool) -> np.ndarray:
    """(N,) the best of the first 1, 2, ... N; NaN before anything was found."""
    return (np.fmax if higher else np.fmin).accumulate(np.asarray(found))


def expected_best(found: Sequence[float], higher: bool) -> np.ndarray:
    """(N,) the mean, over all subsets of 1, 2, ... N, of the best in each.

    Without replacement, so that it is unbiased: the sum over the i-th smallest of x_i C(i - 1, n - 1) / C(N, n). (Tang et al.
    2020 on Dodge et al. 2019, who draw with replacement, which is too low.) What found nothing is worse than all that did, and a
    subset of nothing else is left out of the mean.
    """
    from scipy.special import gammaln, logsumexp

    known = np.array(sorted((x for x in found if math.isfinite(x)), reverse=not higher))
    below = len(found) - len(known) + np.arange(len(known))  # how many each is better than
    means = np.full(len(found), math.nan)
    for n in range(1, len(found) + 1) if len(known) else ():
        with np.errstate(invalid="ignore"):
            ways = gammaln(below + 1) - gammaln(n) - gammaln(below - n + 2)  # log C(below, n - 1)
        ways = np.where(below >= n - 1, ways, -math.inf)
        means[n - 1] = known @ np.exp(ways - logsumexp(ways))
    return means


def _picture(study: Study, lines: dict[_tuning.Key, np.ndarray]) -> Markup:
    backbones = list(dict.fromkeys(backbone for backbone, _ in lines))
    losses = list(dict.fromkeys(loss for _, loss in lines))
    width = min(10.2, 4.4 * len(backbones) + 1.6)  # the legend stands to the right
    figure, (axes,) = _plots.panels(1, len(backbones), height=3.0, width=width, sharey=True)
    for ax, wanted in zip(axes, backbones, strict=False):
        for (backbone, loss), line in lines.items():
            if backbone == wanted:
                at = np.arange(1, len(line) + 1)
                look = _plots.style(losses.index(loss)) | {"markevery": max(1, len(line) // 8)}
                ax.plot(at, 100 * line, label=loss, drawstyle="steps-post", **look)
        ax.set_xlabel("trials")
        ax.locator_params(axis="x", integer=True)
        if len(backbones) > 1:
            _plots.title(ax, wanted)
    axes[0].set_ylabel(f"best {_figures.full_title(study.objective)}, %")
    _plots.legend(figure, axes)
    return html.figure(_plots.svg(figure, "effort", "Best development figure against the number of tuning trials"))


def _table(study: Study, lines: dict[_tuning.Key, np.ndarray]) -> Markup:
    longest = max(map(len, lines.values()))
    at = [2**power for power in range(longest.bit_length()) if 2**power < longest] + [longest]
    columns = [html.Column("Loss", "short"), *[html.Column(_words.many(n, "trial")) for n in at]]
    body: list[list[html.Shown]] = []
    for (backbone, loss), line in lines.items():
        name = _rows.label(study, loss, backbone)
        cells = [_figure(line[n - 1]) if n <= len(line) else html.Item(_words.DASH) for n in at]
        body.append([html.Item(name, name), *cells])
    return html.table(columns, [body], caption=f"Best {_figures.full_title(study.objective)}, %.", sortable=True)


def _figure(value: float) -> html.Item:
    known = math.isfinite(value)
    return html.Item(_words.percent(value), float(value)) if known else html.Item(_words.DASH)
