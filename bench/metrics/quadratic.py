"""Scores that are a dot product and two terms of one embedding each: squared distances and log-likelihood ratios."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.errors import RequestError
from bench.metrics.similarity import Part, Spans, blocks, on_grid, raised

_LARGEST = 1e30  # of a score: its float32 product, and the sums of it, stay finite


@dataclass(frozen=True)
class Quadratic:
    """`bench.metrics.similarity.Rows` that score  <u, v> + b(u) + b(v),  b(u) = constant - sum_k rate_k u_k^2 / 2.

    With rate 1 and constant 0 that is -||u - v||^2 / 2.

    Attributes:
        vectors: (N, K) float64 u.
        bias: (N,) float64 b.
        rate: (K,).
        constant: half of what every score holds besides.
    """

    vectors: np.ndarray
    bias: np.ndarray
    rate: np.ndarray
    constant: float

    @classmethod
    def of(cls, vectors: np.ndarray, rate: np.ndarray, constant: float = 0.0) -> "Quadratic":
        """The rows of (N, K) float64 `vectors`.

        Raises:
            RequestError: vectors so long that a score would leave the range of the numbers.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            rows = cls(vectors, constant - _dots(vectors * rate, vectors) / 2, rate, constant)
            if not rows._sizes().max(initial=0.0) < _LARGEST:
                raise RequestError(
                    "the embeddings are too long for a score that hangs on their lengths (its size would be above "
                    f"{_LARGEST:.0e}): divide all of them by one number, or score by cosine"
                )
        return rows

    @cached_property
    def reach(self) -> np.ndarray:
        return raised(self._sizes())

    def probe(self, part: Part) -> np.ndarray:
        bias = self.bias[part][:, None]
        return np.concatenate([self.vectors[part], bias, np.ones_like(bias)], axis=1)

    def gallery(self, part: Part) -> np.ndarray:
        bias = self.bias[part][:, None]
        return np.concatenate([self.vectors[part], np.ones_like(bias), bias], axis=1)

    def single(self, part: Part) -> np.ndarray:
        return self.gallery(part).astype(np.float32)

    def scores(self, first: np.ndarray, others: "Quadratic", second: np.ndarray) -> np.ndarray:
        dots = np.empty(len(first))
        for part in blocks(len(first), 4 * self.vectors.shape[1]):  # as in `cosine.scores`
            dots[part] = _dots(self.vectors[first[part]], others.vectors[second[part]])
        products = dots + (self.bias[first] + others.bias[second])
        return on_grid(products, np.maximum(self.reach[first], others.reach[second]))

    def means(self, spans: Spans) -> "Quadratic":
        """The means of the vectors; each is then scored as if it were a single image's."""
        return Quadratic.of(self._means(spans), self.rate, self.constant)

    def mean_scores(self, spans: Spans) -> "Quadratic":
        """All pairs' mean has the mean vectors' product, and the mean of either side's terms."""
        bias = np.array([self.bias[start:stop].mean() for start, stop in spans])
        return Quadratic(self._means(spans), bias, self.rate, self.constant)

    def _sizes(self) -> np.ndarray:
        """|u|^2 + 2 |b|: since |<u, v>| <= (|u|^2 + |v|^2) / 2, no score exceeds the mean of its two."""
        return _dots(self.vectors, self.vectors) + 2 * np.abs(self.bias)

    def _means(self, spans: Spans) -> np.ndarray:
        return np.stack([self.vectors[start:stop].mean(axis=0) for start, stop in spans])


def _dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) dot products, each summed in an order that does not depend on the other rows (as a BLAS would)."""
    return np.einsum("ij,ij->i", a, b)
