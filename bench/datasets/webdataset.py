"""WebDataset: tar shards whose files belong together by name, `KEY.jpg` with `KEY.cls` or `KEY.json`; read at any place.

The files of a sample share all before the first dot of the file's name. Shards are plain tars: a compressed one cannot be read at
any place and is refused. Links and names that lead out: see `bench.bounded`.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench import bounded, pictures, places, waiting
from bench.datasets import _index, _labelled
from bench.errors import RequestError
from bench.files import IMAGE_SUFFIXES
from bench.images import Faces, Unreadable

_VERSION = 1  # of what is kept of the shards
_FIELDS = ("label", "identity", "person", "class", "cls")  # of a .json, where no option says which
_FIRST = 64  # files of a shard among which the whole first sample is
_SAID = 1 << 20  # bytes of a file that says whose image it is


@dataclass(frozen=True)
class Webdataset:
    """The source of the pixels in tar shards; see `bench.images.Source`. Each process opens the shards for itself.

    Attributes:
        shards: the tars.
        label: where a sample says whose it is: `cls`, `txt` or `json.FIELD`.
        mark: what changes when a shard does.
    """

    shards: tuple[Path, ...]
    label: str
    mark: tuple

    @property
    def fingerprint(self) -> str:
        """A hash of the shards' names, sizes and times."""
        return hashlib.sha256(repr((self.mark, self.label)).encode()).hexdigest()

    def images(self, names: Sequence[str]) -> Iterator[np.ndarray | Unreadable]:
        """(H, W, 3) uint8 arrays, in order."""
        found = _opened(self)
        rows = _labelled.rows(names, lambda name: found.rows.get(name, -1), self.shards[0].parent)
        current, file = -1, None
        try:
            for name, row in zip(names, rows, strict=True):
                shard, offset, size = found.places[row].tolist()
                if shard != current or file is None:
                    if file is not None:
                        file.close()
                    current, file = shard, self.shards[shard].open("rb", buffering=0)
                yield _picture(name, file, self.shards[shard], offset, size)
        finally:
            if file is not None:
                file.close()


def _picture(name: str, file: BinaryIO, shard: Path, offset: int, size: int) -> np.ndarray | Unreadable:
    if size > bounded.PICTURE:
        return Unreadable(name, f"{size:,} bytes, and at most {bounded.PICTURE:,} are read of a picture")
    content = os.pread(file.fileno(), size, offset)
    if len(content) < size:
        return Unreadable(name, f"{shard} ends within it")
    return pictures.decode(name, content)


def load(
    *,
    path: str | Sequence[str],
    label: str | None = None,
    exclude: str | None = None,
    people: str | None = None,
    min_images: int = 1,
) -> Faces:
    """The images of WebDataset shards, named `IDENTITY/SHARD/KEY.jpg` (SHARD: the tar's name without `.tar`).

    Args:
        path: a .tar, a folder of them, or a list of either; absolute or relative to `$FACEBENCH_DATA`.
        label: which file of a sample says whose it is: `cls`, `txt` or `json.FIELD`; None: what the first sample has.
        exclude: `FILE:COLUMN`, a csv whose first column is the identity: those with a value in COLUMN are left out.
        people: `FILE:COLUMN`, the same for the person's name; without it an identity with letters and no digit is a name.
        min_images: identities with fewer images are left out.

    Raises:
        RequestError: no shard there, a damaged or compressed one, or a sample without a picture or without its label.
    """
    shards = tuple(shard for one in ([path] if isinstance(path, str) else path) for shard in _shards(places.data(one)))
    if len({shard.stem for shard in shards}) < len(shards):
        raise RequestError(
            f"two shards of {path!r} have the same name: WebDataset shards are told apart by their names"
        )
    mark = (_VERSION, *((shard.name, *_index.file_mark(shard)) for shard in shards))
    source = Webdataset(shards, label or _first_label(shards[0]), mark)
    found = _opened(source)
    names = list(found.rows)
    return _labelled.faces(
        shards[0].parent,
        found.labels,
        found.identities,
        names.__getitem__,
        source,
        exclude=exclude,
        people=people,
        min_images=min_images,
    )


def _shards(path: Path) -> list[Path]:
    found = sorted(path.glob("*.tar")) if path.is_dir() else [path]
    if not found:
        raise RequestError(f"no .tar in {path}: expected the shards of a WebDataset")
    return found


@dataclass(frozen=True)
class _Opened:
    rows: dict[str, int]  # name -> row
    places: np.ndarray  # (N, 3): shard, offset, size
    labels: np.ndarray
    identities: list[str]


@lru_cache(maxsize=4)
def _opened(source: Webdataset) -> _Opened:
    asked = ("webdataset", [str(shard) for shard in source.shards], source.mark, source.label)
    found = _index.kept(asked, lambda: _read(source))
    keys, said = (found[name].tobytes().decode().split("\n") for name in ("keys", "said"))
    labels, identities = _labelled.numbered(said)
    stems = [shard.stem for shard in source.shards]
    names = (
        f"{who}/{stems[shard]}/{key}"
        for who, shard, key in zip(said, found["places"][:, 0].tolist(), keys, strict=True)
    )
    return _Opened({name: row for row, name in enumerate(names)}, found["places"], labels, identities)


