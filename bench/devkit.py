"""The MegaFace devkit's feature files: one OpenCV matrix an image, named as the image with a suffix.

    FOLDER/Adam Brody/Adam Brody_260.png_r100.bin        suffix `_r100.bin`: the devkit's argument "file ending"

A file is four little-endian int32 (rows, columns, bytes a row, type 5 = CV_32F) and rows x columns float32. A feature is
one column (rows = D); one row is read too. The devkit reads rows x bytes-a-row bytes, insightface's scripts rows x 4
whatever the columns say: on a column both find the same numbers, so that is what is written here. What insightface's
`remove_noises.py` has written holds one dimension more (100 where a distractor is noisy), which keeps such a distractor
away under the devkit's Euclidean distance (`scorer="l2"` here), not under the cosine: read the features of before, and
ask the protocol for `refined="insightface"`.
"""

import os
import re
import struct
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from bench.errors import RequestError
from bench.waiting import bar

SUBFOLDERS = ("megaface", "facescrub", "fgnet")
_HEADER = struct.Struct("<4i")
_TYPES = ("CV_8U", "CV_8S", "CV_16U", "CV_16S", "CV_32S", "CV_32F", "CV_64F")
_FLOAT32 = 5
_WIDEST = 1 << 20  # numbers in a feature; a damaged header asks for more

Folders = str | Path | Sequence[str | Path]


def suffix_of(algorithm: str) -> str:
    """The suffix that the community gives the features of an algorithm: `r100` -> `_r100.bin`."""
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", algorithm):
        raise RequestError(f"an algorithm's name is of letters, digits, _ and -, got {algorithm!r}")
    return f"_{algorithm}.bin"


def suffixes(folder: Folders, name: str) -> list[str]:
    """The suffixes of the feature files of the image `name`, sorted; none where it has no feature."""
    found = set()
    for root in _roots(folder):
        beside = (root / _inside(name)).parent
        stem = PurePosixPath(name).name
        if beside.is_dir():
            files = (entry.name for entry in os.scandir(beside) if entry.is_file())
            found |= {file[len(stem) :] for file in files if file.startswith(stem + "_") and file.endswith(".bin")}
    return sorted(found)


def missing_features(folder: Folders, names: Sequence[str], suffix: str) -> list[str]:
    """The images that have no feature file, in their order."""
    roots = _roots(folder)
    with bar("looking for features") as advance:
        lost = []
        for done, name in enumerate(names):
            if _place(roots, name, suffix) is None:
                lost.append(name)
            if done % 1024 == 0:
                advance(done, len(names))
    return lost


def read_features(
    folder: Folders, names: Sequence[str], suffix: str, *, allow_missing: bool = False, out: str | Path | None = None
) -> np.ndarray:
    """The features of images, one file each, as an array in their order.

    Args:
        folder: where the files lie, `folder/name + suffix`; or several such folders (the devkit keeps probes and
            distractors apart). The folders megaface, facescrub and fgnet below one are looked through too.
        names: (N,) images, as a protocol names them.
        suffix: what follows an image's name in the name of its file, `_algorithm.bin`.
        allow_missing: leave out the rows of images without a file (`missing_features` names them).
        out: a new .npy file to hold the array, which is then mapped and not held in memory (a million features of 512
            numbers are 2 GB).

    Returns:
        (N, D) float32.

    Raises:
        RequestError: images without a feature file, a file that is damaged, of another width than the first, or with a
            number that is not finite.
    """
    names = list(names)
    if lost := missing_features(folder, names, suffix):
        if not allow_missing:
            raise RequestError(
                f"{len(lost):,} of {len(names):,} images have no feature file ...{suffix} in {_said(folder)}, the first "
                f"is {lost[0]!r}: add them, or allow_missing to leave them out and mark every figure as partial"
            )
        gone = set(lost)
        names = [name for name in names if name not in gone]
    if not names:
        raise RequestError(
            f"no image has a feature file ...{suffix} in {_said(folder)}: check the folder and the suffix"
        )
    return _filled(_roots(folder), names, suffix, None if out is None else Path(out))


def write_features(folder: str | Path, names: Sequence[str], array: np.ndarray, suffix: str) -> None:
    """Write features as files that the devkit can score: each of length 1, as its distance is Euclidean.

    Args:
        folder: where they go, `folder/name + suffix`; made where there is none.
        names: (N,) images.
        array: (N, D) embeddings, row i of image i.
        suffix: `_algorithm.bin`; the devkit takes the text between its first `_` and `.` as the algorithm's name.

    Raises:
        RequestError: another number of rows, a name that leads out of the folder, or an embedding that is zero or not
            finite. Nothing has been written then.
    """
    array = np.asarray(array)
    if array.ndim != 2 or len(array) != len(names) or not array.shape[1] or array.dtype.kind not in "fiu":
        raise RequestError(
            f"one row of real numbers is written for each of {len(names):,} images, got an array of shape {array.shape} "
            f"and type {array.dtype}"
        )
    root = Path(folder)
    paths = [root / (_inside(name) + suffix) for name in names]
    for row in range(len(array)):
        _unit(array[row], row, names)
    for made in sorted({path.parent for path in paths}):
        made.mkdir(parents=True, exist_ok=True)
    header = _HEADER.pack(array.shape[1], 1, 4, _FLOAT32)
    with bar("writing features") as advance:
        for row, path in enumerate(paths):
            part = path.with_name(path.name + ".part")
            part.write_bytes(header + _unit(array[row], row, names).astype("<f4").tobytes())
            part.replace(path)
            advance(row + 1, len(paths))


