"""One writer a folder: the lock on `runs/<study>/` that a sweep, `sync` and a download from MLflow take, and on others."""

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
