"""Held-out people: verification and identification among the images of people that the training did not see.

The development figure of tuning (`Heldout(images, people, name="dev")`), and a protocol for any labelled set of images.
Metrics: `heldout/accuracy` (10 person-disjoint folds; needs 20 people), `auc`, `eer`, `tar_at_far_1e-2`, `rank1`.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics import Shares, jackknife_mean
from bench.metrics.similarity import Rows, blocks, table
from bench.protocols import _lists, _pairs, _partial
from bench.scorers import Scorer
from bench.scores import Scores

FARS = (1e-1, 1e-2, 1e-3)
FOLDS = 10
FEWEST_PEOPLE = 2 * FOLDS


@dataclass(frozen=True, eq=False)
class Heldout:
    """All comparisons among some images; see `bench.protocols.Comparisons`.

    Genuine pairs: all, or a seeded sample of `most_genuine`. Impostor pairs: all, or a seeded sample of
    `most_impostor`. Accuracy has pairs of its own: within each of 10 person-disjoint folds as many impostor as genuine
    pairs. rank1: each image that has another image of its person is searched among all other images; a hit iff the best
    one of its person scores higher than all images of other people (ties lose).
    """

    images: tuple[str, ...]
    people: tuple[str, ...]
    name: str = "heldout"
    seed: int = 0
    most_genuine: int = 20_000
    most_impostor: int = 100_000
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.images) != len(self.people) or len(set(self.images)) != len(self.images):
            raise RequestError(
                f"{self.name} needs a person for each image and each image once, got {len(self.images)} images"
            )
        if len(set(self.people)) < 2 or len(set(self.people)) == len(self.people):
            raise RequestError(
                f"{self.name} needs at least 2 people, one of them with 2 images, got {len(set(self.people))} people "
                f"on {len(self.images)} images"
            )

    @property
    def spec(self) -> dict[str, Any]:
        rows = [f"{image}\t{person}" for image, person in zip(self.images, self.people, strict=True)]
        caps = {"seed": self.seed, "most_genuine": self.most_genuine, "most_impostor": self.most_impostor}
        spec = {
            "protocol": "heldout",
            "version": 1,
            "score": "cosine",
            "folds": FOLDS,
            "images": _lists.sha256(rows),
            **caps,
        }
        return _partial.lacking(spec, "images", self.missing, len(self.images) + len(self.missing))

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)

    @property
    def primary(self) -> str:
        return f"{self.name}/{'auc' if isinstance(self._in_folds, str) else 'accuracy'}"

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """Accuracy, AUC, EER, TAR at FAR 0.1, 0.01 and 0.001, and rank-1.

        Args:
            scorer: how two embeddings are compared; without one by their cosine.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        rows = _pairs.prepared(embeddings, self.images, self.name, scorer)
        scores = rows.scores(self._all_pairs.first, rows, self._all_pairs.second)
        answer = _pairs.joined(
            self._accuracy(rows), _pairs.verification(self.name, scores, self._all_pairs, FARS), self._rank1(rows)
        )
        answer.raw.pop("folds")  # the pairs of these figures have none
        answer.counts.pop("folds")
        answer.counts.update({"images": len(self.images), "people": len(set(self.people))})
        return _partial.marked(answer, self.spec)

    def without(self, missing: Collection[str]) -> "Heldout":
        """See `bench.protocols.Comparisons`."""
        keep = _partial.kept(self.name, self.images, missing)
        images, people = _partial.chosen(self.images, keep), _partial.chosen(self.people, keep)
        return replace(self, images=images, people=people, missing=(*self.missing, *missing))

    def _accuracy(self, rows: Rows) -> Scores:
        pairs = self._in_folds
        if isinstance(pairs, str):
            return Scores({}, undefined={f"{self.name}/{figure}": pairs for figure in ("accuracy", "accuracy_se")})
        return _pairs.accuracy(self.name, rows.scores(pairs.first, rows, pairs.second), pairs)

    def _rank1(self, rows: Rows) -> Scores:
        """Ties are those of the rounded scores; whole rows of the matrix of all scores at a time."""
        owner, alone = self._owner, np.bincount(self._owner)[self._owner] == 1
        everything = slice(None)
        gallery = rows.gallery(everything)
        hit = np.zeros(len(owner), bool)
        for part in blocks(len(owner), len(owner)):
            found = table(rows, part, rows, everything, gallery)
            same = owner[part, None] == owner[None, :]
            others = np.where(same, -np.inf, found).max(axis=1)
            found[np.arange(len(found)), np.arange(part.start, part.stop)] = -np.inf
            hit[part] = np.where(same, found, -np.inf).max(axis=1) > others
        key, probes = f"{self.name}/rank1", owner[~alone]
        shares = Shares.of(probes)
        answer = Scores(
            {key: float(hit[~alone].mean())}, counts={"probes": len(probes), "effective_identities": shares.effective}
        )
        if mark := shares.mark():
            answer.marks[key] = mark
        if clusters := jackknife_mean(hit[~alone], probes):
            answer.clusters[key] = clusters
        return answer

    @cached_property
    def _owner(self) -> np.ndarray:
        """(N,) the number of each image's person, in the order of their names."""
        return _dense(np.array(self.people))

    @cached_property
    def _all_pairs(self) -> _pairs.Pairs:
        """The pairs of AUC, EER and TAR."""
        random = np.random.default_rng(self.seed)
        genuine = _genuine(self._owner, self.most_genuine, random)
        impostor = _impostors(self._owner, self.most_impostor, random)
        return self._table(genuine, impostor, np.zeros(len(genuine) + len(impostor), int))

    @cached_property
    def _in_folds(self) -> _pairs.Pairs | str:
        """The pairs of accuracy, or why there are none."""
        people = int(self._owner.max()) + 1
        if people < FEWEST_PEOPLE:
            return f"{people} people do not fill {FOLDS} person-disjoint folds: {FEWEST_PEOPLE} are needed"
        random = np.random.default_rng([self.seed, 1])
        fold_of = np.empty(people, int)
        fold_of[random.permutation(people)] = np.arange(people) % FOLDS
        fold_of = fold_of[self._owner]
        genuine, impostor = [], []
        for fold in range(FOLDS):
            rows = np.flatnonzero(fold_of == fold)
            same = rows[_genuine(_dense(self._owner[rows]), self.most_genuine // FOLDS, random)]
            different = rows[_impostors(_dense(self._owner[rows]), len(same), random)]
            if not len(same):
                return f"fold {fold} of {FOLDS} has nobody with two images"
            genuine.append(_sample(same, len(different), random))
            impostor.append(different)
        sides = np.concatenate([*genuine, *impostor])
        return self._table(np.concatenate(genuine), np.concatenate(impostor), fold_of[sides[:, 0]])

    def _table(self, genuine: np.ndarray, impostor: np.ndarray, folds: np.ndarray) -> _pairs.Pairs:
        sides = np.concatenate([genuine, impostor])
        return _pairs.Pairs(sides[:, 0], sides[:, 1], np.arange(len(sides)) < len(genuine), folds, self.people)


def load(root: _lists.Root, *, images: str = "images.txt", seed: int = 0) -> Heldout:
    """The images in a list file (`PERSON/.../image` a line) as a protocol.

    Raises:
        RequestError: no such file, an image listed twice or in no folder, or too few people.
    """
    names = _lists.unique(_lists.lines(_lists.read(root, images)), images)
    return Heldout(names, _lists.people(names, images), seed=_lists.whole("seed", seed, 0))


def _dense(labels: np.ndarray) -> np.ndarray:
    """The labels renumbered 0.. in their own order."""
    return np.unique(labels, return_inverse=True)[1]


def _genuine(owner: np.ndarray, at_most: int, random: np.random.Generator) -> np.ndarray:
    """(n, 2) all pairs of rows with one owner, or a sample of `at_most` different ones."""
    order, counts = np.argsort(owner, kind="stable"), np.bincount(owner)
    if np.sum(counts * (counts - 1)) <= 8 * max(at_most, 1_000_000):
        groups = np.split(order, np.cumsum(counts)[:-1])
        sides = [np.stack([rows[side] for side in np.triu_indices(len(rows), 1)], axis=1) for rows in groups]
        return _sample(np.concatenate(sides), at_most, random)
    starts, count = np.cumsum(counts) - counts, len(owner)
    found = np.empty(0, np.int64)
    while (
        len(found) < at_most
    ):  # a row with odds as the size of its group, then any of the group: all pairs are equally likely
        first = random.choice(count, 2 * at_most, p=counts[owner] / np.sum(counts**2))
        second = order[starts[owner[first]] + random.integers(0, counts[owner[first]])]
        keys = (np.minimum(first, second) * count + np.maximum(first, second))[first != second]
        found = np.unique(np.concatenate([found, keys]))
    return _of_keys(found, count, at_most, random)


def _impostors(owner: np.ndarray, at_most: int, random: np.random.Generator) -> np.ndarray:
    """(n, 2) all pairs of rows with different owners, or a sample of `at_most` different ones."""
    count = len(owner)
    total = count * (count - 1) // 2 - sum(n * (n - 1) // 2 for n in np.bincount(owner).tolist())
    if total <= 2 * at_most or count <= 1_000:
        first, second = np.triu_indices(count, 1)
        different = owner[first] != owner[second]
        return _sample(np.stack([first[different], second[different]], axis=1), at_most, random)
    found = np.empty(0, np.int64)
    while len(found) < at_most:
        first, second = random.integers(0, count, (2, 2 * at_most))
        first, second = np.minimum(first, second), np.maximum(first, second)
        keys = (first * count + second)[owner[first] != owner[second]]
        found = np.unique(np.concatenate([found, keys]))
    return _of_keys(found, count, at_most, random)


def _of_keys(keys: np.ndarray, count: int, at_most: int, random: np.random.Generator) -> np.ndarray:
    return np.stack(np.divmod(np.sort(random.permutation(keys)[:at_most]), count), axis=1)


def _sample(pairs: np.ndarray, at_most: int, random: np.random.Generator) -> np.ndarray:
    if len(pairs) <= at_most:
        return pairs
    return pairs[np.sort(random.permutation(len(pairs))[:at_most])]
