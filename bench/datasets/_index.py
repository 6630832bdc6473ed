"""What was found by reading a large file once (where each image lies, whose it is) is kept in the cache for the next time."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench import places

Arrays = dict[str, np.ndarray]


def kept(mark: Any, build: Callable[[], Arrays]) -> Arrays:
    """The arrays that `build` makes, from the cache where they were made before.

    Args:
        mark: what changes when the file does (and a version of the reading), as plain data.
        build: makes them; what it raises is not kept.
    """
    path = places.cache() / f"{hashlib.sha256(repr(mark).encode()).hexdigest()[:32]}.index.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception:  # it is not there yet, or damaged: numpy and zipfile raise nearly anything then
        found = build()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **found)  # type: ignore[arg-type]
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)
    return found


def file_mark(path: Path) -> tuple[int, int]:
    """What changes when a large file does: its size and time."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns
