"""Hugging Face `datasets` on the disk: parquet shards, or the arrow files of `save_to_disk`; an image column and a label column.

Parquet is read front to back in small batches of rows (an image out of order costs the way to it within its row group); arrow
files are memory-mapped. What a file claims is never allocated unseen: rows are counted against the file's size.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from bench import pictures, places
from bench.datasets import _index, _labelled, _tables
from bench.errors import RequestError
from bench.images import Faces, Unreadable


@dataclass(frozen=True)
class Parquet:
    """The source of the pixels in the shards; see `bench.images.Source`. Each process opens the shards for itself.

    Attributes:
        root: the folder that the shards' names are relative to.
        shards: their names.
        image, label: the columns.
        mark: what changes when a shard does.
    """

    root: Path
    shards: tuple[str, ...]
    image: str
    label: str
    mark: tuple

    @property
    def fingerprint(self) -> str:
        """A hash of the shards' names, sizes and times, and of the columns."""
        return hashlib.sha256(repr((self.shards, self.image, self.label, self.mark)).encode()).hexdigest()

    def images(self, names: Sequence[str]) -> Iterator[np.ndarray | Unreadable]:
        """(H, W, 3) uint8 arrays, in order."""
        found = _opened(self)
        rows = _labelled.rows(names, found.row, self.root)
        shard, reader = -1, None
        for name, row in zip(names, rows, strict=True):
            here = int(np.searchsorted(found.starts, row, side="right")) - 1
            if here != shard or reader is None:
                shard, reader = here, _tables.Pictures(self.root / self.shards[here], self.image)
            content = reader.at(row - int(found.starts[here]))
            yield Unreadable(name, content) if isinstance(content, str) else pictures.decode(name, content)


def load(
    *,
    path: str,
    split: str | None = None,
    image: str | None = None,
    label: str | None = None,
    exclude: str | None = None,
    people: str | None = None,
    min_images: int = 1,
) -> Faces:
    """The images of a table, named `IDENTITY/SHARD/ROW.jpg`.

    Args:
        path: a folder of .parquet shards or one that `save_to_disk` wrote, or one such file; absolute or relative to
            `$FACEBENCH_DATA`.
        split: only the shards of one split (`train/...` or `train-*.parquet`); None: all.
        image: the column of the pictures (a struct of `bytes` and `path`, or bytes); None: the only such one.
        label: the column of the identities, numbers or words; None: `label`, or the only column of class labels, numbers or
            words. Where the data set names its classes, these are the identities.
        exclude: `FILE:COLUMN`, a csv whose first column is the identity: those with a value in COLUMN are left out.
        people: `FILE:COLUMN`, the same for the person's name; without it an identity with letters and no digit is a name.
        min_images: identities with fewer images are left out.

    Raises:
        RequestError: no shard there, a damaged one, or no such columns.
    """
    found = places.data(path)
    root, shards = _shards(found, split)
    first = _tables.Table(root / shards[0])
    columns = first.columns(image, label)
    mark = tuple(_index.file_mark(root / shard) for shard in shards)
    source = Parquet(root, shards, *columns, mark)
    opened = _opened(source)
    return _labelled.faces(
        found,
        opened.labels,
        opened.identities,
        opened.name,
        source,
        exclude=exclude,
        people=people,
        min_images=min_images,
    )


def _shards(path: Path, split: str | None) -> tuple[Path, tuple[str, ...]]:
    """The folder, and the names of the shards below it."""
    if path.is_file():
        return path.parent, (path.name,)
    below = [file.relative_to(path) for suffix in ("parquet", "arrow") for file in path.rglob(f"*.{suffix}")]
    # `cache-*.arrow` are results of `map` that the library keeps beside the data.
    found = sorted(file.as_posix() for file in below if not file.name.startswith(("cache-", ".")))
    chosen = [
        file for file in found if split is None or split in (file.split("/")[0], Path(file).parent.name, _prefix(file))
    ]
    if not chosen:
        there = f"; it has: {', '.join(found[:5])}" if found else ""
        wanted = "" if split is None else f" of split {split!r}"
        raise RequestError(f"no .parquet or .arrow file{wanted} in {path}{there}")
    if len({Path(file).suffix for file in chosen}) > 1:
        raise RequestError(f"{path} has .parquet and .arrow files: name the folder or file of one kind")
    return path, tuple(chosen)


def _prefix(file: str) -> str:
    return Path(file).name.split("-")[0].split(".")[0]


@dataclass(frozen=True)
class _Opened:
    shards: tuple[str, ...]  # names without suffix
    starts: np.ndarray  # (shards,) the first row of each
    labels: np.ndarray
    identities: list[str]

    def name(self, row: int) -> str:
        shard = int(np.searchsorted(self.starts, row, side="right")) - 1
        return f"{self.identities[self.labels[row]]}/{self.shards[shard]}/{row - int(self.starts[shard])}.jpg"

    def row(self, name: str) -> int:
        shard, _, number = name.partition("/")[2].rpartition("/")
        within = _labelled.whole(number.removesuffix(".jpg"))
        if shard not in self.shards or within < 0:
            return -1
        row = int(self.starts[self.shards.index(shard)]) + within
        return row if row < len(self.labels) and self.name(row) == name else -1


@lru_cache(maxsize=4)
def _opened(source: Parquet) -> _Opened:
    said: list[str] = []
    starts: list[int] = []
    for shard in source.shards:
        starts.append(len(said))
        said += _tables.Table(source.root / shard).identities(source.image, source.label)
    labels, identities = _labelled.numbered(said)
    bare = tuple(shard.rpartition(".")[0] for shard in source.shards)
    return _Opened(bare, np.array(starts), labels, identities)
