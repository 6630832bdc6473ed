"""A list of image pairs in folds, and its figures: what `pairs` is, and each file of `bins`."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics.cosine import Vectors
from bench.metrics.grid import grid_accuracy
from bench.metrics.similarity import Rows
from bench.protocols import _lists, _pairs, _partial
from bench.scorers import Scorer
from bench.scores import Clusters, Scores

FARS = (1e-1, 1e-2, 1e-3)
CONVENTIONS = ("standard", "insightface")
_LABEL = r"[A-Za-z0-9][\w.-]*"  # what may stand before the names of figures
NOBODY = "?"  # begins the name of a person whom no list names


@dataclass(frozen=True, eq=False)
class Verification:
    """Image pairs in folds; see `bench.protocols.Comparisons`.

    Attributes:
        pairs: the comparisons (rows of `images`).
        pictures: (N,) equal numbers for rows that hold one and the same picture.
        named: whether the list says who the people are; else they are what `linked` says.
    """

    name: str
    images: tuple[str, ...] = field(repr=False)
    people: tuple[str, ...] = field(repr=False)
    pairs: _pairs.Pairs = field(repr=False)
    pictures: np.ndarray = field(repr=False)
    spec: dict[str, Any]
    named: bool = True

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)

    @property
    def primary(self) -> str:
        return f"{self.name}/{'auc' if self.undecided or self.unbalanced else 'accuracy'}"

    @property
    def undecided(self) -> str:
        """Why there is no accuracy; "" where there is."""
        folds = len(np.unique(self.pairs.folds))
        return "" if folds > 1 else "one set of pairs leaves none to choose the threshold on: it needs folds"

    @property
    def unbalanced(self) -> str:
        """Why the accuracy may not be ranked; "" where it may."""
        genuine, impostor = int(self.pairs.same.sum()), int((~self.pairs.same).sum())
        kinds = f"{genuine:,} genuine and {impostor:,} impostor pairs"
        return "" if genuine == impostor else f"the classes are unbalanced ({kinds}): chance is not 0.5"

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """A score each pair; accuracy, AUC, EER and TAR at FAR 0.1, 0.01 and 0.001.

        Args:
            scorer: how two embeddings are compared; without one by their cosine.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        return _partial.marked(self.figures(_pairs.prepared(embeddings, self.images, self.name, scorer)), self.spec)

    def figures(self, rows: Rows, start: int = 0) -> Scores:
        """`score` of rows whose row `start` is this list's first, without the marks of what is missing."""
        scores = rows.scores(self.pairs.first + start, rows, self.pairs.second + start)
        answer = _pairs.joined(self._accuracy(scores), _pairs.verification(self.name, scores, self.pairs, FARS))
        if self.spec["convention"] == "insightface":
            self._insightface(answer, scores, rows)
        answer.counts.update(self._counts())
        if not self.named:
            answer.counts["people_at_most"] = answer.counts.pop("people")
        return answer

    def without(self, missing: Collection[str]) -> "Verification":
        """See `bench.protocols.Comparisons`."""
        keep = _partial.kept(self.name, self.images, missing)
        pairs = self.pairs.without(keep)
        spec = _partial.lacking(self.spec, "images", missing, len(keep))
        spec = _partial.lacking(spec, "pairs", len(self.pairs.same) - len(pairs.same), len(self.pairs.same))
        images, pictures = _partial.chosen(self.images, keep), self.pictures[keep]
        return replace(self, images=images, people=pairs.people, pairs=pairs, pictures=pictures, spec=spec)

    def _accuracy(self, scores: np.ndarray) -> Scores:
        if self.undecided:
            figures = ("accuracy", "accuracy_se")
            return Scores({}, undefined={f"{self.name}/{figure}": self.undecided for figure in figures})
        answer, key = _pairs.accuracy(self.name, scores, self.pairs), f"{self.name}/accuracy"
        if key in answer.marks and not self.named:
            answer.marks[key] = answer.marks[key].replace("share ", "share at least ")
        if self.unbalanced:
            answer.marks[key] = "; ".join(filter(None, [self.unbalanced, answer.marks.get(key)]))
        return answer

    def _insightface(self, answer: Scores, scores: np.ndarray, rows: Rows) -> None:
        key = f"{self.name}/accuracy_insightface"
        reason = (
            "" if isinstance(rows, Vectors) else "its grid is of distances of unit embeddings, and no cosine was asked"
        )
        if reason := self.undecided or reason:
            answer.undefined[key] = reason
            return
        found = grid_accuracy(scores, self.pairs.same, self.pairs.folds)
        answer.metrics[key] = found.mean
        answer.clusters[key] = Clusters("folds", tuple(found.accuracies.tolist()))
        if mark := answer.marks.get(f"{self.name}/accuracy"):
            answer.marks[key] = mark

    def _counts(self) -> dict[str, float]:
        """How many images, and how many pairs that a list had better not have."""
        pairs, owner = self.pairs, np.unique(np.array(self.people), return_inverse=True)[1]
        sides = np.sort(self.pictures[np.stack([pairs.first, pairs.second], axis=1)], axis=1)
        return {
            "images": len(self.images),
            "repeated_pairs": len(sides) - len(np.unique(sides, axis=0)),
            "pairs_of_one_picture": int((sides[:, 0] == sides[:, 1]).sum()),
            "contradicted_pairs": int((~pairs.same & (owner[pairs.first] == owner[pairs.second])).sum()),
        }


