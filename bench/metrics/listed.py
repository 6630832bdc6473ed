"""The ROC of a long list of pairs among few things: millions of pairs among thousands of templates, exactly.

Things are few, so the products of whole blocks of them cost less than fetching the two sides of each pair: the list is
sorted by blocks once (`Blocks`), and each block that holds pairs takes one float32 matrix product. Its rounding error has
a rigorous bound, so it decides on which side of each genuine score a pair lies, but for those within that bound; these
pairs are scored again in float64 (`Rows.scores`), or by a float64 product where they are many. So every count is that of
the float64 scores, and depends neither on the blocks nor on the threads.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.metrics import levels
from bench.metrics.levels import Counts, Table
from bench.metrics.rounding import SMALLEST, error_bound, rounded_product
from bench.metrics.similarity import DECIMALS, Rows, blocks

BITS = 10  # a block is 2^10 x 2^10: 4 MB of float32
_WIDE = 32  # a second product costs less than that share of its numbers, fetched pair by pair


@dataclass(frozen=True, eq=False)
class Blocks:
    """Pairs sorted by the block that holds them.

    Attributes:
        order: (U,) the things, in the order in which the blocks take them.
        bits: a block has 2^bits rows and columns.
        corners: (B, 2) the first row and the first column (places in `order`) of each block that holds pairs.
        starts: (B + 1,) where the pairs of each block begin.
        cells: (n,) int32 the pairs: row within the block * 2^bits + column within it.
    """

    order: np.ndarray
    bits: int
    corners: np.ndarray
    starts: np.ndarray
    cells: np.ndarray

    @classmethod
    def of(cls, first: np.ndarray, second: np.ndarray, things: int, groups: np.ndarray, bits: int = BITS) -> "Blocks":
        """Sort the pairs of `first` and `second` (n,), numbers below `things`.

        Things that are only ever first come first, those that are only ever second last: if the list compares probes with
        a gallery, the blocks of probes with probes hold no pair and cost nothing. Among them, those of one of `groups`
        (things,) stand together.
        """
        sides = np.zeros((2, things), bool)
        sides[0, first], sides[1, second] = True, True
        used = np.flatnonzero(sides.any(0))
        kind = np.where(sides[0] & sides[1], 1, np.where(sides[0], 0, 2))
        order = used[np.lexsort((used, groups[used], kind[used]))]
        rank = np.zeros(things, np.int64)
        rank[order] = np.arange(len(order))
        key = _keys(rank[first], rank[second], len(order), bits)
        key.sort()
        block = key >> 2 * bits
        starts = np.flatnonzero(np.concatenate([[True], block[1:] != block[:-1]])) if len(key) else np.empty(0, int)
        corners = np.stack(np.divmod(block[starts], _across(len(order), bits)), axis=1) << bits
        cells = (key & ((1 << 2 * bits) - 1)).astype(np.int32)
        return cls(order, bits, corners, np.concatenate([starts, [len(key)]]), cells)

    def __len__(self) -> int:
        return len(self.corners)


def _across(things: int, bits: int) -> int:
    return -(-things // (1 << bits))


def _keys(first: np.ndarray, second: np.ndarray, things: int, bits: int) -> np.ndarray:
    """Block, row and column of each pair (as scores are symmetric, the smaller number is the row) in one number."""
    row, column, last = np.minimum(first, second), np.maximum(first, second), (1 << bits) - 1
    key = (row >> bits) * _across(things, bits) + (column >> bits)
    key = (key << bits) | (row & last)
    return (key << bits) | (column & last)


def count(
    rows: Rows,
    genuine: tuple[np.ndarray, np.ndarray],
    impostors: Blocks,
    clusters: np.ndarray,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Counts, np.ndarray]:
    """Where the impostor pairs lie among the genuine ones.

    Args:
        rows: the things.
        genuine: (n,) and (n,) the rows of the two sides of each genuine pair; at least one.
        impostors: the impostor pairs, numbers of rows.
        clusters: (T,) the number 0..G-1 of the cluster of people of each row.
        advance: told of the blocks that are done, and of how many there are.

    Returns:
        The counts, and (n,) the genuine scores.
    """
    scores = rows.scores(genuine[0], rows, genuine[1])
    found = np.unique(scores)
    shape = int(clusters.max()) + 1, 2 * len(found) + 1
    known, known_of = np.zeros(shape[1], np.int64), np.zeros(shape, np.int64)
    where = levels.place(found, scores)
    np.add.at(known, where, 1)
    levels.of_clusters(where, clusters[genuine[0]], clusters[genuine[1]], known_of)

    seen_of, alike = np.zeros(shape, np.int64), np.zeros(shape[1], np.int64)
    places = _Places(rows, found, impostors)
    side = 1 << impostors.bits
    for number in range(len(impostors)):
        part, cells = places.of_block(number)
        row, column = (clusters[impostors.order[c : c + side]] for c in impostors.corners[number])
        own = levels.of_clusters(part, row[cells >> impostors.bits], column[cells & (side - 1)], seen_of)
        np.add.at(alike, own, 1)
        advance(number + 1, len(impostors))
    seen = (seen_of.sum(0) + alike) // 2  # a pair of two clusters was counted twice, one of a single cluster once
    return Counts(found, -float(rows.reach.max()), known, seen, known_of, seen_of), scores


class _Places:
    """The exact places of the pairs of each block."""

    def __init__(self, rows: Rows, found: np.ndarray, pairs: Blocks):
        self._rows, self._levels, self._pairs = rows, found, pairs
        self._left = self._right = _single(rows.probe, pairs.order)
        if type(rows).probe is not type(rows).gallery:
            self._right = _single(rows.gallery, pairs.order)
        self._width = self._left.shape[1]
        self._reach = rows.reach[pairs.order]
        reach = float(rows.reach.max())
        self._rough = Table(found, error_bound(self._width) * reach + SMALLEST, np.float32, len(pairs.cells))
        self._step = 2 * 10.0**-DECIMALS * reach  # the most that a rounded float64 product can lie from the score
        self._fine = Table(found, self._step, np.float64, len(pairs.cells))
        self._side = 1 << pairs.bits
        self._buffer = np.empty((self._side, self._side), np.float32)
        self._panel = -1, np.empty(0)
        self._many = False  # whether float32 left most of the last block undecided

    def of_block(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(n,) the places of the block's pairs, and their cells."""
        pairs = self._pairs
        cells = pairs.cells[pairs.starts[number] : pairs.starts[number + 1]].astype(np.intp)
        row, column = pairs.corners[number]
        if not self._many:
            found = self._rough(self._products(row, column).take(cells))
            near = np.flatnonzero(found == Table.UNKNOWN)
            self._many = bool(_WIDE * len(near) > self._side**2)
            if not self._many:
                found[near] = self._exactly(row, column, cells[near])
                return found, cells
        return self._widely(row, column, cells), cells

    def _products(self, row: int, column: int) -> np.ndarray:
        left, right = self._left[row : row + self._side], self._right[column : column + self._side]
        np.matmul(left, right.T, out=self._buffer[: len(left), : len(right)])
        return self._buffer

    def _exactly(self, row: int, column: int, cells: np.ndarray) -> np.ndarray:
        """The places by the pairs' float64 scores, one by one."""
        first = self._pairs.order[row + (cells >> self._pairs.bits)]
        second = self._pairs.order[column + (cells & (self._side - 1))]
        return levels.place(self._levels, self._rows.scores(first, self._rows, second))

    def _widely(self, row: int, column: int, cells: np.ndarray) -> np.ndarray:
        """The places by a float64 product, and one by one where even that leaves doubt."""
        sides = [self._pairs.order[corner : corner + self._side] for corner in (row, column)]
        products = np.empty((len(sides[0]), self._side))
        if self._panel[0] != row:  # the blocks of one row follow each other
            self._panel = row, self._rows.probe(sides[0])
        np.matmul(self._panel[1], self._rows.gallery(sides[1]).T, out=products[:, : len(sides[1])])
        limits = np.maximum(
            self._reach[row + (cells >> self._pairs.bits)], self._reach[column + (cells & (self._side - 1))]
        )
        values, certain = rounded_product(products.take(cells), self._width, limits)
        found = self._fine(values)
        near = found == Table.UNKNOWN
        clear, unsure = np.flatnonzero(near & certain), np.flatnonzero(near & ~certain)
        found[clear] = levels.place(self._levels, values[clear])
        low = np.searchsorted(self._levels, values[unsure] - self._step, side="left")
        doubtful = low != np.searchsorted(self._levels, values[unsure] + self._step, side="right")
        found[unsure] = 2 * low
        found[unsure[doubtful]] = self._exactly(row, column, cells[unsure[doubtful]])
        undecided = np.count_nonzero(self._rough(values.astype(np.float32)) == Table.UNKNOWN)
        self._many = bool(_WIDE * undecided > self._side**2)
        return found


def _single(rows: Callable[[np.ndarray], np.ndarray], order: np.ndarray) -> np.ndarray:
    """The rows of `order` in float32, with no more than a block of them in float64 at a time."""
    found = np.empty((len(order), rows(order[:1]).shape[1]), np.float32)
    for part in blocks(*found.shape):
        found[part] = rows(order[part])
    return found
