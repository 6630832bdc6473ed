"""The toy experiments' features as the trials kept them, and what is measured on them: scatter, arcs, satisfied margins.

Float64 throughout; angles are radians, shares are fractions. Nothing here knows of tables or pictures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.plain import Trial
from bench.record import Record
from reports import _rows
from reports._rows import Row
from reports._study import Study

PAIRS = 200_000  # pairs of images drawn where all of them would be more
SHARE = 0.01  # of a class, left out at either end of its arc


@dataclass(frozen=True, eq=False)
class Features:
    """What a trial with `keep: [features]` left behind.

    Attributes:
        trial: the trial.
        train, test: (n, D) features; (0, D) where there is no such split.
        train_labels, test_labels: (n,) classes, 0 to C - 1.
        weight: (C, D) class weights of the criterion; None where it has none.
        bias: (C,) their biases; None without.
        centers: (C, D) class centres of the centre term; None without.
    """

    trial: Trial
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    centers: np.ndarray | None = None

    @property
    def dimension(self) -> int:
        return int(self.train.shape[1])

    @property
    def classes(self) -> int:
        """The number of classes that the training features have."""
        return len(np.unique(self.train_labels))

    def split(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Features and labels of `train` or `test`."""
        return getattr(self, name), getattr(self, f"{name}_labels")


def features(record: Record) -> Features | None:
    """The features that a finished trial kept, as float64; None where it kept none."""
    path = record.folder / "raw.npz"
    if record.state != "finished" or not path.exists():
        return None
    with np.load(path) as raw:
        kept = {name.partition("/")[2]: raw[name] for name in raw.files if name.startswith("features/")}
    if "train" not in kept:
        return None
    none = {"test": np.zeros((0, kept["train"].shape[1])), "test_labels": np.zeros(0, np.int64)}
    found = {name: array if name.endswith("labels") else array.astype(float) for name, array in (none | kept).items()}
    return Features(record.trial, **found)


def arms(study: Study, dimension: int | None = 2) -> list[tuple[Row, list[Features]]]:
    """The confirmed rows whose runs kept features of this dimension (None: of any), in the study's own order."""
    found = []
    for row in _rows.in_order(study, "tuned"):
        asked = [record for record in row.records if dimension in (None, record.trial.embedding_dim)]  # or it reads GBs
        kept = [one for record in asked if (one := features(record)) and dimension in (None, one.dimension)]
        found += [(row, sorted(kept, key=lambda one: one.trial.seed))] if kept else []
    return found


class Scatter(NamedTuple):
    """tr(S_w): mean squared distance to the own class mean; tr(S_b): that of the class means to the mean of all."""

    within: float
    between: float

    @property
    def total(self) -> float:
        """tr(S_t) = tr(S_w) + tr(S_b)."""
        return self.within + self.between

    @property
    def ratio(self) -> float:
        """tr(S_w) / tr(S_b); NaN where the class means coincide."""
        return self.within / self.between if self.between > 0 else math.nan


def scatter(points: np.ndarray, labels: np.ndarray) -> Scatter:
    """The traces of the scatter matrices, each divided by the number of points.

    tr(S_w) = 1/n sum_i ||x_i - m_{y_i}||^2,  tr(S_b) = 1/n sum_j n_j ||m_j - m||^2.

    Args:
        points: (n, D); NaN is returned for n = 0.
        labels: (n,).
    """
    if not len(points):
        return Scatter(math.nan, math.nan)
    own = class_means(points, labels)[np.unique(labels, return_inverse=True)[1]]
    return Scatter(
        float(((points - own) ** 2).sum(axis=1).mean()), float(((own - points.mean(axis=0)) ** 2).sum(axis=1).mean())
    )


