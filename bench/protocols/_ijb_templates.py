"""IJB's templates: which images make them, whose they are, which are compared and which are searched."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.protocols import _ijb_lists as lists
from bench.protocols import _partial


@dataclass(frozen=True, eq=False)
class Gallery:
    """The one template of each subject that a gallery enrols.

    Attributes:
        templates, subjects: (K,) numbers; a template that is missing is -1.
    """

    templates: np.ndarray
    subjects: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """(K',) the templates that are there."""
        return self.templates[self.templates >= 0]


@dataclass(frozen=True, eq=False)
class Templates:
    """Everything the lists say; templates are numbered 0..T-1 in the order of their numbers there.

    Attributes:
        images: (N,) the file of each face crop.
        template, medium: (N,) the template and the medium of each.
        detector: (N,) the detector's score of each, where they were asked for.
        subject: (T,) the number of each template's subject, in the order of `subjects`.
        subjects: their names.
        genuine, impostor: (n, 2) and (m, 2) int32 templates that are compared.
        galleries: by label; no subject is enrolled in two.
        probes: (P,) templates.
    """

    images: tuple[str, ...]
    template: np.ndarray
    medium: np.ndarray
    detector: np.ndarray | None
    subject: np.ndarray
    subjects: tuple[str, ...]
    genuine: np.ndarray
    impostor: np.ndarray
    galleries: dict[str, Gallery]
    probes: np.ndarray

    @property
    def people(self) -> tuple[str, ...]:
        """(N,) the subject of each image."""
        return tuple(self.subjects[number] for number in self.subject[self.template].tolist())

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of what."""
        counted = {"images": len(self.images), "templates": len(self.subject)}
        counted |= {
            "subjects": len(np.unique(self.subject)),
            "genuine": len(self.genuine),
            "impostor": len(self.impostor),
        }
        if self.galleries:
            counted |= {f"enrolled_{label}": len(of.present) for label, of in self.galleries.items()}
            counted["probes"] = len(self.probes)
        return counted

    def without(
        self, keep: np.ndarray, spec: dict[str, Any], missing: Collection[str]
    ) -> "tuple[Templates, dict[str, Any]]":
        """What is left of the images with `keep` (N,), and the specification that says what is missing.

        A template without an image is missing; so are the pairs that it is in, and (of an enrolled one) the searches of its
        subject in that gallery.

        Raises:
            RequestError: no genuine or no impostor pair is left.
        """
        left = np.bincount(self.template[keep], minlength=len(self.subject)) > 0
        place = np.where(left, np.cumsum(left) - 1, -1)
        genuine, impostor = (part[left[part].all(1)] for part in (self.genuine, self.impostor))
        _both(len(genuine), len(impostor), "of the images that are left")
        moved = {label: np.where(of.templates >= 0, place[of.templates], -1) for label, of in self.galleries.items()}
        probes = self.probes[left[self.probes]]
        pairs = len(self.genuine) + len(self.impostor)
        spec = _partial.lacking(spec, "images", missing, len(keep))
        spec = _partial.lacking(spec, "templates", int((~left).sum()), len(left))
        spec = _partial.lacking(spec, "pairs", pairs - len(genuine) - len(impostor), pairs)
        detector = None if self.detector is None else self.detector[keep]
        made = replace(
            self,
            images=_partial.chosen(self.images, keep),
            template=place[self.template[keep]],
            medium=self.medium[keep],
            detector=detector,
            subject=self.subject[left],
            genuine=place[genuine].astype(np.int32),
            impostor=place[impostor].astype(np.int32),
            galleries={label: replace(of, templates=moved[label]) for label, of in self.galleries.items()},
            probes=place[probes],
        )
        return made, spec


def made(
    found: lists.Images,
    where: str,
    detector: np.ndarray | None,
    pairs: tuple[np.ndarray, np.ndarray],
    pairs_in: str,
    galleries: dict[str, dict[int, str]],
    probes: dict[int, str],
) -> Templates:
    """The templates of lists that agree with each other.

    Args:
        found: the images (list `where`).
        pairs: templates (n, 2) that are compared and (n,) whether they are of one subject (list `pairs_in`).
        galleries, probes: template -> subject; without galleries, templates of one subject are those that genuine pairs
            connect.

    Raises:
        RequestError: a template without images, two templates of one subject in a gallery, or a pair whose label is not what
            the subjects say.
    """
    numbers, template = np.unique(found.template, return_inverse=True)
    sides = _places(numbers, pairs[0], pairs_in, where)
    genuine, impostor = sides[pairs[1]], sides[~pairs[1]]
    _both(len(genuine), len(impostor), f"in {pairs_in}")
    names = _connected(numbers, genuine)
    if galleries:
        names = _named(numbers, _known(galleries, probes), where)
    subjects, subject = np.unique(np.array(names), return_inverse=True)
    _agree(subject, genuine, impostor, numbers, pairs_in)
    enrolled = {}
    for label, owner in galleries.items():
        places = _places(numbers, np.array(sorted(owner)), f"gallery {label}", where)
        enrolled[label] = Gallery(places, subject[places])
    probing = _places(numbers, np.array(sorted(probes), np.int64), "the probes", where)
    return Templates(
        found.names,
        template,
        found.medium,
        detector,
        subject,
        tuple(subjects.tolist()),
        genuine,
        impostor,
        enrolled,
        probing,
    )


def _places(numbers: np.ndarray, wanted: np.ndarray, of: str, where: str) -> np.ndarray:
    """int32 places of templates among the `numbers` of those that have images."""
    place = np.searchsorted(numbers, wanted).astype(np.int32)
    absent = numbers[np.minimum(place, len(numbers) - 1)] != wanted
    if absent.any():
        lost = np.unique(wanted[absent])
        raise RequestError(
            f"{len(lost):,} templates of {of} have no image in {where}, the first is {lost[0]}: the lists must be of one release"
        )
    return place


def _both(genuine: int, impostor: int, where: str) -> None:
    if not genuine or not impostor:
        raise RequestError(f"{genuine:,} genuine and {impostor:,} impostor pairs {where}: both are needed")


def _known(galleries: dict[str, dict[int, str]], probes: dict[int, str]) -> dict[int, str]:
    """Template -> subject, of all lists together."""
    known = dict(probes)
    seen: dict[str, int] = {}
    for label, owner in galleries.items():
        for number, subject in owner.items():
            if known.setdefault(number, subject) != subject:
                raise RequestError(
                    f"template {number} is of subject {subject} in gallery {label}, and of {known[number]} in another list"
                )
            if subject in seen:
                raise RequestError(
                    f"gallery {label} enrols subject {subject} as template {number}, who is enrolled already as template "
                    f"{seen[subject]}: each subject has one template in one gallery"
                )
            seen[subject] = number
    return known


def _named(numbers: np.ndarray, known: dict[int, str], where: str) -> list[str]:
    names = [known.get(number, "") for number in numbers.tolist()]
    if unknown := [number for number, name in zip(numbers.tolist(), names, strict=True) if not name]:
        raise RequestError(
            f"{len(unknown):,} templates of {where} are in no gallery and no probe list, the first is {unknown[0]}: the lists "
            "must be of one release, or give one_to_n=False to score the pairs alone"
        )
    return names


def _connected(numbers: np.ndarray, genuine: np.ndarray) -> list[str]:
    """A name for each template, the same for those that genuine pairs connect: the least of their numbers."""
    parent = list(range(len(numbers)))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for first, second in genuine.tolist():
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return [f"template_{numbers[root(one)]}" for one in range(len(numbers))]


def _agree(subject: np.ndarray, genuine: np.ndarray, impostor: np.ndarray, numbers: np.ndarray, where: str) -> None:
    for table, label in ((genuine, 1), (impostor, 0)):
        wrong = np.flatnonzero((subject[table[:, 0]] == subject[table[:, 1]]) != bool(label))
        if len(wrong):
            first, second = numbers[table[wrong[0]]].tolist()
            raise RequestError(
                f"{len(wrong):,} pairs in {where} with label {label} are {'not ' if label else ''}of one subject, the first "
                f"is {first} {second}: the lists contradict each other"
            )
