"""What every score of a pair of embeddings has in common: a dot product of two rows of float64 numbers, on a grid.

Such rows are made once from each embedding (`Rows`); then a score costs a dot product, and a table of scores a matrix
product. Rounding errors are in proportion to a bound of the score, so a score is rounded to 12 decimals of that bound:
the errors of a float64 dot product of thousands of numbers stay below it, equal embeddings tie exactly, and a score
depends on its two embeddings alone, never on the block, the chunk or the number of threads that it was computed with.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

DECIMALS = 12
_BLOCK = 1 << 18  # numbers taken at a time: 2 MB of float64, which stay in cache

Part = slice | np.ndarray
Spans = Sequence[tuple[int, int]]


class Rows(Protocol):
    """Embeddings made ready for scoring; `bench.metrics.cosine.Vectors` and `bench.metrics.quadratic.Quadratic`.

    Attributes:
        reach: (N,) powers of 2; no score of a pair exceeds the larger of its two in size.
    """

    @property
    def reach(self) -> np.ndarray: ...

    def probe(self, part: Part) -> np.ndarray:
        """(n, W) float64: `rows.probe(a) @ others.gallery(b).T` holds the scores of a against b, not yet rounded."""
        ...

    def gallery(self, part: Part) -> np.ndarray:
        """(n, W) float64, the other side of the product."""
        ...

    def single(self, part: Part) -> np.ndarray:
        """(n, W) float32: `gallery` within 2 units in the last place."""
        ...

    def scores(self, first: np.ndarray, others: Any, second: np.ndarray) -> np.ndarray:
        """(n,) float64 scores of listed pairs, rounded: rows `first` against the rows `second` of `others`."""
        ...

    def means(self, spans: Spans) -> "Rows":
        """For each span (start, stop) of rows one row: their mean embedding."""
        ...

    def mean_scores(self, spans: Spans) -> "Rows":
        """For each span one row: two such score the mean of all scores between the two spans."""
        ...


def raised(sizes: np.ndarray) -> np.ndarray:
    """Each size raised to a power of 2, by which dividing adds no error."""
    mantissa, exponent = np.frexp(sizes)
    return np.ldexp(1.0, exponent - (mantissa == 0.5))


def rounded(products: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Products over what they cannot exceed, rounded to 12 decimals; 0 where that is 0."""
    shares = np.divide(products, limits, out=np.zeros_like(products), where=limits > 0)
    np.clip(np.round(shares, DECIMALS, out=shares), -1.0, 1.0, out=shares)
    shares += 0.0  # no negative zero
    return shares


def on_grid(products: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Products as scores, rounded to 12 decimals of what they cannot exceed (powers of 2)."""
    shares = rounded(products, limits)
    return np.multiply(shares, limits, out=shares)


def table(rows: Rows, part: slice, others: Rows, stretch: slice, gallery: np.ndarray) -> np.ndarray:
    """All scores of `rows[part]` against `others[stretch]`; `gallery` is `others.gallery(stretch)`."""
    limits = np.maximum(rows.reach[part, None], others.reach[None, stretch])
    return on_grid(rows.probe(part) @ gallery.T, limits)


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of `range(rows)` that hold about 2 MB of `width` float64 numbers a row."""
    step = max(1, _BLOCK // max(width, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
