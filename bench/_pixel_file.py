"""One file of the pixel cache: rows of uint8 in blocks, each with its checksum, built once, resumed, checked, repaired.

Beside `<key>.npy` lie `<key>.json` (what is in it: shape, checksums, unreadable images, what was asked for) and `<key>.lock`;
while it is being built, `<key>.building` and `<key>.journal` (a line a finished block). The array's file is renamed to its
name last, when all of it is on the disk.

What a start costs: the record is read and the file's size and time of change are compared with those in it, no pixel is
read. Whatever writes to the file in the usual way changes its time, and then all blocks are checked (4 GB/s on one core,
so the disk decides) and the damaged ones are made again. What changes bytes without changing the time, a bad disk, only
`verify` finds.
"""

import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench import locks
from bench.images import Unreadable

FORM = 2  # of the record; whatever carries another number is built again
BLOCK = 2**23  # bytes, about: what is made again when a builder is stopped or a block is damaged

Rows = Iterator[np.ndarray | Unreadable]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Record:
    """What lies in the array's file.

    Attributes:
        shape: (N, H, W, C).
        block: rows in a block; the last may have fewer.
        sums: the CRC-32 of each block.
        unreadable: the images whose rows are zero.
        request: what was asked for, for people.
        stamp: size and time of change of the file when it was last known to be whole; None: it is to be checked.
    """

    shape: tuple[int, int, int, int]
    block: int
    sums: tuple[int, ...]
    unreadable: tuple[Unreadable, ...]
    request: dict[str, Any]
    stamp: tuple[int, int] | None

    @property
    def blocks(self) -> int:
        """How many there are."""
        return -(-self.shape[0] // self.block)


@dataclass(frozen=True)
class Job:
    """An array to be had: where, of what shape, and how its rows are made.

    Attributes:
        make: (first, last) -> the rows [first, last), each (H, W, C) uint8 or an `Unreadable`.
    """

    path: Path
    shape: tuple[int, int, int, int]
    request: dict[str, Any]
    make: Callable[[int, int], Rows]
    progress: Progress | None = None


def opened(job: Job) -> tuple[np.ndarray, tuple[Unreadable, ...], str]:
    """The memory-mapped array, its unreadable images, and how it came: complete, fresh, resumed or repaired.

    The first process to ask builds, others wait for it; a builder that dies frees the lock and leaves its blocks.
    """
    state = "complete"
    if (record := _whole(job)) is None:
        job.path.parent.mkdir(parents=True, exist_ok=True)
        with locks.turn(job.path.with_suffix(".lock")):
            if (record := _whole(job)) is None:
                known = read_record(job.path)
                usable = known is not None and known.shape == job.shape and job.path.exists()
                record, state = _repaired(job, known) if known and usable else _built(job)
    array = np.load(job.path, mmap_mode="r") if job.shape[0] else np.zeros(job.shape, np.uint8)
    return array, record.unreadable, state


def read_record(path: Path) -> Record | None:
    """The record of an array's file; None where there is none that can be read."""
    try:
        fields = json.loads(path.with_suffix(".json").read_text())
        if fields.pop("form") != FORM:
            return None
        fields["unreadable"] = tuple(Unreadable(**one) for one in fields["unreadable"])
        fields |= {name: tuple(fields[name]) for name in ("shape", "sums")}
        record = Record(**fields | {"stamp": tuple(fields["stamp"]) if fields["stamp"] else None})
        return record if len(record.shape) == 4 and len(record.sums) == record.blocks else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        return None


def write_record(path: Path, record: Record) -> None:
    """Whole or not at all."""
    _write(path.with_suffix(".json"), json.dumps({"form": FORM, **asdict(record)}))


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.replace(path)


def damaged(path: Path, record: Record) -> list[int]:
    """The blocks whose bytes are not those that were written (all of them where there is no file)."""
    header = _header(record.shape)
    if not path.exists():
        return list(range(record.blocks))
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            return list(range(record.blocks))
        return [block for block in range(record.blocks) if _sum(file, record, block) != record.sums[block]]


def _sum(file: BinaryIO, record: Record, block: int) -> int | None:
    first, last = _span(record, block)
    size = int(np.prod(record.shape[1:]))
    file.seek(len(_header(record.shape)) + first * size)
    data = file.read((last - first) * size)
    return zlib.crc32(data) if len(data) == (last - first) * size else None


def _span(record: Record, block: int) -> tuple[int, int]:
    return block * record.block, min((block + 1) * record.block, record.shape[0])


def _header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of change."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _whole(job: Job) -> Record | None:
    """The record, if the file is as it was left."""
    record = read_record(job.path)
    if record is None or record.shape != job.shape or not job.path.exists():
        return None
    return record if record.stamp == _stamp(job.path) else None


def _block(job: Job, first: int, last: int, made: Rows) -> tuple[bytes, list[Unreadable]]:
    block = np.zeros((last - first, *job.shape[1:]), np.uint8)
    bad = []
    for row in range(last - first):
        image = next(made, None)
        if image is None:
            raise ValueError(f"the source of {job.path} ended after {first + row} of {job.shape[0]} images")
        if isinstance(image, Unreadable):
            bad.append(image)
        else:
            block[row] = image
    return block.tobytes(), bad


def _built(job: Job) -> tuple[Record, str]:
    size = int(np.prod(job.shape[1:]))
    empty = Record(job.shape, max(1, BLOCK // size), (), (), job.request, None)
    building, journal = job.path.with_suffix(".building"), job.path.with_suffix(".journal")
    notes = _begun(building, journal, empty)
    begun = len(notes)
    header = _header(job.shape)
    try:
        _write(journal, "".join(map(_line, [_heading(empty), *notes])))
        with building.open("r+b" if begun else "wb") as file, journal.open("a") as log:
            file.write(header)
            file.seek(len(header) + begun * empty.block * size)
            file.truncate()
            made = job.make(begun * empty.block, job.shape[0])
            for number in range(begun, empty.blocks):
                first, last = _span(empty, number)
                data, bad = _block(job, first, last, made)
                file.write(data)
                file.flush()
                notes.append({"sum": zlib.crc32(data), "unreadable": [vars(one) for one in bad]})
                log.write(_line(notes[-1]))
                log.flush()
                if job.progress:
                    job.progress(last, job.shape[0])
            os.fsync(file.fileno())
    except BaseException:
        if not notes:  # nothing that could be resumed
            building.unlink(missing_ok=True)
            journal.unlink(missing_ok=True)
        raise
    bad = [Unreadable(**one) for note in notes for one in note["unreadable"]]
    sums = tuple(note["sum"] for note in notes)
    record = replace(empty, sums=sums, unreadable=tuple(bad), stamp=_stamp(building))
    write_record(job.path, record)
    building.replace(job.path)  # last: the array's file says that all is there
    journal.unlink()
    return record, "resumed" if begun else "fresh"


def _line(note: dict[str, Any]) -> str:
    return json.dumps(note) + "\n"


def _heading(record: Record) -> dict[str, Any]:
    return {"form": FORM, "shape": list(record.shape), "block": record.block, "request": record.request}


def _begun(building: Path, journal: Path, empty: Record) -> list[dict[str, Any]]:
    """The notes on the blocks that an earlier builder finished, as far as the bytes are as noted."""
    notes: list[dict[str, Any]] = []
    try:
        heading, *lines = journal.read_text().splitlines()
        with building.open("rb") as file:
            if _line(json.loads(heading)) != _line(_heading(empty)) or file.read(1) == b"":
                return []
            for block, line in enumerate(lines[: empty.blocks]):
                note = json.loads(line)
                [Unreadable(**one) for one in note["unreadable"]]
                if _sum(file, empty, block) != note["sum"]:
                    break
                notes.append(note)
    except (OSError, ValueError, TypeError, KeyError):
        pass  # no journal, or one that ends in half a line
    return notes


def _repaired(job: Job, record: Record) -> tuple[Record, str]:
    """Check all blocks and make the damaged ones again, in place: who has mapped the file sees the right bytes appear.

    Where a block comes out otherwise than the first time (another decoder is installed) all of them are made anew.
    """
    wrong = damaged(job.path, record)
    size = int(np.prod(record.shape[1:]))
    header = _header(record.shape)
    with job.path.open("r+b") as file:
        for done, number in enumerate(wrong, 1):
            first, last = _span(record, number)
            data, _ = _block(job, first, last, job.make(first, last))
            if zlib.crc32(data) != record.sums[number]:
                return _built(job)
            file.seek(len(header) + first * size)
            file.write(data)
            if job.progress:
                job.progress(done, len(wrong))
        file.seek(0)
        file.write(header)
        file.truncate(len(header) + record.shape[0] * size)
        file.flush()
        os.fsync(file.fileno())
    record = replace(record, stamp=_stamp(job.path))
    write_record(job.path, record)
    return record, "repaired" if wrong else "complete"


def checked(path: Path) -> list[int] | None:
    """Read the whole file: its damaged blocks, made again when it is used next; None where it has no record."""
    with locks.turn(path.with_suffix(".lock")):
        record = read_record(path)
        if record is None:
            return None
        wrong = damaged(path, record)
        write_record(path, replace(record, stamp=None if wrong else _stamp(path)))
        return wrong
