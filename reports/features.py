"""Section: the 2-D features themselves, trained and unseen, with the class centres (Figures 2 and 3 of Center Loss)."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from reports import _markup as html
from reports import _plots, _rows, _scatter, _toy, _words
from reports._rows import Row
from reports._study import Study
from reports._toy import Features

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Features in the plane"
ORDER = 22
SPLITS = ("train", "test")
_FIGURE = (
    "Learned 2-D features, one seed of each row: above those of the training images, below those of images never trained "
    "on. A colour is a class, the number its label, beside the class mean. Every column has a scale of its own."
)
_CENTRES = "White-edged dots: the class centres that the loss kept."
_TABLE = (
    "Mean ± standard deviation over training seeds. tr(S_w), tr(S_b): mean squared distance of a feature to its class "
    "mean, and of the class means to the mean of all. V: how often a random distance within a class exceeds one between "
    "classes (Euclidean), in percent; 0 where every class stands apart. 1-NN: by the nearest training feature."
)


def render(records: Study) -> Markup:
    """A panel for each row and split, then the scatter of each row over its seeds; nothing without 2-D features."""
    arms = _toy.arms(records)
    if not arms:
        return Markup("")
    pictures = [_picture(records, part, number) for number, part in enumerate(_scatter.chunks(arms))]
    shown = _words.listing(sorted({str(kept[0].trial.seed) for _, kept in arms}), "or")
    caption = [_FIGURE, *[_CENTRES] * any(kept[0].centers is not None for _, kept in arms)]
    caption.append(f"Shown: seed {shown}; at most {_scatter.MOST:,} points a panel.")
    return html.join([*pictures, html.paragraph(*caption, kind="note"), _table(records, arms)])


def _picture(study: Study, arms: Sequence[tuple[Row, list[Features]]], number: int) -> Markup:
    splits = [name for name in SPLITS if any(len(kept[0].split(name)[0]) for _, kept in arms)]
    figure, axes = _scatter.grid(len(splits), len(arms))
    for column, (row, kept) in enumerate(arms):
        one = kept[0]
        everything = [one.split(name)[0] for name in splits] + ([one.centers] if one.centers is not None else [])
        window = _scatter.window(np.concatenate(everything))
        for line, name in zip(axes, splits, strict=True):
            _panel(line[column], one, name, window)
        _plots.title(axes[0][column], _rows.label(study, row.label, row.backbone))
    for line, name in zip(axes, splits, strict=True):
        line[0].set_ylabel({"train": "training images", "test": "unseen images"}[name])
    names = _words.listing([row.label for row, _ in arms])
    return html.figure(_plots.svg(figure, f"features-{number}", f"2-D features of {names}"))


def _panel(ax: "Axes", one: Features, name: str, window: tuple[float, float, float]) -> None:
    points, labels = one.split(name)
    _scatter.frame(ax, window)
    _scatter.cloud(ax, points, labels)
    if one.centers is not None:
        _scatter.centres(ax, one.centers)
    if len(points):
        _scatter.names(ax, np.unique(labels), _toy.class_means(points, labels))


def _table(study: Study, arms: Sequence[tuple[Row, list[Features]]]) -> Markup:
    columns = [html.Column("Loss", "short"), html.Column("Images", "short")]
    columns += [html.Column(title) for title in ("tr(S_w)", "tr(S_b)", "S_w / S_b", "V, %", "Mean norm")]
    columns += [html.Column("Accuracy, %"), html.Column("1-NN, %"), html.Column("Seeds")]
    bodies = [[_line(study, row, kept, name) for row, kept in arms if len(kept[0].split(name)[0])] for name in SPLITS]
    return html.table(columns, bodies, caption=_TABLE, sortable=True)


def _line(study: Study, row: Row, kept: Sequence[Features], name: str) -> list[html.Shown]:
    splits = [one.split(name) for one in kept]
    spread = [_toy.scatter(*split) for split in splits]
    measured: list[Sequence[float]] = [
        [s.within for s in spread],
        [s.between for s in spread],
        [s.ratio for s in spread],
    ]
    norms = [float(_toy.norms(points).mean()) for points, _ in splits]
    confusion = [_toy.confusion(*split) for split in splits]
    label = _rows.label(study, row.label, row.backbone)
    cells = [html.Item(label, label), html.Item({"train": "training", "test": "unseen"}[name])]
    cells += [_item(values, _words.measure) for values in measured]
    cells += [_item(confusion, _words.plus_minus), _item(norms, _words.measure)]
    for metric in ("closed/accuracy", "closed/nearest"):
        found = _rows.cell(study, row, metric).sample if name == "test" else None
        cells.append(_item(found.values.tolist(), _words.plus_minus) if found else html.Item(_words.DASH))
    return [*cells, html.Item(str(len(kept)), len(kept))]


def _item(values: Sequence[float], text: Callable[[float, float], str]) -> html.Item:
    mean, spread = _toy.over_seeds(values)
    return html.Item(text(mean, spread), mean) if mean == mean else html.Item(_words.DASH)
