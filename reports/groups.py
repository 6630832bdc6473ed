"""Section: the figures of groups of people, at one threshold for all of them; nothing where no protocol was given groups."""

import math
import re
from typing import NamedTuple

from markupsafe import Markup

from reports import _cells, _figures, _rows, _words
from reports import _markup as html
from reports._rows import Row
from reports._study import Study

TITLE = "Groups of people"
ORDER = 46
_GROUP = re.compile(r"(?P<part>[^/]+)/group_(?P<group>[^/]+)/(?P<figure>.+)$")
_CAPTION = (
    "A pair counts for a group where both of its people are of it, a search where its probe is; thresholds are those of all "
    "groups together. % ± standard deviation over {units}. Gap: the highest group's mean less the lowest's, in points. "
    "Groups differ in their people and images too, so that a gap is one on these lists, and no property of a loss alone."
)


class Slice(NamedTuple):
    """One figure of one protocol (or a part of it), of each group: `metrics` is group -> metric."""

    protocol: str
    part: str
    figure: str
    metrics: dict[str, str]


def render(records: Study) -> Markup:
    """A table a figure: a line a row of the leaderboard, a column a group, and the gap between them."""
    tables = [_table(records, one) for one in slices(records)]
    said = _CAPTION.format(units=_words.units(_rows.unit(records)))
    return html.join([html.paragraph(said, kind="note"), *tables]) if tables else Markup("")


def slices(study: Study) -> list[Slice]:
    """The figures of groups, in the order in which the protocols give them."""
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for protocol in _rows.protocols(study):
        for metric in _rows.figures(study, protocol):
            if named := _GROUP.match(metric):
                key = (protocol, named["part"], named["figure"])
                found.setdefault(key, {})[named["group"]] = metric
    return [Slice(*key, metrics) for key, metrics in found.items()]


def _table(study: Study, one: Slice) -> Markup:
    rows, title = _rows.rows(study), _figures.full_title(f"{one.part}/{one.figure}")
    cells = [_rows.cell(study, row, metric) for row in rows for metric in one.metrics.values()]
    if not any(cell.sample for cell in cells):
        why = dict.fromkeys(cell.missing for cell in cells)
        return html.paragraph(html.strong(f"{title}."), f"{'; '.join(why)}.", kind="note")
    notes = html.Footnotes()
    columns = [html.Column("Loss", "short"), *[html.Column(group.replace("_", " ")) for group in one.metrics]]
    columns.append(html.Column("Gap"))
    bodies = [[_line(study, row, one, notes) for row in block] for block in _cells.blocks(rows)]
    caption = html.join([html.strong(f"{title}."), _counted(study, one)], " ")
    return html.join([html.table(columns, bodies, caption=caption, sortable=True), notes.html()])


def _line(study: Study, row: Row, one: Slice, notes: html.Footnotes) -> list[html.Shown]:
    cells = [_rows.cell(study, row, metric) for metric in one.metrics.values()]
    means = [cell.sample.mean for cell in cells if cell.sample]
    gap = max(means) - min(means) if len(means) == len(cells) > 1 else math.nan
    shown = html.Item(_words.percent(gap), gap) if math.isfinite(gap) else html.Item(_words.DASH)
    return [_cells.label(study, row), *[_cells.figure(cell, 2, notes, alike=True) for cell in cells], shown]


def _counted(study: Study, one: Slice) -> str:
    """How many comparisons of each kind a group has."""
    counts: dict[str, float] = {}
    for metric in one.metrics.values():  # a group may lack the figure
        counts |= _rows.score_of(study, metric).get("counts", {})
    under = "" if one.part == one.protocol else f"{one.part}/"
    said = []
    for group in one.metrics:
        kinds = [(kind, counts.get(f"{under}{kind}_{group}")) for kind in ("genuine", "impostor", "searches")]
        known = [f"{_words.count(number)} {kind}" for kind, number in kinds if number is not None]
        said += [f"{group.replace('_', ' ')} {', '.join(known)}"] if known else []
    return f"Comparisons: {'; '.join(said)}." if said else ""
