"""The leaderboard as a pandas table (fractions), as CSV and as Markdown (percent)."""

import json
from typing import TYPE_CHECKING, Any

from reports import _cells, _comparisons, _figures, _rows, _words
from reports._study import Study
from reports.cost import mean
from reports.statistics import level_interval

if TYPE_CHECKING:
    import pandas as pd


def board(study: Study) -> "pd.DataFrame":
    """One row a leaderboard row, chance last; figures are fractions.

    Columns: `rank_low`, `rank_high`, `backbone`, `loss`, `label` (where the study has labels), `role`, `seeds`,
    `failed`, `hyperparameters` (JSON), for each figure `<metric>` (mean), `.sd` (over seeds), `.n`, `.se` (one run's,
    from the identities), `.low`, `.high` (95 %), `.note` (why it is missing or not ranked), and the cost, averaged over
    seeds.
    """
    import pandas as pd

    metrics = [metric for protocol in _rows.protocols(study) for metric in _rows.figures(study, protocol)]
    ranks = _comparisons.ranks(study, _rows.primary(study)) if metrics else {}
    rows = _rows.rows(study)
    table = [_line(study, row, metrics, ranks) for row in rows]
    chance: dict[str, Any] = {"loss": "chance", "label": "chance", "role": "chance"}
    for metric in metrics:
        chance[metric] = _figures.chance(metric, _rows.score_of(study, metric).get("counts", {}))
    found = pd.DataFrame([*table, chance] if metrics else table)
    if all(row.label == row.loss for row in rows):
        found = found.drop(columns="label", errors="ignore")
    whole = ["rank_low", "rank_high", "seeds", "failed", *[f"{metric}.n" for metric in metrics]]
    return found.astype({column: "Int64" for column in whole if column in found})


def _line(
    study: Study, row: _rows.Row, metrics: list[str], ranks: dict[tuple[str, str], tuple[int, int]]
) -> dict[str, Any]:
    low, high = ranks.get((row.backbone, row.label), (None, None)) if row.role == "tuned" else (None, None)
    line: dict[str, Any] = {
        "rank_low": low,
        "rank_high": high,
        "backbone": row.backbone,
        "loss": row.loss,
        "label": row.label,
        "role": row.role,
    }
    failed = len(row.done("failed"))
    line |= {"seeds": len(row.done("finished")) + failed, "failed": failed}
    line["hyperparameters"] = json.dumps(_cells.chosen(row), sort_keys=True) if row.role != "untrained" else None
    for metric in metrics:
        line |= _figure(study, row, metric)
    costs = [record.cost for record in row.done("finished")]
    for key in ("train_seconds", "images_per_second", "peak_memory_mb", "parameters", "epochs"):
        line[key] = mean(costs, key)
    return line


def _figure(study: Study, row: _rows.Row, metric: str) -> dict[str, Any]:
    cell = _rows.cell(study, row, metric)
    if cell.sample is None:
        return {metric: None, f"{metric}.note": cell.missing}
    low, high = level_interval(cell.sample)
    notes = [*cell.marks, _cells.overlap(study, metric)]
    return {
        metric: cell.sample.mean,
        f"{metric}.sd": cell.sample.spread,
        f"{metric}.n": cell.sample.seeds,
        f"{metric}.se": cell.sample.within,
        f"{metric}.low": low,
        f"{metric}.high": high,
        f"{metric}.note": " ".join(note for note in notes if note) or None,
    }


def csv(study: Study) -> str:
    return board(study).to_csv(index=False)


def markdown(study: Study) -> str:
    """A table of each protocol's leading figure, in percent, with the sentences that belong beside it."""
    from reports.verdict import answer, scope, sensitivity

    leading = [metric for p in _rows.protocols(study) if (metric := _rows.leading_figure(study, p))]
    head = [
        "rank",
        "loss",
        "backbone",
        "seeds",
        *[f"{_figures.full_title(m)} %" for m in leading],
        "tuned hyper-parameters" if study.searched else "hyper-parameters",
    ]
    ranks = _comparisons.ranks(study, _rows.primary(study)) if leading else {}
    notes: dict[str, None] = {}
    lines = [head, ["---:", "---", "---", "---:", *["---:"] * len(leading), "---"]]
    for row in _rows.rows(study):
        span = ranks.get((row.backbone, row.label)) if row.role == "tuned" else None
        figures = [_with_marks(_rows.cell(study, row, metric), notes) for metric in leading]
        done = len(row.done("finished")) + len(row.done("failed"))
        settings = (
            _words.settings(_cells.chosen(row)).replace(_words.NARROW, " ") if row.role in ("tuned", "default") else ""
        )
        lines.append(
            [_words.ranks(span) if span else _words.DASH, row.name, row.backbone, str(done), *figures, settings]
        )
    said = " ".join(sentence for sentence in (answer(study), sensitivity(study), scope(study)) if sentence)
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    note = "Mean ± standard deviation over training seeds. Intervals, tests, cost and provenance: report.html."
    marks = "".join(f"({number}) Not ranked: {mark}.\n" for number, mark in enumerate(notes, 1))
    return f"# {study.name}\n\n{said}\n\n{table}\n\n{note}\n" + (f"\n{marks}" if marks else "")


def _with_marks(cell: _rows.Cell, notes: dict[str, None]) -> str:
    """A figure with the numbers of what it is marked with, which enters `notes`."""
    if cell.sample is None:
        return _words.DASH
    notes.update(dict.fromkeys(cell.marks))
    numbers = "".join(f" ({list(notes).index(mark) + 1})" for mark in cell.marks)
    return _words.plus_minus(cell.sample.mean, cell.sample.spread) + numbers
