"""Lists of images with their labels: MXNet's .lst (index, label, path), insightface's (aligned, path, label), `path label`."""

import hashlib
import posixpath
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench import bounded, pictures, places
from bench.datasets import _labelled
from bench.errors import RequestError
from bench.files import Tree
from bench.images import Faces, Unreadable

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Lst:
    """The source of the pixels that a list names; see `bench.images.Source`.

    Attributes:
        list: the file.
        root: the folder or archive that the paths in it are relative to.
        strip: what the paths begin with and `root` does not hold.
        fingerprint: a hash of the list and of the sizes and times of the files.
    """

    list: Path
    root: Path
    strip: str
    fingerprint: str

    def images(self, names: Sequence[str]) -> Iterator[np.ndarray | Unreadable]:
        """(H, W, 3) uint8 arrays, in order."""
        known = _parsed(self.list, self.strip, str(self.root), self.list.stat().st_mtime_ns).names
        _labelled.rows(names, lambda name: known.get(name, -1), self.list)
        tree = Tree(self.root)
        for name in names:
            try:
                content = tree.read(name.partition("/")[2], bounded.PICTURE)
            except bounded.DAMAGED as error:
                yield Unreadable(name, str(error) or type(error).__name__)
            else:
                yield pictures.decode(name, content)


def load(
    *,
    path: str,
    root: str | None = None,
    strip: str = "",
    exclude: str | None = None,
    people: str | None = None,
    min_images: int = 1,
) -> Faces:
    """The images that a list names, as `IDENTITY/path`; an identity is a label of the list.

    A line is `index<tab>label<tab>path` (MXNet; of several labels the first counts), `aligned<tab>path<tab>label ...`
    (insightface; what follows, boxes and points, is passed over), or `path label`: the first line decides for all.

    Args:
        path: the list (`.gz` is unpacked), absolute or relative to `$FACEBENCH_DATA`.
        root: the folder, .zip or .tar that the paths are relative to; None: the list's own folder.
        strip: cut off where a path begins with it (`/home/somebody/faces/`).
        exclude: `FILE:COLUMN`, a csv whose first column is the identity: those with a value in COLUMN are left out.
        people: `FILE:COLUMN`, the same for the person's name; without it an identity with letters and no digit is a name.
        min_images: identities with fewer images are left out.

    Raises:
        RequestError: no such list, a line that is none, or images that are not below `root`.
    """
    file = places.data(path)
    where = places.data(root) if root is not None else file.parent
    if not file.is_file():
        raise RequestError(f"{file} is no list: expected a file of lines `index<tab>label<tab>path` or `path label`")
    parsed = _parsed(file, strip, str(where), file.stat().st_mtime_ns)
    there = Tree(where).files()
    if missing := [image for image in parsed.paths if image not in there]:
        raise RequestError(
            f"{len(missing):,} of the {len(parsed.paths):,} images in {file} are missing in {where}, the first is "
            f"{missing[0]!r}: give root=FOLDER, and strip=PREFIX for what the paths begin with beyond it"
        )
    digest = hashlib.sha256(repr([(image, there[image]) for image in parsed.paths]).encode())
    names = list(parsed.names)
    return _labelled.faces(
        file,
        parsed.labels,
        parsed.identities,
        names.__getitem__,
        Lst(file, where, strip, digest.hexdigest()),
        exclude=exclude,
        people=people,
        min_images=min_images,
    )


@dataclass(frozen=True)
class _Parsed:
    names: dict[str, int]  # IDENTITY/path -> row
    paths: list[str]
    labels: np.ndarray
    identities: list[str]


@lru_cache(maxsize=4)
def _parsed(file: Path, strip: str, root: str, _time: int) -> _Parsed:
    content = bounded.file(file)
    try:
        text = (bounded.gunzip(content, file) if file.suffix == ".gz" else content).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise RequestError(f"{file} is no list: expected UTF-8 text ({error})") from error
    rows = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not rows:
        raise RequestError(f"{file} lists no images")
    how = form(rows[0][1])
    said: list[str] = []
    paths: dict[str, int] = {}
    for number, line in rows:
        where = f"{file} line {number}"
        label, image = _fields(line, how, where)
        image = _relative(image, strip, root, where)
        if image in paths:
            raise RequestError(f"{where}: image {image!r} stands there twice: list each image once")
        paths[image] = number
        said.append(_labelled.check_identity(label, where))
    labels, identities = _labelled.numbered(said)
    names = {f"{label}/{image}": row for row, (label, image) in enumerate(zip(said, paths, strict=True))}
    return _Parsed(names, list(paths), labels, identities)


_FORMS = {"mxnet": "index<tab>label<tab>path", "insightface": "aligned<tab>path<tab>label", "plain": "path label"}


def form(line: str) -> str:
    """Of which form a list with this first line is: `mxnet`, `insightface` or `plain`."""
    fields = line.rstrip().split("\t")
    if len(fields) >= 3 and _NUMBER.fullmatch(fields[0]):
        if _NUMBER.fullmatch(fields[1]) and not _NUMBER.fullmatch(fields[-1]):
            return "mxnet"
        if _NUMBER.fullmatch(fields[2]):
            return "insightface"
    return "plain"


def _fields(line: str, how: str, where: str) -> tuple[str, str]:
    """(label, path)."""
    fields = line.strip().split("\t") if how != "plain" else line.strip().rsplit(None, 1)
    if len(fields) >= (2 if how == "plain" else 3):
        if how == "plain":
            return fields[1], fields[0]
        label, image = (fields[1], fields[-1]) if how == "mxnet" else (fields[2], fields[1])
        if _NUMBER.fullmatch(fields[0]) and _NUMBER.fullmatch(label):
            value = float(label)
            if value.is_integer() and 0 <= value < 1 << 53:
                return str(int(value)), image
    raise RequestError(
        f"{where}: expected {_FORMS[how]} as in the first line, with a whole label, got {line.strip()[:80]!r}"
    )


def _relative(image: str, strip: str, root: str, where: str) -> str:
    """The path below the root."""
    for start in (strip, root.rstrip("/") + "/"):
        if start and image.startswith(start):
            image = image.removeprefix(start).lstrip("/")
            break
    plain = posixpath.normpath(image)
    if plain.startswith(("/", "../")) or plain in ("..", ".") or not plain.isprintable():
        raise RequestError(
            f"{where}: {image!r} does not lie below {root}: give root=FOLDER, and strip=PREFIX for what the paths begin with"
        )
    return plain
