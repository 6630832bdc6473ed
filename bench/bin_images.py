"""insightface's verification files (`lfw.bin`, `cfp_fp.bin`, `agedb_30.bin` ...): pairs of encoded images, and labels.

A file is a pickle of (list of encoded images, list of booleans): images 2k and 2k + 1 are pair k, the k-th boolean says
whether they show one person. It is read by `bench._pickled`, never unpickled. Nobody is named in it.
"""

import hashlib
import mmap
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bench import _pickled, bounded
from bench._pickled_values import Array, BadPickle, Data, Forbidden, Span
from bench.errors import RequestError
from bench.files import FileImages

SUFFIX = ".bin"
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class _Content:
    """Where the images lie in the file, and (n,) bool: one person or two."""

    images: tuple[Span, ...]
    same: np.ndarray


class BinFile:
    """One file, as a tree of images (see `bench.files.Files`) named `lfw/00000.jpg`; read anew by each process.

    Attributes:
        path: the file.
        label: `lfw` for `lfw.bin`.
    """

    def __init__(self, path: Path):
        self.path, self.label = path, path.stem
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.label, re.ASCII):
            raise RequestError(f"{path} gives its figures their name: rename it to letters, digits, `_`, `-` and `.`")

    def __reduce__(self) -> tuple:
        return BinFile, (self.path,)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The images, two a pair, in the file's order."""
        return tuple(f"{self.label}/{number:05d}.jpg" for number in range(len(self._content.images)))

    @property
    def same(self) -> np.ndarray:
        """(n,) bool, one person or two.

        Raises:
            RequestError: the file is damaged, or no verification .bin (see `bench._pickled`).
        """
        return self._content.same

    def files(self) -> dict[str, tuple]:
        """Name -> the image's place in the file, and the file's size and time."""
        about = self.path.stat()
        spans = self._content.images
        return {
            name: (span.start, span.stop, about.st_size, about.st_mtime_ns)
            for name, span in zip(self.names, spans, strict=True)
        }

    def read(self, name: str, most: int = bounded.PICTURE) -> bytes:
        """One encoded image.

        Raises:
            KeyError: there is no such image.
            RequestError: it holds more than `most` bytes.
        """
        span = self._content.images[self._row[name]]
        if span.stop - span.start > most:
            raise RequestError(
                f"image {name} in {self.path} has {span.stop - span.start:,} bytes: at most {most:,} are read"
            )
        with self.path.open("rb") as file:
            file.seek(span.start)
            data = file.read(span.stop - span.start)
        return Span(0, len(data), span.latin).content(data)

    def digests(self) -> list[bytes]:
        """A hash of each image's bytes: equal for one image that stands in several pairs."""

        def of_all(data: Data) -> list[bytes]:
            known: dict[Span, bytes] = {}
            for span in self._content.images:
                if span not in known:
                    known[span] = hashlib.blake2b(span.content(data), digest_size=16).digest()
            return [known[span] for span in self._content.images]

        return self._mapped(of_all)

    @cached_property
    def _row(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    @cached_property
    def _content(self) -> _Content:
        return self._mapped(lambda data: _content(_pickled.load(data), data))

    def _mapped(self, function: Callable[[Data], _T]) -> _T:
        """What a function says of the file's bytes, which are mapped and not read."""
        expected = "expected a pickle of a list of encoded images and a list of booleans, one for two images"
        try:
            with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return function(data)
        except Forbidden as error:
            raise RequestError(
                f"{self.path} is refused: its pickle names {error}, and a verification .bin needs nothing but numpy's "
                "array builders and _codecs.encode: get the file from a source that you trust"
            ) from error
        except BadPickle as error:
            raise RequestError(f"{self.path} is no verification .bin: it {error}; {expected}") from error
        except (OSError, ValueError) as error:  # mmap answers an empty file with a ValueError
            raise RequestError(f"{self.path} cannot be read ({error}); {expected}") from error


def found(root: Path, files: str | Path | Sequence[str | Path] | None = None) -> list[BinFile]:
    """The files: `root` itself; those named `files` in the folder `root` (or absolute); else all `.bin` in it, by name.

    Raises:
        RequestError: there is none, one of them is missing, or two share a name.
    """
    if files is None:
        paths = [root] if root.is_file() else sorted(root.glob(f"*{SUFFIX}")) if root.is_dir() else []
        if not paths:
            raise RequestError(f"no {SUFFIX} file at {root}: expected a verification file, or a folder of them")
    else:
        listed = [files] if isinstance(files, str | Path) else files
        if not isinstance(listed, list | tuple) or not listed or not all(isinstance(f, str | Path) for f in listed):
            raise RequestError(f"files is one file, or a list of files, for example [lfw.bin], got {files!r}")
        folder = root.parent if root.is_file() else root
        paths = [folder / file for file in listed]
    if missing := [path for path in paths if not path.is_file()]:
        raise RequestError(f"no file at {missing[0]}: check the protocol's root and its files")
    labels = [path.stem for path in paths]
    if twice := next((path for path in paths if labels.count(path.stem) > 1), None):
        raise RequestError(f"two files are called {twice.stem!r}, and both would give {twice.stem}-bin/accuracy")
    return [BinFile(path) for path in paths]


def source(root: Path, files: str | Path | Sequence[str | Path] | None = None) -> FileImages:
    """The pixels of the protocol `bins` with the same `root` and `files`; see `bench.images.Source`."""
    return FileImages([("", file) for file in found(root, files)])


def _content(value: Any, data: Data) -> _Content:
    """What a verification file holds, from the values in its pickle."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise BadPickle("holds something else than two lists")
    images, labels = value
    if isinstance(labels, Array) and labels.data is not None and labels.flat:
        labels = labels.data.content(data)
    if not isinstance(images, tuple | list) or not isinstance(labels, tuple | list | bytes) or not labels:
        raise BadPickle("holds something else than a list of images and a list of labels")
    if len(images) != 2 * len(labels):
        raise BadPickle(f"holds {len(images):,} images and {len(labels):,} labels")
    if not all(isinstance(label, int) and label in (0, 1) for label in labels):
        raise BadPickle("holds labels that are neither true nor false")
    return _Content(tuple(map(_image, images)), np.array(list(labels), bool))


def _image(value: Any) -> Span:
    """Where an encoded image lies: bytes, or a one-dimensional array of bytes."""
    if isinstance(value, Array) and value.data is not None and value.code == "u1" and value.flat:
        value = value.data
    if not isinstance(value, Span) or value.start == value.stop:
        raise BadPickle(
            "holds an image that is no bytes of an encoded image, nor a one-dimensional uint8 array of them"
        )
    return value
