"""Section: every row of the study on each test protocol, with spread, interval, rank and footnotes."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from reports import _cells, _comparisons, _figures, _rows, _words
from reports import _markup as html
from reports._rows import Row
from reports._study import Study
from reports.statistics import level_interval

TITLE = "Leaderboard"
ORDER = 20
_CAPTION = (
    "Figures are percentages: mean ± standard deviation over {units}. Dot and whiskers: mean and 95 % interval "
    "over both these and test identities; the dashed line is the reference. Rows share their test identities, so "
    "overlapping whiskers are no test of a difference: see the next section. SE: standard error of one run that comes "
    "from the test identities alone."
)
_PUBLISHED = (
    "Figures printed in papers are not in these tables: they come from other training data and budgets and are not "
    "comparable in level."
)


def render(records: Study) -> Markup:
    """The tuned rows, ranked; below them the anchor rows: untuned defaults, A/A, the untrained network, chance."""
    rows = _rows.rows(records)
    if not any(row.done("finished") or row.done("failed") for row in rows):
        return html.paragraph("No test figures yet: no confirmation run has ended.")
    notes, unit = html.Footnotes(), _rows.unit(records)
    leading = [metric for p in _rows.protocols(records) if (metric := _rows.leading_figure(records, p))]
    ranks = _comparisons.ranks(records, _rows.primary(records))
    columns = [html.Column("Rank"), html.Column("Loss", "wide"), html.Column(_words.ended(unit))]
    columns += [html.Column(_title(records, metric, notes)) for metric in leading]
    axes = {metric: _axis(records, rows, metric) for metric in leading}
    bodies = [
        [
            [
                _rank(row, ranks),
                _who(row),
                _seeds(records, row),
                *[_figure(records, row, m, axes[m], notes) for m in leading],
            ]
            for row in block
        ]
        for block in _cells.blocks(rows)
    ]
    bodies[-1].append(
        [
            html.Item(_words.DASH),
            _cells.chance_name(leading, notes),
            html.Item(_words.DASH),
            *[_cells.chance(records, m) for m in leading],
        ]
    )
    foot = _foot(records, leading, axes)
    caption = _CAPTION.format(units=_words.units(unit))
    table = html.table(columns, bodies, caption=caption, foot=foot, sortable=True, filterable=True)
    return html.join([table, notes.html(), html.paragraph(_PUBLISHED, kind="note")])


def _title(study: Study, metric: str, notes: html.Footnotes) -> Markup:
    """The figure's name, whether it ranks, and the marks of what holds for the whole column."""
    said = [text for text in (_cells.overlap(study, metric), _cells.identities(study, metric)) if text]
    shown = [entry.get("name") for entry in study.facts.get("display", ()) if isinstance(entry, dict)]
    role = (
        "ranks" if metric == _rows.primary(study) else "shown only" if _rows.protocol_of(study, metric) in shown else ""
    )
    name = Markup("{}{}").format(_figures.full_title(metric), notes.marks(said))
    return Markup("{} {}").format(name, html.small(role)) if role else name


def _rank(row: Row, ranks: dict[tuple[str, str], tuple[int, int]]) -> html.Item:
    span = ranks.get((row.backbone, row.label)) if row.role == "tuned" else None
    return html.Item(_words.ranks(span), span[0] + span[1] / 1000) if span else html.Item(_words.DASH)


def _who(row: Row) -> html.Item:
    detail = [row.backbone] + [row.loss] * (row.label != row.loss)
    if row.role in ("tuned", "default"):
        detail += [_cells.settings(row)]
    if row.role == "default":
        detail += ["else the loss's own defaults"]
    return html.Item(Markup("{}{}").format(row.name, html.small(" · ".join(detail))), f"{row.name} {row.backbone}")


def _seeds(study: Study, row: Row) -> html.Item:
    done, failed = len(row.done("finished")), len(row.done("failed"))
    waiting = len(row.records) - done - failed - len(row.done("pruned"))
    extra = [f"{failed} failed"] * (failed > 0) + [f"{waiting} to come"] * (waiting > 0)
    return html.Item(
        Markup("{}{}").format(_cells.runs(study, row), html.small(", ".join(extra)) if extra else ""), done + failed
    )


class _Axis:
    """The common axis of a column's whiskers: it holds the tuned rows and the A/A row whole, others may lie beyond."""

    def __init__(self, low: float, high: float, reference: float, places: int):
        self.span = (low, high)
        self.reference = reference
        self.places = places


def _axis(study: Study, rows: Sequence[Row], metric: str) -> _Axis:
    samples = [(row, sample) for row in rows if (sample := _rows.cell(study, row, metric).sample)]
    inside = [sample for row, sample in samples if row.role in ("tuned", "again")] or [sample for _, sample in samples]
    edges = [edge for sample in inside for edge in (*level_interval(sample), sample.mean)]
    reference = [s.mean for row, s in samples if row.role == "tuned" and row.label == study.reference]
    places = _words.digits(_rows.one_run(study, row, metric) for row, _ in samples)
    low, high = html.span(edges)
    return _Axis(max(low, 0.0), min(high, 1.0), reference[0] if len(reference) == 1 else math.nan, places)


def _figure(study: Study, row: Row, metric: str, axis: _Axis, notes: html.Footnotes) -> html.Item:
    """The figure, its whisker, and the standard error of one run."""
    cell = _rows.cell(study, row, metric)
    item = _cells.figure(cell, axis.places, notes)
    if cell.sample is None:
        return item
    low, high = level_interval(cell.sample)
    whisker = html.whisker(cell.sample.mean, low, high, axis.span, axis.reference)
    within = _rows.one_run(study, row, metric)
    error = html.small(f"SE {_words.percent(within, axis.places)}") if math.isfinite(within) else ""
    return html.Item(Markup("{}{}{}").format(item.html, whisker, error), item.sort)


def _foot(study: Study, leading: Sequence[str], axes: dict[str, _Axis]) -> list[list[str]]:
    """Under the columns: the whiskers' axis, the minimum detectable effect, how often the protocol was scored."""
    axis: list[str] = ["", "Axis of the whiskers, left to right", ""]
    effect: list[str] = ["", "Smallest difference to the reference found with 80 % power", ""]
    counted: list[str] = ["", "Times scored: by this study / by all in the ledger", ""]
    for metric in leading:
        low, high = axes[metric].span
        axis.append(f"{_words.percent(low, 1)} {_words.DASH} {_words.percent(high, 1)}")
        size = _comparisons.detectable(study, metric)
        effect.append(f"{_words.percent(size)} points" if size is not None else _words.DASH)
        own, every = study.scorings(_rows.protocol_of(study, metric), _rows.score_of(study, metric).get("hash", ""))
        counted.append(f"{own} / {every}")
    return [axis, effect, counted]
