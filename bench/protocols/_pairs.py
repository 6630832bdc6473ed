"""What the protocols on pairs share: checked embeddings in, figures of scored pairs out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.errors import RequestError
from bench.metrics import (
    FoldAccuracy,
    Rate,
    Sorted,
    far_name,
    fold_accuracy,
    jackknife_verification,
    pair_clusters,
    rate_at_far,
)
from bench.metrics.similarity import Rows, blocks
from bench.protocols import _partial
from bench.scorers import COSINE, Scorer
from bench.scores import Clusters, Scores


@dataclass(frozen=True, eq=False)
class Pairs:
    """A list of comparisons.

    Attributes:
        first, second: (n,) what is compared (rows of images, numbers of videos).
        same: (n,) bool, one person or two.
        folds: (n,) the fold of each pair.
        people: the person of each thing that `first` and `second` number.
        rows: the row of `images` that stands for each of these things; None: they are the images.
    """

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    folds: np.ndarray
    people: tuple[str, ...]
    rows: np.ndarray | None = None

    @cached_property
    def counts(self) -> dict[str, float]:
        """How many there are of what."""
        return {
            "pairs": len(self.same),
            "genuine": int(self.same.sum()),
            "impostor": int((~self.same).sum()),
            "people": len(np.unique(np.concatenate(self._owners))),
            "folds": len(np.unique(self.folds)),
        }

    @cached_property
    def shared_people(self) -> int:
        """How many people stand in more than one fold."""
        sides = np.unique(np.stack([np.concatenate(self._owners), np.tile(self.folds, 2)]), axis=1)
        return int(np.sum(np.bincount(sides[0]) > 1))

    def without(self, keep: np.ndarray) -> "Pairs":
        """The pairs of things that are kept, (N,) bool of the things that `first` and `second` number.

        Raises:
            RequestError: no pair is left.
        """
        left = keep[self.first] & keep[self.second]
        if not left.any():
            raise RequestError(f"each of the {len(left):,} pairs has a missing side: nothing is left to be scored")
        place = np.cumsum(keep) - 1
        people = _partial.chosen(self.people, keep)
        first, second = place[self.first[left]], place[self.second[left]]
        return Pairs(first, second, self.same[left], self.folds[left], people)

    @property
    def sides(self) -> dict[str, np.ndarray]:
        """(n,) and (n,) the rows of images on either side of each pair."""
        rows = np.arange(len(self.people)) if self.rows is None else self.rows
        return {"first": rows[self.first].astype(np.int32), "second": rows[self.second].astype(np.int32)}

    @cached_property
    def clusters(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) and (n,) the cluster of people on either side of each pair, for the jackknife."""
        return pair_clusters(*self._owners)

    @cached_property
    def _owners(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) and (n,) the number of the person on either side, in the order of their names."""
        place = np.unique(np.array(self.people), return_inverse=True)[1]
        return place[self.first], place[self.second]


def checked(embeddings: np.ndarray, images: Sequence[str], protocol: str, scorer: Scorer | None = None) -> np.ndarray:
    """The embeddings as a finite floating (N, D) array.

    Raises:
        RequestError: another number of rows, no numbers, one that is not finite, or (by cosine) a row of zeros; the
            sentence names the first image.
    """
    array = np.asarray(embeddings)
    if array.ndim != 2 or array.shape[0] != len(images) or not array.shape[1]:
        raise RequestError(
            f"{protocol} needs one row of numbers for each of its {len(images):,} images (row i belongs to images[i]), "
            f"got an array of shape {array.shape}"
        )
    if array.dtype.kind not in "fiu":
        raise RequestError(f"{protocol} needs embeddings of real numbers, got an array of type {array.dtype}")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    finite, zero = np.empty(len(array), bool), np.empty(len(array), bool)
    for part in blocks(*array.shape):  # a million memory-mapped rows need no second copy
        finite[part], zero[part] = np.isfinite(array[part]).all(axis=1), ~array[part].any(axis=1)
    _refuse(~finite, "hold nan or infinity", images, protocol)
    scorer = scorer or COSINE
    if scorer.name == "cosine" and scorer.pca is None:
        _refuse(zero, "are all zeros and point nowhere", images, protocol)
    return array


def _refuse(bad: np.ndarray, what: str, images: Sequence[str], protocol: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise RequestError(
            f"{int(bad.sum())} of {len(bad):,} embeddings for {protocol} {what}, the first is row {row} "
            f"({images[row]}): embed these images again, or leave them out and allow missing images"
        )


def prepared(embeddings: np.ndarray, images: Sequence[str], protocol: str, scorer: Scorer | None) -> Rows:
    """The embeddings, checked, as rows that `scorer` (None: cosine) scores."""
    return (scorer or COSINE).prepare(checked(embeddings, images, protocol, scorer))


def accuracy(name: str, scores: np.ndarray, pairs: Pairs) -> Scores:
    """`accuracy` and `accuracy_se` with the threshold of each fold chosen on the others."""
    return folded(name, fold_accuracy(scores, pairs.same, pairs.folds), pairs)


def folded(name: str, found: FoldAccuracy, pairs: Pairs) -> Scores:
    """The figures of an accuracy fold by fold."""
    metrics = {f"{name}/accuracy": found.mean, f"{name}/accuracy_se": found.standard_error}
    clusters = {f"{name}/accuracy": Clusters("folds", tuple(found.accuracies.tolist()))}
    marks = {}
    if shared := pairs.shared_people:
        marks[f"{name}/accuracy"] = (
            f"the folds share {shared} people: they are not independent, its spread is too small"
        )
    return Scores(metrics, marks=marks, clusters=clusters, raw={"thresholds": found.thresholds})


def enter(answer: Scores, key: str, rate: Rate) -> bool:
    """Put a rate among the metrics, with its mark, or among what is undefined; whether it has a value."""
    if rate.value is None:
        answer.undefined[key] = rate.undefined or ""
        return False
    answer.metrics[key] = rate.value
    if rate.mark:
        answer.marks[key] = rate.mark
    return True


def verification(name: str, scores: np.ndarray, pairs: Pairs, fars: Sequence[float]) -> Scores:
    """`auc`, `eer` and `tar_at_far_...` over all pairs, with their ROC and their jackknife over people."""
    ordered = Sorted.of(scores, pairs.same)
    roc = ordered.roc()
    answer = Scores({}, counts=dict(pairs.counts), raw={"scores": scores, "same": pairs.same, "folds": pairs.folds})
    answer.raw.update(pairs.sides)
    if not roc.genuine or not roc.impostors:
        reason = f"{roc.genuine} genuine and {roc.impostors} impostor pairs: both are needed"
        answer.undefined.update({f"{name}/{figure}": reason for figure in ("auc", "eer")})
        return answer
    answer.metrics.update({f"{name}/auc": roc.auc(), f"{name}/eer": roc.eer()})
    known = [far for far in fars if enter(answer, f"{name}/tar_at_far_{far_name(far)}", rate_at_far(roc, far))]
    answer.curves["roc"] = roc.curve()
    left = jackknife_verification(ordered, *pairs.clusters, known)
    answer.clusters.update({f"{name}/{figure}": clusters for figure, clusters in left.items()})
    return answer


def joined(*parts: Scores) -> Scores:
    """Several answers as one."""
    whole = Scores({})
    for part in parts:
        for field in ("metrics", "undefined", "marks", "counts", "curves", "clusters", "raw"):
            getattr(whole, field).update(getattr(part, field))
    return whole
