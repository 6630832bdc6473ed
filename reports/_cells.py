"""The cells that the tables of figures share: a row's name, a figure with its footnotes, the level of chance."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from reports import _figures, _rows, _words
from reports import _markup as html
from reports._rows import Cell, Row
from reports._study import Study

CHANCE = (
    "Computed, not measured: accuracy, AUC and EER 50; TAR at a FAR is that FAR; rank-k with N distractors k / (N + 1)."
)
CLOSED_CHANCE = "Computed, not measured: a closed-set accuracy 100 / identities."
CLOSED = (
    "Closed set: unseen images of the identities that were trained on, so it says nothing of people that the network "
    "never saw. The spread that stands for the identities is that over ten folds of these images."
)
_FAILED = "Contains runs that failed: each scores chance and stays in the mean."


def blocks(rows: Sequence[Row]) -> list[list[Row]]:
    """The tuned rows, which are ranked, and the anchor rows, which are not."""
    return [[row for row in rows if row.role == "tuned"], [row for row in rows if row.role != "tuned"]]


def chosen(row: Row) -> dict[int, dict[str, Any]]:
    """Of each search of a row the hyper-parameters: the loss's own, the learning rate and the weight decay."""
    trials = {number: row.of_search(number).records[0].trial for number in row.searches}
    return {
        number: {**trial.loss_options, "learning_rate": trial.learning_rate, "weight_decay": trial.weight_decay}
        for number, trial in trials.items()
    }


def settings(row: Row) -> str:
    """The hyper-parameters in words; where there are several searches, those of each."""
    found = chosen(row)
    if len(found) == 1:
        return _words.settings(next(iter(found.values())))
    return "; ".join(f"search {number}: {_words.settings(said)}" for number, said in found.items())


def runs(study: Study, row: Row) -> str:
    """How many ended: `5`, or `6 in 3 searches`."""
    ended = [*row.done("finished"), *row.done("failed")]
    if not row.searched_anew(study):
        return str(len(ended))
    return f"{len(ended)} in {_words.many(len({one.trial.search for one in ended}), 'search')}"


def label(study: Study, row: Row) -> html.Item:
    """The row's name, with its backbone where the study has several."""
    text = _rows.label(study, row.name, row.backbone)
    return html.Item(text, text)


def figure(cell: Cell, places: int, notes: html.Footnotes, *, alike: bool = False) -> html.Item:
    """`87.68 ± 0.42` with the numbers of its footnotes; a dash and its reason where there is no figure.

    With `alike` notes that differ in counts alone are one: for the tables of a single protocol.
    """
    if cell.sample is None:
        return html.Item(Markup("{}{}").format(_words.DASH, notes.marks([cell.missing])))
    said = [f"Not ranked: {mark}." for mark in cell.marks] + [_FAILED] * (cell.diverged > 0)
    text = _words.plus_minus(cell.sample.mean, cell.sample.spread, places)
    return html.Item(Markup("{}{}").format(text, notes.marks(said, alike=alike)), cell.sample.mean)


def chance(study: Study, metric: str) -> html.Item:
    """What chance reaches on a figure, where that is known and the figure was given at all."""
    score = _rows.score_of(study, metric)
    level = _figures.chance(metric, score.get("counts", {})) if score else None
    if level is None:
        return html.Item(_words.DASH)
    return html.Item(_words.percent(level) if level >= 0.001 else f"{100 * level:.1g}", level)


def chance_name(metrics: Sequence[str], notes: html.Footnotes) -> html.Item:
    said = [CHANCE] * any(not _figures.closed(metric) for metric in metrics)
    said += [CLOSED_CHANCE] * any(map(_figures.closed, metrics))
    return html.Item(Markup("chance{}").format(notes.marks(said)), "chance")


def overlap(study: Study, metric: str) -> str:
    """What is known of people or images shared by training and test, where it is not "none"."""
    if _figures.closed(metric):
        return CLOSED
    found = _rows.score_of(study, metric).get("overlap", {})
    verdict, detail = found.get("verdict", "unknown"), found.get("detail", "")
    if verdict == "none":
        return ""
    said = {"allowed": "Training and test overlap, and the study allowed it"}.get(
        verdict, "Overlap of training and test unknown"
    )
    return f"{said}{': ' + detail if detail else ''}."


def identities(study: Study, metric: str) -> str:
    """Of a rank-k figure: over how many people it really is."""
    counts = _rows.score_of(study, metric).get("counts", {})
    if not _figures.bare(metric).startswith("rank") or "effective_identities" not in counts:
        return ""
    share = counts.get("largest_identity_share")
    largest = f", the largest with {_words.percent(share, 1)} % of the trials" if share is not None else ""
    return (
        f"{_figures.title(metric)} counts {_words.count(counts['effective_identities'])} effective identities{largest}."
    )


def counted(study: Study, metric: str) -> str:
    """What was counted for a figure: `pairs 6,000, images 7,701`; shares in percent."""
    counts = _rows.score_of(study, metric).get("counts", {})
    said = {
        key: f"{_words.percent(number, 1)} %" if key.endswith("share") else _words.count(number)
        for key, number in counts.items()
    }
    return ", ".join(f"{key.replace('_', ' ')} {number}" for key, number in said.items())
