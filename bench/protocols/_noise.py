"""Images that carry the wrong name: two ways to refine a MegaFace figure, which give different numbers.

`exclusion`: a noisy probe is nobody's probe and nobody's mate; a noisy distractor stands in no gallery and is no impostor.

`insightface` (its `remove_noises.py`, the "R" of the ArcFace paper, CVPR 2019, table 6): features are changed and none is
dropped. A noisy probe becomes s / |s|, s = sum of the clean features (of length 1) of its person + u, u uniform in
[-0.001, 0.001) for each number. A noisy distractor gets one more dimension, 100, where all others have 0: it is nearest to
nobody, but it still counts among the impostors. There u is drawn anew each time; here it has a seed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.files import IMAGE_SUFFIXES
from bench.protocols import _lists
from bench.protocols._galleries import Set

WAYS = ("exclusion", "insightface")
SPREAD = 1e-3
_DEPTH = 3  # parts of a path by which a distractor is told: 901/9019583@N08/8032652775_0.jpg


@dataclass(frozen=True, eq=False)
class Noise:
    """Which images are noisy, and what is done about it.

    Attributes:
        way: `exclusion` or `insightface`.
        probes, distractors: (P,), (N,) bool.
        seed: of u.
    """

    way: str
    probes: np.ndarray
    distractors: np.ndarray
    seed: int = 0

    @property
    def changes_features(self) -> bool:
        return self.way == "insightface"

    @property
    def searched(self) -> np.ndarray:
        """(n,) the rows of the probes that are searched for."""
        return np.flatnonzero(~self.probes) if not self.changes_features else np.arange(len(self.probes))

    def check(self, people: Sequence[str]) -> None:
        """What the insightface way needs of the people (P,) on the probes.

        Raises:
            RequestError: a person with noisy probes alone.
        """
        clean = {person for person, noisy in zip(people, self.probes, strict=True) if not noisy}
        lost = [person for person in dict.fromkeys(people) if person not in clean]
        if lost and self.changes_features:
            raise RequestError(
                f"all probes of {len(lost)} people are noisy, the first is {lost[0]!r}: the insightface way needs a clean "
                "one of each; use refined=exclusion"
            )

    def chosen(self, keep: np.ndarray) -> "Noise":
        """Of the images that are kept, (P + N,) bool."""
        count = len(self.probes)
        return replace(self, probes=self.probes[keep[:count]], distractors=self.distractors[keep[count:]])

    def spec(self, images: Sequence[str]) -> dict[str, Any]:
        """What decides the figures, as plain data."""
        count, noisy = len(self.probes), np.concatenate([self.probes, self.distractors])
        names = [[images[row] for row in part] for part in _halves(np.flatnonzero(noisy), count)]
        made: dict[str, Any] = {"way": self.way}
        for kind, found in zip(("probes", "distractors"), names, strict=True):
            made[kind] = {"count": len(found), "sha256": _lists.sha256(sorted(found))}
        return made | ({"spread": SPREAD, "seed": self.seed} if self.changes_features else {})

    def galleries(self, sets: Iterable[Set]) -> tuple[Set, ...]:
        """The galleries without their noisy distractors."""
        if self.changes_features:
            return tuple(part.each(lambda chain: chain.silenced(self.distractors)) for part in sets)
        return tuple(part.each(lambda chain: chain.without(self.distractors)) for part in sets)

    def replaced(self, probes: np.ndarray, owner: np.ndarray) -> np.ndarray:
        """(P, D) float64: the probes with the noisy ones put in their person's place, the insightface way.

        Args:
            owner: (P,) the number of each probe's person. Each has a clean probe.

        (A probe is put at the mean length of its person's clean ones: no cosine sees it, and other scorers do not see a
        vector of another size.)
        """
        made = probes.astype(np.float64)
        largest = np.abs(made).max(axis=1, keepdims=True)
        scaled = made / np.where(largest > 0, largest, 1.0)  # squares of very long ones would overflow
        norms = np.linalg.norm(scaled, axis=1, keepdims=True)
        unit, lengths = scaled / np.where(norms > 0, norms, 1.0), (norms * largest)[:, 0]
        random = np.random.default_rng(self.seed)
        for row in np.flatnonzero(self.probes):
            clean = (owner == owner[row]) & ~self.probes
            total = unit[clean].sum(axis=0) + random.uniform(-SPREAD, SPREAD, made.shape[1])
            made[row] = total / np.linalg.norm(total) * lengths[clean].mean()
        return made


def of(way: str, lines: tuple[str, str], images: Sequence[str], probes: int, seed: int = 0) -> Noise:
    """The noisy images by insightface's lists.

    Args:
        way: `exclusion` or `insightface`.
        lines: the texts of facescrub_noises.txt and megaface_noises.txt: an image a line (of two columns the second), `#`
            before a remark. An image is told by the name of its file, or by the last parts of its path where the line has
            some; spaces are underscores, and .png is .jpg.
        images: (P + N,) probes first.

    Raises:
        RequestError: an unknown way, or lists that name none of the images.
    """
    if way not in WAYS:
        raise RequestError(f"refined is one of {', '.join(WAYS)}, got {way!r}")
    noise = Noise(way, _told(lines[0], images[:probes]), _told(lines[1], images[probes:]), seed)
    listed = sum(len(_entries(text)) for text in lines)
    if listed and not noise.probes.any() and not noise.distractors.any():
        raise RequestError(
            f"none of the {listed:,} noisy images is among the {len(images):,} of the protocol: refined figures would be "
            "the raw ones"
        )
    return noise


def _told(lines: str, images: Sequence[str]) -> np.ndarray:
    """(n,) bool: the images that the lines name."""
    tails: dict[int, set[str]] = {}
    for entry in _entries(lines):
        parts = _plain(entry)[-_DEPTH:]
        tails.setdefault(len(parts), set()).add("/".join(parts))
    if not tails:
        return np.zeros(len(images), bool)
    plain = map(_plain, images)
    return np.array([any("/".join(parts[-n:]) in known for n, known in tails.items()) for parts in plain], bool)


def _entries(lines: str) -> list[str]:
    found = [line.split("\t") for line in _lists.lines(lines) if not line.startswith("#")]
    return [columns[1] if len(columns) > 1 else columns[0] for columns in found]


def _plain(name: str) -> list[str]:
    """The parts of a path, the last without its ending, each as FaceScrub's two ways of writing have in common."""
    stem, dot, ending = name.strip().replace(" ", "_").rpartition(".")
    return (stem if f".{ending.lower()}" in IMAGE_SUFFIXES else stem + dot + ending).split("/")


def _halves(rows: np.ndarray, count: int) -> tuple[list[int], list[int]]:
    return rows[rows < count].tolist(), rows[rows >= count].tolist()
