"""One writer at a time: in a study's folder (a sweep, `sync`, a download from MLflow), in a folder of crops, in the cache."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from bench.errors import RequestError

GLANCE = 0.2  # seconds that a lock is asked for again: `status` holds it for a moment, to see whether anybody does


class Owner(NamedTuple):
    """The process that holds a lock."""

    pid: int
    host: str


@contextmanager
def alone(folder: Path, busy: str = "") -> Iterator[None]:
    """Hold the folder's lock, `.lock` in it, whose one line names the holder: `PID HOST`.

    The lock is the system's, not the file: it goes with the process, however that ends, and a file that a dead process
    left is in nobody's way.

    Args:
        busy: what is said where the folder is not a study's.

    Raises:
        RequestError: another process holds it.
    """
    with (folder / ".lock").open("a") as file:  # not "w": the line is the holder's
        until = time.monotonic() + GLANCE
        while not _flocked(file):
            if time.monotonic() > until:
                raise RequestError(busy or _refusal(folder))
            time.sleep(0.02)
        file.truncate(0)
        file.write(f"{os.getpid()} {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def owner(folder: Path) -> Owner | None:
    """Who wrote itself into the folder's lock; it may be dead, where nobody holds the lock (`alone`). None: nobody."""
    try:
        pid, host = (folder / ".lock").read_text().split()
        return Owner(int(pid), host)
    except (OSError, ValueError):
        return None


def held(folder: Path) -> bool:
    """Whether a process holds the folder's lock now."""
    with (folder / ".lock").open("a") as file:
        return not _flocked(file)


def _flocked(file: TextIO) -> bool:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _refusal(folder: Path) -> str:
    by = owner(folder)
    who = f" (process {by.pid} on {by.host})" if by else ""
    return f"study {folder.name!r} is being run by another process: wait for it{who}, or stop it first"


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait for the lock on a file of its own, hold it; it goes with the process, however that ends."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
