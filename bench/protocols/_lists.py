"""The list files of a protocol, and the images that lie in folders and archives."""

import csv
import hashlib
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import bounded
from bench.errors import RequestError
from bench.files import Tree, is_image

Root = str | Path | Mapping[str, str]
ADVICE = "add what holds them, or allow_missing to leave them out and mark every figure as partial"


def read(root: Root, file: str | Path, instead: str = "") -> str:
    """The text of a list file.

    Args:
        root: a folder, or a mapping of file name -> text (an embedded protocol).
        file: a path relative to `root`, or an absolute one; `.gz` is unpacked, and a path may lead into an archive
            (`archive.zip/list.csv`).
        instead: what else could be given, for the error's sentence.

    Raises:
        RequestError: there is no such file.
    """
    if isinstance(root, Mapping) and not Path(file).is_absolute():
        if str(file) not in root:
            raise RequestError(
                f"no list file {str(file)!r} in this embedded protocol; it has: {', '.join(sorted(root))}"
            )
        return root[str(file)]
    path = Path(file) if isinstance(root, Mapping) else Path(root) / file
    data = _bytes(path, instead)
    try:
        return (bounded.gunzip(data, path) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise RequestError(f"{path} is no list: expected UTF-8 text, or such text packed by gzip ({error})") from error


def _bytes(path: Path, instead: str) -> bytes:
    if path.is_file():
        return bounded.file(path)
    for parent in path.parents:
        if parent.is_file():
            member = path.relative_to(parent).as_posix()
            try:
                return Tree(parent).read(member)
            except KeyError:
                raise RequestError(f"no file {member!r} in {parent}: check the path of the protocol's list") from None
            except RequestError:
                raise
            except bounded.DAMAGED as error:
                raise RequestError(f"{member!r} in {parent} cannot be read ({error}): get the archive again") from error
    instead = instead and f", or give {instead}"
    raise RequestError(f"no list file at {path}: check the protocol's root and the name of the list{instead}")


def lines(text: str) -> list[str]:
    """The lines that are not empty, stripped."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def rows(text: str, where: str, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """A csv with a header as (line number, row), fields stripped.

    Raises:
        RequestError: a column is missing, or a line has too few fields (with its number).
    """
    reader = csv.DictReader(io.StringIO(text, newline=None), skipinitialspace=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        if missing := [name for name in columns if name not in header]:
            raise RequestError(
                f"{where} has no column {missing[0]!r}: expected a csv with the header {','.join(columns)}"
            )
        found = []
        for row in reader:
            if None in row or any(row[name] is None for name in columns):
                raise RequestError(
                    f"{where} line {reader.line_num}: expected {len(header)} fields ({','.join(header)})"
                )
            found.append((reader.line_num, {name: row[name].strip() for name in columns}))
    except csv.Error as error:
        raise RequestError(f"{where} line {reader.reader.line_num}: no line of a csv file ({error})") from error
    return found


def people_in(root: Root, wanted: str) -> set[str]:
    """The people that a file names: one a line; or `FILE:COLUMN`, a csv's first column where COLUMN has a value.

    Raises:
        RequestError: no such file or column.
    """
    file, _, column = wanted.partition(":")
    text = read(root, file)
    if not column:
        return set(lines(text))
    header = [name.strip() for name in text.partition("\n")[0].split(",")]
    return {row[header[0]] for _, row in rows(text, file, (header[0], column)) if row[column]}


def images(root: Root, paths: Sequence[str | Path] | None) -> list[str]:
    """The names of all images in folders or archives (`paths`, relative to `root` or absolute), sorted.

    A name is the path within the folder or archive that holds the image.

    Raises:
        RequestError: `root` is no folder, a path does not exist or holds no image, or two of them share a name.
    """
    if isinstance(root, Mapping):
        raise RequestError(
            "images=[...] needs a root that is a folder; the embedded protocols list their images themselves"
        )
    if isinstance(paths, str | Path) or not paths:
        raise RequestError(f"images is a list of folders or archives, for example [faces.zip], got {paths!r}")
    place: dict[str, Path] = {}
    for path in (Path(root) / path for path in paths):
        if not path.exists():
            raise RequestError(f"no folder or archive of images at {path}")
        names = [name for name in Tree(path).files() if is_image(name)]
        if not names:
            raise RequestError(f"no images in {path}: expected PERSON/.../image files")
        for name in names:
            if name in place:
                raise RequestError(f"image {name!r} is both in {place[name]} and in {path}: name only one of them")
            place[name] = path
    return sorted(place)


def absent(
    names: Sequence[str], root: Root, paths: Sequence[str | Path] | None, where: str, allow: bool = False
) -> list[str]:
    """The images that `where` names and that are in none of the folders or archives; none where `paths` is None.

    Raises:
        RequestError: there is one, and `allow` is False.
    """
    if paths is None:
        return []
    known = set(images(root, paths))
    missing = [name for name in names if name not in known]
    if missing and not allow:
        raise RequestError(
            f"{len(missing)} of the {len(names):,} images in {where} are missing in {', '.join(map(str, paths))}, "
            f"the first is {missing[0]!r}: {ADVICE}"
        )
    return missing


def people(names: Sequence[str], where: str) -> tuple[str, ...]:
    """The person of each image: its first folder.

    Raises:
        RequestError: a name without a folder.
    """
    if bare := next((name for name in names if "/" not in name), None):
        raise RequestError(f"image {bare!r} of {where} lies in no folder: expected PERSON/.../image")
    return tuple(name.split("/", 1)[0] for name in names)


def unique(names: Sequence[str], where: str) -> tuple[str, ...]:
    """The names as a tuple.

    Raises:
        RequestError: one stands there twice, or there are none.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise RequestError(f"image {name!r} stands twice in {where}: list each image once")
        seen.add(name)
    if not seen:
        raise RequestError(f"{where} lists no images")
    return tuple(names)


def whole(name: str, value: Any, least: int) -> int:
    """An option that is a whole number.

    Raises:
        RequestError: it is none, or below `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RequestError(f"{name} is a whole number from {least} on, got {value!r}")
    return value


def sha256(names: str | Sequence[str]) -> str:
    """The hash of a text, or of names one a line."""
    return hashlib.sha256((names if isinstance(names, str) else "\n".join(names)).encode()).hexdigest()


def short_hash(spec: Mapping[str, Any]) -> str:
    """16 hex digits of the sha256 of the canonical JSON of plain data."""
    return sha256(json.dumps(spec, sort_keys=True))[:16]
