"""The leaderboard as a pandas table, as CSV and JSON (fractions), as Markdown and LaTeX (percent)."""

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from reports import _cells, _comparisons, _figures, _rows, _words
from reports._notes import Notes
from reports._study import Study
from reports.cost import mean
from reports.statistics import level_interval

if TYPE_CHECKING:
    import pandas as pd


def board(study: Study) -> "pd.DataFrame":
    """One row a leaderboard row, chance last; figures are fractions.

    Columns: `rank_low`, `rank_high`, `backbone`, `loss`, `label` (where the study has labels), `role`, `seeds`, `failed`,
    `searches` (where there are several), `hyperparameters` (JSON; those of each search where there are several), for each
    figure `<metric>` (mean), `.sd` and `.n` (of seeds, or of searches), `.se` (one run's, from the identities), `.low`,
    `.high` (95 %), `.note` (why it is missing or not ranked), and the cost, averaged over runs.
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
    if not any(row.searched_anew(study) for row in rows):
        found = found.drop(columns="searches", errors="ignore")
    whole = ["rank_low", "rank_high", "seeds", "failed", "searches", *[f"{metric}.n" for metric in metrics]]
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
    line["searches"] = len(row.searches) if row.searched_anew(study) else 1
    found = _cells.chosen(row)
    said = found if len(found) > 1 else next(iter(found.values()))
    line["hyperparameters"] = json.dumps(said, sort_keys=True) if row.role != "untrained" else None
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
        f"{metric}.se": _rows.one_run(study, row, metric),
        f"{metric}.low": low,
        f"{metric}.high": high,
        f"{metric}.note": " ".join(note for note in notes if note) or None,
    }


def csv(study: Study) -> str:
    return board(study).to_csv(index=False)


def as_json(study: Study) -> str:
    """The table with the declared comparisons and the sentences of the verdict; figures are fractions, none is null."""
    from reports import verdict

    metric = _rows.primary(study)
    lines = (
        [*_comparisons.against_reference(study, metric), *_comparisons.against_itself(study, metric)] if metric else []
    )
    found = {
        "study": study.name,
        "primary": metric,
        "verdict": verdict.sentences(study),
        "comparisons": [_compared(line) for line in lines],
        "rows": json.loads(board(study).to_json(orient="records", double_precision=15)),
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _compared(line: _comparisons.Line) -> dict[str, Any]:
    who = {"loss": line.row.name, "against": line.against.name, "backbone": line.row.backbone}
    if line.comparison is None:
        return who | {"refused": line.refused}
    numbers = asdict(line.comparison)
    known = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in numbers.items()
    }
    return who | known | {"verdict": line.comparison.verdict}


@dataclass(frozen=True)
class Board:
    """The table of each protocol's leading figure, in percent, as text: its head, its rows, and what marks stand for."""

    head: list[str]
    rows: list[list[str]]
    notes: list[str]


def leading(study: Study) -> Board:
    found = [metric for p in _rows.protocols(study) if (metric := _rows.leading_figure(study, p))]
    head = [
        "rank",
        "loss",
        "backbone",
        _words.ended(_rows.unit(study)).lower(),
        *[f"{_figures.full_title(m)} %" for m in found],
        "tuned hyper-parameters" if study.searched else "hyper-parameters",
    ]
    ranks = _comparisons.ranks(study, _rows.primary(study)) if found else {}
    notes = Notes()
    rows = []
    for row in _rows.rows(study):
        span = ranks.get((row.backbone, row.label)) if row.role == "tuned" else None
        figures = [_with_marks(_rows.cell(study, row, metric), notes) for metric in found]
        settings = _cells.settings(row).replace(_words.NARROW, " ") if row.role in ("tuned", "default") else ""
        rows.append(
            [
                _words.ranks(span) if span else _words.DASH,
                row.name,
                row.backbone,
                _cells.runs(study, row),
                *figures,
                settings,
            ]
        )
    return Board(head, rows, notes.texts())


def _note(study: Study) -> str:
    over = _words.units(_rows.unit(study))
    return f"Mean ± standard deviation over {over}. Intervals, tests, cost and provenance: report.html."


def markdown(study: Study) -> str:
    """A table of each protocol's leading figure, in percent, with the sentences that belong beside it."""
    from reports.verdict import sentences

    found = leading(study)
    rule = ["---:", "---", "---", "---:", *["---:"] * (len(found.head) - 5), "---"]
    said = " ".join(sentences(study))
    table = "\n".join("| " + " | ".join(line) + " |" for line in (found.head, rule, *found.rows))
    marks = "".join(f"({number}) Not ranked: {mark}.\n" for number, mark in enumerate(found.notes, 1))
    return f"# {study.name}\n\n{said}\n\n{table}\n\n{_note(study)}\n" + (f"\n{marks}" if marks else "")


def tex(study: Study) -> str:
    """The same table for a paper: a `tabular` of booktabs, with the sentences that belong to it as comments."""
    from reports.verdict import sentences

    found = leading(study)
    said = [*sentences(study), _note(study)]
    said += [f"({number}) Not ranked: {mark}." for number, mark in enumerate(found.notes, 1)]
    lines = [r"% \usepackage{booktabs}", *[f"% {sentence}" for sentence in said]]
    lines += [rf"\begin{{tabular}}{{rllr{'r' * (len(found.head) - 5)}l}}", r"\toprule"]
    lines += [" & ".join(map(_escaped, found.head)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(_escaped, row)) + r" \\" for row in found.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    """A cell as LaTeX prints it."""
    plain = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    signs = {"±": r"$\pm$", _words.MINUS: "$-$", _words.DASH: "--", "λ": r"$\lambda$", "\N{NON-BREAKING HYPHEN}": "-"}
    every = plain | signs | {sign: f"\\{sign}" for sign in "&%$#_{}"}
    return "".join(every.get(sign, sign) for sign in text)


def _with_marks(cell: _rows.Cell, notes: Notes) -> str:
    """A figure with the numbers of what it is marked with, which enters `notes`."""
    if cell.sample is None:
        return _words.DASH
    numbers = "".join(f" ({number})" for number in notes.numbers(cell.marks))
    return _words.plus_minus(cell.sample.mean, cell.sample.spread) + numbers
