"""Impostor scores counted between the levels of genuine scores: an exact ROC of any number of pairs in little memory.

A level is a distinct genuine score. Of an impostor score only its place among the levels matters: 2k + 1 at level k,
2k between level k - 1 and level k. So a histogram over the places holds the whole ROC, and one for each cluster of people
holds the ROC without them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.metrics.verification import Roc

_MOST_BINS, _FEWEST_BINS = 1 << 18, 1 << 8


def place(levels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(n,) the places of scores among the levels, by bisection."""
    below = np.searchsorted(levels, scores, side="left")
    at = np.concatenate([levels, [np.nan]])[below] == scores
    return 2 * below + at


class Table:
    """The places of most scores by one look-up: in bins that no level comes near, the place is that of the whole bin.

    Args:
        levels: (L,) rising, at least one.
        margin: how far a score that is asked for may lie from the true one.
        kind: float32 or float64, of the scores that are asked for.
        asked: how many scores will be asked for: fewer than a quarter of a million need no such long table.
    """

    UNKNOWN = -1

    def __init__(self, levels: np.ndarray, margin: float, kind: type[np.floating], asked: int = _MOST_BINS):
        bins = int(np.clip(asked, _FEWEST_BINS, _MOST_BINS))
        reach = max(float(np.abs(levels).max()), margin, float(np.finfo(kind).tiny) / margin if margin else 1.0)
        # A bin is wider than what rounding in `kind` can do to a score's place in the row of bins; one bin of slack on
        # either side of a bin covers it.
        width = max((float(levels[-1] - levels[0]) + 2 * margin) / (bins - 8), 64 * float(np.finfo(kind).eps) * reach)
        self._kind = kind
        self._start = kind(float(levels[0]) - margin - 4 * width)
        self._rate = kind(1 / width)
        edges = float(self._start) + width * np.arange(bins + 1)
        edges[0], edges[-1] = -np.inf, np.inf  # the outermost bins hold all that lies beyond
        low = np.searchsorted(levels, edges[:-1] - margin - width, side="left")
        high = np.searchsorted(levels, edges[1:] + margin + width, side="right")
        self._places = np.where(low == high, 2 * low, self.UNKNOWN).astype(np.int32)

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """(n,) places, `UNKNOWN` for scores that lie near to a level."""
        bins = scores - self._start
        bins *= self._rate
        np.clip(bins, 0, len(self._places) - 1, out=bins)
        return self._places.take(bins.astype(np.intp))


@dataclass(frozen=True)
class Counts:
    """Genuine and impostor pairs at each place, of all pairs and of each cluster of people.

    Attributes:
        levels: (L,) the distinct genuine scores, rising.
        lowest: no score lies below.
        genuine, impostor: (2 L + 1,) pairs at each place.
        genuine_of, impostor_of: (G, 2 L + 1) those of them that touch each cluster.
    """

    levels: np.ndarray
    lowest: float
    genuine: np.ndarray
    impostor: np.ndarray
    genuine_of: np.ndarray
    impostor_of: np.ndarray

    def roc(self, without: int | None = None) -> Roc:
        """The ROC of all pairs, or of those that do not touch one cluster; a point a place, the strictest first.

        (The points between two levels stand where the most impostors are accepted before the next genuine pair; between
        them and the next level nothing changes but the FAR.)
        """
        genuine, impostor = self.genuine, self.impostor
        if without is not None:
            genuine, impostor = genuine - self.genuine_of[without], impostor - self.impostor_of[without]
        true, false = np.cumsum(genuine[::-1]), np.cumsum(impostor[::-1])
        return Roc(self._thresholds, false, true, int(false[-1]), int(true[-1]))

    @cached_property
    def _thresholds(self) -> np.ndarray:
        """(2 L + 1,) falling: each level, and what lies just above it; last what lies below all scores."""
        each = np.stack([self.levels, np.nextafter(self.levels, np.inf)], axis=1).reshape(-1)
        return np.concatenate([[min(self.lowest, self.levels[0])], each])[::-1]


def of_clusters(places: np.ndarray, first: np.ndarray, second: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Add pairs to `counts` (G, W), each to the clusters of its two sides, once where they are one; and answer those.

    Args:
        places: (n,) the place of each pair, below W.
        first, second: (n,) the clusters of its sides.

    Returns:
        (m,) the places of the pairs whose two sides are of one cluster.
    """
    width, flat = counts.shape[1], counts.reshape(-1)
    np.add.at(flat, first * width + places, 1)
    np.add.at(flat, second * width + places, 1)
    alike = np.flatnonzero(first == second)
    np.subtract.at(flat, first[alike] * width + places[alike], 1)
    return places[alike]


def tar_at_nearest_far(roc: Roc, far: float) -> float:
    """The TAR at the point of the ROC whose FAR is nearest to `far`: insightface's rule, for comparison.

    It may lie above `far`, so it is not conservative. Of two FARs equally near the larger, of the points at one FAR the
    highest. The points are (0, 0) and those where the ROC turns, as scikit-learn's `roc_curve` keeps them of scores without
    ties; ties among impostors, which it keeps too, are passed over.
    """
    false, true = np.concatenate([[0], roc.false_accepts]), np.concatenate([[0], roc.true_accepts])
    gaps = np.abs(false / roc.impostors - far)
    return int(true[np.flatnonzero(gaps == gaps.min())[-1]]) / roc.genuine
