"""Embeddings from a file of anybody's making, brought into the row order of a protocol.

    .npy            (N, D) numbers; row i belongs to the protocol's image i
    .npz            the same as `embeddings` (or the only two-dimensional array), the images' names as `names`
    .csv, .parquet  a column of names and columns of numbers (or, in parquet, one column of lists); a csv of numbers alone
                    has its rows in order
    a folder        the feature files of the MegaFace devkit, one an image (`bench.devkit`)

Where the file names its images their order does not matter, and rows of images that the protocol does not have are
counted and passed over.
"""

import csv
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import devkit
from bench.errors import RequestError
from bench.files import is_image

KEYS = ("embeddings", "features")
NAMES = ("names", "name", "images", "image", "paths", "path", "file", "filename")
LABELS = ("label", "labels", "identity", "class", "person", "index", "id", "split")
_MOST_INFLATED = 1 << 30  # bytes that a packed array may become if it is packed a hundred times smaller


@dataclass(frozen=True)
class Embeddings:
    """What a file holds.

    Attributes:
        rows: (N, D) numbers.
        names: (N,) the image of each row; None where the file does not say.
    """

    rows: np.ndarray
    names: tuple[str, ...] | None = None


def check(path: Path) -> None:
    """Whether there is something to be read.

    Raises:
        RequestError: there is nothing at `path`.
    """
    if not path.exists():
        raise RequestError(
            f"no file of embeddings at {path}: expected a {', '.join(READERS)} file or a folder of feature files"
        )


