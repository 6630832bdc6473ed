"""The RecordIO container as MXNet writes it: where the records of a .rec file lie, and what each one says of its image.

A record is the magic number, a word of 3 bits of flag and 29 bits of length, the content, and padding to 4 bytes. Where the
content holds the magic number itself (at a multiple of 4), it is cut there into parts (flags 1, 2 ... 2, 3 instead of 0), and
the magic number between two parts is left out. The content begins with a header (`IfQQ`: flag, label, id, id2); `flag` counts
the further labels that follow it (float32), and the rest is the picture. (dmlc-core's recordio.h, MXNet's recordio.py.)
"""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench import bounded, waiting
from bench.errors import RequestError

MAGIC = 0xCED7230A
_MAGIC = struct.pack("<I", MAGIC)
_WORDS = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_LENGTH = (1 << 29) - 1
_BLOCK = 1 << 24  # bytes of the file that are held at once
_ROWS = 1 << 16  # records that are looked at at once
_HEAD = np.dtype(
    [(n, "<u4") for n in ("magic", "word", "flag")]
    + [("label", "<f4"), ("id", "<u8"), ("id2", "<u8"), ("first", "<f4")]
)


def keys_and_offsets(idx: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N,) keys and (N,) places of the records, rising by place, from the lines `key<tab>offset` of an .idx file.

    Raises:
        RequestError: a line is something else, or a key or an offset stands there twice.
    """
    text = bounded.file(idx)
    if bad := re.search(rb"(?m)^(?!\d{1,18}\t\d{1,18}[ \t\r]*$).+$", text):
        line = text.count(b"\n", 0, bad.start()) + 1
        raise RequestError(f"{idx} line {line}: expected KEY<tab>OFFSET in whole numbers, got {bad[0][:60]!r}")
    numbers = np.fromstring(text, np.int64, sep=" ").reshape(-1, 2)
    order = np.argsort(numbers[:, 1], kind="stable")
    keys, offsets = numbers[order].T
    for what, column in (("key", np.sort(keys)), ("offset", offsets)):
        if len(twice := column[1:][column[1:] == column[:-1]]):
            raise RequestError(
                f"{idx} gives {what} {twice[0]} twice: get the file again, or leave it out (the .rec is read)"
            )
    return np.ascontiguousarray(keys), np.ascontiguousarray(offsets)


def found_offsets(rec: Path) -> np.ndarray:
    """(N,) the places of all records, by going through the file from record to record.

    Raises:
        RequestError: the file ends in the middle of a record, or something else lies where one should begin.
    """
    size = rec.stat().st_size
    offsets: list[int] = []
    place = 0
    with rec.open("rb", buffering=0) as file, waiting.bar(f"finding the records of {rec.name}") as advance:
        while place < size:
            offsets.append(place)
            for start, length in _parts(file, rec, place, size):
                place = start + _padded(length)
            if not len(offsets) % 4096:
                advance(place, size)
    return np.array(offsets, np.int64)


@dataclass(frozen=True)
class Records:
    """What the headers of all records say, one row a record.

    Attributes:
        labels: (N,) float32, the first label.
        flags: (N,) how many labels follow the header; 0: there is one, in it.
        pictures: (N,) the length of what follows the labels; 0: the record shows nothing (it describes other records).
        ids: (N,) the header's own number of the record.
    """

    labels: np.ndarray
    flags: np.ndarray
    pictures: np.ndarray
    ids: np.ndarray


def described(rec: Path, keys: np.ndarray, offsets: np.ndarray) -> Records:
    """The headers of the records at `offsets` (rising), each of which is checked to lie there whole.

    Raises:
        RequestError: no record begins there, or the file ends before the record does.
    """
    size = rec.stat().st_size
    if len(offsets) and offsets[-1] + 8 > size:
        raise RequestError(
            f"record {keys[-1]} should lie at byte {offsets[-1]:,} of {rec}, which has {size:,} bytes: "
            "the .rec is truncated, or the .idx is another file's"
        )
    heads = _heads(rec, offsets)
    part, length = heads["word"] >> 29, (heads["word"] & _LENGTH).astype(np.int64)
    wrong = (heads["magic"] != MAGIC) | (part > 1)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise _misplaced(rec, int(offsets[at]), f", where record {keys[at]} should")
    if (cut := offsets + 8 + _padded(length) > size).any():
        raise _cut(rec, int(offsets[np.argmax(cut)]), size)
    flags = heads["flag"].astype(np.int64)
    labels = np.where(flags > 0, heads["first"], heads["label"])
    pictures = length - _HEADER.size - 4 * flags
    ids = heads["id"].copy()
    with rec.open("rb", buffering=0) as file:
        for row in np.flatnonzero(part == 1):  # cut into parts: even the header may be
            content = _joined(file, rec, int(offsets[row]), size)
            head = np.zeros(1, _HEAD)
            head.view(np.uint8)[8:] = np.frombuffer(
                content[: _HEAD.itemsize - 8].ljust(_HEAD.itemsize - 8, b"\0"), np.uint8
            )
            flags[row], ids[row] = head["flag"][0], head["id"][0]
            labels[row] = head["first"][0] if flags[row] else head["label"][0]
            pictures[row] = len(content) - _HEADER.size - 4 * flags[row]
    if (pictures < 0).any():
        at = int(np.argmax(pictures < 0))
        raise RequestError(f"record {keys[at]} of {rec} is shorter than the labels that it claims: get the file again")
    return Records(labels, flags, pictures, ids)


def picture(file: BinaryIO, rec: Path, offset: int) -> bytes:
    """The picture in the record at `offset`.

    Raises:
        RequestError: no whole record lies there (any more).
    """
    content = _joined(file, rec, offset, os.fstat(file.fileno()).st_size)
    if len(content) < _HEADER.size:
        raise _misplaced(rec, offset)
    flag = _HEADER.unpack_from(content)[0]
    return content[_HEADER.size + 4 * flag :]


def _joined(file: BinaryIO, rec: Path, offset: int, size: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    for start, length in _parts(file, rec, offset, size):
        total += length
        if total > bounded.PICTURE:
            raise RequestError(f"the record at byte {offset:,} of {rec} holds more than {bounded.PICTURE:,} bytes")
        parts.append(os.pread(file.fileno(), length, start))
    return _MAGIC.join(parts)


def _parts(file: BinaryIO, rec: Path, offset: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, length) of the content of each part of the record at `offset`."""
    place, expected = offset, (0, 1)
    while True:
        head = os.pread(file.fileno(), _WORDS.size, place)
        if len(head) < _WORDS.size:
            raise _cut(rec, offset, size)
        magic, word = _WORDS.unpack(head)
        part, length = word >> 29, word & _LENGTH
        if magic != MAGIC or part not in expected:
            raise _misplaced(rec, place)
        if place + 8 + _padded(length) > size:
            raise _cut(rec, offset, size)
        yield place + 8, length
        if part in (0, 3):
            return
        place, expected = place + 8 + _padded(length), (2, 3)


