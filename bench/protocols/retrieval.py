"""Retrieval among the images of a labelled set, as metric learning reports it (Musgrave et al., ECCV 2020).

Metrics: `retrieval/precision_at_1`, `retrieval/r_precision`, `retrieval/map_at_r` (see `bench.metrics.retrieval`).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics import Shares, jackknife_mean
from bench.metrics.retrieval import retrieve
from bench.protocols import _lists, _pairs, _partial
from bench.scorers import Scorer
from bench.scores import Scores
from bench.waiting import bar

FIGURES = ("precision_at_1", "r_precision", "map_at_r")


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Each image is searched among all others; see `bench.protocols.Comparisons`."""

    images: tuple[str, ...]
    people: tuple[str, ...]
    name: str = "retrieval"
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.people)) < 2 or len(set(self.people)) == len(self.people):
            raise RequestError(
                f"{self.name} needs at least 2 people, one of them with 2 images, got {len(set(self.people))} people "
                f"on {len(self.images)} images"
            )

    @property
    def spec(self) -> dict[str, Any]:
        rows = [f"{image}\t{person}" for image, person in zip(self.images, self.people, strict=True)]
        spec = {"protocol": "retrieval", "version": 1, "score": "cosine", "images": _lists.sha256(rows)}
        return _partial.lacking(spec, "images", self.missing, len(self.images) + len(self.missing))

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)

    @property
    def primary(self) -> str:
        return f"{self.name}/map_at_r"

    @cached_property
    def _owner(self) -> np.ndarray:
        """(N,) the number of each image's person, in the order of their names."""
        return np.unique(np.array(self.people), return_inverse=True)[1]

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """precision@1, R-precision and MAP@R, means over the images whose person has another one.

        Args:
            scorer: how two embeddings are compared; without one by their cosine.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        rows = _pairs.prepared(embeddings, self.images, self.name, scorer)
        with bar(self.name) as advance:
            found = retrieve(rows, self._owner, advance)
        owners = self._owner[found.queries]
        shares = Shares.of(owners)
        answer = Scores({}, raw={"probe": found.queries})
        answer.counts.update(
            {
                "images": len(self.images),
                "people": len(set(self.people)),
                "queries": len(owners),
                "effective_identities": shares.effective,
            }
        )
        for figure in FIGURES:
            key, values = f"{self.name}/{figure}", getattr(found, figure)
            answer.metrics[key], answer.raw[figure] = float(values.mean()), values
            if clusters := jackknife_mean(values, owners):
                answer.clusters[key] = clusters
            if mark := shares.mark():
                answer.marks[key] = mark
        return _partial.marked(answer, self.spec)

    def without(self, missing: Collection[str]) -> "Retrieval":
        """See `bench.protocols.Comparisons`."""
        keep = _partial.kept(self.name, self.images, missing)
        images, people = _partial.chosen(self.images, keep), _partial.chosen(self.people, keep)
        return replace(self, images=images, people=people, missing=(*self.missing, *missing))


def load(root: _lists.Root, *, images: str = "images.txt") -> Retrieval:
    """The images in a list file (`PERSON/.../image` a line) as a protocol.

    Raises:
        RequestError: no such file, an image listed twice or in no folder, or too few people.
    """
    names = _lists.unique(_lists.lines(_lists.read(root, images)), images)
    return Retrieval(names, _lists.people(names, images))
