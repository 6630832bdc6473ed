"""Counting scores above many levels in a stream: what `gallery.search` keeps instead of the scores.

A level is the score of a genuine pair. Of the impostor scores only their places between the levels matter, so a
histogram over the places is an exact summary of any number of them. A level that has been passed often enough is
closed: it can no longer be a hit at any rank (or be accepted at any FAR) that is asked for, and scores below the lowest
open level need not be looked at.
"""

import numpy as np

_MOST_ENTRIES = 1 << 25  # of a look-up table: 64 MB
_MOST_BUCKETS = 1 << 16  # of a row
_EDGE = 3  # buckets on either side of the levels: a level reaches into the next, the outermost takes all beyond


class Places:
    """The places of float32 scores between the levels of their rows, by one look-up each.

    The stretch from the lowest to the highest level of a row is cut into equal buckets. A bucket that lies farther than
    the rounding error from all levels knows its place; the few others answer that they do not.

    Args:
        levels: (R, W) the levels of each row, rising, filled up with +inf.
        margin: (R,) by how much a score may be wrong; no less than float32 rounds the levels.
        expected: how many scores may come: the fewer, the coarser the buckets, which take time to be made.
    """

    UNKNOWN = 0

    def __init__(self, levels: np.ndarray, margin: np.ndarray, expected: int):
        self.margin = margin
        entries = min(expected // 16, _MOST_ENTRIES)
        self._buckets = int(np.clip(entries // len(levels), 64, _MOST_BUCKETS))
        finite = np.isfinite(levels)
        low = np.where(finite.any(1), levels.min(1, initial=np.inf), 0.0)
        high = np.where(finite, levels, -np.inf).max(1, initial=-np.inf)
        inner = self._buckets - 2 * _EDGE
        self._scale = (inner / np.maximum(np.maximum(high - low, 0), inner * margin)).astype(np.float32)
        self._low = (low - _EDGE / self._scale).astype(np.float32)
        self._table = self._filled(levels, finite)

    def _filled(self, levels: np.ndarray, finite: np.ndarray) -> np.ndarray:
        """(R * (buckets + 1),) 1 + the place of a bucket's scores, 0 where a level is too near."""
        scale, low = self._scale.astype(float)[:, None], self._low.astype(float)[:, None]
        at = (np.where(finite, levels, 0) - low) * scale
        # two roundings of float32 in `find`, and one of `_low`
        reach = self.margin[:, None] * scale + self._buckets * 2.0**-21 + np.abs(low) * scale * 2.0**-22
        row = np.broadcast_to(np.arange(len(levels))[:, None] * (self._buckets + 1), at.shape)[finite]
        first = row + np.clip(np.floor(at - reach), 0, self._buckets).astype(np.intp)[finite]
        after = row + np.clip(np.floor(at + reach) + 1, 0, self._buckets).astype(np.intp)[finite]
        small = np.int16 if levels.shape[1] < 2**15 - 1 else np.int32
        begun, passed = (self._running(places, len(levels), small) for places in (first, after))
        known = begun == passed
        passed += 1
        passed *= known  # UNKNOWN where not
        return passed

    def _running(self, places: np.ndarray, rows: int, small: type) -> np.ndarray:
        """(R * (buckets + 1),) how many of the places lie in or before each bucket of their row."""
        steps: np.ndarray = np.zeros((rows, self._buckets + 1), small)
        _count(steps, places)
        return np.cumsum(steps, axis=1, dtype=small, out=steps).reshape(-1)

    def find(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """(n,) 1 + how many levels of its row each float32 score exceeds; UNKNOWN where rounding could decide that."""
        at = scores - self._low[rows]
        at *= self._scale[rows]
        bucket = np.clip(at, 0, self._buckets - 1, out=at).astype(np.intp)
        bucket += rows * (self._buckets + 1)
        return self._table[bucket]


class MateCounts:
    """For each probe, how many distractors score as much as (`ties`) or more than (`above`) each of its mates.

    Args:
        mates: (P, W) each probe's scores with its mates, rising, filled up with +inf.
        depth: counts matter up to here.
        distractors: how many there will be.
    """

    def __init__(self, mates: np.ndarray, depth: int, distractors: int):
        width = (1 << mates.shape[1].bit_length()) - 1  # the bisection walks 2^b - 1 places
        self.levels = np.full((len(mates), width), np.inf)
        self.levels[:, : mates.shape[1]] = mates
        self.depth, self._distractors = depth, distractors
        self._sure, self._ties, self._above = np.zeros((3, len(mates), width + 1), np.int64)
        self.floor = self.levels[:, 0].copy()
        self._places: Places | None = None

    def add_sure(self, probes: np.ndarray, scores: np.ndarray, margin: np.ndarray) -> np.ndarray:
        """Count those of (n,) float32 scores whose place is beyond doubt; returns the numbers of the others.

        Args:
            probes: (n,) their probes, rising.
            margin: (P,) by how much a score of each probe may be wrong.
        """
        if self._places is None or (margin > self._places.margin).any():
            margins = margin if self._places is None else np.maximum(margin, self._places.margin)
            self._places = Places(self.levels, margins, len(margin) * self._distractors)
        places = self._places.find(probes, scores)
        first, width = int(probes[0]), self._sure.shape[1] + 1
        index = (probes - first) * width
        index += places
        found = np.bincount(index, minlength=(int(probes[-1]) + 1 - first) * width).reshape(-1, width)
        self._sure[first : first + len(found)] += found[:, 1:]
        unsure = np.flatnonzero(places == Places.UNKNOWN)
        return unsure[scores[unsure] >= self.floor[probes[unsure]] - margin[probes[unsure]]]

    def near(self, probes: np.ndarray, scores: np.ndarray, margin: float | np.ndarray) -> np.ndarray:
        """(n,) whether each score lies so near to a level of its probe that rounding could have moved it across."""
        return self._place(probes, scores - margin, False) != self._place(probes, scores + margin, True)

    def add(self, probes: np.ndarray, scores: np.ndarray) -> None:
        """Count (n,) exact scores of (n,) probes."""
        width = self._ties.shape[1]
        _count(self._ties, probes * width + self._place(probes, scores, True))
        _count(self._above, probes * width + self._place(probes, scores, False))

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """(P, W') scores >= each level and > each level, cut off at `depth`."""
        both = [self._sure + exact for exact in (self._ties, self._above)]
        found = [_at_least(histogram) for histogram in both]
        return np.minimum(found[0], self.depth), np.minimum(found[1], self.depth)

    def close(self) -> None:
        """Raise each probe's floor to its lowest level that fewer than `depth` scores exceed."""
        open_levels = self.counts()[1] < self.depth
        first = np.argmax(open_levels, axis=1)  # the padding is +inf and never exceeded, so there is always one
        self.floor = np.where(open_levels.any(1), self.levels[np.arange(len(first)), first], np.inf)

    def _place(self, probes: np.ndarray, scores: np.ndarray, after_ties: bool) -> np.ndarray:
        """(n,) how many levels of its probe lie below each score (and at it, `after_ties`), by bisection."""
        place = np.zeros(len(scores), np.int64)
        width = self.levels.shape[1]
        flat, start = self.levels.reshape(-1), probes * width
        step = (width + 1) // 2
        while step:
            level = flat[start + place + (step - 1)]
            place += step * (level <= scores if after_ties else level < scores)
            step //= 2
        return place


class ImpostorCounts:
    """For each cluster of probes and each genuine score, how many impostor scores are at least as high.

    Args:
        genuine: (n,) genuine scores, rising.
        clusters: (P,) the cluster of each probe, 0..G-1.
    """

    def __init__(self, genuine: np.ndarray, clusters: np.ndarray):
        self.levels, self._clusters = genuine, clusters
        self._counts = np.zeros((int(clusters.max()) + 1, len(genuine) + 1), np.int64)
        self.floor = float(genuine[0]) if len(genuine) else np.inf
        self._places: Places | None = None

    def add_sure(self, probes: np.ndarray, scores: np.ndarray, margin: np.ndarray) -> np.ndarray:
        """Count those of (n,) float32 scores whose place is beyond doubt; returns the numbers of the others.

        Args:
            margin: (P,) by how much a score of each probe may be wrong.
        """
        high = np.flatnonzero(scores >= (self.floor - margin).astype(np.float32)[probes])
        if not len(high):
            return high
        if self._places is None or margin.max() > self._places.margin[0]:
            self._places = Places(self.levels[None], margin.max(keepdims=True), 16 * _MOST_BUCKETS)
        places = self._places.find(np.zeros(1, np.intp), scores[high])
        sure = places != Places.UNKNOWN
        self._add(probes[high[sure]], places[sure] - 1)
        return high[~sure]

    def near(self, scores: np.ndarray, margin: float | np.ndarray) -> np.ndarray:
        """(n,) whether each score lies so near to a level that rounding could have moved it across."""
        low = np.searchsorted(self.levels, scores - margin, side="left")
        return low != np.searchsorted(self.levels, scores + margin, side="right")

    def add(self, probes: np.ndarray, scores: np.ndarray) -> None:
        """Count (n,) exact impostor scores of (n,) probes."""
        self._add(probes, np.searchsorted(self.levels, scores, side="right"))

    def _add(self, probes: np.ndarray, places: np.ndarray) -> None:
        _count(self._counts, self._clusters[probes] * self._counts.shape[1] + places)

    def counts(self) -> np.ndarray:
        """(G, n) impostor scores >= each level."""
        return _at_least(self._counts)


def closed(counts: np.ndarray, limits: np.ndarray) -> int:
    """How many levels, from the lowest on, more impostors reach than any limit allows.

    Args:
        counts: (G, n) impostor scores of each cluster >= each level, the levels rising.
        limits: (G + 1,) how many may, leaving out one cluster; and (last) leaving out none.
    """
    total = counts.sum(0)
    is_open = total <= limits[-1]
    for own, limit in zip(counts, limits[:-1], strict=True):
        is_open |= total - own <= limit
    return int(np.argmax(is_open)) if is_open.any() else len(total)


def _count(histogram: np.ndarray, places: np.ndarray) -> None:
    """Add 1 to a contiguous histogram at each of the places, counted through all its rows."""
    np.add.at(histogram.reshape(-1), places, np.ones(len(places), histogram.dtype))  # an int 1 takes a slow path


def _at_least(places: np.ndarray) -> np.ndarray:
    """(R, n) scores at place 1, 2 ... n or beyond, from a histogram (R, n + 1) of the places."""
    return np.cumsum(places[:, :0:-1], axis=1)[:, ::-1]