def read(path: Path) -> Embeddings:
    """The embeddings in a .npy (memory-mapped), .npz, .csv or .parquet file.

    Raises:
        RequestError: no such file, another kind of file, or one that does not hold one row of numbers an image.
    """
    check(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise RequestError(f"{path} is no file of embeddings: expected {', '.join(READERS)}")
    found = reader(path)
    rows = found.rows
    if rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise RequestError(
            f"{path} must hold one (images, dimensions) array of numbers, got shape {rows.shape} of type {rows.dtype}"
        )
    if found.names is not None and len(found.names) != len(rows):
        raise RequestError(f"{path} has {len(found.names):,} names for {len(rows):,} rows of numbers")
    return found


def of_protocol(
    path: Path, protocol: Any, allow_missing: bool = False, suffix: str | None = None
) -> tuple[Any, np.ndarray]:
    """The protocol, and its rows from a file or from a folder of the devkit's feature files (see `arrange`).

    Args:
        suffix: of the feature files, `_algorithm.bin`; needed where a folder holds those of several algorithms.

    Raises:
        RequestError: what `read` and `arrange` refuse, or a folder without feature files of these images.
    """
    if not path.is_dir():
        if suffix is not None:
            raise RequestError(f"--suffix is of a folder's feature files, and {path} is one file: leave it out")
        return arrange(read(path), protocol, allow_missing)
    suffix = suffix or _suffix(path, protocol.images)
    if allow_missing and (missing := devkit.missing_features(path, protocol.images, suffix)):
        protocol = protocol.without(missing)
    return protocol, devkit.read_features(path, protocol.images, suffix)


def _suffix(folder: Path, images: Sequence[str]) -> str:
    """The one that the feature files of the first image that has any end in."""
    for name in images[:1000]:
        found = devkit.suffixes(folder, name)
        if len(found) > 1:
            raise RequestError(
                f"{folder} holds features of several algorithms ({', '.join(found)}): say which by --suffix"
            )
        if found:
            return found[0]
    raise RequestError(
        f"{folder} holds no feature files of the protocol's images: expected {images[0]}_ALGORITHM.bin and so on"
    )


def arrange(found: Embeddings, protocol: Any, allow_missing: bool = False) -> tuple[Any, np.ndarray]:
    """The protocol and the rows in its order; the protocol without the images that no row is named for, if allowed.

    Names agree as they are, else without an image's suffix (`Ann/Ann_0001.png` is `Ann/Ann_0001.jpg`).

    Raises:
        RequestError: a name stands there twice, or images are missing (how many, and the first) and it is not allowed.
    """
    if found.names is None:
        return protocol, found.rows
    count = Counter(found.names)
    if twice := [name for name, times in count.items() if times > 1]:
        raise RequestError(
            f"the embeddings name {len(twice)} images twice, the first is {twice[0]!r}: keep one row each"
        )
    stems = Counter(map(_stem, found.names))
    place = {_stem(name): row for row, name in enumerate(found.names) if stems[_stem(name)] == 1}
    place |= {name: row for row, name in enumerate(found.names)}
    twins = Counter(map(_stem, protocol.images))  # of which a suffix alone tells one from the other
    key = {name: name if name in place or twins[_stem(name)] > 1 else _stem(name) for name in protocol.images}
    missing = [name for name in protocol.images if key[name] not in place]
    if missing and not allow_missing:
        raise RequestError(
            f"{len(missing):,} of the {len(protocol.images):,} images of {protocol.name} have no row of their name, the first "
            f"is {missing[0]!r}: embed them too, or allow missing images to have every figure marked as partial"
        )
    protocol = protocol.without(missing) if missing else protocol
    return protocol, found.rows[[place[key[name]] for name in protocol.images]]


def column(path: Path, *wanted: str) -> list[np.ndarray]:
    """Columns of numbers from a .csv, .parquet or .npz file, by their names.

    Raises:
        RequestError: no such file or column, or columns of different lengths.
    """
    if not path.is_file() or path.suffix.lower() not in (".csv", ".parquet", ".npz"):
        raise RequestError(f"no table at {path}: expected a .csv, .parquet or .npz file with {' and '.join(wanted)}")
    if path.suffix.lower() == ".npz":
        table: Any = _arrays(path)
    else:
        table = _frame(path, header=0)
    if lacking := [name for name in wanted if name not in table]:
        raise RequestError(f"{path} has no column {lacking[0]!r}; it has: {', '.join(map(str, table))}")
    found = [np.asarray(table[name]) for name in wanted]
    if (
        len({array.shape for array in found}) > 1
        or found[0].ndim != 1
        or any(a.dtype.kind not in "fiub" for a in found)
    ):
        raise RequestError(f"{path}: {' and '.join(wanted)} must be columns of numbers, equally long")
    return found


def _stem(name: str) -> str:
    return name.rpartition(".")[0] if is_image(name) else name


def _npy(path: Path) -> Embeddings:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, MemoryError, OverflowError) as error:
        raise RequestError(f"{path} is no .npy file of plain numbers: save the array with numpy.save") from error
    if not isinstance(array, np.ndarray):
        raise RequestError(f"{path} is no .npy file: name a file of several arrays .npz")
    return Embeddings(array)


def _npz(path: Path) -> Embeddings:
    arrays = _arrays(path)
    tables = [name for name, array in arrays.items() if array.ndim == 2 and array.dtype.kind in "fiu"]
    key = next((name for name in KEYS if name in arrays), tables[0] if len(tables) == 1 else None)
    if key is None:
        raise RequestError(f"{path} must hold the array {KEYS[0]!r}; it has: {', '.join(arrays) or 'nothing'}")
    names = next((arrays[name] for name in NAMES if name in arrays), None)
    if names is not None and (names.ndim != 1 or names.dtype.kind != "U"):
        raise RequestError(f"{path}: the names of the images must be one array of text, got type {names.dtype}")
    return Embeddings(arrays[key], None if names is None else tuple(map(str, names)))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a .npz file, none of which may be a bomb."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.file_size > max(_MOST_INFLATED, 100 * member.compress_size):
                    raise RequestError(
                        f"{path}: {member.filename} would unpack to {member.file_size:,} bytes from "
                        f"{member.compress_size:,}: save embeddings with numpy.savez"
                    )
        with np.load(path, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name]) for name in arrays.files}
    except RequestError:
        raise
    except Exception as error:  # numpy and zipfile answer broken files with whatever happens
        raise RequestError(f"{path} is no .npz file of plain arrays: save them with numpy.savez") from error