def _heads(rec: Path, offsets: np.ndarray) -> np.ndarray:
    """(N,) `_HEAD`: the first bytes at each place, zeros beyond the end; the file is read front to back, block by block."""
    heads = np.zeros(len(offsets), _HEAD)
    bytes_ = np.arange(_HEAD.itemsize)
    start = 0
    with rec.open("rb", buffering=0) as file, waiting.bar(f"reading the labels of {rec.name}") as advance:
        while start < len(offsets):
            base = int(offsets[start])
            stop = int(np.searchsorted(offsets[: start + _ROWS], base + _BLOCK, side="right"))
            wanted = int(offsets[stop - 1]) - base + _HEAD.itemsize
            block = np.zeros(wanted, np.uint8)
            read = np.frombuffer(os.pread(file.fileno(), wanted, base), np.uint8)
            block[: len(read)] = read
            heads[start:stop] = block[(offsets[start:stop] - base)[:, None] + bytes_].view(_HEAD)[:, 0]
            start = stop
            advance(start, len(offsets))
    return heads


def _padded(length: Any) -> Any:
    return (length + 3) & ~3


def _misplaced(rec: Path, place: int, where: str = "") -> RequestError:
    return RequestError(
        f"no record begins at byte {place:,} of {rec}{where}: it is no RecordIO file, a damaged one, or the .idx is another's"
    )


def _cut(rec: Path, offset: int, size: int) -> RequestError:
    return RequestError(
        f"{rec} is truncated: it has {size:,} bytes, and ends in the record at byte {offset:,}; get it again"
    )
