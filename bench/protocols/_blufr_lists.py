"""BLUFR's lists: the toolkit's `blufr_lfw_config.mat`, its text files (`list/lfw`), or made ones by the paper's rule."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.protocols import _lists

CONFIG = "blufr_lfw_config.mat"
MOST_BYTES = 1 << 26  # of a .mat file, and of what it unpacks to (the toolkit's has less than 2 MB)
_COMPRESSED = 15  # the element type miCOMPRESSED of a MATLAB 5 file


@dataclass(frozen=True)
class Trial:
    """Rows of the images: all of the test set, and its two parts for identification."""

    test: np.ndarray
    gallery: np.ndarray
    probes: np.ndarray


@dataclass(frozen=True)
class Lists:
    """The images as `NAME/NAME_0001.jpg`, in the order of the toolkit's features, and the trials."""

    images: tuple[str, ...]
    trials: tuple[Trial, ...]


def of_mat(path: Path) -> Lists:
    """The variables `imageList`, `labels`, `testIndex`, `galIndex` and `probIndex` of a MATLAB file (not of version 7.3).

    Raises:
        RequestError: no such file, one that is too large or cannot be read, or lists that contradict each other.
    """
    if not path.is_file():
        raise RequestError(
            f"no file at {path}: check the protocol's root, or give lists=FOLDER of the toolkit's text files"
        )
    if path.stat().st_size > MOST_BYTES:
        raise RequestError(f"{path} has {path.stat().st_size:,} bytes: expected BLUFR's lists, at most {MOST_BYTES:,}")
    _bounded(path)
    from scipy.io import loadmat

    names = ("imageList", "labels", "testIndex", "galIndex", "probIndex")
    try:
        found = loadmat(path, variable_names=names, squeeze_me=False)
    except Exception as error:  # the reader's parts raise whatever the bytes lead them to
        raise RequestError(
            f"{path} is no MATLAB file of versions 5 to 7.2 ({type(error).__name__}: {error})"
        ) from error
    if lost := [name for name in names if name not in found]:
        raise RequestError(f"{path} has no variable {lost[0]!r}: expected {', '.join(names)}")
    try:
        images = [str(np.asarray(cell).reshape(-1)[0]) for cell in np.asarray(found["imageList"]).reshape(-1)]
        cells = [[_numbers(cell) for cell in np.asarray(found[name]).reshape(-1)] for name in names[2:]]
        labels = _numbers(found["labels"])
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise RequestError(
            f"{path} has other variables than BLUFR's lists ({error}): expected cells of indices"
        ) from error
    return _checked(images, labels, cells, str(path))


def of_text(root: _lists.Root, folder: str = "") -> Lists:
    """`image_list.txt`, `labels.txt`, `test_set.txt`, `gallery_set.txt` and `probe_set.txt`.

    The sets begin with the number of trials; each trial with its number of images, then a line `index, file` each.

    Raises:
        RequestError: a file that is missing or malformed (with its line number), or lists that contradict each other.
    """

    def at(file: str) -> str:
        return f"{folder}/{file}" if folder else file

    images = _lists.lines(_lists.read(root, at("image_list.txt"), instead=f"lists={CONFIG} or lists=generated"))
    labels = [
        _whole(line, f"{at('labels.txt')} line {n}") for n, line in _numbered(_lists.read(root, at("labels.txt")))
    ]
    files = [at(f"{part}_set.txt") for part in ("test", "gallery", "probe")]
    cells = [_sets(_lists.read(root, file), file, images) for file in files]
    return _checked(images, np.array(labels, np.int64), cells, at("image_list.txt"))


def generated(images: tuple[str, ...], seed: int, trials: int, train_people: int, gallery_people: int) -> Lists:
    """Trials by the paper's rule (Sec. 3.1): `train_people` of all people, drawn at random, are left for training; of the
    others' images, all are the test set, and one image each of `gallery_people` with at least two is the gallery.

    Raises:
        RequestError: fewer people than that.
    """
    owners = np.unique([name.split("/")[0] for name in images], return_inverse=True)[1]
    made = []
    for trial in range(trials):
        random = np.random.default_rng([seed, trial])
        order = random.permutation(owners.max() + 1)
        test = np.flatnonzero(np.isin(owners, order[train_people:]))
        several = np.flatnonzero(np.bincount(owners[test]) > 1)
        if len(several) < gallery_people or not len(test):
            raise RequestError(
                f"trial {trial + 1} of lfw_blufr needs {gallery_people:,} test people with two images and has "
                f"{len(several):,} (of {owners.max() + 1:,} people, {train_people:,} are left for training): give more "
                "images, or smaller train_people and gallery_people"
            )
        chosen = random.choice(several, gallery_people, replace=False)
        gallery = np.array([random.choice(np.flatnonzero(owners == person)) for person in np.sort(chosen)])
        made.append(Trial(test, gallery, np.setdiff1d(test, gallery)))
    return Lists(images, tuple(made))


