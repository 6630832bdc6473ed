"""One writer a study: the lock on `runs/<study>/` that a sweep, `sync` and a download from MLflow take."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import RequestError


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the study's lock, `.lock` in its folder; it goes with the process, however that ends.

    Raises:
        RequestError: another process holds it.
    """
    import fcntl

    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RequestError(
                f"study {folder.name!r} is being run by another process: wait for it, or stop it first"
            ) from None
        yield
