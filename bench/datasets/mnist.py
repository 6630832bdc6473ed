"""MNIST from its idx files: 60,000 + 10,000 handwritten digits of 28 x 28 pixels. An identity is a digit.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 1998.
The official test images are the closed-set test. (Wen et al. 2016, Fig. 2, speak of 50K training and 10K test images; the
files hold 60K for training, and all of those asked for are used.)
"""

import hashlib
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench import bounded, places
from bench.datasets._classes import check_classes
from bench.errors import RequestError
from bench.images import Faces, Unreadable

_PARTS = {"train": "train", "test": "t10k"}
_IMAGES, _LABELS = 2051, 2049  # the magic numbers of the two kinds of file


@dataclass(frozen=True)
class Mnist:
    """The source of the pixels in `root`; see `bench.images.Source`."""

    root: Path

    @property
    def fingerprint(self) -> str:
        """A hash of the four files."""
        files = [_file(self.root, part, kind) for part in _PARTS for kind in ("images", "labels")]
        return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()

    def images(self, names: Sequence[str]) -> Iterator[np.ndarray | Unreadable]:
        """(28, 28, 1) uint8 arrays, in order.

        Raises:
            RequestError: a name that is no image's.
        """
        known = {part: _part(self.root, part)[0] for part in _PARTS}
        for name in names:
            digit, _, rest = name.partition("/")
            part, _, number = rest.removesuffix(".png").partition("-")
            row = int(number) if number.isdigit() else -1
            if not digit.startswith("digit-") or part not in known or not 0 <= row < len(known[part]):
                raise RequestError(f"mnist has no image {name!r}: expected names as digit-0/train-00001.png")
            yield known[part][row][:, :, None]


def load(*, path: str = ".", classes: Sequence[int] = tuple(range(10)), train_per_class: int = 0) -> Faces:
    """MNIST's training and test images of some of the ten digits.

    Args:
        path: the folder of the four idx files (`train-images-idx3-ubyte`, ..., with or without `.gz`), absolute or relative
            to `$FACEBENCH_DATA`.
        classes: which digits.
        train_per_class: the first so many training images of each digit (0: all); the test images are always all.

    Raises:
        RequestError: a file is missing or no idx file, or a wrong option.
    """
    check_classes("mnist", classes)
    if isinstance(train_per_class, bool) or not isinstance(train_per_class, int) or train_per_class < 0:
        raise RequestError(f"train_per_class of mnist is 0 (all) or a whole number above, got {train_per_class!r}")
    root = places.data(path)
    people = tuple(f"digit-{digit}" for digit in sorted(classes))
    names: list[str] = []
    for part in _PARTS:
        labels = _part(root, part)[1]
        most = train_per_class if part == "train" and train_per_class else len(labels)
        for digit in sorted(classes):
            rows = np.flatnonzero(labels == digit)[:most]
            names += [f"digit-{digit}/{part}-{row:05d}.png" for row in rows]
    found = np.array([people.index(name.split("/")[0]) for name in names], np.int64)
    test = np.array(["/test-" in name for name in names])
    return Faces(tuple(names), found, people, Mnist(root), {person: person for person in people}, test)


@lru_cache(maxsize=4)
def _part(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, 28, 28) uint8 images and (n,) uint8 labels of `train` or `test`."""
    images = _read(_file(root, part, "images"), _IMAGES)
    labels = _read(_file(root, part, "labels"), _LABELS)
    if images.ndim != 3 or len(images) != len(labels) or labels.max(initial=0) > 9:
        raise RequestError(
            f"the {part} files of mnist in {root} do not belong together: {images.shape} images and {len(labels)} labels"
        )
    return images, labels


def _file(root: Path, part: str, kind: str) -> Path:
    name = f"{_PARTS[part]}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
    for path in (root / name, root / f"{name}.gz", root / name.replace("-idx", ".idx")):
        if path.is_file():
            return path
    raise RequestError(f"no {name} (nor {name}.gz) in {root}: expected MNIST's four idx files there")


def _read(path: Path, magic: int) -> np.ndarray:
    """The array in an idx file: big-endian magic number, dimensions, then bytes."""
    try:
        packed = bounded.file(path)
        content = bounded.gunzip(packed, path) if path.suffix == ".gz" else packed
        found = struct.unpack(">I", content[:4])[0]
        depth = content[3]
        shape = struct.unpack(f">{depth}I", content[4 : 4 + 4 * depth])
        array = np.frombuffer(content, np.uint8, offset=4 + 4 * depth)
        if found != magic or array.size != math.prod(shape):
            raise ValueError(f"magic number {found}, shape {shape} and {array.size} bytes")
    except RequestError:
        raise
    except (OSError, EOFError, ValueError, IndexError, struct.error, zlib.error) as error:
        raise RequestError(f"{path} is no idx file of MNIST ({error}): get it again") from error
    return array.reshape(shape)
