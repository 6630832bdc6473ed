"""MegaFace-style: rank-k and TAR at very small FAR, probes against distractors (Kemelmacher-Shlizerman, CVPR 2016).

Metrics: `megaface/rank1`, `rank5`, `rank10`, `rank1_macro` (the largest gallery), `rank1_at_1000` (smaller ones),
`tar_at_far_1e-3` ... `1e-6`; `rank1_optimistic` (ties win) where it differs.
The ROC curve ends a little above FAR 1e-3: beyond it nothing is counted.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics import (
    Search,
    Shares,
    cmc,
    far_name,
    jackknife_mean,
    macro_average,
    person_clusters,
    rate_at_far,
    search,
)
from bench.protocols import _lists, _pairs, _partial
from bench.scorers import COSINE, Scorer
from bench.scores import Clusters, Scores

FARS = (1e-3, 1e-4, 1e-5, 1e-6)
RANKS = (1, 5, 10)
DEPTH = 100


@dataclass(frozen=True, eq=False)
class Megaface:
    """Probes first, then distractors; see `bench.protocols.Comparisons`.

    Attributes:
        probes: how many of `images` are probes.
        sizes: gallery sizes, rising; the last is all distractors.
        seed: of the order in which the distractors enter the nested galleries.
    """

    images: tuple[str, ...] = field(repr=False)
    people: tuple[str, ...] = field(repr=False)
    probes: int
    sizes: tuple[int, ...]
    seed: int
    spec: dict[str, Any]
    name: str = "megaface"

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)

    @property
    def primary(self) -> str:
        return f"{self.name}/rank1"

    @cached_property
    def owner(self) -> np.ndarray:
        """(probes,) the number of each probe's person, in the order of their names."""
        return np.unique(np.array(self.people[: self.probes]), return_inverse=True)[1]

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """Rank-k over M(M-1) trials per identity, against distractors alone; TAR at FAR over probe x distractor.

        Args:
            scorer: how two embeddings are compared; without one by their cosine.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        array = _pairs.checked(embeddings, self.images, self.name, scorer)
        order = np.random.default_rng(self.seed).permutation(len(array) - self.probes)
        found = search(
            array[: self.probes], self.owner, array[self.probes :], self.sizes,
            order=order, clusters=self.clusters, depth=DEPTH, largest_far=max(FARS),
            prepare=(scorer or COSINE).prepare,
        )  # fmt: skip
        answer = _pairs.joined(self._ranks(found), self._verification(found))
        answer.counts.update(self._counts(found))
        return _partial.marked(answer, self.spec)

    def without(self, missing: Collection[str]) -> "Megaface":
        """See `bench.protocols.Comparisons`. The order in which the others enter the galleries is drawn anew."""
        keep = _partial.kept(self.name, self.images, missing)
        images = _partial.chosen(self.images, keep)
        probes = int(keep[: self.probes].sum())
        made = _made(images[:probes], images[probes:], self.sizes, self.seed)
        return replace(made, spec=_partial.lacking(self.spec, "images", missing, len(keep)))

    @cached_property
    def clusters(self) -> np.ndarray:
        """(probes,) the cluster of people that the jackknife of TAR leaves out together."""
        cluster = person_clusters(dict(enumerate(np.bincount(self.owner).tolist())))
        return np.array([cluster[person] for person in range(len(cluster))])[self.owner]

    def _counts(self, found: Search) -> dict[str, float]:
        shares = Shares.of(self.owner[found.probe])
        return {
            "images": len(self.images),
            "probes": self.probes,
            "probe_identities": int(self.owner.max()) + 1,
            "distractors": self.sizes[-1],
            "trials": len(found.probe),
            "largest_identity_share": shares.largest,
            "effective_identities": shares.effective,
            "genuine": found.genuine_pairs,
            "impostor": int(found.impostors.sum()),
        }

    def _ranks(self, found: Search) -> Scores:
        owners, largest = self.owner[found.probe], self.sizes[-1]
        answer = Scores({}, raw={"better": found.better[largest], "mate_scores": found.mate_scores, "identity": owners})
        answer.raw["probe"] = found.probe
        ranks = [(f"rank{k}", k, largest) for k in RANKS] + [(f"rank1_at_{size}", 1, size) for size in self.sizes[:-1]]
        mark = Shares.of(owners).mark()
        for figure, k, size in ranks:
            key, hits = f"{self.name}/{figure}", found.better[size] < k
            if size == largest:
                answer.raw[figure] = hits
            answer.metrics[key] = float(hits.mean())
            self._spread(answer, key, jackknife_mean(hits, owners), mark)
            optimistic = float((found.above[size] < k).mean())
            if optimistic != answer.metrics[key]:
                answer.metrics[f"{key}_optimistic"] = optimistic
                answer.marks[f"{key}_optimistic"] = "ties count as hits"
        key = f"{self.name}/rank1_macro"
        answer.metrics[key], shares = macro_average(found.better[largest] < 1, owners)
        self._spread(answer, key, jackknife_mean(shares, np.arange(len(shares))), mark)
        curve = cmc(found.better[largest], DEPTH)
        answer.curves["cmc"] = {"rank": list(range(1, DEPTH + 1)), "rate": curve.tolist()}
        rates = [float((found.better[size] < 1).mean()) for size in self.sizes]
        answer.curves["distractors"] = {"distractors": list(self.sizes), "rank1": rates}
        return answer

    @staticmethod
    def _spread(answer: Scores, key: str, clusters: Clusters | None, mark: str | None) -> None:
        if clusters:
            answer.clusters[key] = clusters
        if mark:
            answer.marks[key] = mark

    def _verification(self, found: Search) -> Scores:
        roc = found.roc()
        answer = Scores({}, curves={"roc": roc.curve()})
        parts = [found.roc(without=cluster) for cluster in range(len(found.impostors))]
        for far in FARS:
            key = f"{self.name}/tar_at_far_{far_name(far)}"
            known = _pairs.enter(answer, key, rate_at_far(roc, far))
            if known and len(parts) > 1 and all(part.genuine for part in parts):
                answer.clusters[key] = Clusters("jackknife", tuple(part.tar_at_far(far) for part in parts))
        return answer


def load(
    root: _lists.Root,
    *,
    probes: str | None = None,
    distractors: str | None = None,
    images: Sequence[str] | None = None,
    min_images: int = 5,
    max_images: int = 10,
    exclude: str | None = None,
    sizes: Sequence[int] = (10, 100, 1_000, 10_000, 100_000, 1_000_000),
    seed: int = 0,
    allow_missing: bool = False,
) -> Megaface:
    """Probes and distractors from two list files, or (`images` given) from a listing of images.

    Args:
        root: the folder of the lists, or a mapping of file name -> text.
        probes, distractors: files with one path `PERSON/.../image` a line. Without both: taken from `images`, and
            without these the lists `probes.txt` and `distractors.txt`.
        images: folders or archives that hold the images. To take both from them: probes are the people with at least
            `min_images` images, the first `max_images` of each by name; distractors are all images of the other people.
        exclude: the people who are neither: a file with one a line, or `FILE:COLUMN`, a csv's first column where COLUMN
            has a value.
        sizes: gallery sizes; those beyond the number of distractors are cut, and the largest gallery is always all of
            them.
        seed: of the order in which the distractors enter the nested galleries.
        allow_missing: leave out the listed images that are not there, and mark every figure as partial.

    Raises:
        RequestError: a file that is missing or malformed, nobody with two probe images, or a person who is both.
    """
    left_out = _lists.people_in(root, exclude) if exclude else set()
    missing: list[str] = []
    if images is not None and probes is None and distractors is None:
        first, second = _split(_without(_lists.images(root, images), left_out), min_images, max_images)
    else:
        first = _listed(root, probes or "probes.txt", left_out)
        second = _listed(root, distractors or "distractors.txt", left_out)
        missing = _lists.absent(first + second, root, images, "the lists of probes and distractors", allow_missing)
    made = _made(first, second, sizes, seed)
    return made.without(missing) if missing else made


def _listed(root: _lists.Root, file: str, left_out: set[str]) -> tuple[str, ...]:
    text = _lists.read(root, file, instead="images=[folder or archive, ...] to take probes and distractors from")
    return _without(_lists.unique(_lists.lines(text), file), left_out)


def _without(names: Sequence[str], people: set[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name.split("/", 1)[0] not in people)


def _split(names: Sequence[str], min_images: int, max_images: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Probes and distractors of a sorted listing."""
    _lists.whole("min_images", min_images, 2)
    _lists.whole("max_images", max_images, 2)
    per_person: dict[str, list[str]] = {}
    for name, person in zip(names, _lists.people(names, "images"), strict=True):
        per_person.setdefault(person, []).append(name)
    probes = [name for group in per_person.values() if len(group) >= min_images for name in group[:max_images]]
    distractors = [name for group in per_person.values() if len(group) < min_images for name in group]
    return tuple(probes), tuple(distractors)


