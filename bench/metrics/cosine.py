"""Cosine similarity in float64, the score of every protocol.

A score is rounded to 12 decimals: the rounding errors of a float64 dot product of thousands of numbers stay below that,
so embeddings that point the same way tie exactly, whatever their lengths, and a score depends on its two rows alone,
never on the block, the chunk or the number of threads that it was computed with.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

DECIMALS = 12
_BLOCK = 1 << 18  # numbers taken at a time: 2 MB of float64, which stay in cache


@dataclass(frozen=True)
class Vectors:
    """Embeddings with their lengths.

    Attributes:
        rows: (N, D) finite, of any floating type.
        lengths: (N,) float64 Euclidean lengths.
    """

    rows: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, embeddings: np.ndarray) -> "Vectors":
        lengths = np.empty(len(embeddings))
        for part in blocks(*embeddings.shape):
            block = embeddings[part].astype(np.float64)
            lengths[part] = np.sqrt(np.einsum("ij,ij->i", block, block))
        return cls(embeddings, lengths)

    def unit(self, part: slice | np.ndarray) -> np.ndarray:
        """Float64 rows of length 1; a row of zeros stays zero."""
        lengths = self.lengths[part]
        return self.rows[part] / np.where(lengths > 0, lengths, 1.0)[:, None]


def scores(left: Vectors, first: np.ndarray, right: Vectors, second: np.ndarray) -> np.ndarray:
    """The cosines of listed pairs, rounded to 12 decimals; a row of zeros scores 0 with everything.

    Args:
        first, second: (n,) row numbers in `left` and in `right`.

    Returns:
        (n,) float64 in [-1, 1].
    """
    dots = np.empty(len(first))
    for part in blocks(len(first), left.rows.shape[1]):
        a = left.rows[first[part]].astype(np.float64)
        b = right.rows[second[part]].astype(np.float64)
        dots[part] = np.einsum("ij,ij->i", a, b)
    return rounded(dots, left.lengths[first] * right.lengths[second])


def rounded(dots: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Dot products over the products of the two lengths, rounded to 12 decimals; 0 where a length is 0."""
    cosines = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    return np.clip(np.round(cosines, DECIMALS), -1.0, 1.0) + 0.0  # + 0.0: no negative zero


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of `range(rows)` that hold about 2 MB of `width` float64 numbers a row."""
    step = max(1, _BLOCK // max(width, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