def _csv(path: Path) -> Embeddings:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{path} is no csv of UTF-8 text ({error})") from error
    has_header = not any(map(_number, first))
    if has_header and not all(name.strip() for name in first):
        raise RequestError(f"{path} has a column without a name: write it without the index of rows")
    text: dict[Any, bool] = (
        {name.strip(): name.strip().lower() in NAMES for name in first}
        if has_header
        else {place: not _number(value) for place, value in enumerate(first)}
    )
    return _table(path, _frame(path, 0 if has_header else None, text))


def _parquet(path: Path) -> Embeddings:
    return _table(path, _frame(path, 0))


def _frame(path: Path, header: int | None, text: Mapping[Any, bool] | None = None) -> Any:
    """The table; `text` says of each column of a csv whether it is of names, which stay as they are (`0001`, `NA`)."""
    import pandas

    try:
        if path.suffix.lower() == ".parquet":
            frame = pandas.read_parquet(path)
            return frame if isinstance(frame.index, pandas.RangeIndex) else frame.reset_index(names=NAMES[0])
        named = [] if text is None else [name for name, is_text in text.items() if is_text]
        empty = {name: ["", "nan", "NaN", "NA"] for name in text or () if name not in named}
        frame = pandas.read_csv(
            path, header=header, skipinitialspace=True, encoding="utf-8-sig", dtype=dict.fromkeys(named, str),
            keep_default_na=text is None, na_values=empty or None,
        )  # fmt: skip
        if not isinstance(frame.index, pandas.RangeIndex):
            raise RequestError(f"{path}: its rows have more fields than its first line names: name every column")
        return frame
    except RequestError:
        raise
    except Exception as error:  # pandas and pyarrow have many kinds of error for a broken file
        first = str(error).strip().partition("\n")[0]
        raise RequestError(f"{path} cannot be read as a table ({first})") from error


def _table(path: Path, frame: Any) -> Embeddings:
    """Names are the column of that name, or the one of text; the numbers are all others, or one column of lists."""
    kinds = {name: "O" if str(name).lower() in NAMES else frame[name].dtype.kind for name in frame.columns}
    other = [name for name, kind in kinds.items() if kind not in "fiu"]
    if labels := [name for name in frame.columns if str(name).lower() in LABELS]:
        raise RequestError(f"{path}: the column {labels[0]!r} is no dimension of an embedding: leave it out")
    if not len(frame):
        raise RequestError(f"{path} has no rows")
    lists = [name for name in other if len(frame) and isinstance(frame[name].iloc[0], list | np.ndarray)]
    text = [name for name in other if name not in lists]
    if len(text) > 1 or len(lists) > 1 or (lists and len(text) + len(lists) != len(kinds)):
        raise RequestError(
            f"{path} must hold one column of names and columns of numbers, got {len(text)} columns that are no numbers "
            f"({', '.join(map(str, text[:3]))})"
        )
    names = tuple(map(str, frame[text[0]])) if text else None
    if lists:
        return Embeddings(_stacked(path, frame[lists[0]].tolist()), names)
    numbers = [name for name, kind in kinds.items() if kind in "fiu"]
    if not numbers:
        raise RequestError(f"{path} has no columns of numbers: expected names and one column for each dimension")
    return Embeddings(frame[numbers].to_numpy(), names)


def _stacked(path: Path, lists: Sequence[Any]) -> np.ndarray:
    try:
        return np.stack([np.asarray(row, dtype=np.float64) for row in lists])
    except (TypeError, ValueError) as error:
        raise RequestError(f"{path}: the embeddings are lists of numbers, all equally long ({error})") from error


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


READERS: dict[str, Callable[[Path], Embeddings]] = {".npy": _npy, ".npz": _npz, ".csv": _csv, ".parquet": _parquet}
