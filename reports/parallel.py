"""Section: parallel coordinates, a line a tuning trial through its hyper-parameters to the figure that it reached."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from bench.record import Record
from reports import _figures, _plots, _rows, _tuning, _words
from reports import _markup as html
from reports._study import Study
from reports.hyperparameters import in_order, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Hyper-parameters together"
ORDER = 52
BEST = 10  # lines that are thick
FEWEST = 2  # varied hyper-parameters: one alone is seen in the section before
_CAPTION = (
    "Each line is a tuning trial, from its hyper-parameters to the development figure that it reached (better is higher). "
    "Thick: the best quarter of the finished trials, ten at most. Thin: the other finished ones. Dashed: pruned, at its "
    "last value. "
    "Dotted, with a cross: failed, drawn at the foot. In the colour of the text, with dots: the configuration that was "
    "confirmed. An axis spans what was tried; it is logarithmic where that is a factor of eight or more."
)
Value = float | str


@dataclass(frozen=True)
class Scale:
    """One axis: where its values lie between foot (0) and top (1), and what stands beside it.

    Attributes:
        title: the hyper-parameter, or the figure.
        levels: the values of a choice, in order; empty for numbers.
        low, high: the numbers at either end; the foot is `high` where `turned`.
        logarithmic: whether equal steps are equal factors.
    """

    title: str
    levels: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    logarithmic: bool = False
    turned: bool = False

    def place(self, value: Value | None) -> float:
        """Between 0 and 1; NaN for a value that is missing or not finite."""
        if self.levels:
            return (self.levels.index(str(value)) + 0.5) / len(self.levels) if str(value) in self.levels else math.nan
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return math.nan
        if self.high == self.low:
            return 0.5
        low, high, at = (math.log(n) if self.logarithmic else n for n in (self.low, self.high, value))
        share = (at - low) / (high - low)
        return 1 - share if self.turned else share

    def marks(self) -> list[tuple[float, str]]:
        """`(place, text)`: each level, or both ends and the middle."""
        if self.levels:
            return [(self.place(level), level) for level in self.levels]
        middle = math.sqrt(self.low * self.high) if self.logarithmic else (self.low + self.high) / 2
        ends = dict.fromkeys((self.low, middle, self.high))
        return [(self.place(value), _words.value(float(value))) for value in ends]


def render(records: Study) -> Markup:
    """A figure a search that varied at least two hyper-parameters; nothing where nothing was searched."""
    figures = [_figure(records, key, trials) for key, trials in _tuning.searches(records).items()]
    drawn = [figure for figure in figures if figure]
    if not drawn and not records.searched:
        return Markup("")
    if not drawn:
        return html.paragraph("No search varied two hyper-parameters: there is nothing to be seen together.")
    return html.join([html.paragraph(_CAPTION, kind="note"), *drawn])


def scale(title: str, values: Iterable[Value], turned: bool = False) -> Scale:
    """The axis of these values: of a choice where one of them is a word."""
    seen = list(values)
    if any(isinstance(value, str) for value in seen):
        return Scale(title, tuple(sorted({str(value) for value in seen})))
    numbers = [float(value) for value in seen if math.isfinite(float(value))] or [0.0]
    return Scale(title, (), min(numbers), max(numbers), _tuning.logarithmic(numbers), turned)


def settings(record: Record) -> dict[str, Value]:
    """What a search may vary: numbers, and choices as words."""
    own = record.trial.loss_options.items()
    return {**{k: str(v) for k, v in own if isinstance(v, (str, bool))}, **_tuning.parameters(record)}


def varied(trials: Sequence[Record]) -> list[str]:
    """The hyper-parameters of which the trials have more than one value, in the report's order."""
    values: dict[str, set[Value]] = {}
    for record in trials:
        for name, value in settings(record).items():
            values.setdefault(name, set()).add(value)
    return in_order(name for name, seen in values.items() if len(seen) > 1)


