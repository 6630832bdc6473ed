"""The highest scores of a stream of impostor pairs, with which cluster of people each side belongs to.

What is kept does not grow with the stream: the `keep` highest scores, and of those that tie with the lowest of them only
how many there are. From these, the threshold of a small FAR is exact, with every pair of some cluster left out too.
"""

import numpy as np


class Tail:
    """See the module.

    Args:
        keep: how many of the highest scores are kept.
        clusters: how many clusters of people there are.

    Attributes:
        floor: scores below it are not among the `keep` highest.
    """

    def __init__(self, keep: int, clusters: int):
        self.floor = -np.inf
        self._keep = keep
        self._clusters = clusters
        self._scores = np.empty(0)
        self._sides = np.empty((2, 0), np.int16)
        self._ties, self._touched = 0, np.zeros(clusters, np.int64)

    def add(self, scores: np.ndarray, sides: np.ndarray) -> None:
        """Take in (n,) scores of pairs with the clusters (2, n) of their two sides."""
        self._tie(sides[:, scores == self.floor])
        higher = scores > self.floor
        self._scores = np.concatenate([self._scores, scores[higher]])
        self._sides = np.concatenate([self._sides, sides[:, higher].astype(np.int16)], axis=1)
        if len(self._scores) > 2 * self._keep:
            self.close()

    def close(self) -> None:
        """Raise the floor to the `keep`-th highest score, and put the scores in falling order."""
        order = np.argsort(-self._scores, kind="stable")
        self._scores, self._sides = self._scores[order], self._sides[:, order]
        if len(order) < self._keep:
            return
        self.floor = float(self._scores[self._keep - 1])
        higher = int(np.searchsorted(-self._scores, -self.floor, side="left"))
        at_floor = slice(higher, int(np.searchsorted(-self._scores, -self.floor, side="right")))
        self._ties, self._touched = 0, np.zeros(self._clusters, np.int64)
        self._tie(self._sides[:, at_floor])
        self._scores, self._sides = self._scores[:higher], self._sides[:, :higher]

    def _tie(self, sides: np.ndarray) -> None:
        """Count pairs at the floor, and for each cluster those that it has a side of."""
        self._ties += sides.shape[1]
        first, second = sides
        self._touched += np.bincount(first, minlength=self._clusters)
        self._touched += np.bincount(second[first != second], minlength=self._clusters)

    def to_exceed(self, allowed: list[int], without: int | None = None) -> list[float | None]:
        """For each number the score that at most so many of the stream's exceed: the next after `allowed` in falling order.
        The tail is closed.

        Args:
            allowed: whole numbers.
            without: the cluster whose pairs are left out.

        Returns:
            for each the score; -inf beyond the whole stream; None where it lies below what was kept.
        """
        falling = self._scores if without is None else self._scores[(self._sides != without).all(axis=0)]
        ties = self._ties - (0 if without is None else int(self._touched[without]))
        end = -np.inf if self.floor == -np.inf else None
        at_floor = [self.floor if n < len(falling) + ties else end for n in allowed]
        return [float(falling[n]) if n < len(falling) else low for n, low in zip(allowed, at_floor, strict=True)]
