"""Retrieval of each image's own kind among all others: precision@1, R-precision and MAP@R.

    R            the number of other images of the query's identity (a query without one is left out)
    R-precision  (hits among the R nearest) / R
    MAP@R        1/R sum over i = 1..R of precision(i), where the i-th nearest is a hit
    precision@1  whether the nearest is a hit; the mean over queries is rank-1

Source: Musgrave, Belongie, Lim, "A Metric Learning Reality Check", ECCV 2020, Sec. 3.2, as pytorch-metric-learning's
AccuracyCalculator computes them; only ties are decided here (they lose), where a search leaves them to chance.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.metrics.similarity import Rows, blocks, table


@dataclass(frozen=True)
class Retrieved:
    """The figures of each query.

    Attributes:
        queries: (Q,) rows of the images that have another image of their identity.
        precision_at_1: (Q,) bool.
        r_precision, map_at_r: (Q,) in [0, 1].
    """

    queries: np.ndarray
    precision_at_1: np.ndarray
    r_precision: np.ndarray
    map_at_r: np.ndarray


def retrieve(rows: Rows, owner: np.ndarray, progress: Callable[[int, int], None] | None = None) -> Retrieved:
    """Search each image among all others.

    Args:
        rows: N embeddings ready for scoring.
        owner: (N,) the identity of each.
        progress: called with (queries done, all).
    """
    everything, count = slice(None), len(owner)
    gallery = rows.gallery(everything)
    figures = np.zeros((count, 3))
    for part in blocks(count, count):
        found = table(rows, part, rows, everything, gallery)
        for query, scores in enumerate(found, part.start):
            figures[query] = _figures(scores, owner == owner[query], query)
        if progress:
            progress(part.stop, count)
    queries = np.flatnonzero(np.bincount(owner)[owner] > 1)
    kept = figures[queries]
    return Retrieved(queries, kept[:, 0] == 1, kept[:, 1], kept[:, 2])


def _figures(scores: np.ndarray, same: np.ndarray, query: int) -> tuple[float, float, float]:
    """precision@1, R-precision, MAP@R of one query; zeros where nobody else is of its identity.

    The j-th best mate stands at place j + (images of others that score at least as much): so no ranking is made, and
    only the others that reach the worst mate are sorted.
    """
    mates = np.flatnonzero(same)
    mates = scores[mates[mates != query]]
    if not len(mates):
        return 0.0, 0.0, 0.0
    falling = np.sort(mates)[::-1]
    others = np.sort(scores[~same & (scores >= falling[-1])])
    number = np.arange(1, len(falling) + 1)
    place = number + len(others) - np.searchsorted(others, falling, side="left")
    inside = place <= len(falling)
    precision = number[inside] / place[inside]
    return float(place[0] == 1), float(inside.mean()), float(precision.sum() / len(falling))
