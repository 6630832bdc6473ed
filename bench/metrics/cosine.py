"""Cosine similarity in float64, the score of every protocol.

A score is rounded to 12 decimals: the rounding errors of a float64 dot product of thousands of numbers stay below that, so
embeddings that point the same way tie exactly, whatever their lengths, and a score depends on its two rows alone, never on
the block, the chunk or the number of threads that it was computed with.
"""

import numpy as np

DECIMALS = 12
_BLOCK = 1 << 19  # numbers gathered at a time: 4 MB of float64, which stays in cache


def norms(embeddings: np.ndarray) -> np.ndarray:
    """(N, D) -> (N,) float64 Euclidean lengths."""
    found = np.empty(len(embeddings))
    for rows in _blocks(len(embeddings), embeddings.shape[1]):
        block = embeddings[rows].astype(np.float64)
        found[rows] = np.sqrt(np.einsum("ij,ij->i", block, block))
    return found


def unit(embeddings: np.ndarray) -> np.ndarray:
    """(N, D) -> (N, D) float64 rows of length 1; a row of zeros stays zero."""
    length = norms(embeddings)
    return embeddings / np.where(length > 0, length, 1.0)[:, None]


def of_pairs(embeddings: np.ndarray, first: np.ndarray, second: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """The scores of listed pairs; a row of zeros scores 0 with everything.

    Args:
        embeddings: (N, D) finite, of any length and floating type.
        first, second: (n,) row numbers; `second` counts in `other` (M, D) where that is given.

    Returns:
        (n,) float64 in [-1, 1].
    """
    other = embeddings if other is None else other
    left = norms(embeddings)
    right = left if other is embeddings else norms(other)
    dots = np.empty(len(first))
    for rows in _blocks(len(first), embeddings.shape[1]):
        a = embeddings[first[rows]].astype(np.float64)
        b = other[second[rows]].astype(np.float64)
        dots[rows] = np.einsum("ij,ij->i", a, b)
    return rounded(dots, left[first] * right[second])


def rounded(dots: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Dot products over the products of the two lengths, rounded to 12 decimals; 0 where a length is 0."""
    cosines = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    return np.clip(np.round(cosines, DECIMALS), -1.0, 1.0) + 0.0  # + 0.0: no negative zero


def _blocks(rows: int, width: int) -> list[slice]:
    step = max(1, _BLOCK // max(width, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
