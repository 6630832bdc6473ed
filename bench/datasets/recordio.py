"""MXNet's .rec/.idx, as insightface ships CASIA-WebFace, MS1M and Glint: read where they lie, without mxnet.

Record 0 may say that records 1 ... N are images and the next ones identities (each the range of its images); such records hold
no picture and are passed over. An image's identity is the first label of its own header, as insightface trains on it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench import bounded, pictures, places
from bench.datasets import _index, _labelled, _records
from bench.errors import RequestError
from bench.images import Faces, Unreadable

_VERSION = 1  # of what is kept of a file
_EXACT = 1 << 24  # every whole number up to here is a float32 of its own


@dataclass(frozen=True)
class Recordio:
    """The source of the pixels in one .rec file; see `bench.images.Source`. Each process opens the file for itself.

    Attributes:
        rec: the file.
        idx: where its records lie; None: found by going through the file.
        mark: what changes when one of them does.
    """

    rec: Path
    idx: Path | None
    mark: tuple

    @property
    def fingerprint(self) -> str:
        """A hash of the .rec's size and time and of the .idx."""
        return hashlib.sha256(repr(self.mark).encode()).hexdigest()

    def images(self, names: Sequence[str]) -> Iterator[np.ndarray | Unreadable]:
        """(H, W, 3) uint8 arrays, in order."""
        found = _opened(self)
        keys, order = found["keys"], found["order"]

        def row(name: str) -> int:
            key = _labelled.whole(name.partition("/")[2].removesuffix(".jpg"))
            at = int(np.searchsorted(keys, key, sorter=order))
            there = int(order[at]) if at < len(keys) else -1
            return there if there >= 0 and name == f"{found['labels'][there]}/{keys[there]}.jpg" else -1

        rows = _labelled.rows(names, row, self.rec)
        with self.rec.open("rb", buffering=0) as file:
            for name, at in zip(names, rows, strict=True):
                yield _picture(name, file, self.rec, int(found["offsets"][at]))


def load(*, path: str, exclude: str | None = None, people: str | None = None, min_images: int = 1) -> Faces:
    """The images of a .rec file, named `LABEL/KEY.jpg` (KEY is the record's number in the .idx).

    Args:
        path: the .rec file, or a folder with one; absolute or relative to `$FACEBENCH_DATA`. Beside it lie the .idx of the
            same name (where it is missing, the records are found by going through the .rec once) and, if there is one,
            `property` (`classes,height,width`), against which the labels are checked.
        exclude: `FILE:COLUMN`, a csv whose first column is the identity (the label): those with a value in COLUMN are left out.
        people: `FILE:COLUMN`, the same for the person's name; without it nobody's name is known.
        min_images: identities with fewer images are left out.

    Raises:
        RequestError: nothing there, a truncated or damaged file, or an .idx that is another file's.
    """
    rec = rec_file(places.data(path))
    idx = rec.with_suffix(".idx")
    source = Recordio(rec, idx if idx.is_file() else None, _mark(rec, idx))
    found = _opened(source)
    stated = classes(rec)
    if stated is not None and found["labels"].max() >= stated:
        raise RequestError(
            f"{rec.parent / 'property'} speaks of {stated:,} identities, and {rec} has the label {found['labels'].max()}: "
            "the files do not belong together"
        )
    different, labels = np.unique(found["labels"], return_inverse=True)
    identities = [str(label) for label in different.tolist()]
    keys = found["keys"].tolist()
    return _labelled.faces(
        rec,
        labels,
        identities,
        lambda row: f"{identities[labels[row]]}/{keys[row]}.jpg",
        source,
        exclude=exclude,
        people=people,
        min_images=min_images,
    )


