"""AUC, EER and TAR at a FAR with one cluster of people left out at a time, all clusters at once and exactly.

Leaving a cluster out takes about 1 / G of the pairs away, so nothing is sorted again: with R the number of pairs that a
cluster takes away, F - R and T - R are the false and true accepts of the others at each distinct score. Both fall with
the threshold, so a figure's point on the curve is found by bisection, for all clusters together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bench.metrics.verification import Sorted, far_name
from bench.scores import Clusters


def jackknife_verification(
    pairs: Sorted, first: np.ndarray, second: np.ndarray, fars: Sequence[float]
) -> dict[str, Clusters]:
    """Each figure with one cluster left out: all pairs that touch it are removed, thresholds are recomputed.

    Args:
        pairs: n sorted pairs.
        first, second: (n,) the clusters of the two sides of each pair, in the pairs' own order.

    Returns:
        `auc`, `eer` and `tar_at_far_...` -> clusters; nothing where there is one cluster, or where the pairs without one
        lack genuine or impostor ones.
    """
    roc = pairs.roc()
    if not roc.genuine or not roc.impostors:
        return {}
    labels, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    a, b = place[: len(first)][pairs.order], place[len(first) :][pairs.order]
    run = np.repeat(np.arange(len(pairs.ends)), np.diff(pairs.ends, prepend=-1))
    impostor = _Others.of(roc.false_accepts, a, b, run, ~pairs.same, len(labels))
    genuine = _Others.of(roc.true_accepts, a, b, run, pairs.same, len(labels))
    if len(labels) < 2 or not (impostor.total.all() and genuine.total.all()):
        return {}
    figures = {"auc": _doubled_area(impostor, genuine) / (2 * impostor.total * genuine.total)}
    figures["eer"] = _eer(impostor, genuine)
    figures |= {f"tar_at_far_{far_name(far)}": _tar(impostor, genuine, far) for far in fars}
    return {name: Clusters("jackknife", tuple(values.tolist())) for name, values in figures.items()}


@dataclass(frozen=True)
class _Others:
    """The pairs of one kind (genuine or impostor), and what is left of them without each of G clusters.

    Attributes:
        accepts: (U,) how many pairs of this kind score at least each of the distinct scores, falling.
        keys: (m,) `cluster * U + run` of each pair that a cluster takes away, rising; a pair of two clusters twice.
        starts: (G,) where the keys of each cluster begin.
        total: (G,) how many pairs the others have.
    """

    accepts: np.ndarray
    keys: np.ndarray
    starts: np.ndarray
    total: np.ndarray

    @classmethod
    def of(
        cls, accepts: np.ndarray, a: np.ndarray, b: np.ndarray, run: np.ndarray, kind: np.ndarray, clusters: int
    ) -> "_Others":
        """From the two clusters and the run of tied scores of each pair, those with `kind` true."""
        a, b, run = a[kind], b[kind], run[kind]
        crossing = a != b
        keys = np.concatenate([a, b[crossing]]) * len(accepts) + np.concatenate([run, run[crossing]])
        keys.sort()
        starts = np.searchsorted(keys, np.arange(clusters + 1) * len(accepts))
        return cls(accepts, keys, starts[:-1], accepts[-1] - np.diff(starts))

    @property
    def removed(self) -> tuple[np.ndarray, np.ndarray]:
        """(m,) and (m,): the cluster that takes a pair away, and the pair's run."""
        return np.divmod(self.keys, len(self.accepts))

    def taken(self, cluster: np.ndarray, run: np.ndarray) -> np.ndarray:
        """How many pairs each of these clusters takes away that score at least as much as the run (-1: none)."""
        return np.searchsorted(self.keys, cluster * len(self.accepts) + run, side="right") - self.starts[cluster]

    def at(self, run: np.ndarray) -> np.ndarray:
        """(G,) accepts of the others, each at its own run; -1 lies before all scores."""
        whole = np.where(run < 0, 0, self.accepts[np.maximum(run, 0)])
        return whole - self.taken(np.arange(len(run)), run)


def _doubled_area(impostor: _Others, genuine: _Others) -> np.ndarray:
    """(G,) twice the number of (genuine, impostor) pairs of the others in the right order, ties as halves.

    With dF the impostors of a run and S the genuine pairs above it, twice, plus those in it, that is the sum over runs of
    (dF - dR)(S - S_R): the whole, less S at each impostor removed, less the impostors below each genuine pair removed,
    plus what was taken away twice.
    """
    steps = np.diff(impostor.accepts, prepend=0)
    above = genuine.accepts + np.concatenate([[0], genuine.accepts[:-1]])
    below = 2 * (impostor.accepts[-1] - impostor.accepts) + steps
    area = np.full(len(impostor.total), int(np.sum(steps * above)), np.int64)
    cluster, run = impostor.removed
    twice = genuine.taken(cluster, run) + genuine.taken(cluster, run - 1)
    np.add.at(area, cluster, twice - above[run])
    cluster, run = genuine.removed
    np.subtract.at(area, cluster, below[run])
    return area


def _tar(impostor: _Others, genuine: _Others, far: float) -> np.ndarray:
    """(G,) `Roc.tar_at_far` of the others: at the last point with no more false accepts than are allowed, exactly."""
    share = Fraction(repr(float(far)))
    allowed = np.array([share.numerator * count // share.denominator for count in impostor.total.tolist()])
    over = _first(lambda run: impostor.at(run) > allowed, len(impostor.total), len(impostor.accepts))
    return genuine.at(over - 1) / genuine.total


def _eer(impostor: _Others, genuine: _Others) -> np.ndarray:
    """(G,) `Roc.eer` of the others."""

    def rates(run: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return impostor.at(run) / impostor.total, 1 - genuine.at(run) / genuine.total

    def crossed(run: np.ndarray) -> np.ndarray:
        far, frr = rates(run)
        return far >= frr

    after = _first(crossed, len(impostor.total), len(impostor.accepts))
    (far_before, frr_before), (far, frr) = rates(after - 1), rates(after)
    gap_before, gap_after = frr_before - far_before, far - frr
    return far_before + gap_before / (gap_before + gap_after) * (far - far_before)


def _first(true: Callable[[np.ndarray], np.ndarray], clusters: int, runs: int) -> np.ndarray:
    """(G,) the first run from which on `true` holds (`runs` where it never does); it must be monotone."""
    low, high = np.full(clusters, -1), np.full(clusters, runs)
    while (high - low > 1).any():
        middle = (low + high) // 2
        found = true(middle)
        low, high = np.where(found, low, middle), np.where(found, middle, high)
    return high
