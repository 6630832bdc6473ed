"""Probes against a gallery of distractors, in one pass over the distractors and in memory that does not grow with them.

A float32 matrix product a chunk decides all comparisons but those within its rounding error of a genuine score; these
pairs are scored again in float64 (`bench.metrics.stream`). So every count is that of the float64 scores, and depends
neither on the chunks nor on the threads, the device or the precision of the product.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.metrics.cosine import prepared
from bench.metrics.counting import ImpostorCounts, MateCounts, closed
from bench.metrics.similarity import Rows
from bench.metrics.stream import Gallery, Stream, chunk_of
from bench.metrics.verification import Roc, allowed_false_accepts

_SAMPLE = 1024  # the fewest distractors by which the look-ahead guesses the lowest score that matters
_BINS = 4096


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

    @cached_property
    def _accepted(self) -> np.ndarray:
        """(n,) impostor pairs that score >= each of `genuine`."""
        return self.false_accepts.sum(0)

    def roc(self, without: int | None = None) -> Roc:
        """The strict end of the ROC over probe x distractor, a point a genuine score; without one cluster if asked."""
        keep = self.genuine_clusters != (-1 if without is None else without)
        false, impostors = self._accepted, int(self.impostors.sum())
        if without is not None:
            false, impostors = false - self.false_accepts[without], impostors - int(self.impostors[without])
        falling = self.genuine[::-1]
        points = np.flatnonzero(np.concatenate([falling[1:] != falling[:-1], [True]]))[: len(falling)]
        accepted = np.cumsum(keep[::-1])[points]
        return Roc(falling[points], false[::-1][points], accepted, impostors, int(keep.sum()))


def search(
    probes: np.ndarray,
    people: np.ndarray,
    distractors: np.ndarray,
    sizes: Sequence[int],
    *,
    order: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    depth: int | None = 100,
    largest_far: float = 1e-3,
    chunk: int | None = None,
    prepare: Callable[[np.ndarray], Rows] = prepared,
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Search:
    """Count, for every trial, the distractors that beat the mate; and the impostors above every genuine score.

    Args:
        probes: (P, D) finite embeddings.
        people: (P,) the number of each probe's person.
        distractors: (N, D), of any floating type; may be mapped from a file, which is then read from front to back and
            never held as a whole.
        sizes: gallery sizes, each 1..n; the gallery of a size is the first so many in `order`, so galleries are nested.
        order: (n,) different rows of distractors, the only ones that are searched; without it all, as they stand.
        clusters: (P,) the number 0..G-1 of the cluster of people that each probe belongs to; without it the person's.
        depth: the largest rank asked for; None: every rank, to the size of the gallery.
        largest_far: the false accepts are exact up to this rate, with every one cluster left out too.
        chunk: distractors per matrix product, for tests: no figure depends on it.
        prepare: what makes embeddings, row by row, ready for scoring; without it scores are cosines.
        device: where torch computes the matrix products (`cuda`); without one numpy does. No figure depends on it.
        progress: called as (distractors done, all) after each chunk.

    Raises:
        RequestError: no such device, or embeddings that `prepare` refuses.
    """
    clusters = people if clusters is None else clusters
    left = prepare(probes)
    probe, mate = _trials(people)
    mate_scores = left.scores(probe, left, mate)
    mates, slot = _by_probe(probe, mate_scores, len(probes))
    once = np.flatnonzero(probe < mate)
    once = once[np.argsort(mate_scores[once], kind="stable")]
    genuine, owners = mate_scores[once], clusters[probe[once]]
    total = len(distractors) if order is None else len(order)
    impostors = np.bincount(clusters) * total
    kept = (*(impostors.sum() - impostors), impostors.sum())
    limits = np.array([allowed_false_accepts(largest_far, pairs) for pairs in kept])

    stream = Stream(left, chunk or chunk_of(len(probes)), device)
    gallery = Gallery(distractors, order, prepare)
    depth = total if depth is None else depth
    slack, settled = 1.25, False
    while not settled:
        first = _first(stream, gallery, genuine, clusters, limits, slack)
        ranks, tail = MateCounts(mates, depth, total), ImpostorCounts(genuine[first:], clusters)
        nested = _passed(stream, gallery, sizes, ranks, tail, progress)
        false_accepts = tail.counts()
        shut = closed(false_accepts, limits)
        settled, slack = shut > 0 or first == 0, 4 * slack  # or the guess was too high: levels below it may be open
    better = {size: ties[probe, slot] for size, (ties, _) in nested.items()}
    above = {size: strictly[probe, slot] for size, (_, strictly) in nested.items()}
    genuine, false_accepts = genuine[first + shut :], false_accepts[:, shut:]
    return Search(probe, mate, mate_scores, better, above, depth, genuine, owners, false_accepts, impostors)


def _passed(
    stream: Stream, gallery: Gallery, sizes: Sequence[int], ranks: MateCounts, tail: ImpostorCounts,
    progress: Callable[[int, int], None] | None,
) -> dict[int, tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """One pass over all distractors: gallery size -> what `ranks` had counted when it was reached."""
    nested, closed_at = {}, 0
    for seen, right in gallery.chunks(sizes, stream.chunk):
        stream.count(right, ranks, tail)
        if seen in sizes:
            nested[seen] = ranks.counts()
        if seen >= 1.5 * closed_at:
            ranks.close()
            closed_at = seen
        if progress:
            progress(seen, gallery.total)
    return nested


def _first(
    stream: Stream, gallery: Gallery, genuine: np.ndarray, clusters: np.ndarray, limits: np.ndarray, slack: float
) -> int:
    """The genuine score (its number) that is guessed to be the highest that too many impostors reach, from a sample.

    Only what lies above has to be counted. If the guess turns out too high the pass is made again with more `slack`:
    so the guess costs time, and never a figure.
    """
    if not len(genuine) or genuine[0] == genuine[-1]:
        return 0
    total = gallery.total
    count = min(total, max(_SAMPLE, total // 128))
    edges = np.linspace(genuine[0], genuine[-1], _BINS)
    low, scale = edges[0], (_BINS - 1) / (edges[-1] - edges[0])
    floor, counts = np.full(len(clusters), edges[0]), np.zeros((len(limits) - 1, _BINS + 1), np.int64)
    for right in gallery.sample(count, stream.chunk):
        for found, values in stream.above(right, floor):
            bins = np.clip((values - low) * scale + 1, 0, _BINS).astype(np.intp)
            bins += clusters[found // len(right.reach)] * (_BINS + 1)
            counts += np.bincount(bins, minlength=counts.size).reshape(counts.shape)
    reach = counts.sum(1, keepdims=True) - np.cumsum(counts, 1)[:, :-1]
    expected = limits * (count / total)
    last = closed(reach, slack * (expected + 4 * np.sqrt(expected) + 4)) - 1
    return 0 if last < 0 else max(0, int(np.searchsorted(genuine, edges[last], side="right")) - 1)


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
