"""Section: the 2-D features and their directions, and the empty arcs that a cosine margin leaves (CosFace, Figure 4)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from reports import _markup as html
from reports import _plots, _rows, _scatter, _toy, _words
from reports._rows import Row
from reports._study import Study
from reports._toy import Features

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Angles and the margin"
ORDER = 24
_FIGURE = (
    "Training images, one seed of each row. Above: the features as they are, every column with a scale of its own. Below: "
    "their directions, dots on the unit circle; around it the arc that holds each class from its 1 % to its 99 % "
    "quantile; from the middle a line to each class weight."
)
_TABLE = (
    "Empty arcs between neighbouring classes (1 % to 99 % quantiles, training images) in degrees, mean ± standard deviation "
    "over seeds; a negative one is an overlap. g(m) = 2 arcsin(m / (2 sin(π / C))) is the least empty arc that a margin m "
    "leaves where all of it is kept and the C class weights are uniform. A finite scale s adds a soft margin of its own "
    "(at s = 64 an arc of about 11° at m = 0 and C = 8), so arcs compare across m at one s. "
    "Margin kept: training images with cos θ of the own class less the largest other cos θ at least m, in percent."
)
_CLASSES = "The margin kept in each class, percent of its training images, mean over seeds."


def render(records: Study) -> Markup:
    """Two panels for each row, then its arcs beside g(m); nothing where no 2-D row has a loss with a cosine margin."""
    arms = _toy.arms(records)
    if not any(_toy.cosine_margin(row) is not None for row, _ in arms):
        return Markup("")
    pictures = [_picture(records, part, number) for number, part in enumerate(_scatter.chunks(arms))]
    shown = _words.listing(sorted({str(kept[0].trial.seed) for _, kept in arms}), "or")
    caption = html.paragraph(f"{_FIGURE} Shown: seed {shown}; at most {_scatter.MOST:,} points a panel.", kind="note")
    return html.join([*pictures, caption, _table(records, arms), _by_class(records, arms)])


def _picture(study: Study, arms: Sequence[tuple[Row, list[Features]]], number: int) -> Markup:
    figure, axes = _scatter.grid(2, len(arms))
    for column, (row, kept) in enumerate(arms):
        points, labels = kept[0].split("train")
        _scatter.frame(axes[0][column], _scatter.window(points))
        _scatter.cloud(axes[0][column], points, labels)
        _scatter.names(axes[0][column], np.unique(labels), _toy.class_means(points, labels))
        _directions(axes[1][column], kept[0])
        _plots.title(axes[0][column], _rows.label(study, row.label, row.backbone))
    axes[0][0].set_ylabel("features")
    axes[1][0].set_ylabel("directions")
    names = _words.listing([row.label for row, _ in arms])
    return html.figure(_plots.svg(figure, f"angles-{number}", f"Features and directions of {names}"))


def _directions(ax: "Axes", one: Features) -> None:
    points, labels = one.split("train")
    known, found = np.unique(labels), _toy.arcs(points, labels)
    _scatter.frame(ax, (0.0, 0.0, 1.5))
    ax.grid(visible=False)
    ax.set(xticks=(), yticks=())
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    turn = np.linspace(0, 2 * math.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color=_plots.GREY, linewidth=0.6, alpha=0.6)
    _scatter.cloud(ax, _toy.unit(points), labels, s=4)
    for label, middle, low, high in zip(known, *found, strict=True):
        turn = middle + np.linspace(low, high, 40)
        arc: dict[str, Any] = {"color": _scatter.colour(label), "linewidth": 2.6, "solid_capstyle": "butt"}
        ax.plot(1.12 * np.cos(turn), 1.12 * np.sin(turn), **arc)
    if one.weight is not None:
        for label, (x, y) in enumerate(_toy.unit(one.weight)):
            ax.plot([0, 0.93 * x], [0, 0.93 * y], color=_scatter.colour(label), linewidth=0.9)
    _scatter.names(ax, known, 1.12 * np.stack([np.cos(found.middle), np.sin(found.middle)], axis=1))


def _table(study: Study, arms: Sequence[tuple[Row, list[Features]]]) -> Markup:
    titles = ("Margin m", "g(m), °", "Least empty arc, °", "Mean empty arc, °", "Margin kept, %", "Seeds")
    columns = [html.Column("Loss", "short"), *[html.Column(title) for title in titles]]
    body = []
    for row, kept in arms:
        margin, label = _toy.cosine_margin(row), _rows.label(study, row.label, row.backbone)
        empty = [np.degrees(_toy.empty_arcs(_toy.arcs(*one.split("train")))) for one in kept]
        line: list[html.Shown] = [html.Item(label, label), *_theory(margin, kept[0].classes)]
        line += [_measured([arc.min() for arc in empty]), _measured([arc.mean() for arc in empty])]
        shares = [100 * share for share, _ in _kept(kept, margin)]
        line += [_measured(shares) if shares else html.Item(_words.DASH), html.Item(str(len(kept)), len(kept))]
        body.append(line)
    return html.table(columns, [body], caption=_TABLE, sortable=True)


def _theory(margin: float | None, classes: int) -> list[html.Shown]:
    if margin is None:
        return [html.Item(_words.DASH), html.Item(_words.DASH)]
    gap = math.degrees(_toy.gap(margin, classes))
    bound = 1 - math.cos(2 * math.pi / classes)
    said = html.Item(f"{gap:.1f}", gap) if gap == gap else html.Item(f"cannot be kept (m > {bound:.3f})")
    return [html.Item(_words.value(margin), margin), said]


def _measured(values: Sequence[float]) -> html.Item:
    mean, spread = _toy.over_seeds(values)
    text = f"{mean:.1f} ± {spread:.1f}" if spread == spread else f"{mean:.1f}"
    return html.Item(text.replace("-", _words.MINUS), mean)


def _kept(kept: Sequence[Features], margin: float | None) -> list[tuple[float, np.ndarray]]:
    """Of each seed the share of training images that keep the margin, of all and of each class."""
    if margin is None:
        return []
    return [_toy.satisfied(*one.split("train"), one.weight, margin) for one in kept if one.weight is not None]


def _by_class(study: Study, arms: Sequence[tuple[Row, list[Features]]]) -> Markup:
    classes = max(kept[0].classes for _, kept in arms)
    columns = [html.Column("Loss", "short"), *[html.Column(f"Class {number}") for number in range(classes)]]
    body: list[list[html.Shown]] = []
    for row, kept in arms:
        shares = [each for _, each in _kept(kept, _toy.cosine_margin(row))]
        if shares:
            mean = np.mean(shares, axis=0)
            label = _rows.label(study, row.label, row.backbone)
            body.append([html.Item(label, label), *[html.Item(_words.percent(s, 1), float(s)) for s in mean]])
    return html.table(columns, [body], caption=_CLASSES, sortable=True) if body else Markup("")
