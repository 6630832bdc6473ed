"""The Olivetti faces (AT&T, ORL) from `olivettifaces.mat`: 40 people, 10 grey images of 64 x 64 each.

F. Samaria, A. Harter, "Parameterisation of a stochastic model for human face identification", WACV 1994. The file: S. Roweis.
ORL's own folders (`s1/1.pgm`) are a `folder` data set; people and images are numbered alike there.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench import bounded, places
from bench.datasets import _labelled
from bench.errors import RequestError
from bench.images import Faces, Unreadable

_SHAPE = (64 * 64, 400)  # a column is an image, itself column by column
_LARGEST = 1 << 24  # bytes of the file; it has 1.4 million


@dataclass(frozen=True)
class Olivetti:
    """The source of the pixels in the file; see `bench.images.Source`."""

    path: Path

    @property
    def fingerprint(self) -> str:
        """A hash of the file."""
        return hashlib.sha256(bounded.file(self.path, _LARGEST)).hexdigest()

    def images(self, names: Sequence[str]) -> Iterator[np.ndarray | Unreadable]:
        """(64, 64, 1) uint8 arrays, in order."""
        known = {name: row for row, name in enumerate(_names())}
        rows = _labelled.rows(names, lambda name: known.get(name, -1), self.path)
        shown = _read(self.path, self.path.stat().st_mtime_ns)
        for row in rows:
            yield shown[row][:, :, None]


def load(
    *,
    path: str = "olivettifaces.mat",
    exclude: str | None = None,
    people: str | None = None,
    min_images: int = 1,
) -> Faces:
    """The 400 images, named `s1/1.png` ... `s40/10.png`.

    Args:
        path: the file or its folder, absolute or relative to `$FACEBENCH_DATA`.
        exclude: `FILE:COLUMN`, a csv whose first column is the identity: those with a value in COLUMN are left out.
        people: `FILE:COLUMN`, the same for the person's name; without it nobody's name is known.
        min_images: identities with fewer images are left out.

    Raises:
        RequestError: no such file, or no Olivetti faces in it.
    """
    file = places.data(path)
    file = file / "olivettifaces.mat" if file.is_dir() else file
    if not file.is_file():
        raise RequestError(f"no olivettifaces.mat in {file.parent}: expected the MATLAB file of the Olivetti faces")
    _read(file, file.stat().st_mtime_ns)
    names = _names()
    labels, identities = _labelled.numbered([f"{row // 10 + 1}" for row in range(len(names))])
    return _labelled.faces(
        file,
        labels,
        [f"s{identity}" for identity in identities],
        names.__getitem__,
        Olivetti(file),
        exclude=exclude,
        people=people,
        min_images=min_images,
    )


def _names() -> list[str]:
    return [f"s{row // 10 + 1}/{row % 10 + 1}.png" for row in range(_SHAPE[1])]


@lru_cache(maxsize=2)
def _read(path: Path, _time: int) -> np.ndarray:
    """(400, 64, 64) uint8."""
    from scipy.io import loadmat, whosmat

    if path.stat().st_size > _LARGEST:
        raise RequestError(f"{path} has more than {_LARGEST:,} bytes: it is not the file of the Olivetti faces")
    try:
        known = {name: shape for name, shape, _ in whosmat(path)}
        if known.get("faces") != _SHAPE:
            raise ValueError(f"it holds {known}")
        shown = loadmat(path, variable_names=["faces"])["faces"]
        if not np.array_equal(shown, shown.astype(np.uint8)):
            raise ValueError("its numbers are not bytes")
    except Exception as error:  # scipy raises nearly anything on garbage
        raise RequestError(
            f"{path} is no olivettifaces.mat: expected a variable `faces` of 4096 x 400 bytes ({error or type(error).__name__})"
        ) from error
    return np.ascontiguousarray(shown.astype(np.uint8).T.reshape(400, 64, 64).transpose(0, 2, 1))
