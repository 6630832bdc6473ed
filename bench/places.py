"""Where things lie: what commands write, what is cached, where the user's data are."""

import os
from pathlib import Path

from bench.errors import RequestError

VARIABLES = ("FACEBENCH_RUNS", "FACEBENCH_DATA", "FACEBENCH_CACHE")  # what workers on other machines must be told


def runs() -> Path:
    """The folder that holds everything a command writes: `$FACEBENCH_RUNS`, else `runs/` here."""
    return Path(os.environ.get("FACEBENCH_RUNS") or "runs").resolve()


def study_folder(study: str) -> Path:
    """The folder of one study: a sub-folder per trial, and `report/`."""
    return runs() / study


def existing_study(study: str) -> Path:
    """The folder of a study that was run here.

    Raises:
        RequestError: there is none.
    """
    folder = study_folder(study)
    if not folder.is_dir():
        known = sorted(path.parent.name for path in runs().glob("*/study.json"))
        raise RequestError(f"no study {study!r} in {runs()}; there is: {', '.join(known) or 'none yet'}")
    return folder


def cache() -> Path:
    """The folder of the decoded-image cache: `$FACEBENCH_CACHE`, else the user's cache folder."""
    if explicit := os.environ.get("FACEBENCH_CACHE"):
        return Path(explicit).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facebench"


def data(path: str | Path) -> Path:
    """An existing file or folder of the user's data: absolute, or relative to `$FACEBENCH_DATA`.

    Raises:
        RequestError: the path is relative and no data folder is named, nothing lies there, or a pipe or a device does.
    """
    if not isinstance(path, str | Path):
        raise RequestError(f"a data path is a word, got {path!r}")
    path = Path(path)
    if not path.is_absolute():
        root = os.environ.get("FACEBENCH_DATA")
        if not root:
            raise RequestError(
                f"data path {str(path)!r} is relative and no data folder is named: "
                "give --data FOLDER or set $FACEBENCH_DATA"
            )
        path = Path(root).resolve() / path
    if not path.exists():
        raise RequestError(f"no file or folder at {path}: check --data / $FACEBENCH_DATA and the path in the request")
    if not (path.is_file() or path.is_dir()):  # who reads a pipe waits for a writer
        raise RequestError(f"{path} is neither a file nor a folder: put what it holds into one")
    return path