def read_feature(path: Path) -> np.ndarray:
    """(D,) float32: the feature in one file.

    Raises:
        RequestError: a header that is none, another type than float32, a matrix that is no vector, or another length than
            the header says.
    """
    expected = "expected 4 int32 (rows, columns, bytes a row, type 5) and one vector of float32"
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size:
                raise RequestError(f"{path} has {len(head)} bytes and is no feature file of the devkit: {expected}")
            rows, columns, stride, kind = _HEADER.unpack(head)
            if kind != _FLOAT32:
                name = f" ({_TYPES[kind]})" if 0 <= kind < len(_TYPES) else ""
                raise RequestError(f"{path} holds numbers of type {kind}{name}: expected type 5 (CV_32F), float32")
            if min(rows, columns) != 1 or max(rows, columns) > _WIDEST or stride != 4 * columns:
                raise RequestError(
                    f"{path} says that it is {rows} x {columns} numbers with {stride} bytes a row: {expected}"
                )
            width = rows * columns
            if size != _HEADER.size + 4 * width:
                raise RequestError(
                    f"{path} has {size:,} bytes, its header says {_HEADER.size + 4 * width:,}: it was cut or added to, "
                    "write it again"
                )
            return np.frombuffer(file.read(4 * width), "<f4").astype(np.float32, copy=False)
    except OSError as error:
        raise RequestError(f"feature file {path} cannot be read ({error})") from error


def _filled(roots: list[Path], names: list[str], suffix: str, out: Path | None) -> np.ndarray:
    place = _place(roots, names[0], suffix)
    width = len(read_feature(place)) if place else 0
    if out is None:
        return _into(np.empty((len(names), width), np.float32), roots, names, suffix)
    part = out.with_name(out.name + ".part")
    try:
        mapped = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(len(names), width))
        _into(mapped, roots, names, suffix)
        mapped.flush()
        del mapped
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return np.load(out, mmap_mode="r")


def _into(array: np.ndarray, roots: list[Path], names: list[str], suffix: str) -> np.ndarray:
    with bar("reading features") as advance:
        for row, name in enumerate(names):
            path = _place(roots, name, suffix)
            if path is None:
                raise RequestError(f"the feature file of {name!r} went away while it was to be read")
            feature = read_feature(path)
            if len(feature) != array.shape[1]:
                raise RequestError(
                    f"{path} holds {len(feature)} numbers, the first feature file {array.shape[1]}: features of one "
                    "algorithm have one width"
                )
            if not np.isfinite(feature).all():
                raise RequestError(f"{path} holds nan or infinity: extract the feature of {name!r} again")
            array[row] = feature
            advance(row + 1, len(names))
    return array


def _unit(feature: np.ndarray, row: int, names: Sequence[str]) -> np.ndarray:
    """The feature at length 1, in float64."""
    feature = feature.astype(np.float64)
    largest = np.abs(feature).max()
    if not (0 < largest < np.inf):
        what = "zero and has no direction" if largest == 0 else "not finite"
        raise RequestError(f"embedding {row} ({names[row]}) is {what}: the devkit cannot score it")
    feature = feature / largest  # squares of very small or large numbers would vanish or overflow
    return feature / np.linalg.norm(feature)


def _roots(folder: Folders) -> list[Path]:
    """The folders that may hold the files.

    Raises:
        RequestError: one is no folder.
    """
    folders = [folder] if isinstance(folder, str | Path) else list(folder)
    for path in map(Path, folders):
        if not path.is_dir():
            raise RequestError(f"no folder of feature files at {path}")
    return [
        path for root in map(Path, folders) for path in (root, *(root / sub for sub in SUBFOLDERS)) if path.is_dir()
    ]


def _place(roots: Sequence[Path], name: str, suffix: str) -> Path | None:
    file = _inside(name) + suffix
    return next((path for root in roots if (path := root / file).is_file()), None)


def _inside(name: str) -> str:
    """The name, which must not lead out of the folder that it is put behind."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise RequestError(f"image {name!r} leads out of the folder of its features: expected a path below it")
    return name


def _said(folder: Folders) -> str:
    parts: Collection[str | Path] = [folder] if isinstance(folder, str | Path) else folder
    return ", ".join(map(str, parts))
