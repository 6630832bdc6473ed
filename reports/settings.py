"""Section: the test figures against one hyper-parameter that a study set by hand (Figures 5 of both papers)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from reports import _cells, _figures, _plots, _rows, _words
from reports import _markup as html
from reports._rows import Row
from reports._study import Study
from reports.criteria import _arms
from reports.hyperparameters import LETTERS, title
from reports.statistics import level_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Effect of a setting"
ORDER = 26
FEWEST = 3  # values that make a curve
_ALIKE = {("center", "center_weight"): _arms.center_weights, ("lmcl", "margin"): _arms.margins}  # know what 0 is
_CAPTION = (
    "Rows that differ in one hyper-parameter and in nothing else. Dot and bar: mean and 95 % interval over {units} "
    "and test identities. Dashed: the reference, {reference}. Rows share their test identities, so overlapping bars are "
    "no test of a difference."
)


@dataclass(frozen=True)
class Sweep:
    """Rows of one backbone and loss that differ in the value of one hyper-parameter alone."""

    backbone: str
    loss: str
    name: str
    rows: Mapping[float, Row]

    @property
    def letter(self) -> str:
        return title(self.name)


def render(records: Study) -> Markup:
    """A panel for each hyper-parameter and protocol, then the figures; nothing where no three rows make a curve."""
    leading = [metric for p in _rows.protocols(records) if (metric := _rows.leading_figure(records, p))]
    found = sweeps(records) if leading else []
    if not found:
        return Markup("")
    caption = _CAPTION.format(reference=records.reference, units=_words.units(_rows.unit(records)))
    parts = [html.paragraph(caption, kind="note"), _picture(records, found, leading)]
    return html.join([*parts, *[_table(records, sweep, leading) for sweep in found]])


def sweeps(study: Study) -> list[Sweep]:
    """Every hyper-parameter of which at least three rows, alike in all else, have a value of their own."""
    import losses

    groups: dict[tuple[str, str], list[Row]] = {}
    for row in _rows.in_order(study, "tuned"):
        groups.setdefault((row.backbone, losses.canonical(row.loss)), []).append(row)
    found = []
    for (backbone, loss), own in groups.items():
        if len(own) < FEWEST - 1 or loss.partition("+")[0] not in losses.names():
            continue
        beside = [row for (other, _), rows in groups.items() if other == backbone for row in rows]
        for name in _numbers(own[0]):
            alike = _ALIKE.get((loss, name))
            rows = alike(study, beside) if alike else _arms.sweep(study, own, loss, name)
            found += [Sweep(backbone, loss, name, rows)] if len(rows) >= FEWEST else []
    return sorted(found, key=lambda sweep: list(LETTERS).index(sweep.name) if sweep.name in LETTERS else len(LETTERS))


def _numbers(row: Row) -> list[str]:
    return [
        name
        for name, value in _arms.options(row).items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]


def _picture(study: Study, found: list[Sweep], leading: list[str]) -> Markup:
    wanted = [(sweep, metric) for metric in leading for sweep in found]
    columns = min(len(found) if len(found) > 1 else len(leading), 3)
    width = 10.2 if columns > 1 else 5.5
    alike = "row" if columns == len(found) else False  # a row of panels is then one protocol
    figure, axes = _plots.panels(-(-len(wanted) // columns), columns, height=2.9, width=width, sharey=alike)
    flat = [ax for line in axes for ax in line]
    for ax in flat[len(wanted) :]:
        ax.set_visible(False)
    for ax, (sweep, metric) in zip(flat, wanted, strict=False):
        _panel(ax, study, sweep, metric)
    names = _words.listing(sorted({sweep.letter for sweep in found}))
    return html.figure(_plots.svg(figure, "settings", f"Test figures against {names}"))


def _panel(ax: "Axes", study: Study, sweep: Sweep, metric: str) -> None:
    places = _places(ax, list(sweep.rows))
    for row in _rows.rows(study, "tuned"):
        sample = _rows.cell(study, row, metric).sample
        if (row.backbone, row.label) == (sweep.backbone, study.reference) and sample:
            ax.axhline(100 * sample.mean, color=_plots.GREY, linestyle="--", linewidth=1)
    points = []
    for value, row in sweep.rows.items():
        if sample := _rows.cell(study, row, metric).sample:
            points.append((places[value], 100 * sample.mean))
            low, high = level_interval(sample)
            if math.isfinite(low):
                ax.plot([places[value]] * 2, [100 * low, 100 * high], color=_plots.COLOURS[0], linewidth=1.2)
    apart = 0.0 in sweep.rows and ax.get_xscale() == "log"
    if points:
        ax.plot(*zip(*points, strict=True), color=_plots.COLOURS[0], linestyle="none", marker="o")
        ax.plot(*zip(*points[apart:], strict=True), color=_plots.COLOURS[0], linewidth=1.2)
    ax.set(xlabel=_rows.label(study, f"{sweep.letter} of {sweep.loss}", sweep.backbone))
    ax.set_ylabel(f"{_figures.full_title(metric)}, %")


def _places(ax: "Axes", values: list[float]) -> dict[float, float]:
    """Where each value is drawn, with a tick; on a log axis where they span decades, 0 then stands apart at the left."""
    positive = [value for value in values if value > 0]
    places = {value: value for value in values}
    if min(values) >= 0 and positive and max(positive) / min(positive) >= 8:
        ax.set_xscale("log")
        if 0.0 in values:
            places[0.0] = min(positive) / (max(positive) / min(positive)) ** 0.3
            between = math.sqrt(places[0.0] * min(positive))
            ax.text(between, 0, "//", transform=ax.get_xaxis_transform(), ha="center", va="center", fontsize=9)
    ax.set_xticks(list(places.values()), [_words.value(float(value)) for value in places], fontsize=8.5)
    ax.minorticks_off()
    return places


def _table(study: Study, sweep: Sweep, leading: list[str]) -> Markup:
    notes = html.Footnotes()
    columns = [html.Column(sweep.letter), html.Column("Row", "short")]
    columns += [html.Column(f"{_figures.full_title(metric)}, %") for metric in leading]
    columns.append(html.Column(_words.ended(_rows.unit(study))))
    body: list[list[html.Shown]] = []
    for value, row in sweep.rows.items():
        cells = [_cells.figure(_rows.cell(study, row, metric), 2, notes) for metric in leading]
        ended = len(row.done("finished")) + len(row.done("failed"))
        who = [html.Item(_words.value(float(value)), value), _cells.label(study, row)]
        body.append([*who, *cells, html.Item(_cells.runs(study, row), ended)])
    caption = f"{_heading(study, sweep)}. Mean ± standard deviation over {_words.units(_rows.unit(study))}."
    return html.join([html.table(columns, [body], caption=caption, sortable=True), notes.html()])


def _heading(study: Study, sweep: Sweep) -> str:
    """`lmcl: margin m, with scale s 64`: what varies, and the settings in which the rows agree."""
    of_loss = next(row for row in sweep.rows.values() if _arms.of([row], sweep.loss))
    given, own = of_loss.records[0].trial.loss_options, _arms.options(of_loss)
    same = [
        f"{title(key)} {_words.value(own[key])}"
        for key in given
        if key != sweep.name and not isinstance(own[key], tuple)
    ]
    return _rows.label(study, f"{sweep.loss}: {sweep.letter}", sweep.backbone) + (
        f", with {_words.listing(same)}" if same else ""
    )
