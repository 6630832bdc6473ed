"""scikit-learn's handwritten digits: 1,797 real images of 8 x 8 pixels, offline. An identity is a digit.

E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998 (the test part).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from bench.datasets._classes import check_classes
from bench.errors import RequestError
from bench.images import Faces, Source, Unreadable


@dataclass(frozen=True)
class Digits:
    """The source of the digits' pixels; see `bench.images.Source`."""

    @property
    def fingerprint(self) -> str:
        """A hash of all pixels."""
        return hashlib.sha256(b"".join(image.tobytes() for image in _images().values())).hexdigest()

    def images(self, names: Sequence[str]) -> Iterator[np.ndarray | Unreadable]:
        """(8, 8, 1) uint8 arrays, in order.

        Raises:
            RequestError: a name that is no digit's.
        """
        known = _images()
        if missing := [name for name in names if name not in known]:
            raise RequestError(
                f"{len(missing)} of {len(names)} images are missing in digits, the first is {missing[0]!r}: "
                "expected names as digit-0/0001.png"
            )
        yield from (known[name] for name in names)


def load(*, classes: Sequence[int] = (0, 1, 2, 3, 4, 5, 6)) -> Faces:
    """The images of some of the ten digits (the others are left for `protocol`).

    Raises:
        RequestError: `classes` is empty, or holds what is no digit or one twice.
    """
    names = _names(classes)
    people = tuple(f"digit-{digit}" for digit in sorted(classes))
    labels = np.array([people.index(name.split("/")[0]) for name in names], np.int64)
    return Faces(names, labels, people, Digits(), {person: person for person in people})


def protocol(name: str, *, classes: Sequence[int] = (7, 8, 9)) -> tuple[dict[str, str], Source]:
    """The list of `heldout` (`images.txt`: one name a line) on some of the ten digits, and the source of its images.

    Raises:
        RequestError: another protocol, or wrong `classes`.
    """
    if name != "heldout":
        raise RequestError(f"digits carries no protocol {name!r}; it has: heldout")
    return {"images.txt": "\n".join(_names(classes)) + "\n"}, Digits()


def _names(classes: Sequence[int]) -> tuple[str, ...]:
    check_classes("digits", classes)
    return tuple(name for name in _images() if int(name[6]) in classes)


@cache
def _images() -> dict[str, np.ndarray]:
    """Name -> pixels, digit by digit, 0..16 as 0..255; numbers count from 1 within a digit, in the data's order."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)[:, :, :, None]
    found = {}
    for digit in range(10):
        for number, row in enumerate(np.flatnonzero(data.target == digit), 1):
            found[f"digit-{digit}/{number:04d}.png"] = pixels[row]
    return found