def _figure(study: Study, key: tuple[str, str], trials: Sequence[Record]) -> Markup:
    names = varied(trials)
    if len(names) < FEWEST:
        return Markup("")
    better = _figures.higher_is_better(study.objective)
    reached = {record.trial.id: 100 * _tuning.reached(record, study.objective) for record in trials}
    known = [reached[r.trial.id] for r in trials if r.state != "failed" and math.isfinite(reached[r.trial.id])]
    scales = [scale(title(name), [settings(r)[name] for r in trials if name in settings(r)]) for name in names]
    scales.append(scale(f"{_figures.full_title(study.objective)}, %", known, turned=not better))
    figure, axes = _plots.panels(1, 1, height=2.9, width=min(10.2, 2.1 * len(scales) + 0.8))
    ax = axes[0][0]
    _draw_scales(ax, scales)
    for kind, group in _kinds(trials, reached, better).items():
        figures = {r.trial.id: math.nan if kind == "failed" else reached[r.trial.id] for r in group}
        lines = [_line(scales, [*(settings(r).get(n) for n in names), figures[r.trial.id]]) for r in group]
        _draw_lines(ax, lines, kind)
    _draw_chosen(ax, study, key, scales, names)
    backbone, loss = key
    picture = _plots.svg(
        figure, f"parallel-{backbone}-{loss}", f"Hyper-parameters of each trial of {loss}, and the figure it reached"
    )
    return html.join([html.heading(_rows.label(study, loss, backbone)), html.figure(picture)])


def _kinds(trials: Sequence[Record], reached: dict[str, float], better: bool) -> dict[str, list[Record]]:
    """The trials by how they are drawn; what has neither a figure nor failed (it waits, or runs) is not."""
    seen = [r for r in trials if math.isfinite(reached[r.trial.id])]
    finished = [r for r in seen if r.state == "finished"]
    finished.sort(key=lambda r: reached[r.trial.id], reverse=better)
    best = min(math.ceil(len(finished) / 4), BEST)
    kinds = {"pruned": [r for r in seen if r.state == "pruned"], "finished": finished[best:]}
    return kinds | {"best": finished[:best], "failed": [r for r in trials if r.state == "failed"]}


def _line(scales: Sequence[Scale], values: Sequence[Value | None]) -> list[tuple[int, float]]:
    """The points of a trial's line; a hyper-parameter that it has not is passed over, no figure is the foot."""
    places = [scale.place(value) for scale, value in zip(scales, values, strict=True)]
    places[-1] = places[-1] if math.isfinite(places[-1]) else 0.0
    return [(x, y) for x, y in enumerate(places) if math.isfinite(y)]


def _draw_scales(ax: "Axes", scales: Sequence[Scale]) -> None:
    ax.set_axis_off()
    ax.set(xlim=(-0.25, len(scales) - 0.55), ylim=(-0.06, 1.06))
    for x, axis in enumerate(scales):
        ax.plot([x, x], [0, 1], color=_plots.GREY, linewidth=0.8)
        ax.text(x, 1.1, axis.title, ha="center", va="bottom", fontsize=9.5, color=_plots.INK)
        for y, text in axis.marks():
            ax.plot([x - 0.015, x + 0.015], [y, y], color=_plots.GREY, linewidth=0.8)
            ax.text(x + 0.03, y, text, ha="left", va="center", fontsize=8.5, color=_plots.INK, zorder=5)


def _draw_lines(ax: "Axes", lines: list[list[tuple[int, float]]], kind: str) -> None:
    from matplotlib.collections import LineCollection

    if lines:
        ax.add_collection(LineCollection(lines, **_LOOKS[kind]))
    if lines and kind == "failed":
        ends = [line[-1] for line in lines]
        ax.plot(*zip(*ends, strict=True), linestyle="none", marker="x", color=_plots.COLOURS[1], markeredgewidth=1.4)


def _draw_chosen(ax: "Axes", study: Study, key: tuple[str, str], scales: Sequence[Scale], names: Sequence[str]) -> None:
    """The configuration that was confirmed, as far as it has these hyper-parameters; its test figures are another axis."""
    winner = _tuning.winner(study, key)
    if winner is None:
        return
    own = settings(winner)
    places = [(x, scales[x].place(own.get(name))) for x, name in enumerate(names)]
    inside = [(x, y) for x, y in places if -0.05 <= y <= 1.05]
    if inside:
        ax.plot(*zip(*inside, strict=True), color=_plots.INK, linewidth=1.4, marker="o", markersize=4.5, zorder=4)


_LOOKS: dict[str, dict[str, Any]] = {
    "best": {"colors": _plots.COLOURS[0], "linewidths": 2.0, "zorder": 3},
    "finished": {"colors": _plots.COLOURS[0], "linewidths": 0.8, "alpha": 0.55, "zorder": 2},
    "pruned": {"colors": _plots.GREY, "linewidths": 0.8, "linestyles": [(0, (5, 2))], "zorder": 1},
    "failed": {"colors": _plots.COLOURS[1], "linewidths": 1.0, "linestyles": [(0, (1.5, 1.5))], "zorder": 2},
}
