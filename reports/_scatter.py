"""Clouds of 2-D points in the report's style: a colour a class, thinned, drawn as pixels inside the SVG."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from reports import _plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 2000  # points in a panel
COLUMNS = 5  # panels side by side
DARK = "#1b1b1b"  # on the white disc of a name, whatever the page's own colours are
T = TypeVar("T")


def chunks(arms: Sequence[T]) -> list[Sequence[T]]:
    """As few groups of at most `COLUMNS` as there need be, of nearly equal size."""
    count = -(-len(arms) // COLUMNS)
    edges = np.linspace(0, len(arms), count + 1).round().astype(int)
    return [arms[low:high] for low, high in pairwise(edges)]


def grid(rows: int, columns: int) -> "tuple[Figure, list[list[Axes]]]":
    """Square panels that fill the page's width, none wider than a third of it."""
    side = 10.2 / max(columns, 3)
    return _plots.panels(rows, columns, height=side * 0.95, width=0.3 + side * columns, compress=True)


def window(points: np.ndarray) -> tuple[float, float, float]:
    """x and y of the middle and half the side of a square that holds all points."""
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = (low + high) / 2
    return float(x), float(y), max(float((high - low).max()) * 0.6, 1e-6)


def frame(ax: "Axes", square: tuple[float, float, float]) -> None:
    """Equal axes that show the square, with few ticks."""
    from matplotlib.ticker import MaxNLocator

    x, y, half = square
    ax.set_aspect("equal")
    ax.set(xlim=(x - half, x + half), ylim=(y - half, y + half))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_tick_params(labelsize=7.5)


def cloud(ax: "Axes", points: np.ndarray, labels: np.ndarray, **look: Any) -> None:
    """The points, coloured by class; of more than `MOST` a seeded choice. No class lies on top of the others."""
    seen = np.random.default_rng(0).permutation(len(points))[:MOST]
    base: dict[str, Any] = {"s": 5, "linewidths": 0, "alpha": 0.75, "rasterized": True}
    ax.scatter(points[seen, 0], points[seen, 1], c=[colour(label) for label in labels[seen]], **base | look)


def centres(ax: "Axes", points: np.ndarray) -> None:
    """(C, 2) class centres: dots of the class's colour with a white edge."""
    colours = [colour(label) for label in range(len(points))]
    ax.scatter(points[:, 0], points[:, 1], s=34, c=colours, edgecolors="white", linewidths=1.2, zorder=4)


def names(ax: "Axes", labels: Sequence[int] | np.ndarray, places: np.ndarray, away: float = 11) -> None:
    """Each class's number on a white disc, `away` points outward from its place: what marks the place stays seen."""
    middle = places.mean(axis=0)
    for label, place in zip(labels, places, strict=True):
        length = float(np.linalg.norm(place - middle)) or 1.0
        x, y = away * (place - middle) / length
        disc = {"boxstyle": "circle,pad=0.18", "facecolor": "white", "edgecolor": colour(label), "linewidth": 1.1}
        ax.annotate(
            str(label), place, (x, y), textcoords="offset points", ha="center", va="center", fontsize=7.5, color=DARK,
            bbox=disc, zorder=5,
        )  # fmt: skip


def colour(label: int) -> str:
    return _plots.COLOURS[int(label) % len(_plots.COLOURS)]