def rec_file(path: Path) -> Path:
    """The .rec file at `path`, or the only one in that folder.

    Raises:
        RequestError: there is none, or several.
    """
    if path.is_file():
        return path
    found = sorted(path.glob("*.rec"))
    if len(found) != 1:
        names = f"it has {', '.join(file.name for file in found)}: name one of them" if found else "it has none"
        raise RequestError(f"recordio data are one .rec file, or a folder with one, got {path}: {names}")
    return found[0]


def _mark(rec: Path, idx: Path) -> tuple:
    beside = hashlib.sha256(bounded.file(idx)).hexdigest() if idx.is_file() else ""
    return (_VERSION, *_index.file_mark(rec), beside)


def classes(rec: Path) -> int | None:
    """How many identities the `property` beside a .rec speaks of; None: there is none.

    Raises:
        RequestError: it says something else.
    """
    first = _property(rec)[:1]
    if first and not (first[0].isascii() and first[0].isdigit() and len(first[0]) < 19):
        raise RequestError(
            f"{rec.parent / 'property'} should say CLASSES,HEIGHT,WIDTH, and begins with {first[0][:40]!r}"
        )
    return int(first[0]) if first else None


def size(rec: Path) -> str:
    """The `HEIGHTxWIDTH` that the `property` beside a .rec states; empty where it states none."""
    return "x".join(_property(rec)[1:3])


def _property(rec: Path) -> list[str]:
    file = rec.parent / "property"
    if not file.is_file():
        return []
    text = bounded.file(file, 1 << 16).decode("utf-8", "replace")
    return [part.strip() for part in text.split(",")]


@lru_cache(maxsize=4)
def _opened(source: Recordio) -> dict[str, np.ndarray]:
    """Of every image its `keys`, `offsets` and `labels`, in the order of the file, and the `order` of the keys."""
    found = _index.kept(("recordio", str(source.rec), source.mark), lambda: _read(source))
    return {**found, "order": np.argsort(found["keys"], kind="stable")}


def _read(source: Recordio) -> dict[str, np.ndarray]:
    rec = source.rec
    if source.idx is not None:
        keys, offsets = _records.keys_and_offsets(source.idx)
    else:
        offsets = _records.found_offsets(rec)
        keys = np.arange(len(offsets))
    if not len(keys):
        raise RequestError(f"{source.idx or rec} lists no records: expected a .rec file with its .idx")
    said = _records.described(rec, keys, offsets)
    if source.idx is None and len(np.unique(said.ids)) == len(keys) and said.ids.max() < 10**18:
        keys = said.ids.astype(np.int64)  # the numbers that MXNet's own tools write into the .idx as well
    shows = said.pictures > 0
    _check_count(rec, keys, said, int(shows.sum()))
    labels = said.labels[shows]
    wrong = ~((labels >= 0) & (labels < _EXACT) & (labels == np.floor(labels)))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise RequestError(
            f"record {keys[shows][at]} of {rec} has the label {labels[at]}: expected whole numbers from 0 to {_EXACT - 1:,}"
        )
    return {"keys": keys[shows], "offsets": offsets[shows], "labels": labels.astype(np.int64)}


def _check_count(rec: Path, keys: np.ndarray, said: _records.Records, images: int) -> None:
    """Record 0, where it shows nothing, says how many images there are."""
    header = np.flatnonzero((keys == 0) & (said.pictures == 0) & (said.flags > 0))
    if not images:
        raise RequestError(f"none of the {len(keys):,} records of {rec} holds a picture")
    if len(header) and said.labels[header[0]] != np.float32(images + 1):  # written as a float32: rounded beyond 2^24
        raise RequestError(
            f"record 0 of {rec} says that {said.labels[header[0]] - 1:,.0f} records are images, and {images:,} are: "
            "the .rec or its .idx is not whole; get them again"
        )


def _picture(name: str, file: BinaryIO, rec: Path, offset: int) -> np.ndarray | Unreadable:
    try:
        content = _records.picture(file, rec, offset)
    except (RequestError, OSError) as error:
        return Unreadable(name, str(error))
    return pictures.decode(name, content)
