"""Section: what the searches cost and how their trials learned; whether every loss had the same budget."""

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from bench.record import Record
from reports import _figures, _plots, _rows, _tuning, _words
from reports import _markup as html
from reports._study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Tuning"
ORDER = 60
_SETTINGS = ("trials", "epochs", "sampler", "pruner")


def render(records: Study) -> Markup:
    """The budget in training epochs, then a panel of learning curves for each search."""
    searches = _tuning.searches(records)
    if not searches and not records.searched:
        return Markup("")
    if not searches:
        return html.paragraph("No tuning trials: every loss ran with the hyper-parameters it was given.")
    parts = [_settings(records), _budget(records, searches), _limits(records), _early(records, searches)]
    return html.join([*parts, _learning(records, searches)])


def _settings(study: Study) -> Markup:
    tune = study.settings("tune")
    shown: dict[str, Any] = {key: tune[key] for key in _SETTINGS if key in tune}
    if early := tune.get("early_stop"):
        shown["early stop at confidence"] = early["confidence"]
    said = f" Settings: {_words.settings(shown)}." if shown else ""
    direction = "highest" if _figures.higher_is_better(study.objective) else "lowest"
    return html.paragraph(
        f"Every search looked for the {direction} {_figures.full_title(study.objective)} on held-out training "
        f"identities. No test figure was seen by any search.{said}"
    )


def _budget(study: Study, searches: dict[_tuning.Key, list[Record]]) -> Markup:
    titles = (
        "Trials",
        "Finished",
        "Pruned",
        "Failed",
        "Not done",
        "Epochs spent",
        "Epochs budgeted",
        "Training time",
        "Best, %",
    )
    columns = [html.Column("Loss", "short"), *[html.Column(title) for title in titles]]
    columns += [html.Column("Finalist runs"), html.Column("Finalist epochs")]
    budget = study.settings("tune").get("budget_epochs")
    higher = _figures.higher_is_better(study.objective)
    body = []
    for (backbone, loss), trials in searches.items():
        again = [r for r in study.of("finalist") if (r.trial.backbone, r.trial.arm) == (backbone, loss)]
        ended = [_tuning.reached(r, study.objective) for r in trials if r.state == "finished"]
        best = (max if higher else min)([x for x in ended if x == x], default=None)
        states = [sum(r.state == state for r in trials) for state in ("finished", "pruned", "failed")]
        body.append(
            [
                html.Item(_rows.label(study, loss, backbone), loss),
                *[html.Item(str(n), n) for n in (len(trials), *states, len(trials) - sum(states))],
                html.Item(str(sum(map(_tuning.epochs, trials))), sum(map(_tuning.epochs, trials))),
                _words.count(budget) if budget else _words.DASH,
                html.Item(_words.duration(_tuning.seconds(trials)), _tuning.seconds(trials)),
                html.Item(_words.percent(best), best) if best is not None else _words.DASH,
                str(len(again)),
                str(sum(map(_tuning.epochs, again))),
            ]
        )
    caption = (
        "Budget: training epochs of the search of one loss, those of pruned and failed trials counted, equal for all; "
        "trials and time follow from it. "
        "The finalists are repeated on further development seeds: the best of many trials looks better than it is."
    )
    if (count := study.settings("tune").get("searches", 1)) > 1:
        caption += (
            f" Each loss has {count} independent searches, each of the whole budget; #2 and so on are the further ones."
        )
    return html.table(columns, [body], caption=caption, sortable=True)


def _limits(study: Study) -> Markup:
    """The budget of the whole study, where it has one."""
    asked = (study.facts.get("file") or {}).get("budget") or {}
    used = study.facts.get("used", {})
    of = {"trials": "trials", "hours": "hours", "gpu_hours": "GPU hours"}
    said = [
        f"{used.get(key, 0):.4g} of {asked[f'max_{key}']:g} {noun}"
        for key, noun in of.items()
        if asked.get(f"max_{key}") is not None
    ]
    return html.paragraph(f"Budget of the whole study, used: {_words.listing(said)}.") if said else Markup("")


def _early(study: Study, searches: dict[_tuning.Key, list[Record]]) -> Markup:
    """The searches that ended before their epochs were spent."""
    budget = study.settings("tune").get("budget_epochs")
    lines = [
        f"The search of {_rows.label(study, loss, backbone)} stopped early, after "
        f"{sum(map(_tuning.epochs, searches.get((backbone, loss), [])))} of {budget} epochs: {why}."
        for (backbone, loss), why in sorted(_tuning.stopped_early(study).items())
    ]
    return html.join([html.paragraph(line) for line in lines])


def _learning(study: Study, searches: dict[_tuning.Key, list[Record]]) -> Markup:
    count = len(searches)
    columns = min(max(count, 2), 3)
    figure, axes = _plots.panels(-(-count // columns), columns, height=2.7, sharex=True, sharey=True)
    flat = [ax for line in axes for ax in line]
    for ax in flat[count:]:
        ax.set_visible(False)
    for ax, ((backbone, loss), trials) in zip(flat, searches.items(), strict=False):
        _panel(ax, study, trials)
        _plots.title(ax, _rows.label(study, loss, backbone))
        ax.set_xlabel("epoch")
    for line in axes:
        line[0].set_ylabel(f"{_figures.full_title(study.objective)}, %")
    caption = "Learning curves of the tuning trials. Thick: the best finished trial. Hollow end: pruned. Cross: failed."
    return html.figure(_plots.svg(figure, "learning", "Learning curves of the tuning trials"), caption)


def _panel(ax: "Axes", study: Study, trials: list[Record]) -> None:
    from matplotlib.ticker import MaxNLocator

    sign = 1 if _figures.higher_is_better(study.objective) else -1
    finished = [r for r in trials if r.state == "finished"]
    best = max(finished, key=lambda r: sign * _tuning.reached(r, study.objective), default=None)
    for record in trials:
        epochs, figures = _tuning.curve(record, study.objective)
        percent = [100 * figure for figure in figures]
        if not epochs:
            continue
        top = record is best
        ax.plot(epochs, percent, color=_plots.COLOURS[0], linewidth=2.4 if top else 0.9, alpha=1 if top else 0.55)
        if record.state in ("pruned", "failed"):
            look = {"marker": "o", "markerfacecolor": "none"} if record.state == "pruned" else {"marker": "x"}
            ax.plot(epochs[-1:], percent[-1:], color=_plots.COLOURS[1], linestyle="none", **look)  # type: ignore[arg-type]
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
