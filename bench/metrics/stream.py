"""All distractors, chunk by chunk, through a float32 product into the two counts of `gallery.search`.

What float32 cannot decide is scored again in float64: pair by pair (`Rows.scores`), or for probes with many such pairs
(as of a network that maps everything to nearly one point) by a float64 product of theirs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.metrics.counting import ImpostorCounts, MateCounts
from bench.metrics.product import Product, create
from bench.metrics.rounding import SMALLEST, rounded_product
from bench.metrics.similarity import DECIMALS, Rows

Prepare = Callable[[np.ndarray], Rows]

_SCORES = 1 << 22  # made at a time: a buffer of 16 MB
_MANY = 32  # a probe with more than a 32nd of a chunk in doubt gets a float64 product


def chunk_of(probes: int) -> int:
    """Distractors per matrix product."""
    return int(np.clip(_SCORES // max(probes, 1), 16, 4096))


@dataclass(frozen=True)
class Gallery:
    """The distractors in the order in which they enter the nested galleries.

    Attributes:
        rows: (N, D), maybe mapped from a file: never read but by chunks, and every chunk from the front to the back.
        order: (n,) different rows, the only ones that are read; None: all as they stand.
        prepare: what makes rows ready for scoring.
    """

    rows: np.ndarray
    order: np.ndarray | None
    prepare: Prepare

    @property
    def total(self) -> int:
        """How many distractors are searched."""
        return len(self.rows) if self.order is None else len(self.order)

    def chunks(self, sizes: Sequence[int], chunk: int) -> Iterator[tuple[int, Rows]]:
        """(distractors so far, the last of them), ends at every gallery size.

        Between two sizes the order does not matter, so there the rows are read as they lie in the file.
        """
        start = 0
        for end in sorted({*sizes, self.total}):
            ring = None if self.order is None else np.sort(self.order[start:end])
            base = start
            while start < end:
                stop = min(end, start + chunk, max(2 * start, 16))  # doubling: floors that rise early save work
                taken = self.rows[start:stop] if ring is None else self.rows[ring[start - base : stop - base]]
                yield stop, self.prepare(np.asarray(taken))
                start = stop

    def sample(self, count: int, chunk: int) -> Iterator[Rows]:
        """`count` of them drawn at random, always the same, in chunks."""
        drawn = np.random.default_rng(0).permutation(self.total)[:count]
        drawn = np.sort(drawn if self.order is None else self.order[drawn])
        for start in range(0, count, chunk):
            yield self.prepare(np.asarray(self.rows[drawn[start : start + chunk]]))


class Stream:
    """Scores of the probes against chunks of distractors, into the counts.

    Args:
        left: the probes.
        chunk: the most distractors at a time.
        device: where the product is computed, see `product.create`.
    """

    def __init__(self, left: Rows, chunk: int, device: str | None = None):
        self.left, self.chunk = left, chunk
        self._product: Product = create(left.probe(slice(None)), chunk, device)

    def margin(self, right: Rows) -> np.ndarray:
        """(P,) by how much a product of each probe with any of `right` may be wrong."""
        return self._product.error * np.maximum(self.left.reach, right.reach.max()) + SMALLEST

    def above(self, right: Rows, floor: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What may reach its probe's `floor` (P,): places in the (P, n) table, and float32 values; in pieces."""
        with np.errstate(over="ignore"):  # beyond all float32: nothing reaches it
            lowest = (floor - self.margin(right)).astype(np.float32)
        return self._product.above(right.single(slice(None)), lowest)

    def count(self, right: Rows, ranks: MateCounts, tail: ImpostorCounts) -> None:
        """Count one chunk."""
        margin, width = self.margin(right), len(right.reach)
        of_ranks, rough, of_tail = [np.empty(0, np.intp)], [np.empty(0, np.float32)], [np.empty(0, np.intp)]
        for found, values in self.above(right, np.minimum(ranks.floor, tail.floor)):
            rows = found // width
            doubtful = ranks.add_sure(rows, values, margin)
            of_ranks.append(found[doubtful])
            rough.append(values[doubtful])
            of_tail.append(found[tail.add_sure(rows, values, margin)])
        self._settle(right, np.concatenate(of_ranks), np.concatenate(rough), np.concatenate(of_tail), ranks, tail)

    def _settle(
        self, right: Rows, of_ranks: np.ndarray, rough: np.ndarray, of_tail: np.ndarray,
        ranks: MateCounts, tail: ImpostorCounts,
    ) -> None:  # fmt: skip
        """Count what the look-up left in doubt, by float64 scores.

        Args:
            of_ranks, of_tail: places in the (P, n) table that `ranks` and `tail` have not counted.
            rough: the float32 values at `of_ranks`.
        """
        rows, columns = np.divmod(of_ranks, len(right.reach))
        margin = self._product.error * self._limits(rows, right, columns) + SMALLEST
        near = ranks.near(rows, rough.astype(np.float64), margin)
        ranks.add(rows[~near], rough[~near])
        both = np.sort(np.concatenate([of_ranks[near], of_tail]), kind="stable")  # merges two sorted runs
        both = both[np.diff(both, prepend=-1) > 0]
        rows, columns = np.divmod(both, len(right.reach))
        scores = self._exact(rows, columns, right, ranks, tail)
        for counts, places in ((ranks, of_ranks[near]), (tail, of_tail)):
            chosen = np.searchsorted(both, places)
            counts.add(rows[chosen], scores[chosen])

    def _exact(
        self, rows: np.ndarray, columns: np.ndarray, right: Rows, ranks: MateCounts, tail: ImpostorCounts
    ) -> np.ndarray:
        """(n,) float64 scores, or numbers that stand at the same place among the levels."""
        many = np.bincount(rows, minlength=len(self.left.reach)) * _MANY > len(right.reach)
        by_product = many[rows]
        scores = np.empty(len(rows))
        if by_product.any():
            probes, place = np.flatnonzero(many), np.cumsum(many) - 1
            gallery = right.gallery(slice(None))
            table = self.left.probe(probes) @ gallery.T
            at, limits = rows[by_product], self._limits(rows[by_product], right, columns[by_product])
            values, certain = rounded_product(table[place[at], columns[by_product]], gallery.shape[1], limits)
            step = 2 * 10.0**-DECIMALS * limits
            scores[by_product] = values
            by_product[by_product] = certain | ~(ranks.near(at, values, step) | tail.near(values, step))
        alone = ~by_product
        scores[alone] = self.left.scores(rows[alone], right, columns[alone])
        return scores

    def _limits(self, rows: np.ndarray, right: Rows, columns: np.ndarray) -> np.ndarray:
        """(n,) what the scores of these pairs cannot exceed."""
        return np.maximum(self.left.reach[rows], right.reach[columns])
