"""The packages of the extra `models`, which networks of others need and nothing else does."""

from importlib import import_module
from typing import Any

from bench.errors import RequestError


def needed(package: str, what: str) -> Any:
    """The module `package`.

    Args:
        what: that cannot be done without it, for the sentence.

    Raises:
        RequestError: it is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise RequestError(
            f"{what} needs {error.name}, which is not installed: pip install 'facebench[models]'"
        ) from error


def cause(error: BaseException) -> str:
    """A library's error in one line: the last one where the lines are a traceback, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1 if "Traceback" in str(error) else 0][:300]
