"""From rows with an identity each to `Faces`: the options that all data sets on the disk share."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench import bounded, places
from bench.errors import RequestError
from bench.images import Faces, Source


def faces(
    where: Path,
    labels: np.ndarray,
    identities: Sequence[str],
    name: Callable[[int], str],
    source: Source,
    *,
    exclude: str | None,
    people: str | None,
    min_images: int,
) -> Faces:
    """The rows whose identity is wanted, in their own order (which is the order on the disk: it is read front to back).

    Args:
        where: the data set, for sentences and for csv files that lie in it.
        labels: (N,) an index into `identities`.
        identities: their names, all different.
        name: row -> the image's name.
        source: of the pixels.
        exclude, people: `FILE:COLUMN`, a csv whose first column is the identity; FILE lies in the data set or is a data path.
        min_images: identities with fewer images are left out.

    Raises:
        RequestError: no identity is left, a wrong option, or a csv or column that does not exist.
    """
    if isinstance(min_images, bool) or not isinstance(min_images, int) or min_images < 1:
        raise RequestError(f"min_images is a whole number from 1 on, got {min_images!r}")
    left_out = _column(where, exclude) if exclude is not None else {}
    named = _column(where, people) if people is not None else {i: i for i in identities if is_persons_name(i)}
    kept = np.bincount(labels, minlength=len(identities)) >= min_images
    kept &= np.array([identity not in left_out for identity in identities], bool)
    if not kept.any():
        raise RequestError(
            f"no identity with at least {min_images} images is left of the {len(identities):,} in {where}"
        )
    rows = np.flatnonzero(kept[labels])
    number = np.cumsum(kept) - 1  # of an identity among those that are kept
    who = tuple(identity for identity, keep in zip(identities, kept.tolist(), strict=True) if keep)
    names = tuple(map(name, rows.tolist()))
    return Faces(names, number[labels[rows]].astype(np.int64), who, source, {i: named[i] for i in who if i in named})


def rows(names: Sequence[str], find: Callable[[str], int], where: Path) -> list[int]:
    """What `find` says of each name: where its image lies.

    Raises:
        RequestError: `find` says of some that there is no such image (-1).
    """
    found = [find(name) for name in names]
    missing = [name for name, row in zip(names, found, strict=True) if row < 0]
    if missing:
        raise RequestError(f"{len(missing)} of {len(names)} images are missing in {where}, the first is {missing[0]!r}")
    return found


def whole(text: str) -> int:
    """A row's number as it stands in an image's name; -1 where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


def numbered(values: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """(N,) numbers of the values among the different ones, and these: whole numbers in their order, words in theirs."""
    different = sorted(set(values), key=lambda v: (0, int(v), v) if v.isascii() and v.isdigit() else (1, 0, v))
    number = {value: k for k, value in enumerate(different)}
    return np.array([number[value] for value in values], np.int64), different


def is_persons_name(identity: str) -> bool:
    """Whether an identity is called as people are: with letters and no digit (`n000123` and `m.0107_f` are not)."""
    return any(c.isalpha() for c in identity) and not any(c.isdigit() for c in identity)


def check_identity(identity: str, where: str) -> str:
    """An identity that can be the first part of an image's name.

    Raises:
        RequestError: it is empty, or would lead elsewhere as a folder.
    """
    if not identity or identity in (".", "..") or not identity.isprintable() or set(identity) & set("/\\"):
        raise RequestError(
            f"{where} names the identity {identity!r}: expected a number or a word without slashes and control characters"
        )
    return identity


def column(text: bytes, file: str, wanted: str) -> dict[str, str]:
    """Identity (a csv's first column) -> its value in the column `wanted`; those without a value are left out.

    Raises:
        RequestError: it is no csv, or has no such column.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{file} is no csv file in UTF-8 ({error}): save it as such") from error
    if rows and wanted not in rows[0]:
        raise RequestError(f"{file} has no column {wanted!r}; it has: {', '.join(map(str, rows[0]))}")
    return {next(iter(row.values())): row[wanted].strip() for row in rows if row[wanted] and row[wanted].strip()}


def split(wanted: str) -> tuple[str, str]:
    """`FILE:COLUMN` as its two parts.

    Raises:
        RequestError: it is none.
    """
    file, _, name = wanted.rpartition(":") if isinstance(wanted, str) else ("", "", "")
    if not file or not name:
        raise RequestError(f"{wanted!r} names no csv column: expected FILE:COLUMN")
    return file, name


def _column(where: Path, wanted: str) -> dict[str, str]:
    file, name = split(wanted)
    inside = (where if where.is_dir() else where.parent) / file
    path = inside if inside.is_file() else places.data(file)
    if not path.is_file():
        raise RequestError(f"no csv file {file!r}, neither in {where} nor as a data path: give FILE:COLUMN")
    return column(bounded.file(path), file, name)
