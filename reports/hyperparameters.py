"""Section: the development figure against each hyper-parameter, from the tuning trials (the papers' Figures 5)."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from bench.record import Record
from reports import _figures, _plots, _rows, _tuning, _words
from reports import _markup as html
from reports._study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Hyper-parameters"
ORDER = 50
# The papers' letters; shared parameters come last.
LETTERS = {
    "margin": "margin m",
    "center_weight": "center weight λ",
    "center_rate": "center rate \N{GREEK SMALL LETTER ALPHA}",
    "scale": "scale s",
}
SHARED = ("learning_rate", "weight_decay")
_CAPTION = (
    "Each dot is a tuning trial, seen on held-out training identities and never on a test protocol. Hollow: pruned, at "
    "its last value. Cross: failed, drawn at the foot. Dashed: the configuration that was confirmed, chosen after the "
    "best were repeated on other seeds. All hyper-parameters of a trial vary together, so a panel shows where the "
    "search looked and what it found there, not the effect of one of them alone."
)


def render(records: Study) -> Markup:
    """One row of panels a search, one panel a hyper-parameter that it varied."""
    shown = {key: names for key, trials in _tuning.searches(records).items() if (names := varied(trials))}
    if not shown and not records.searched:
        return Markup("")
    if not shown:
        return html.paragraph("No tuning trials: nothing was searched in this study.")
    return html.join([html.paragraph(_CAPTION, kind="note"), *[_figure(records, *entry) for entry in shown.items()]])


def varied(trials: Sequence[Record]) -> list[str]:
    """The hyper-parameters that differ between trials, the loss's own first."""
    values: dict[str, set[float]] = {}
    for record in trials:
        for name, value in _tuning.parameters(record).items():
            values.setdefault(name, set()).add(value)
    return in_order(name for name, seen in values.items() if len(seen) > 1)


def in_order(names: Iterable[str]) -> list[str]:
    """Hyper-parameters as every section lists them: those with a letter first, what all losses share last."""
    return sorted(names, key=lambda name: (name in SHARED, list(LETTERS).index(name) if name in LETTERS else 99, name))


def title(name: str) -> str:
    """A hyper-parameter as a reader sees it."""
    return LETTERS.get(name, name.replace("_", " "))


def _figure(study: Study, key: tuple[str, str], names: Sequence[str]) -> Markup:
    trials = _tuning.searches(study)[key]
    columns = max(len(names), 3)
    figure, axes = _plots.panels(
        1, columns, height=2.6, width=10.2 if columns == 3 else 2.6 * columns + 0.6, sharey=True
    )
    for ax in axes[0][len(names) :]:
        ax.set_visible(False)
    winner = _tuning.winner(study, key)
    chosen = _tuning.parameters(winner) if winner else {}
    for name, ax in zip(names, axes[0], strict=False):
        _panel(ax, study, trials, name, chosen.get(name))
    axes[0][0].set_ylabel(f"{_figures.full_title(study.objective)}, %")
    backbone, loss = key
    states = [sum(record.state == state for record in trials) for state in ("finished", "pruned", "failed")]
    counted = ", ".join(f"{n} {s}" for n, s in zip(states, ("finished", "pruned", "failed"), strict=True) if n)
    picture = _plots.svg(
        figure, f"hyper-{backbone}-{loss}", f"Development figure of {loss} against its hyper-parameters"
    )
    return html.join([html.heading(_rows.label(study, loss, backbone)), html.figure(picture, f"{counted}.")])


def _panel(ax: "Axes", study: Study, trials: Sequence[Record], name: str, chosen: float | None) -> None:
    points = [
        (_tuning.parameters(r).get(name, math.nan), 100 * _tuning.reached(r, study.objective), r.state) for r in trials
    ]
    known = [y for _, y, state in points if math.isfinite(y) and state != "failed"]
    floor = min(known, default=0.0)
    for state, look in _LOOKS.items():
        seen = [(x, floor if state == "failed" else y) for x, y, s in points if s == state]
        seen = [(x, y) for x, y in seen if math.isfinite(x) and math.isfinite(y)]
        if seen:
            ax.plot(*zip(*seen, strict=True), linestyle="none", **look)  # type: ignore[arg-type]
    if chosen is not None:
        ax.axvline(chosen, color=_plots.COLOURS[1], linestyle="--", linewidth=1)
    values = [x for x, _, _ in points if math.isfinite(x)]
    if _tuning.logarithmic(values):
        ax.set_xscale("log")
        _plots.log_ticks(ax.xaxis)
    ax.set_xlabel(title(name))
    if chosen is not None:
        ax.set_title(_words.value(float(chosen)), fontsize=9, color=_plots.COLOURS[1], loc="right")


_LOOKS = {
    "finished": {"marker": "o", "color": _plots.COLOURS[0]},
    "pruned": {"marker": "o", "markerfacecolor": "none", "markeredgecolor": _plots.COLOURS[0]},
    "failed": {"marker": "x", "color": _plots.COLOURS[1], "markeredgewidth": 1.4},
}
