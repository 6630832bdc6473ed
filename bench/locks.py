"""One writer at a time: in a study's folder (a sweep, `sync`, a download from MLflow), in a folder of crops, in the cache."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import RequestError


@contextmanager
def alone(folder: Path, busy: str = "") -> Iterator[None]:
    """Hold the folder's lock, `.lock` in it; it goes with the process, however that ends.

    Args:
        busy: what is said where the folder is not a study's.

    Raises:
        RequestError: another process holds it.
    """
    import fcntl

    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RequestError(
                busy or f"study {folder.name!r} is being run by another process: wait for it, or stop it first"
            ) from None
        yield


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait for the lock on a file of its own, hold it; it goes with the process, however that ends."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
