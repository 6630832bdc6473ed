"""The lists of IJB-B and IJB-C as insightface's release ships them: templates, pairs, detector scores, galleries."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.errors import RequestError
from bench.protocols import _lists

_CHUNK = 1 << 24  # characters of the pair list taken at a time
_LARGEST = 9  # digits of a template's number: it stays below 2^31


@dataclass(frozen=True)
class Found:
    """One list file.

    Attributes:
        file: as it is named in sentences.
        text: what it holds.
    """

    file: str
    text: str

    @property
    def sha256(self) -> str:
        return _lists.sha256(self.text)


def sets(root: _lists.Root) -> list[str]:
    """The letters of the sets whose list of templates is there: `B`, `C` ..."""
    if isinstance(root, Mapping):
        names = [name.rpartition("/")[2] for name in root]
    else:
        names = [
            p.name for folder in (".", "meta", "IJB?/meta") for p in Path(root).glob(f"{folder}/ijb*_face_tid_mid.txt")
        ]
    return sorted({name[3].upper() for name in names if name[:3] == "ijb" and name[4:] == "_face_tid_mid.txt"})


def found(root: _lists.Root, letter: str, name: str, instead: str = "") -> Found:
    """The list `ijbc_NAME` in the root, in its `meta` or in its `IJBC/meta`.

    Raises:
        RequestError: it is in none of them.
    """
    if path := there(root, letter, name):
        return Found(_file(letter, name), _lists.read(root, path))
    where = "this embedded protocol" if isinstance(root, Mapping) else f"{root}, its meta or its IJB{letter}/meta"
    advice = f"check the protocol's root{instead and f', or give {instead}'}"
    raise RequestError(f"no list {_file(letter, name)} in {where}: {advice}")


def there(root: _lists.Root, letter: str, name: str) -> str | None:
    """The path of such a list below the root; None where there is none."""
    paths = [folder + _file(letter, name) for folder in ("", "meta/", f"IJB{letter}/meta/")]
    known = [path for path in paths if (path in root if isinstance(root, Mapping) else (Path(root) / path).is_file())]
    return known[0] if known else None


def _file(letter: str, name: str) -> str:
    return f"ijb{letter.lower()}_{name}"


@dataclass(frozen=True)
class Images:
    """`face_tid_mid.txt`: a line an image.

    Attributes:
        names: (N,) the file of each face crop.
        template, medium: (N,) their numbers as they stand there.
    """

    names: tuple[str, ...]
    template: np.ndarray
    medium: np.ndarray


def images(file: Found) -> Images:
    """Lines `IMAGE TEMPLATE MEDIUM`.

    Raises:
        RequestError: another line (with its number), an image twice, or no line.
    """
    names, numbers = [], []
    for line, text in enumerate(file.text.splitlines(), 1):
        fields = text.split()
        if not fields:
            continue
        if len(fields) != 3 or not all(_whole(field) for field in fields[1:]):
            raise RequestError(
                f"{file.file} line {line}: expected an image and the whole numbers of its template and of its medium "
                f"(1.jpg 1 69544), got {_short(text)!r}"
            )
        names.append(fields[0])
        numbers.append((int(fields[1]), int(fields[2])))
    table = np.array(numbers, np.int64).reshape(-1, 2)
    return Images(_lists.unique(names, file.file), table[:, 0], table[:, 1])


def detector_scores(file: Found, names: tuple[str, ...]) -> np.ndarray:
    """Lines `IMAGE x1 y1 ... x5 y5 SCORE` of the same images in the same order.

    Returns:
        (N,) float64 scores of the detector.

    Raises:
        RequestError: another line (with its number), or other images.
    """
    lines = [(line, text.split()) for line, text in enumerate(file.text.splitlines(), 1) if text.strip()]
    if len(lines) != len(names):
        raise RequestError(f"{file.file} has {len(lines):,} lines, expected one for each of the {len(names):,} images")
    scores = np.empty(len(names))
    for row, (line, fields) in enumerate(lines):
        score = _number(fields[-1])
        if len(fields) != 12 or math.isnan(score) or not 0 <= score < math.inf:
            raise RequestError(
                f"{file.file} line {line}: expected an image, the 10 coordinates of its 5 points and a detector's score "
                f"from 0 on, got {_short(' '.join(fields))!r}"
            )
        if fields[0] != names[row]:
            raise RequestError(f"{file.file} line {line}: expected image {names[row]!r}, got {fields[0]!r}")
        scores[row] = score
    return scores


def pairs(file: Found) -> tuple[np.ndarray, np.ndarray]:
    """Lines `TEMPLATE TEMPLATE LABEL` (1: one person, 0: two), millions of them.

    Returns:
        (n, 2) int32 numbers of templates, and (n,) bool.

    Raises:
        RequestError: another line (with its number), a template against itself, or no line.
    """
    tables, start, line = [], 0, 1
    while start < len(file.text):
        stop = file.text.find("\n", start + _CHUNK) + 1 or len(file.text)
        piece = file.text[start:stop]
        tables.append(_table(piece, line, file.file))
        start, line = stop, line + piece.count("\n")
    table = np.concatenate(tables) if tables else np.empty((0, 3), np.int32)
    if not len(table):
        raise RequestError(f"{file.file} lists no pairs: expected lines `TEMPLATE TEMPLATE LABEL`")
    return np.ascontiguousarray(table[:, :2]), table[:, 2] == 1


def _table(piece: str, line: int, where: str) -> np.ndarray:
    """(n, 3) int32 of whole lines, the first of which has the number `line`."""
    data = np.frombuffer(piece.encode("utf-8", "replace"), np.uint8)
    digit = (data >= ord("0")) & (data <= ord("9"))
    begins = digit & ~np.concatenate([[False], digit[:-1]])
    ends = np.concatenate([np.flatnonzero(data == ord("\n")), [len(data)]])
    of_line = np.diff(np.concatenate([[0], np.cumsum(begins)])[ends], prepend=0)
    blank = (data == ord(" ")) | (data == ord("\t")) | (data == ord("\n")) | (data == ord("\r"))
    lengths = np.flatnonzero(digit & ~np.concatenate([digit[1:], [False]])) - np.flatnonzero(begins)
    if not (digit | blank).all() or ((of_line != 3) & (of_line != 0)).any() or (lengths >= _LARGEST).any():
        raise RequestError(_first_bad(piece, line, where))
    if not begins.any():
        return np.empty((0, 3), np.int32)
    table = np.fromstring(piece, np.int64, sep=" ").reshape(-1, 3).astype(np.int32)
    if (table[:, 2] > 1).any() or (table[:, 0] == table[:, 1]).any():
        raise RequestError(_first_bad(piece, line, where))
    return table


def _first_bad(piece: str, line: int, where: str) -> str:
    """The sentence on the first line that is none."""
    for number, text in enumerate(piece.split("\n"), line):
        fields = text.split()
        if not set(text) <= set("0123456789 \t\r") or (fields and not _is_pair(fields)):
            return (
                f"{where} line {number}: expected two whole numbers of templates and 1 (one person) or 0 (two), got "
                f"{_short(text)!r}"
            )
        if fields and int(fields[0]) == int(fields[1]):
            return f"{where} line {number}: template {fields[0]} is compared with itself"
    raise AssertionError("every line is good")


def _is_pair(fields: list[str]) -> bool:
    return len(fields) == 3 and all(map(_whole, fields)) and int(fields[2]) < 2


def subjects(file: Found) -> dict[int, str]:
    """Template -> subject, of a csv of NIST's with a line an image and the columns TEMPLATE_ID and SUBJECT_ID among others.

    Raises:
        RequestError: no such columns, a template that is no whole number or has two subjects, or no line.
    """
    owner: dict[int, str] = {}
    for line, row in _lists.rows(file.text, file.file, ("TEMPLATE_ID", "SUBJECT_ID")):
        template, subject = row["TEMPLATE_ID"], row["SUBJECT_ID"]
        if not _whole(template) or not subject:
            raise RequestError(
                f"{file.file} line {line}: expected the whole number of a template and a subject, got "
                f"{_short(f'{template},{subject}')!r}"
            )
        if owner.setdefault(int(template), subject) != subject:
            raise RequestError(
                f"{file.file} line {line}: template {template} is of subject {subject}, and was of {owner[int(template)]}"
            )
    if not owner:
        raise RequestError(f"{file.file} lists no templates")
    return owner


def _whole(field: str) -> bool:
    return field.isascii() and field.isdigit() and len(field) <= _LARGEST


def _number(field: str) -> float:
    try:
        return float(field)
    except ValueError:
        return math.nan


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