def class_means(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(C, D): the mean of each class that occurs, in the order of the labels."""
    return np.array([points[labels == label].mean(axis=0) for label in np.unique(labels)])


def confusion(points: np.ndarray, labels: np.ndarray, metric: str = "l2", pairs: int = PAIRS) -> float:
    """V = P(intra-class distance > inter-class distance) of two random pairs: 0 where every class is apart.

    All pairs of images are compared where there are at most `pairs`, else so many drawn with a fixed seed.

    Args:
        points: (n, D).
        labels: (n,).
        metric: `l2` or `cosine` (1 - cos; a vector of length 0 has cosine 0 with any).

    Returns:
        A fraction; NaN where there is no pair of one class or none of two.
    """
    a, b = _pairs(len(points), pairs)
    distance = _distances(points, a, b, metric)
    same = labels[a] == labels[b]
    intra, inter = distance[same], np.sort(distance[~same])
    if not len(intra) or not len(inter):
        return math.nan
    return float(np.searchsorted(inter, intra, side="left").mean() / len(inter))


def _pairs(count: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    if count * (count - 1) // 2 <= most:
        return np.triu_indices(count, 1)
    draw = np.random.default_rng(0)
    a = draw.integers(0, count, most)
    return a, (a + draw.integers(1, count, most)) % count


def _distances(points: np.ndarray, a: np.ndarray, b: np.ndarray, metric: str) -> np.ndarray:
    if metric == "l2":
        return np.linalg.norm(points[a] - points[b], axis=1)
    if metric == "cosine":
        directions = unit(points)
        return 1 - (directions[a] * directions[b]).sum(axis=1)
    raise ValueError(f"metric {metric!r} is not known, expected l2 or cosine")


def unit(points: np.ndarray) -> np.ndarray:
    """Each row divided by its length; a row of zeros stays."""
    lengths = np.linalg.norm(points, axis=-1, keepdims=True)
    return np.divide(points, lengths, out=np.zeros_like(points, dtype=float), where=lengths > 0)


class Arcs(NamedTuple):
    """Where each class lies on the circle; classes in the order of their labels.

    `middle` (C,) is the direction of the mean of the unit vectors, `low` and `high` (C,) the 1 % and 99 % quantiles
    of the angle around it, so that a class fills [middle + low, middle + high].
    """

    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


def arcs(points: np.ndarray, labels: np.ndarray, share: float = SHARE) -> Arcs:
    """The arc of each class of 2-D features; `share` of it is left out at either end."""
    found = [_arc(points[labels == label], share) for label in np.unique(labels)]
    return Arcs(*np.array(found).reshape(-1, 3).T)


def _arc(points: np.ndarray, share: float) -> tuple[float, float, float]:
    x, y = unit(points).mean(axis=0)
    middle = math.atan2(y, x)
    around = _wrapped(np.arctan2(points[:, 1], points[:, 0]) - middle)
    low, high = np.quantile(around, [share, 1 - share])
    return middle, float(low), float(high)


def empty_arcs(found: Arcs) -> np.ndarray:
    """(C,) the angle between the arc of a class and that of its next neighbour anticlockwise; negative: they overlap."""
    order = np.argsort(found.middle)
    behind = np.roll(order, -1)
    step = np.mod(found.middle[behind] - found.middle[order], 2 * math.pi)
    if len(order) == 1:
        step = np.array([2 * math.pi])
    return step + found.low[behind] - found.high[order]


def _wrapped(angle: np.ndarray) -> np.ndarray:
    return np.mod(angle + math.pi, 2 * math.pi) - math.pi


def gap(margin: float, classes: int) -> float:
    """g(m) = 2 asin(m / (2 sin(pi / C))): the least empty arc between neighbours of C uniform 2-D classes.

    NaN above the bound m <= 1 - cos(2 pi / C) = 2 sin^2(pi / C): no features satisfy such a margin for all classes.
    """
    side = math.sin(math.pi / classes)
    return 2 * math.asin(min(margin / (2 * side), 1.0)) if margin <= 2 * side**2 + 1e-12 else math.nan


def margins(points: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(n,) cos t_y - max_{j != y} cos t_j of each point with the class weights (C, D), C >= 2."""
    cosine = unit(points) @ unit(weight).T
    rows = np.arange(len(points))
    own = cosine[rows, labels]
    cosine[rows, labels] = -np.inf
    return own - cosine.max(axis=1)


def satisfied(points: np.ndarray, labels: np.ndarray, weight: np.ndarray, margin: float) -> tuple[float, np.ndarray]:
    """The share of points with cos t_y - max cos t_j >= margin: of all, and (C,) of each class (NaN: has no point)."""
    kept = margins(points, labels, weight) >= margin
    each = [kept[labels == label].mean() if (labels == label).any() else math.nan for label in range(len(weight))]
    return float(kept.mean()), np.array(each)


def norms(points: np.ndarray) -> np.ndarray:
    """(n,) Euclidean lengths."""
    return np.linalg.norm(points, axis=1)


def share(part: float, whole: float) -> float:
    """part / whole; NaN where the whole is nothing (of a collapsed run), which decides nothing."""
    return part / whole if whole else math.nan


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN where one side is constant and has no order."""
    from scipy import stats

    constant = len(set(first)) < 2 or len(set(second)) < 2
    return math.nan if constant else float(stats.spearmanr(first, second).statistic)


def over_seeds(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (ddof 1) over seeds; the deviation of one seed is NaN."""
    array = np.asarray(values, float)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else math.nan


def cosine_margin(row: Row) -> float | None:
    """m of a row whose loss lowers the target's cosine by a margin (`lmcl`; `nsl` is m = 0); None for every other,
    and where its searches chose several."""
    import losses

    base = losses.canonical(row.loss).partition("+")[0]
    if base == "nsl":
        return 0.0
    if base != "lmcl":
        return None
    chosen = {float({**losses.defaults(base), **record.trial.loss_options}["margin"]) for record in row.records}
    return chosen.pop() if len(chosen) == 1 else None
