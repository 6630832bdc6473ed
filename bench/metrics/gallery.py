"""Probes against a gallery of distractors, in one pass over the distractors and in memory that does not grow with them.

One float32 matrix product per chunk of distractors goes into a reused buffer. Its rounding error has a rigorous bound,
so it decides all comparisons but those within that bound of a genuine score; these pairs are scored again, one by one,
in float64 (`Rows.scores`), or by a float64 product where they are many, as of a network that maps everything to nearly
one point. So every count is that of the float64 scores, and depends neither on the chunks nor on the threads.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.metrics.cosine import Vectors
from bench.metrics.counting import ImpostorCounts, MateCounts
from bench.metrics.similarity import DECIMALS, Rows, on_grid
from bench.metrics.verification import Roc, allowed_false_accepts

_CHUNK = 1 << 22  # scores made at a time: a buffer of 16 MB
_SMALLEST = 1e-30  # numbers so small that float32 may lose all of them


@dataclass(frozen=True)
class Search:
    """What the pass has counted.

    Attributes:
        probe, mate: (T,) rows of the probe and of the sole gallery image of its person, for each trial: all ordered
            pairs of images of one person, M(M-1) for a person with M.
        mate_scores: (T,) their scores.
        better: gallery size -> (T,) distractors that score >= the mate, cut off at `depth` (ties lose).
        above: the same with > (ties win).
        depth: the largest rank that these counts can answer.
        genuine: (n,) the scores, rising, of those among them at which so few impostors are accepted that it matters.
        genuine_clusters: (genuine_pairs,) the cluster of each genuine pair; the last n belong to `genuine`.
        false_accepts: (G, n) impostor pairs of each cluster of probes that score >= each of `genuine`.
        impostors: (G,) impostor pairs of each cluster, over the largest gallery.
    """

    probe: np.ndarray
    mate: np.ndarray
    mate_scores: np.ndarray
    better: dict[int, np.ndarray]
    above: dict[int, np.ndarray]
    depth: int
    genuine: np.ndarray
    genuine_clusters: np.ndarray
    false_accepts: np.ndarray
    impostors: np.ndarray

    @property
    def genuine_pairs(self) -> int:
        return len(self.genuine_clusters)

    def roc(self, without: int | None = None) -> Roc:
        """The strict end of the ROC over probe x distractor, a point a genuine score; without one cluster if asked."""
        keep = self.genuine_clusters != (-1 if without is None else without)
        others = np.arange(len(self.impostors)) != (-1 if without is None else without)
        falling = self.genuine[::-1]
        accepted = np.cumsum(keep[::-1])
        false = self.false_accepts[others].sum(0)[::-1]
        points = np.flatnonzero(np.concatenate([falling[1:] != falling[:-1], [True]]))[: len(falling)]
        return Roc(falling[points], false[points], accepted[points], int(self.impostors[others].sum()), int(keep.sum()))


def search(
    probes: np.ndarray,
    people: np.ndarray,
    distractors: np.ndarray,
    sizes: Sequence[int],
    *,
    order: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    depth: int = 100,
    largest_far: float = 1e-3,
    chunk: int | None = None,
    prepare: Callable[[np.ndarray], Rows] = Vectors.of,
) -> Search:
    """Count, for every trial, the distractors that beat the mate; and the impostors above every genuine score.

    Args:
        probes: (P, D) finite embeddings.
        people: (P,) the number of each probe's person.
        distractors: (N, D).
        sizes: gallery sizes, each 1..N; the gallery of size n is the first n in `order`, so galleries are nested.
        order: (N,) a permutation of the distractors; without it they stand as they are.
        clusters: (P,) the number 0..G-1 of the cluster of people that each probe belongs to; without it the person's.
        depth: the largest rank asked for.
        largest_far: the false accepts are exact up to this rate, with every one cluster left out too.
        chunk: distractors per matrix product, for tests: no figure depends on it.
        prepare: what makes the embeddings ready for scoring; without it scores are cosines.
    """
    clusters = people if clusters is None else clusters
    order = np.arange(len(distractors)) if order is None else order
    left, right = prepare(probes), prepare(distractors)
    probe, mate = _trials(people)
    mate_scores = left.scores(probe, left, mate)
    mates, slot = _by_probe(probe, mate_scores, len(probes))
    ranks = MateCounts(mates, depth)
    once = np.flatnonzero(probe < mate)
    once = once[np.argsort(mate_scores[once], kind="stable")]
    impostors = np.bincount(clusters) * len(distractors)
    allowed = [allowed_false_accepts(largest_far, n) for n in (*(impostors.sum() - impostors), impostors.sum())]
    tail = ImpostorCounts(mate_scores[once], clusters, np.array(allowed))

    better, above = {}, {}
    for stop in _Pass(left, right, order, ranks, tail).chunks(sorted(set(sizes)), chunk):
        if stop in sizes:
            ties, strictly = ranks.counts()
            better[stop], above[stop] = ties[probe, slot], strictly[probe, slot]
    tail.close()
    genuine, owners = tail.levels[tail.first :], clusters[probe[once]]
    return Search(probe, mate, mate_scores, better, above, depth, genuine, owners, tail.counts(), impostors)


@dataclass(frozen=True)
class _Pass:
    """One pass of all distractors, in `order`, through the two counts."""

    left: Rows
    right: Rows
    order: np.ndarray
    ranks: MateCounts
    tail: ImpostorCounts

    def chunks(self, sizes: list[int], chunk: int | None) -> Iterator[int]:
        """Count all distractors, chunk by chunk; yields the number seen after each."""
        probes = self.left.probe(slice(None)).astype(np.float32)
        chunk = chunk or int(np.clip(_CHUNK // len(probes), 16, 4096))
        buffer = np.empty(len(probes) * chunk, np.float32)
        closed_at = 0
        for start, stop in _edges(len(self.order), sizes, chunk):
            part = self.order[start:stop]
            gallery, reach = self.right.gallery(part), self.right.reach[part]
            products = buffer[: len(probes) * len(part)].reshape(len(probes), len(part))
            np.matmul(probes, gallery.T.astype(np.float32), out=products)
            margin = error_bound(probes.shape[1]) * np.maximum(self.left.reach, reach.max()) + _SMALLEST
            floor = np.minimum(self.ranks.floor, self.tail.floor) - margin
            found = np.flatnonzero(products >= floor.astype(np.float32)[:, None])
            self._count(found, products, gallery, part)
            if stop >= 1.25 * closed_at:
                self.ranks.close()
                self.tail.close()
                closed_at = stop
            yield stop

    def _count(self, found: np.ndarray, products: np.ndarray, gallery: np.ndarray, part: np.ndarray) -> None:
        """Count the survivors of one chunk, after those that rounding could have misplaced were scored exactly."""
        rows, columns = np.divmod(found, len(part))
        values = products.reshape(-1)[found].astype(np.float64)
        width, limits = gallery.shape[1], np.maximum(self.left.reach[rows], self.right.reach[part[columns]])
        near = self._near(rows, values, error_bound(width) * limits + _SMALLEST)
        if 32 * np.count_nonzero(near) > products.size:  # then a second product costs less than the pairs one by one
            values = (self.left.probe(slice(None)) @ gallery.T)[rows, columns]
            values, certain = _on_grid(values, width, limits)
            near = ~certain & self._near(rows, values, 2 * 10.0**-DECIMALS * limits)
        values[near] = self.left.scores(rows[near], self.right, part[columns[near]])
        self.ranks.add(rows, values)
        self.tail.add(rows, values)

    def _near(self, rows: np.ndarray, values: np.ndarray, margin: np.ndarray) -> np.ndarray:
        """(n,) whether a rounding error of `margin` (n,) could have moved a value across a level that is open."""
        near = np.zeros(len(values), bool)
        for_rank, for_tail = values >= self.ranks.floor[rows] - margin, values >= self.tail.floor - margin
        near[for_rank] = self.ranks.near(rows[for_rank], values[for_rank], margin[for_rank])
        near[for_tail] |= self.tail.near(values[for_tail], margin[for_tail])
        return near


def error_bound(width: int) -> float:
    """How far a float32 dot product of `width` numbers can lie from the rounded float64 score, for scores of size 1.

    The classical bound (Higham, Accuracy and Stability of Numerical Algorithms, 3.1): width * u for the sum in any
    order, 2 u for rounding the vectors; 6 u more cover the comparison in float32 and the float64 side.
    """
    return 1.01 * (width + 8) * 2.0**-24


def _on_grid(products: np.ndarray, width: int, limits: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Float64 products rounded as scores are, and whether that is certainly the score that `Rows.scores` gives.

    (It is unless the product lies so near to the middle between two decimals that its own rounding error matters.)
    """
    limits = np.ones_like(products) if limits is None else limits
    rounded = on_grid(products, limits)
    error = 2.02 * (width + 8) * 2.0**-53
    return rounded, np.abs(products - rounded) < (0.5 * 10.0**-DECIMALS - error) * limits


def _edges(total: int, sizes: list[int], chunk: int) -> Iterator[tuple[int, int]]:
    """Chunks that end at every gallery size, and double at first (a floor that rises early saves work)."""
    start = 0
    while start < total:
        stop = min(total, start + chunk, max(2 * start, 16))
        stop = min([stop, *(size for size in sizes if size > start)])
        yield start, stop
        start = stop


def _trials(people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All ordered pairs (probe, mate) of different rows of one person, ordered by probe, then mate."""
    members: dict[int, list[int]] = {}
    for row, person in enumerate(people.tolist()):
        members.setdefault(person, []).append(row)
    pairs = [(i, j) for i, person in enumerate(people.tolist()) for j in members[person] if i != j]
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _by_probe(probe: np.ndarray, scores: np.ndarray, probes: int) -> tuple[np.ndarray, np.ndarray]:
    """Each probe's mate scores, rising, as rows filled up with +inf; and the column of each trial."""
    order = np.lexsort((scores, probe))
    counts = np.bincount(probe, minlength=probes)
    column = np.arange(len(probe)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((probes, max(1, counts.max(initial=0))), np.inf)
    table[probe[order], column] = scores[order]
    slot = np.empty(len(probe), np.int64)
    slot[order] = column
    return table, slot
