"""Images by name: what a dataset and a protocol share without knowing each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read, and why."""

    name: str
    reason: str


class Source(Protocol):
    """Where pixels come from: a folder, archives, or a generator."""

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the pixels (file sizes and times, or a generator's settings)."""
        ...

    def images(self, names: Sequence[str]) -> Iterator[np.ndarray | Unreadable]:
        """One (H, W, 3) or (H, W, 1) uint8 array a name, in order; `Unreadable` for a broken image.

        Raises:
            RequestError: a name that the source does not have (it says how many are missing and names the first).
        """
        ...


@dataclass(frozen=True)
class Faces:
    """A labelled set of images.

    Attributes:
        names: (N,) path-like, unique: `identity/.../image`.
        labels: (N,) int64, an index into `identities`.
        identities: the identities' names.
        source: gives the pixels of each name.
        people: identity -> the person's name, for those whose name is known (overlap is checked by it).
        test: (N,) bool, the images of a closed-set test (of identities that are trained on; never trained on themselves);
            None: there is none.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    identities: tuple[str, ...]
    source: Source
    people: dict[str, str] = field(default_factory=dict)
    test: np.ndarray | None = None
