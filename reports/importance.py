"""Section: which hyper-parameters a loss's development figure hangs on, from the trials of its search."""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from bench.record import Record
from reports import _figures, _importance, _rows, _tuning, _words
from reports import _markup as html
from reports._importance import Importance
from reports._study import Study
from reports.hyperparameters import title, varied

TITLE = "Importance of hyper-parameters"
ORDER = 53
DESIGNS = ("random", "qmc", "grid")  # samplers that do not look at what was found before
_METHOD = (
    "Share of the development figure's variance over the finished trials that goes with a hyper-parameter, alone and "
    "with others: by how much a forest of randomised trees errs more on trials that it did not see when these are given "
    f"the hyper-parameter of others. Mean ± standard deviation over {_importance.FOLDS} folds, {_importance.REPEATS} times; "
    "shares need not add up to one. R² is that on the unseen trials. Where it is not above 0 in each repetition the forest "
    "knows nothing, and nothing is ranked; a hyper-parameter that does not exceed its own deviation is not ranked either. "
    "All this holds within the ranges that were searched."
)
_COUNTED = (
    "A pruned trial was not trained to its end and a failed one has no figure: both are left out, so what makes "
    "trials of a loss fail, or fall behind early, weighs less here than it should."
)
_NOTHING = "nothing can be said"


def render(records: Study) -> Markup:
    """A row a loss (the trials of all its searches), a column a hyper-parameter."""
    searches = {key: trials for key, trials in _tuning.by_loss(records).items() if varied(trials)}
    if not searches and not records.searched:
        return Markup("")
    if not searches:
        return html.paragraph("No tuning trials: nothing was searched in this study.")
    names = list(dict.fromkeys(name for trials in searches.values() for name in varied(trials)))
    names.sort(key=lambda name: name in ("learning_rate", "weight_decay"))  # what all losses share comes last
    body = [_line(records, key, trials, names) for key, trials in searches.items()]
    columns = [html.Column("Loss", "short"), *[html.Column(text) for text in ("Finished", "Left out", "R²")]]
    columns += [html.Column(title(name)) for name in names]
    caption = f"{_figures.full_title(records.objective)}. {_METHOD}"
    table = html.table([*columns, html.Column("In order", "text")], [body], caption=caption, sortable=True)
    return html.join([html.paragraph(_design(records), _COUNTED, kind="note"), table])


def measured(trials: Sequence[Record], objective: str) -> Importance | str:
    """The importances in a search, or what is missing to tell them."""
    done = [record for record in trials if record.state == "finished"]
    figures = np.array([_tuning.reached(record, objective) for record in done])
    done, figures = [r for r, y in zip(done, figures, strict=True) if np.isfinite(y)], figures[np.isfinite(figures)]
    if len(done) < _importance.LEAST:
        return f"needs {_importance.LEAST} finished trials, there {'is' if len(done) == 1 else 'are'} {len(done)}"
    if np.ptp(figures) == 0:
        return f"{_NOTHING}: all trials reached the same figure"
    names = varied(done)
    settings = [_tuning.parameters(record) for record in done]
    if not names or any(set(names) - set(one) for one in settings):
        return f"{_NOTHING}: its finished trials do not differ in the same hyper-parameters"
    return _importance.importance(names, np.array([[one[name] for name in names] for one in settings]), figures)


def _design(study: Study) -> str:
    sampler = study.settings("tune").get("sampler")
    if sampler in DESIGNS:
        return f"The trials were drawn by a design ({sampler}) that does not look at what was found."
    return (
        f"Caution: the trials were chosen by the sampler {sampler or 'of this study, which is not known'}: it went where it "
        "had found high figures, so its trials are no design. They crowd about a few settings, and a hyper-parameter that "
        "it soon settled looks less important than it is. A study with sampler random or qmc tells it better."
    )


def _line(study: Study, key: _tuning.Key, trials: Sequence[Record], names: Sequence[str]) -> list[html.Shown]:
    backbone, loss = key
    found = measured(trials, study.objective)
    name = _rows.label(study, loss, backbone)
    states = {state: sum(record.state == state for record in trials) for state in ("finished", "pruned", "failed")}
    head: list[html.Shown] = [
        html.Item(name, name),
        html.Item(str(states["finished"]), states["finished"]),
        _left(states),
    ]
    if isinstance(found, str):
        return [*head, *[html.Item(_words.DASH)] * (1 + len(names)), found]
    r2 = html.Item(_words.measure(found.r2.mean(), found.r2.std(ddof=1)), float(found.r2.mean()))
    order = ", ".join(map(title, found.ranking)) or "none stands out"
    if not found.known:
        order = f"{_NOTHING}: R² is not above 0"
    return [*head, r2, *[_share(found, name) for name in names], order]


def _left(states: Mapping[str, int]) -> str:
    return ", ".join(f"{states[key]} {key}" for key in ("pruned", "failed") if states[key]) or "none"


def _share(found: Importance, name: str) -> html.Item:
    if name not in found.names or not found.known:
        return html.Item(_words.DASH)
    p = found.names.index(name)
    mean = float(found.means[p])
    return html.Item(f"{_two(mean)} ± {_two(float(found.spreads[p]))}", mean)


def _two(number: float) -> str:
    text = f"{number:.2f}"
    return text.replace("-", _words.MINUS) if float(text) else "0.00"
