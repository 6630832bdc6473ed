"""A block of scores by one float32 matrix product, and their exact values wherever they are needed.

The product's rounding error has a rigorous bound (`bench.metrics.rounding.error_bound`), so that it decides every
comparison but those within that bound; these few pairs are scored again in float64, as `Rows.scores` does. So what is
counted depends neither on the blocks nor on the threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.metrics.rounding import SMALLEST, error_bound, rounded_product
from bench.metrics.similarity import Rows

BLOCK = 1 << 21  # scores made at a time
_MANY = 32  # a second product costs less than scoring this share (1 / 32) of a block pair by pair


@dataclass(frozen=True)
class Block:
    """The scores of some rows of `left` against some rows of `right`.

    Attributes:
        values: (n, m) float32 scores; whoever uses them may overwrite them.
        margin: (n, 1) how far from the exact score a value may lie.
    """

    left: Rows
    rows: np.ndarray
    right: Rows
    columns: np.ndarray
    values: np.ndarray
    margin: np.ndarray

    def exact(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """(k,) float64 scores of pairs within the block, as `Rows.scores` gives them."""
        first, second = self.rows[row], self.columns[column]
        if _MANY * len(row) <= self.values.size:
            return self.left.scores(first, self.right, second)
        products = (self.left.probe(self.rows) @ self.right.gallery(self.columns).T)[row, column]
        limits = np.maximum(self.left.reach[first], self.right.reach[second])
        scores, certain = rounded_product(products, self.left.probe(self.rows[:1]).shape[1], limits)
        scores[~certain] = self.left.scores(first[~certain], self.right, second[~certain])
        return scores


def gallery(right: Rows, columns: np.ndarray) -> np.ndarray:
    """(m, W) float32: the side of the product that many blocks share."""
    return right.gallery(columns).astype(np.float32)


def block(left: Rows, rows: np.ndarray, right: Rows, columns: np.ndarray, made: np.ndarray) -> Block:
    """The scores of (n,) rows of `left` against (m,) rows of `right`, whose `gallery` is `made`."""
    probes = left.probe(rows)
    values = probes.astype(np.float32) @ made.T
    reach = np.maximum(left.reach[rows], right.reach[columns].max(initial=0.0))
    return Block(left, rows, right, columns, values, (error_bound(probes.shape[1]) * reach + SMALLEST)[:, None])


def float32(levels: np.ndarray) -> np.ndarray:
    """Levels to compare float32 values with; no level is below the smallest value, so that -inf marks what is left out."""
    return np.maximum(levels, np.finfo(np.float32).min).astype(np.float32)


def steps(rows: int, columns: int) -> Iterator[slice]:
    """Slices of `range(rows)`, so long that a block of them has about `BLOCK` scores."""
    size = max(1, BLOCK // max(columns, 1))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