def linked(first: np.ndarray, second: np.ndarray, same: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """(N,) for each row the first row that is of its person, as far as genuine pairs and equal pictures tell.

    Rows that are joined show one person (if the labels are right); two that are not may be of one person all the same.

    Args:
        first, second: (n,) rows of the pairs.
        same: (n,) bool.
        pictures: (N,) equal numbers for rows that hold one and the same picture.
    """
    above = list(range(len(pictures)))

    def top(row: int) -> int:
        while above[row] != row:
            above[row] = above[above[row]]
            row = above[row]
        return row

    of_picture: dict[int, int] = {}
    links = [(of_picture.setdefault(picture, row), row) for row, picture in enumerate(pictures.tolist())]
    links += zip(first[same].tolist(), second[same].tolist(), strict=True)
    for one, other in links:
        low, high = sorted((top(one), top(other)))
        above[high] = low
    return np.array([top(row) for row in range(len(above))])


def check_label(label: str) -> None:
    """Whether `label` can stand before the names of figures.

    Raises:
        RequestError: it cannot.
    """
    if not isinstance(label, str) or not re.fullmatch(_LABEL, label, re.ASCII):
        raise RequestError(f"label is made of letters, digits, `_`, `-` and `.`, got {label!r}")


def nobodies(rows: np.ndarray, label: str) -> tuple[str, ...]:
    """Names for the people that `linked` found: `?lfw/00012`."""
    return tuple(f"{NOBODY}{label}/{row:05d}" for row in rows.tolist())


def consecutive(pairs: int, folds: int, where: str) -> np.ndarray:
    """(n,) the fold of each of n pairs: equal parts in their order, the first ones longer by one where n asks for it.

    That is scikit-learn's `KFold(folds, shuffle=False)`.

    Raises:
        RequestError: `folds` is no whole number from 1 on, or there are fewer pairs.
    """
    _lists.whole("folds", folds, 1)
    if pairs < folds:
        raise RequestError(f"{where} has {pairs} pairs, too few for {folds} folds: give fewer folds")
    return np.repeat(np.arange(folds), [pairs // folds + (fold < pairs % folds) for fold in range(folds)])


def known_convention(value: str) -> str:
    """The option `convention`.

    Raises:
        RequestError: it is none of `CONVENTIONS`.
    """
    if value not in CONVENTIONS:
        raise RequestError(f"no convention {value!r}; there is: {', '.join(CONVENTIONS)}")
    return value
