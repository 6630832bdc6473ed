"""Counting scores above many levels in a stream: what `gallery.search` keeps instead of the scores.

A level is the score of a genuine pair. Of the impostor scores only their places between the levels matter, so a
histogram over the places is an exact summary of any number of them. A level that has been passed often enough is
closed: it can no longer be a hit at any rank (or be accepted at any FAR) that is asked for, and scores below the lowest
open level need not be looked at.
"""

import numpy as np


class MateCounts:
    """For each probe, how many distractors score as much as (`ties`) or more than (`above`) each of its mates.

    Args:
        mates: (P, W) each probe's scores with its mates, rising, filled up with +inf.
        depth: counts matter up to here.
    """

    def __init__(self, mates: np.ndarray, depth: int):
        width = (1 << mates.shape[1].bit_length()) - 1  # the bisection walks 2^b - 1 places
        self.levels = np.full((len(mates), width), np.inf)
        self.levels[:, : mates.shape[1]] = mates
        self.depth = depth
        self._ties = np.zeros((len(mates), width + 1), np.int64)
        self._above = np.zeros((len(mates), width + 1), np.int64)
        self.floor = self.levels[:, 0].copy()

    def near(self, probes: np.ndarray, scores: np.ndarray, margin: float | np.ndarray) -> np.ndarray:
        """(n,) whether each score lies so near to a level of its probe that rounding could have moved it across."""
        return self._place(probes, scores - margin, False) != self._place(probes, scores + margin, True)

    def add(self, probes: np.ndarray, scores: np.ndarray) -> None:
        """Count (n,) scores of (n,) probes."""
        width = self._ties.shape[1]
        np.add.at(self._ties.reshape(-1), probes * width + self._place(probes, scores, True), 1)
        np.add.at(self._above.reshape(-1), probes * width + self._place(probes, scores, False), 1)

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """(P, W') scores >= each level and > each level, cut off at `depth`."""
        found = [h.sum(1, keepdims=True) - np.cumsum(h, 1)[:, :-1] for h in (self._ties, self._above)]
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
        limits: (G + 1,) counts matter up to here: leaving out one cluster, and (last) leaving out none.
    """

    def __init__(self, genuine: np.ndarray, clusters: np.ndarray, limits: np.ndarray):
        self.levels, self._clusters, self._limits = genuine, clusters, limits
        self._places = np.zeros((len(limits) - 1, len(genuine) + 1), np.int64)
        self.floor = -np.inf

    def near(self, scores: np.ndarray, margin: float | np.ndarray) -> np.ndarray:
        """(n,) whether each score lies so near to a level that rounding could have moved it across."""
        low = np.searchsorted(self.levels, scores - margin, side="left")
        return low != np.searchsorted(self.levels, scores + margin, side="right")

    def add(self, probes: np.ndarray, scores: np.ndarray) -> None:
        """Count (n,) impostor scores of (n,) probes."""
        place = np.searchsorted(self.levels, scores, side="right")
        np.add.at(self._places.reshape(-1), self._clusters[probes] * self._places.shape[1] + place, 1)

    @property
    def first(self) -> int:
        """The first level at or above the floor."""
        return int(np.searchsorted(self.levels, self.floor, side="left"))

    def counts(self) -> np.ndarray:
        """(G, n - first) impostor scores >= each level from `first` on (what lies below was not counted to the end)."""
        places = self._places[:, self.first :]
        return places.sum(1, keepdims=True) - np.cumsum(places, 1)[:, :-1]

    def close(self) -> None:
        """Raise the floor to the lowest level that a limit, with or without some cluster, still lets in."""
        own = self.counts()
        total = own.sum(0)
        is_open = total <= self._limits[-1]
        for cluster, limit in enumerate(self._limits[:-1]):
            is_open |= total - own[cluster] <= limit
        self.floor = self.levels[self.first + np.argmax(is_open)] if is_open.any() else np.inf
