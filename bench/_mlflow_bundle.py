"""All records that a driver has ended as one file of the parent run: a thousand trials come back by one call, not by thousands.

`records.zip` (of one of several drivers: `records-<driver>.zip`) holds `<trial id>/<file>`. It is sent when a study has ended,
and by `sync`. What it lacks, or has as it was before a trial was run again, is read from the trial's own run.
"""

import hashlib
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench import bounded
from bench._mlflow_store import FILES
from bench.drivers import identity

if TYPE_CHECKING:
    from mlflow import MlflowClient

STEM = "records"
_FINAL = "record.json"


def digest(content: bytes) -> str:
    """Of a final record."""
    return hashlib.sha256(content).hexdigest()[:16]


def send(of: "MlflowClient", parent: str, folder: Path, ended: Mapping[str, str]) -> None:
    """Send the records of the trials that have ended, unless the run has them.

    Args:
        parent: the run.
        folder: the study's.
        ended: the digest of each one's final record, by trial; of those that have none here nothing is sent.
    """
    own = {trial: mark for trial, mark in sorted(ended.items()) if (folder / trial / _FINAL).exists()}
    driver = identity(folder)
    file = f"{STEM}-{driver}.zip" if driver else f"{STEM}.zip"
    tag, mark = f"facebench.{file}", digest(repr(own).encode())
    if not own or of.get_run(parent).data.tags.get(tag) == mark:
        return
    with tempfile.TemporaryDirectory() as place:
        packed = Path(place) / file
        _pack(packed, [folder / trial for trial in own])
        of.log_artifact(parent, str(packed))
    of.set_tag(parent, tag, mark)  # last: a call that failed is made again


def _pack(packed: Path, trials: list[Path]) -> None:
    # A clock that was wrong is no reason to lose a file: zip knows no time before 1980.
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as archive:
        for trial in trials:
            for path in (trial / file for file in FILES):
                if path.exists():
                    # What numpy packed is not packed again.
                    kind = zipfile.ZIP_STORED if path.suffix == ".npz" else zipfile.ZIP_DEFLATED
                    archive.write(path, f"{trial.name}/{path.name}", kind)


def fetch(of: "MlflowClient", parent: str, folder: Path, wanted: Mapping[str, str]) -> set[str]:
    """Write the records that are wanted into `folder`, as far as a run's bundles have them.

    Args:
        wanted: the digest of the final record, by trial.

    Returns:
        The trials that were written. A bundle that is damaged (its sender was killed) has none of them.

    Raises:
        RequestError: a bundle holds a name that leads out of it, or more than is read of such a file.
    """
    found: set[str] = set()
    names = sorted(file.path for file in of.list_artifacts(parent) if Path(file.path).stem.split("-")[0] == STEM)
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            packed = Path(of.download_artifacts(parent, name, place))
            if zipfile.is_zipfile(packed):  # one that was cut short is none
                with bounded.opened_zip(packed) as archive:
                    found |= _unpack(archive, folder, wanted)
    return found


def _unpack(archive: zipfile.ZipFile, folder: Path, wanted: Mapping[str, str]) -> set[str]:
    files: dict[str, list[str]] = defaultdict(list)
    for name in archive.namelist():
        trial, _, file = name.partition("/")
        if file in FILES:
            files[trial].append(file)
    found = set()
    for trial, mark in wanted.items():
        with suppress(zipfile.BadZipFile, zlib.error):
            content = {file: bounded.zip_member(archive, f"{trial}/{file}") for file in files[trial]}
            if digest(content.get(_FINAL, b"")) == mark:
                (folder / trial).mkdir(exist_ok=True)
                for file, text in content.items():
                    (folder / trial / file).write_bytes(text)
                found.add(trial)
    return found