def _made(probes: tuple[str, ...], distractors: tuple[str, ...], sizes: Sequence[int], seed: int) -> Megaface:
    """The protocol, after checks that hold for lists and listings alike."""
    if not probes or not distractors:
        raise RequestError(
            f"megaface needs probes and distractors, got {len(probes)} probe and {len(distractors)} distractor images"
        )
    names = _lists.unique(probes + distractors, "probes and distractors")
    people = _lists.people(names, "probes and distractors")
    known = people[: len(probes)]
    if both := sorted(set(known) & set(people[len(probes) :])):
        raise RequestError(
            f"{len(both)} people are both probes and distractors, the first is {both[0]!r}: "
            "a distractor has no image among the probes"
        )
    if len(set(known)) == len(known):
        raise RequestError(f"none of the {len(known)} probe people has two images: a probe needs a mate")
    if isinstance(sizes, str | int):
        raise RequestError(f"sizes is a list of gallery sizes, got {sizes!r}")
    sizes = [_lists.whole("a gallery size", size, 1) for size in sizes]
    kept = tuple(sorted({size for size in sizes if size < len(distractors)} | {len(distractors)}))
    spec = {
        "protocol": "megaface",
        "version": 1,
        "score": "cosine",
        "sizes": list(kept),
        "seed": _lists.whole("seed", seed, 0),
    }
    spec |= {"probes": _lists.sha256(probes), "distractors": _lists.sha256(distractors)}
    return Megaface(names, people, len(probes), kept, seed, spec)