def _read(source: Webdataset) -> dict[str, np.ndarray]:
    keys: list[str] = []
    said: list[str] = []
    places_: list[tuple[int, int, int]] = []
    with waiting.bar("finding the images of the shards") as advance:
        for number, shard in enumerate(source.shards):
            with shard.open("rb", buffering=0) as file:
                for key, parts in _samples(shard).items():
                    suffix, offset, size = _picture_of(shard, key, parts)
                    keys.append(f"{key}.{suffix}")
                    said.append(_said(file.fileno(), shard, key, parts, source.label))
                    places_.append((number, offset, size))
            advance(number + 1, len(source.shards))
    if not keys:
        raise RequestError(f"no samples in {source.shards[0]}: expected KEY.jpg with KEY.cls or KEY.json")
    text = {"keys": keys, "said": said}
    packed = {name: np.frombuffer("\n".join(lines).encode(), np.uint8) for name, lines in text.items()}
    return {**packed, "places": np.array(places_, np.int64)}


Parts = dict[str, tuple[int, int]]  # suffix -> offset, size


def _samples(shard: Path, first: int | None = None) -> dict[str, Parts]:
    """Key -> the files of the sample, in the order of the tar; only its first files where `first` says how many."""
    archive, members = bounded.opened_tar(shard, packed=False, first=first)
    bounded.close(archive)
    found: dict[str, Parts] = {}
    for name, member in members.items():
        folder, _, base = name.rpartition("/")
        stem, dot, suffix = base.partition(".")
        if not dot or not stem:  # hidden files and those without a suffix belong to no sample
            continue
        key = f"{folder}/{stem}" if folder else stem
        if not key.isprintable():
            raise RequestError(f"{shard} holds the name {name!r}: expected one without control characters")
        if suffix.lower() in found.setdefault(key, {}):
            raise RequestError(f"{shard} holds {key}.{suffix.lower()} twice")
        found[key][suffix.lower()] = (member.offset_data, member.size)
    return found


def _picture_of(shard: Path, key: str, parts: Parts) -> tuple[str, int, int]:
    shown = [suffix for suffix in parts if f".{suffix}" in IMAGE_SUFFIXES]
    if len(shown) != 1:
        raise RequestError(
            f"sample {key!r} of {shard} has {len(shown)} pictures ({', '.join(sorted(parts))}): expected one, as {key}.jpg"
        )
    return shown[0], *parts[shown[0]]


def _first_label(shard: Path) -> str:
    """Where the first sample of a shard says whose it is."""
    key, parts = next(iter(_samples(shard, _FIRST).items()), ("", {}))
    if "cls" in parts:
        return "cls"
    if "json" in parts:
        with shard.open("rb", buffering=0) as file:
            values = _json(file.fileno(), shard, key, parts["json"])
        if field := next((field for field in _FIELDS if field in values), None):
            return f"json.{field}"
        if values:
            raise RequestError(
                f"give label=json.FIELD: {key}.json of {shard} has the fields {', '.join(sorted(values))}"
            )
    raise RequestError(
        f"{shard} is no WebDataset with labels: expected KEY.jpg with KEY.cls or KEY.json, its first sample has "
        f"{', '.join(sorted(parts)) or 'no files'}"
    )


def _said(handle: int, shard: Path, key: str, parts: Parts, label: str) -> str:
    suffix, _, field = label.partition(".")
    if suffix not in parts or (suffix == "json") != bool(field):
        raise RequestError(
            f"sample {key!r} of {shard} says nothing under label={label} (cls, txt or json.FIELD); it has: "
            + ", ".join(sorted(parts))
        )
    if suffix == "json":
        value = _json(handle, shard, key, parts["json"]).get(field)
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise RequestError(f"{key}.json of {shard} has no number or word under {field!r}, got {value!r}")
        return _labelled.check_identity(str(value), f"{key}.json of {shard}")
    where = f"{key}.{suffix} of {shard}"
    try:
        return _labelled.check_identity(_content(handle, where, parts[suffix]).decode().strip(), where)
    except UnicodeDecodeError as error:
        raise RequestError(f"{where} is no text ({error})") from error


def _json(handle: int, shard: Path, key: str, place: tuple[int, int]) -> dict:
    where = f"{key}.json of {shard}"
    try:
        values = json.loads(_content(handle, where, place))
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{where} is no JSON ({error})") from error
    if not isinstance(values, dict):
        raise RequestError(f"{where} should hold an object with the sample's label, got {type(values).__name__}")
    return values


def _content(handle: int, where: str, place: tuple[int, int]) -> bytes:
    offset, size = place
    if size > _SAID:
        raise RequestError(f"{where} holds {size:,} bytes, and at most {_SAID:,} are read of such a file")
    return os.pread(handle, size, offset)