def _checked(files: list[str], labels: np.ndarray, cells: list[list[np.ndarray]], where: str) -> Lists:
    """The lists with rows that count from 0, after checks."""
    stems = [file.rpartition(".")[0].rpartition("_") for file in files]
    if strange := [
        file for file, (name, _, digits) in zip(files, stems, strict=True) if not name or not digits or "/" in file
    ]:
        raise RequestError(f"{where} has an image {strange[0]!r}: expected file names like Aaron_Eckhart_0001.jpg")
    images = _lists.unique([f"{name}/{file}" for file, (name, _, _) in zip(files, stems, strict=True)], where)
    people = [name for name, _, _ in stems]
    if (
        len(labels) != len(people)
        or len(set(zip(people, labels.tolist(), strict=True))) != len(set(people))
        or (len(set(labels.tolist())) != len(set(people)))
    ):
        raise RequestError(
            f"the labels beside {where} are not those of its {len(set(people)):,} people: expected one label a person for "
            f"each of its {len(people):,} images, got {len(labels):,} labels"
        )
    if len({len(cell) for cell in cells}) != 1 or not cells[0]:
        raise RequestError(
            f"{where} has {', '.join(str(len(cell)) for cell in cells)} trials in its three sets: they agree"
        )
    owners = np.unique(people, return_inverse=True)[1]
    trials = []
    for number, sets in enumerate(zip(*cells, strict=True), 1):
        rows = [one - 1 for one in sets]
        if any(
            not len(one) or one.min() < 0 or one.max() >= len(images) or len(np.unique(one)) != len(one) for one in rows
        ):
            raise RequestError(
                f"trial {number} of {where} has an index that is there twice, or not from 1 to {len(images):,}"
            )
        test, gallery, probes = rows
        if not np.array_equal(np.sort(test), np.sort(np.concatenate([gallery, probes]))):
            raise RequestError(f"trial {number} of {where}: its test set is not its gallery and its probes together")
        if len(np.unique(owners[gallery])) != len(gallery):
            raise RequestError(f"trial {number} of {where}: a person has two gallery images, and one is expected")
        trials.append(Trial(np.sort(test), gallery, probes))
    return Lists(images, tuple(trials))


def _sets(text: str, where: str, images: list[str]) -> list[np.ndarray]:
    """Each trial's indices, from 1 on, as they stand there."""
    lines = _numbered(text)
    head = lines[0][1] if lines else ""
    found, place = [], 1
    for trial in range(_whole(head, f"{where} line 1")):
        if place >= len(lines):
            raise RequestError(f"{where} ends before trial {trial + 1} of the {head} that its first line promises")
        size = _whole(lines[place][1], f"{where} line {lines[place][0]}")
        chosen = lines[place + 1 : place + 1 + size]
        if len(chosen) != size:
            raise RequestError(
                f"{where} ends within trial {trial + 1}: {size:,} images promised, {len(chosen):,} there"
            )
        indices = []
        for number, line in chosen:
            index, _, file = (part.strip() for part in line.partition(","))
            indices.append(_whole(index, f"{where} line {number}"))
            if file and not (0 < indices[-1] <= len(images) and images[indices[-1] - 1] == file):
                raise RequestError(f"{where} line {number}: image {index} of image_list.txt is not {file!r}")
        found.append(np.array(indices, np.int64))
        place += 1 + size
    if place != len(lines):
        raise RequestError(f"{where} line {lines[place][0]}: expected the end of the last trial")
    return found


def _numbered(text: str) -> list[tuple[int, str]]:
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _whole(word: str, where: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 10):
        raise RequestError(f"{where}: expected a whole number, got {word!r}")
    return int(word)


def _numbers(values: Any) -> np.ndarray:
    """Whole numbers, flat.

    Raises:
        ValueError: they are none.
    """
    flat = np.asarray(values).reshape(-1)
    if (
        flat.dtype.kind not in "iuf"
        or not np.isfinite(flat).all()
        or (np.abs(flat) > 1e9).any()
        or (flat % 1 != 0).any()
    ):
        raise ValueError(f"no whole numbers but {str(flat[:3])[:60]}")
    return flat.astype(np.int64)


def _bounded(path: Path) -> None:
    """Refuse a file whose compressed parts unpack to more than `MOST_BYTES`."""
    data, place, total = path.read_bytes(), 128, 0
    order = "big" if data[126:128] == b"MI" else "little"
    while place + 8 <= len(data):
        kind, size = (int.from_bytes(data[place + at : place + at + 4], order) for at in (0, 4))  # type: ignore[arg-type]
        if not 1 <= kind <= 18:
            return  # no element type: the reader says what is wrong with it
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            try:
                total += len(unpacker.decompress(data[place + 8 : place + 8 + size], MOST_BYTES + 1 - total))
            except zlib.error:
                return
        if total > MOST_BYTES:
            raise RequestError(f"{path} unpacks to more than {MOST_BYTES:,} bytes: expected BLUFR's lists")
        place += 8 + size


def read(root: _lists.Root, lists: str | None) -> Lists:
    """The lists in a .mat file, in a folder of text files, or (None) whichever of both is in `root`."""
    if isinstance(root, Mapping):
        return of_text(root, lists or "")
    if lists is None and not (Path(root) / CONFIG).is_file() and (Path(root) / "image_list.txt").is_file():
        return of_text(root)
    path = Path(root) / (lists or CONFIG)
    return of_text(root, str(lists)) if path.is_dir() else of_mat(path)
