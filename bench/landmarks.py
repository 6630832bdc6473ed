"""Five landmarks per image, from the files in which they are passed on: csv, text of CelebA and MTCNN, .lst, json."""

import csv
import gzip
import io
import json
import math
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bench import alignment
from bench.errors import RequestError

LIMIT = 2**30  # bytes of text: the landmarks of 10 million images
ORDERS = ("xyxy", "xxyy")
_PLAIN = tuple(f"{axis}{point}" for point in range(1, 6) for axis in "xy")
_PARTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
_CELEBA = tuple(f"{part}_{axis}" for part in _PARTS for axis in "xy")
_KEYS = ("path", "image_id", "name", "file")  # the column of a csv that names the image
_SURE = 0.95  # the share of the entries that must agree on their order

Row = tuple[str, list[float], str]  # the image's name, ten numbers, where it stands


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of a file, in its order.

    Attributes:
        names: (N,) what the file calls the images, unique.
        points: (N, 5, 2) float64, x and y as they stand there: left eye, right eye, nose, left and right mouth corner.
        form: `csv`, `celeba`, `text`, `lst` or `json`.
        order: `xyxy` (x1 y1 x2 y2 ...) or `xxyy` (x1 ... x5 y1 ... y5), how the numbers stood in the file.
    """

    names: tuple[str, ...]
    points: np.ndarray
    form: str
    order: str


def read(path: str | Path, order: str | None = None) -> Landmarks:
    """The landmarks in a file; `.gz` is unpacked. Blank lines are skipped, everything else has to be as expected.

    - `.csv`: with a header; the image in a column `path` (or `image_id`, `name`, `file`), the numbers in x1, y1, ..., x5,
      y5, or in CelebA's lefteye_x, ..., rightmouth_y. Other columns are not looked at.
    - `.json`: name -> ten numbers, or five pairs (FaceScrub's lists for MegaFace).
    - other files, text: CelebA's `list_landmarks_align_celeba.txt` (a count, a header, lines of a name and ten numbers);
      insightface's .lst (17 fields between tabs: aligned, path, label, box, ten numbers as x1 ... x5 y1 ... y5); lines of
      a path, perhaps a whole label, and ten numbers (`lfw_landmark.txt`, `casia_landmark.txt`, what MTCNN scripts write),
      between tabs or spaces; a path may hold spaces where the fields are between tabs.

    Args:
        order: `xyxy` or `xxyy`, for plain text and json, where the file does not say it (FaceScrub's two lists differ in
            it). None: as whichever the points look like a face; they must agree on it.

    Raises:
        RequestError: no such file, a line that is not as expected (with its number), an image that stands there twice, an
            unclear order, more than 1 GiB of text.
    """
    if order not in (None, *ORDERS):
        raise RequestError(f"order of landmarks is {' or '.join(ORDERS)}, got {order!r}")
    path = Path(path)
    form, rows = _parsed(_text(path), path)
    place: dict[str, str] = {}
    values = array("d")
    for name, numbers, where in rows:
        if name in place:
            raise RequestError(f"{where}: image {name!r} stands in {place[name]} already, list each image once")
        place[name] = where
        values.extend(numbers)
    if not values:
        raise RequestError(f"{path} holds no landmarks: expected a line or an entry an image")
    table = np.array(values).reshape(-1, 10)
    known = {"csv": "xyxy", "celeba": "xyxy", "lst": "xxyy"}.get(form)
    if known and order not in (None, known):
        raise RequestError(f"{path} is a {form} file, whose order is {known}: leave out order={order}")
    order = known or order or _looks(table, path)
    return Landmarks(tuple(place), _ordered(table, order), form, order)


def match(landmarks: Landmarks, images: Sequence[str]) -> dict[str, int]:
    """Image -> its row of the landmarks, for those that have one.

    An entry is an image's if it is the image's path, or the end of it (`Ann/1.jpg` or `1.jpg` for `faces/Ann/1.jpg`),
    with the file's suffix or without it; the longest is taken.

    Raises:
        RequestError: one entry would be that of two images, or none is anybody's.
    """
    row = {name.removeprefix("./"): place for place, name in enumerate(landmarks.names)}
    found: dict[str, int] = {}
    owner: dict[int, str] = {}
    for image in images:
        place = next((row[name] for name in _names_of(image) if name in row), None)
        if place is None:
            continue
        if place in owner:
            raise RequestError(
                f"landmarks of {landmarks.names[place]!r} could be those of {owner[place]!r} and of {image!r}: "
                "name images by their paths"
            )
        owner[place], found[image] = image, place
    if images and not found:
        raise RequestError(
            f"none of the {len(landmarks.names):,} landmarks belongs to one of the {len(images):,} images: they are named as "
            f"{landmarks.names[0]!r}, the images as {images[0]!r}"
        )
    return found


def _names_of(image: str) -> Iterator[str]:
    parts = image.split("/")
    for start in range(len(parts)):
        name = "/".join(parts[start:])
        yield name
        yield name.removesuffix(PurePosixPath(name).suffix)


def _text(path: Path) -> str:
    if not path.is_file():
        raise RequestError(f"no file of landmarks at {path}")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(LIMIT + 1)
        if len(data) > LIMIT:
            raise RequestError(f"{path} holds more than {LIMIT:,} bytes of text: split it")
        return data.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise RequestError(
            f"{path} is no list of landmarks: expected UTF-8 text, or such packed by gzip ({error})"
        ) from error


def _parsed(text: str, path: Path) -> tuple[str, Iterator[Row]]:
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix in (".csv", ".json"):
        return suffix[1:], (_csv if suffix == ".csv" else _json)(text, str(path))
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > 1 and tuple(lines[1][1].split()) == _CELEBA:
        return "celeba", _celeba(lines, str(path))
    form, parse = ("lst", _insightface) if lines and lines[0][1].count("\t") == 16 else ("text", _line)
    return form, (parse(line.strip("\r\n"), f"{path} line {number}") for number, line in lines)


def _csv(text: str, path: str) -> Iterator[Row]:
    try:
        reader = csv.reader(io.StringIO(text), skipinitialspace=True, strict=True)
        header = [name.strip() for name in next(reader, [])]
        keys = [name for name in header if name in _KEYS]
        columns = next((wanted for wanted in (_PLAIN, _CELEBA) if set(wanted) <= set(header)), ())
        if len(keys) != 1 or not columns or len(set(header)) < len(header):
            raise RequestError(
                f"{path}: expected a csv with the header path,{','.join(_PLAIN)} (the path also as {', '.join(_KEYS[1:])}; the "
                f"numbers also as {_CELEBA[0]}, ...), got {','.join(header)[:200]!r}"
            )
        key, places = header.index(keys[0]), [header.index(name) for name in columns]
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            where = f"{path} line {reader.line_num}"
            if len(fields) != len(header):
                raise RequestError(f"{where}: expected {len(header)} fields as the header has, got {len(fields)}")
            yield _row(fields[key], [fields[place] for place in places], where)
    except csv.Error as error:
        raise RequestError(f"{path} is no csv file ({error})") from error


def _celeba(lines: list[tuple[int, str]], path: str) -> Iterator[Row]:
    rows = lines[2:]
    if lines[0][1].strip() != str(len(rows)):
        raise RequestError(
            f"{path} line {lines[0][0]}: expected the number of images, {len(rows)} as many as follow, got {lines[0][1][:40]!r}"
        )
    for number, line in rows:
        fields = line.split()
        if len(fields) != 11:
            raise RequestError(f"{path} line {number}: expected a name and ten numbers, got {len(fields)} fields")
        yield _row(fields[0], fields[1:], f"{path} line {number}")


def _insightface(line: str, where: str) -> Row:
    fields = line.split("\t")
    if len(fields) != 17:
        raise RequestError(
            f"{where}: expected 17 fields between tabs as in the first line (aligned, path, label, a box of four, ten numbers), "
            f"got {len(fields)}"
        )
    return _row(fields[1], fields[7:], where)


def _line(line: str, where: str) -> Row:
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) == 12 and fields[1].strip().lstrip("-").isdecimal():  # a label
        del fields[1]
    if len(fields) != 11:
        raise RequestError(
            f"{where}: expected a path, perhaps a whole label, and ten numbers, between tabs or spaces, got {line.strip()[:80]!r}"
        )
    return _row(fields[0], fields[1:], where)


def _json(text: str, path: str) -> Iterator[Row]:
    try:
        entries = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{path} is no json: {error}") from error
    # Objects arrive as lists of pairs, so that a name that stands there twice is seen.
    if not isinstance(entries, list) or not all(isinstance(pair, tuple) for pair in entries):
        raise RequestError(f"{path}: expected one object, name -> ten numbers, got {text.strip()[:40]!r}")
    for name, value in entries:
        where = f"{path}, entry {name!r}"
        if isinstance(value, list) and value and all(isinstance(pair, list) and len(pair) == 2 for pair in value):
            value = [number for pair in value for number in pair]
        if not isinstance(value, list) or len(value) != 10:
            raise RequestError(f"{where}: expected ten numbers or five pairs of them, got {str(value)[:60]}")
        yield _row(name, value, where)


def _row(name: str, values: Sequence[Any], where: str) -> Row:
    name = name.strip()
    if not name:
        raise RequestError(f"{where}: the name of the image is empty")
    return name, [_number(value, where) for value in values], where


def _number(value: Any, where: str) -> float:
    # float() takes True and 1_000 for numbers.
    plain = (
        "_" not in value if isinstance(value, str) else isinstance(value, int | float) and not isinstance(value, bool)
    )
    try:
        number = float(value) if plain else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise RequestError(f"{where}: expected a finite number, got {value!r:.40}")
    return number


def _ordered(table: np.ndarray, order: str) -> np.ndarray:
    return table.reshape(-1, 5, 2) if order == "xyxy" else np.ascontiguousarray(table.reshape(-1, 2, 5).swapaxes(1, 2))


def _looks(table: np.ndarray, path: Path) -> str:
    """The order by which the points come closer to the template.

    On FaceScrub's two lists (3,530 and 31 images) every single entry names the right one: the points lie 3 and 4 pixels
    off the template (medians), read the wrong way 19 and 23.
    """
    off = [alignment.residuals(_ordered(table, order), alignment.TEMPLATE) for order in ORDERS]
    share = float(np.mean(off[0] < off[1]) + np.mean(off[0] == off[1]) / 2)
    if max(share, 1 - share) < _SURE:
        raise RequestError(
            f"{path}: whether the numbers stand as x1 y1 x2 y2 ... or as x1 ... x5 y1 ... y5 is not clear ({share:.0%} of the "
            "entries look like a face in the first way): give the order, xyxy or xxyy"
        )
    return ORDERS[0] if share > 0.5 else ORDERS[1]
