"""Cosine similarity in float64, the score of every protocol unless another is asked for.

A score is rounded to 12 decimals (see `bench.metrics.similarity`), so embeddings that point the same way tie exactly,
whatever their lengths.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.metrics.similarity import DECIMALS, Part, Spans, blocks, rounded

__all__ = ["DECIMALS", "Vectors", "prepared", "scores"]


@dataclass(frozen=True)
class Vectors:
    """Embeddings with their lengths: `bench.metrics.similarity.Rows` that score cosines.

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

    @cached_property
    def reach(self) -> np.ndarray:
        return np.ones(len(self.rows))

    def unit(self, part: Part) -> np.ndarray:
        """Float64 rows of length 1; a row of zeros stays zero."""
        lengths = self.lengths[part]
        return self.rows[part] / np.where(lengths > 0, lengths, 1.0)[:, None]

    probe = gallery = unit

    def single(self, part: Part) -> np.ndarray:
        lengths = self.lengths[part]
        ordinary = (lengths > 1e-30) & (lengths < 1e30) | (lengths == 0)  # float32 holds the inverse
        if self.rows.dtype != np.float32 or not ordinary.all():
            return self.unit(part).astype(np.float32)
        inverse = 1 / np.where(lengths > 0, lengths, 1)
        return self.rows[part] * inverse.astype(np.float32)[:, None]

    def scores(self, first: np.ndarray, others: "Vectors", second: np.ndarray) -> np.ndarray:
        return scores(self, first, others, second)

    def means(self, spans: Spans) -> "Vectors":
        """The means of the rows of length 1."""
        return Vectors.of(self._unit_means(spans))

    def mean_scores(self, spans: Spans) -> "Vectors":
        """The mean cosine of all pairs is the dot product of the means of the rows of length 1."""
        known = np.array([(self.lengths[start:stop] > 0).any() for start, stop in spans])
        return Vectors(self._unit_means(spans), np.where(known, 1.0, 0.0))

    def _unit_means(self, spans: Spans) -> np.ndarray:
        return np.stack([self.unit(slice(*ends)).mean(axis=0) for ends in spans])


def prepared(embeddings: np.ndarray) -> Vectors:
    """`Vectors` of embeddings of any length: the squares of very long float64 ones would overflow."""
    if embeddings.dtype.itemsize > 4:
        largest = np.abs(embeddings).max(axis=1, keepdims=True)
        embeddings = embeddings / np.where(largest > 0, largest, 1)
    return Vectors.of(embeddings)


def scores(left: Vectors, first: np.ndarray, right: Vectors, second: np.ndarray) -> np.ndarray:
    """The cosines of listed pairs, rounded to 12 decimals; a row of zeros scores 0 with everything.

    Args:
        first, second: (n,) row numbers in `left` and in `right`.

    Returns:
        (n,) float64 in [-1, 1].
    """
    dots = np.empty(len(first))
    for part in blocks(len(first), 4 * left.rows.shape[1]):  # two gathered blocks and the rows: all of it in cache
        a = left.rows[first[part]].astype(np.float64)
        b = right.rows[second[part]].astype(np.float64)
        dots[part] = np.einsum("ij,ij->i", a, b)
    return rounded(dots, left.lengths[first] * right.lengths[second])
