"""Identification among a gallery: rank-k and the CMC of probe and gallery lists, and DIR@FAR where strangers probe too.

Metrics: `lfw-rank/rank1` ... `rank10`, `rank1_macro`, `rank1_optimistic` (ties win) where it differs, and
`dir_at_far_1e-1_rank1` ... where some probes have no mate in the gallery. Ties lose.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics import Shares, cmc, far_name, jackknife_mean, macro_average, person_clusters
from bench.metrics.exact import Block, block, float32, gallery, steps
from bench.metrics.open_set import carried, dir_at_far
from bench.metrics.similarity import Rows
from bench.protocols import _ident_lists, _lfw_pairs, _lists, _pairs, _partial
from bench.scorers import Scorer
from bench.scores import Clusters, Scores
from bench.waiting import bar

RANKS = range(1, 11)
DEPTH = 100
FARS = (1e-1, 1e-2, 1e-3)
COUNTS = ("people", "images")


@dataclass(frozen=True, eq=False)
class RankK:
    """Probes, each searched in one gallery; see `bench.protocols.Comparisons`.

    An image that is both probe and gallery is left out of its own gallery. A person's score is that of its best gallery
    image; the mate is the probe's own person.

    Attributes:
        gallery, probes: (G,) and (P,) rows of `images`.
        count: what the rank counts that scores at least as much as the mate: `people`, or `images` (of other people, as
            walkoncross/lfw-evaluation-zyf: a hit at rank k iff one of the k nearest images is of the probe's person).
            They differ beyond rank 1, where people have several gallery images.
    """

    name: str
    images: tuple[str, ...] = field(repr=False)
    people: tuple[str, ...] = field(repr=False)
    gallery: np.ndarray = field(repr=False)
    probes: np.ndarray = field(repr=False)
    count: str
    spec: dict[str, Any]

    @property
    def depth(self) -> int:
        """How many parts of an image's path its name has, wherever in its tree it lies."""
        return 1 + max(name.count("/") for name in self.images)

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)

    @property
    def primary(self) -> str:
        return f"{self.name}/rank1"

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """Rank-1 to rank-10, the CMC to rank 100, and DIR at FAR 0.1, 0.01 and 0.001 where there are strangers.

        Args:
            scorer: how two embeddings are compared; without one by their cosine.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        found = self._search(_pairs.prepared(embeddings, self.images, self.name, scorer))
        answer = _pairs.joined(self._ranks(found), self._open_set(found))
        answer.counts.update(self._counts())
        return _partial.marked(answer, self.spec)

    def without(self, missing: Collection[str]) -> "RankK":
        """See `bench.protocols.Comparisons`. A probe that has lost all of its mates is a stranger."""
        keep = _partial.kept(self.name, self.images, missing)
        place = np.cumsum(keep) - 1
        images, people = _partial.chosen(self.images, keep), _partial.chosen(self.people, keep)
        gallery, probes = (place[rows[keep[rows]]] for rows in (self.gallery, self.probes))
        spec = _partial.lacking(self.spec, "images", missing, len(keep))
        return replace(self, images=images, people=people, gallery=gallery, probes=probes, spec=spec)._checked()

    def _checked(self) -> "RankK":
        """Itself.

        Raises:
            RequestError: no probe has a mate.
        """
        if not self._mated.any():
            raise RequestError(
                f"none of the {len(self.probes):,} probes of {self.name} has another image of its person among the "
                f"{len(self.gallery):,} of the gallery: nothing is left to be scored"
            )
        return self

    @cached_property
    def _owner(self) -> np.ndarray:
        """(N,) the number of each image's person, in the order of their names."""
        return np.unique(np.array(self.people), return_inverse=True)[1]

    @cached_property
    def _columns(self) -> np.ndarray:
        """(G,) the gallery, the images of a person next to each other."""
        return self.gallery[np.argsort(self._owner[self.gallery], kind="stable")]

    @cached_property
    def _starts(self) -> np.ndarray:
        """(people + 1,) where each person's images begin in `_columns` (nowhere: where the next one's do)."""
        counts = np.bincount(self._owner[self.gallery], minlength=int(self._owner.max()) + 1)
        return np.concatenate([[0], np.cumsum(counts)])

    @cached_property
    def _mated(self) -> np.ndarray:
        """(P,) bool: the probes with another image of their person in the gallery."""
        own = np.isin(self.probes, self.gallery)
        return np.diff(self._starts)[self._owner[self.probes]] > own

    def _counts(self) -> dict[str, float]:
        owners = self._owner[self.probes]
        shares = Shares.of(owners[self._mated])
        return {
            "images": len(self.images),
            "gallery": len(self.gallery),
            "gallery_people": int(np.sum(np.diff(self._starts) > 0)),
            "probes": len(self.probes),
            "probe_people": len(np.unique(owners)),
            "strangers": int((~self._mated).sum()),
            "largest_identity_share": shares.largest,
            "effective_identities": shares.effective,
        }

    def _search(self, rows: Rows) -> dict[str, np.ndarray]:
        """(P,) of each probe: `mate`, its score with its mate (-inf: it has none); `better` and `above`, how many score
        at least as much and more; `best`, a stranger's highest score."""
        found = {"mate": np.full(len(self.probes), -np.inf), "best": np.full(len(self.probes), -np.inf)}
        found |= {key: np.zeros(len(self.probes), np.int64) for key in ("better", "above")}
        made = gallery(rows, self._columns)
        with bar(self.name) as advance:
            for part in steps(len(self.probes), len(self._columns)):
                scores = block(rows, self.probes[part], rows, self._columns, made)
                self._search_block(scores, part, found)
                advance(part.stop, len(self.probes))
        return found

    def _search_block(self, scores: Block, part: slice, found: dict[str, np.ndarray]) -> None:
        probes = self.probes[part]
        row, column = self._own(probes)
        scores.values[row, column] = -np.inf  # what is left are other people's images
        other = self._columns[column] != probes[row]
        np.maximum.at(found["mate"][part], row[other], scores.exact(row[other], column[other]))
        mated = self._mated[part]
        self._count(scores, np.flatnonzero(mated), part, found)
        # The highest score is one of those whose float32 value lies within both of their margins of the highest value.
        high = scores.values.max(axis=1, keepdims=True) - 2 * scores.margin
        near, at = np.nonzero((scores.values >= float32(high)) & ~mated[:, None])
        np.maximum.at(found["best"][part], near, scores.exact(near, at))

    def _count(self, scores: Block, mated: np.ndarray, part: slice, found: dict[str, np.ndarray]) -> None:
        """How many score as much as, and more than, each mate: by float32, and exactly where that is too near."""
        values, mate = scores.values[mated], found["mate"][part][mated, None]
        above = values > float32(mate + scores.margin[mated])
        row, column = np.nonzero(~above & (values >= float32(mate - scores.margin[mated])))
        exact = scores.exact(mated[row], column)
        ties = above.copy()
        above[row, column], ties[row, column] = exact > mate[row, 0], exact >= mate[row, 0]
        for key, higher in (("better", ties), ("above", above)):
            found[key][part][mated] = self._numbers(higher)

    def _numbers(self, higher: np.ndarray) -> np.ndarray:
        """(n,) how many images, or people with such an image, (n, G) `higher` marks."""
        if self.count == "images":
            return higher.sum(axis=1)
        starts = self._starts[:-1][np.diff(self._starts) > 0]
        return np.logical_or.reduceat(higher, starts, axis=1).sum(axis=1)

    def _own(self, probes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All (row, column) of a block whose two images are of one person."""
        owners = self._owner[probes]
        start, size = self._starts[owners], np.diff(self._starts)[owners]
        row = np.repeat(np.arange(len(probes)), size)
        return row, np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size) + start[row]

    def _ranks(self, found: dict[str, np.ndarray]) -> Scores:
        better, above = (found[key][self._mated] for key in ("better", "above"))
        owners = self._owner[self.probes][self._mated]
        raw = {
            "probe": self.probes[self._mated],
            "better": found["better"],
            "mate_scores": found["mate"],
            "identity": self._owner[self.probes],
        }
        answer = Scores({}, raw=raw)
        mark = Shares.of(owners).mark()
        for k in RANKS:
            key, hits = f"{self.name}/rank{k}", better < k
            answer.raw[f"rank{k}"] = hits
            self._enter(answer, key, float(hits.mean()), jackknife_mean(hits, owners), mark)
            optimistic = float((above < k).mean())
            if optimistic != answer.metrics[key]:
                self._enter(answer, f"{key}_optimistic", optimistic, None, "ties count as hits")
        macro, shares = macro_average(better < 1, owners)
        self._enter(answer, f"{self.name}/rank1_macro", macro, jackknife_mean(shares, np.arange(len(shares))), mark)
        depth = min(DEPTH, self._counts()["gallery_people"] if self.count == "people" else len(self.gallery))
        curve = cmc(better, int(depth))
        answer.curves["cmc"] = {"rank": list(range(1, len(curve) + 1)), "rate": curve.tolist()}
        return answer

    def _open_set(self, found: dict[str, np.ndarray]) -> Scores:
        answer, mated = Scores({}), self._mated
        hits = found["better"] < 1
        owners = self._owner[self.probes]
        group = person_clusters(dict(enumerate(np.bincount(owners).tolist())))
        cluster = np.array([group[owner] for owner in range(len(group))])[owners]
        parts = [cluster != one for one in np.unique(cluster)]
        for far in FARS:
            key = f"{self.name}/dir_at_far_{far_name(far)}_rank1"
            rate = carried(far, int((~mated).sum()), "probes without a mate in the gallery")
            if rate.value is None:
                answer.undefined[key] = rate.undefined or ""
                continue
            values = [
                dir_at_far(found["mate"][keep & mated], hits[keep & mated], found["best"][keep & ~mated], far)
                for keep in (np.ones(len(mated), bool), *parts)
                if (keep & mated).any()
            ]
            jackknife = Clusters("jackknife", tuple(values[1:])) if len(values) == len(parts) + 1 > 2 else None
            self._enter(answer, key, values[0], jackknife, rate.mark)
        return answer

    @staticmethod
    def _enter(answer: Scores, key: str, value: float, clusters: Clusters | None, mark: str | None) -> None:
        answer.metrics[key] = value
        if clusters:
            answer.clusters[key] = clusters
        if mark:
            answer.marks[key] = mark


def load(
    root: _lists.Root,
    *,
    gallery: str = "test_ident_gallery.txt",
    probe: str = "test_ident_probe.txt",
    images: Sequence[str] | None = None,
    count: str = "people",
    label: str | None = None,
    allow_missing: bool = False,
) -> RankK:
    """A gallery list and a probe list (LFW's of walkoncross/lfw-evaluation-zyf, unless others are named).

    Args:
        root: the folder of the lists, or a mapping of file name -> text.
        gallery, probe: files with a line `PERSON/image index label` or `PERSON/image label` an image; `.gz` is unpacked.
            The indices, where both files have them, are the order of `images`; without them the gallery comes first.
        images: folders or archives that must hold every image (any suffix).
        count: what a rank counts, `people` or `images`, see `RankK`.
        label: stands before the metrics; default `lfw-rank`, of images `lfw-rank_images`.
        allow_missing: leave out the listed images that are not there, and mark every figure as partial.

    Raises:
        RequestError: a file that is missing or malformed (with its line number), images that are missing, or no probe
            with a mate in the gallery.
    """
    if count not in COUNTS:
        raise RequestError(f"count is what a rank counts, {' or '.join(COUNTS)}, got {count!r}")
    listed = _ident_lists.read(root, gallery, probe)
    names, missing = _lfw_pairs.located(listed.images, root, images, allow_missing, f"{gallery} and {probe}")
    people = _lists.people(names, f"{gallery} and {probe}")
    label = label or ("lfw-rank" if count == "people" else "lfw-rank_images")
    spec = {"protocol": "rank_k", "version": 1, "label": label, "score": "cosine", "count": count}
    spec["gallery"] = _lists.sha256([names[row] for row in listed.gallery])
    spec["probe"] = _lists.sha256([names[row] for row in listed.probes])
    spec["images"] = _lists.sha256(names)
    made = RankK(label, tuple(names), people, listed.gallery, listed.probes, count, spec)._checked()
    return made.without(missing) if missing else made
