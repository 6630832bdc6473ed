"""Section: the decision boundaries of four losses between two classes, drawn and measured (CosFace, Figure 2)."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from reports import _decisions, _plots, _scatter, _toy, _words
from reports import _markup as html
from reports._decisions import Panel
from reports._study import Study
from reports._toy import Features

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Decision boundaries"
ORDER = 25
_FIGURE = (
    "Two classes. Blue: where a sample of class 1 meets the demand of its loss; orange: class 2. Between the boundaries lies "
    "the margin (grey) or, where it is negative, their overlap (hatched). A-Softmax's boundaries are straight in the plane "
    "of the angles, the others' in that of the cosines. Drawn where the two cosines, or angles, add up to at least 0."
)
_DOTS = "Dots: the unseen images of one run (the first seed) of the loss, coloured by class."
_TABLE = (
    "The signed margin across the diagonal, from the formula, and measured on the implemented loss in float64: the points at "
    "which its value for a sample of either class is ln 2. Difference: the largest over {cosine} levels of the cosines' sum "
    "and {angle} of the angles'. PASS: within 1e-6, and the paper's claim holds on every level."
)


def render(records: Study) -> Markup:
    """Four panels and the margins; nothing unless the study asks for it or has two classes in two dimensions."""
    found = two_classes(records)
    if "boundaries" not in (records.facts.get("criteria") or ()) and len(found) < 2:
        return Markup("")
    panels = _decisions.four(found)
    figure, axes = _plots.panels(1, len(panels), height=2.75, width=11.4, compress=True)
    for ax, panel in zip(axes[0], panels, strict=True):
        _draw(ax, panel)
    picture = html.figure(_plots.svg(figure, "boundaries", "Decision boundaries of four losses between two classes"))
    caption = [_FIGURE, *[_DOTS] * any(panel.features is not None for panel in panels)]
    return html.join([picture, html.paragraph(*caption, kind="note"), _table(panels)])


def two_classes(study: Study) -> dict[str, Features]:
    """Loss -> the first run of its first row, where there are 2-D features of two classes and their weights."""
    import losses

    found: dict[str, Features] = {}
    for row, kept in _toy.arms(study):
        if kept[0].classes == 2 and kept[0].weight is not None:
            found.setdefault(losses.canonical(row.loss), kept[0])
    return found


def _draw(ax: "Axes", panel: Panel) -> None:
    """The regions of both classes, what lies between them, and the margin's length across it."""
    turned, dots = panel.plane == "angle", panel.features is not None
    unit = 180 / math.pi if turned else 1.0
    low, high = (0.0, 180.0 if dots else 90.0) if turned else (-1.0 if dots else 0.0, 1.0)
    _scatter.frame(ax, ((low + high) / 2, (low + high) / 2, (high - low) / 2))
    ax.grid(visible=False)
    lines = panel.at(np.array([0.0, 100.0]))  # from the corner to far beyond the panel
    beyond = np.array([-100.0, 100.0] if turned else [100.0, -100.0])  # in the midst of class 1, as far
    for number, line, corner in ((0, lines.first, beyond), (1, lines.second, -beyond)):
        colour = _scatter.colour(number)
        ax.fill(*unit * np.array([*line, corner]).T, color=colour, alpha=0.1, linewidth=0)
        ax.plot(*unit * line.T, color=colour, linewidth=1.6, linestyle=("-", (0, (4, 2)))[number])
    overlap = {"facecolor": "none", "hatch": "////", "edgecolor": _plots.GREY, "alpha": 0.5}
    look: dict[str, Any] = overlap if _shown(panel) < 0 else {"color": _plots.GREY, "alpha": 0.2}
    ax.fill(*unit * np.array([*lines.first, *lines.second[::-1]]).T, linewidth=0, **look)
    if panel.features is not None:
        _dots(ax, panel.features, unit, turned)
    else:
        _classes(ax, turned)
    _margin(ax, panel, unit)
    name = "θ{}, degrees" if turned else "cos θ{}"
    ax.set(xlabel=name.format("₁"), ylabel=name.format("₂"))
    _plots.title(ax, panel.title)


def _classes(ax: "Axes", turned: bool) -> None:
    """The classes' names in their corners."""
    for number, x, y, side in ((turned, 0.98, 0.06, "right"), (not turned, 0.015, 0.94, "left")):
        text: dict[str, Any] = {"fontsize": 7.5, "fontweight": "bold", "color": _scatter.colour(number)}
        ax.text(x, y, f"class {number + 1}", transform=ax.transAxes, ha=side, va="center", **text)


def _shown(panel: Panel) -> float:
    return float(panel.at(np.array([_decisions.SHOWN[panel.plane]])).margin[0])


def _margin(ax: "Axes", panel: Panel, unit: float) -> None:
    """The margin as an arrow across it, with its length beside."""
    lines = panel.at(np.array([_decisions.SHOWN[panel.plane]]))
    first, second = lines.first[0] * unit, lines.second[0] * unit
    if abs(_shown(panel)) > 1e-3:
        arrow: dict[str, Any] = {"arrowstyle": "<->", "color": _plots.INK, "linewidth": 1, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", first, second, arrowprops=arrow)
        beside: dict[str, Any] = {"xytext": (6, 6), "rotation": -45}
    else:
        beside = {"xytext": (17, -9)}
    place: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 9}
    ax.annotate(_text(panel, _shown(panel)), (first + second) / 2, **place, **beside)


def _dots(ax: "Axes", one: Features, unit: float, turned: bool) -> None:
    assert one.weight is not None  # runs without class weights have no panel
    cosine = np.clip(_toy.unit(one.test) @ _toy.unit(one.weight).T, -1, 1)
    _scatter.cloud(ax, np.arccos(cosine) * unit if turned else cosine, one.test_labels, s=6)


def _table(panels: list[Panel]) -> Markup:
    columns = [html.Column(title, "short") for title in ("Loss", "The paper's claim of the margin")]
    columns += [html.Column(title) for title in ("Formula", "Measured", "Difference")] + [
        html.Column("Verdict", "short")
    ]
    body: list[list[html.Shown]] = []
    for panel in panels:
        found = _decisions.measure(panel)
        where = "shown: at θ₁ + θ₂ = 90°" if panel.plane == "angle" else "shown: at cos θ₁ + cos θ₂ = 1"
        said = [Markup("{}{}").format(panel.title, html.small(f"class 1: {panel.condition}"))]
        said.append(Markup("{}{}").format(panel.claim, html.small(where)))
        numbers = [_text(panel, found.formula), _text(panel, found.measured), f"{found.off:.0e}"]
        body.append([*said, *numbers, "PASS" if found.passed else "FAIL"])
    caption = _TABLE.format(**{plane: len(levels) for plane, levels in _decisions.LEVELS.items()})
    return html.table(columns, [body], caption=caption)


def _text(panel: Panel, margin: float) -> str:
    """A margin in its plane's unit; one that is nothing but rounding has no sign."""
    if panel.plane == "angle":
        return f"{math.degrees(margin):.1f}°".replace("-", _words.MINUS)
    return f"{round(margin, 4) + 0.0:.3f}".replace("-", _words.MINUS)
