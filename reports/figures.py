"""Section: every figure of every protocol, with those that the data cannot carry and why."""

from markupsafe import Markup

from reports import _cells, _figures, _rows, _words
from reports import _markup as html
from reports._study import Study

TITLE = "Every figure"
ORDER = 45


def render(records: Study) -> Markup:
    """One table a protocol: a line a row of the leaderboard, a column a figure."""
    protocols = _rows.protocols(records)
    if not protocols:
        return html.paragraph("No test figures yet: no confirmation run has ended.")
    return html.join(_table(records, protocol) for protocol in protocols)


def _table(study: Study, protocol: str) -> Markup:
    notes = html.Footnotes()
    metrics = [metric for metric in _rows.figures(study, protocol) if "/group_" not in metric]  # a section of their own
    columns = [html.Column("Loss", "short"), *[html.Column(_title(metric)) for metric in metrics]]
    bodies = [
        [
            [
                _cells.label(study, row),
                *[_cells.figure(_rows.cell(study, row, metric), 2, notes, alike=True) for metric in metrics],
            ]
            for row in block
        ]
        for block in _cells.blocks(_rows.rows(study))
    ]
    bodies[-1].append([_cells.chance_name(metrics, notes), *[_cells.chance(study, metric) for metric in metrics]])
    leading = _rows.leading_figure(study, protocol)
    counts = _cells.counted(study, leading)
    said = [
        f"% ± standard deviation over {_words.units(_rows.unit(study))}.",
        f"Counted: {counts}." if counts else "",
        "Protocol version",
    ]
    version = html.identifier(_rows.score_of(study, leading).get("hash", "unknown"))
    caption = Markup("{} {}. {}").format(" ".join(said), version, _cells.overlap(study, leading))
    title = html.heading(_figures.protocol_title(protocol))
    return html.join([title, html.table(columns, bodies, caption=caption, sortable=True), notes.html()])


def _title(metric: str) -> str:
    aggregation = metric.partition("/")[0].partition("-")[2].replace("_", " ")
    return _figures.title(metric) + (f" ({aggregation})" if aggregation else "")
