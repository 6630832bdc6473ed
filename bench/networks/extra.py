"""The packages of the extra `models`, which networks of others need and nothing else does."""

import re
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
    """A library's error in one sentence: of its last line where the lines are a traceback, else of its first."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    line = lines[-1 if "Traceback" in text else 0]
    return re.split(r"(?<=\w\w)\.\s", line)[0].rstrip(".")[:300]
