"""What of a study lies under an fsspec URL (`s3://`, `file://`, `memory://` ...): checkpoints, copies of finished records.

    <url>/<study>/study.json
    <url>/<study>/<trial id>/   checkpoint-<attempt>.pt by the workers; the files of the final record by the driver

Events are not copied while a trial runs, since object stores cannot append: each checkpoint holds those up to it. A folder
`runs/<study>` that is put back from there can be gone on with where the tuner's database is still known.
"""

import re
from pathlib import Path
from typing import Any

from bench.credentials import hidden, resolved
from bench.errors import RequestError
from bench.record import Record

STUDY = "study.json"
FILES = (
    "trial.json",
    "events.jsonl",
    "curves.json",
    "raw.npz",
    "error.txt",
    "record.json",
)  # the last one says it is whole
_CHECKPOINT = re.compile(r"checkpoint-(\d+)\.pt$")


class Elsewhere:
    """The place of one study.

    Args:
        url: what the study's `checkpoints` says; `${NAME}` stands for a variable of the environment.
        study: the study's name.

    Raises:
        RequestError: no absolute folder and no URL that fsspec can open.
    """

    def __init__(self, url: str, study: str):
        import fsspec

        base = resolved(url)
        scheme, _, rest = base.rpartition("://")
        if scheme in ("", "file", "local") and not Path(rest).is_absolute():
            raise RequestError(f"checkpoints must be a URL or an absolute folder, got {hidden(base)!r}: give all of it")
        self.url = f"{base.rstrip('/')}/{study}"
        self.study = study
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError, TypeError) as error:
            raise RequestError(f"checkpoints {hidden(base)!r} cannot be opened: {hidden(str(error))}") from error

    def place(self, trial: str) -> str:
        """Where the checkpoints of a trial lie."""
        return f"{self.url}/{trial}"

    def check_free(self) -> None:
        """Refuse to begin a study where one of that name lies: it would go on from the other's checkpoints.

        Raises:
            RequestError: there is one, or the place does not answer.
        """
        try:
            taken = self._files.exists(f"{self._root}/{STUDY}")
        except Exception as error:  # every file system has errors of its own
            where = hidden(self.url)
            raise RequestError(f"checkpoints at {where} cannot be reached: {hidden(str(error))}") from error
        if taken:
            raise RequestError(
                f"{hidden(self.url)} already holds a study that was not begun here: copy its folder back into runs/ to go "
                "on with it, delete it there to begin anew, or rename the study"
            )

    def copy(self, folder: Path) -> "Copy":
        """The copy of the study in `folder`, as it is now."""
        return Copy(self._files, self._root, folder)


class Copy:
    """The copy of a study's final records, as `bench.tracking.Mirror` is one in MLflow: only what is not there is sent."""

    def __init__(self, files: Any, root: str, folder: Path):
        self._files = files
        self._root = root
        self._folder = folder
        self._there: dict[str, dict[str, int]] = {}  # trial -> file -> bytes
        self.close()  # now, so that a study that is killed can be put back
        for path, facts in files.find(root, detail=True).items():
            trial, name = path.split("/")[-2:]
            self._there.setdefault(trial, {})[name] = facts["size"]

    def send(self, known: Record) -> bool:
        """Copy a record that is final, then remove the checkpoints that nobody needs any more; false: that is all."""
        if known.state not in ("waiting", "running"):
            self._copy(known)
        return False

    def complete(self, known: Record) -> None:
        """Nothing is left for later."""

    def _copy(self, known: Record) -> None:
        trial = known.trial.id
        keep = 0 if known.trial.stage == "tune" else 1  # as the driver does in its own folder
        there = self._there.pop(trial, {})
        if not self._is_whole(known, there):
            for path in (known.folder / name for name in FILES):
                if path.exists():
                    self._put(path, f"{trial}/{path.name}")
        elif sum(map(bool, map(_attempt, there))) <= keep:
            return
        names = [path.rpartition("/")[2] for path in self._files.ls(f"{self._root}/{trial}", detail=False)]
        checkpoints = sorted(filter(_attempt, names), key=_attempt)
        for name in checkpoints[: len(checkpoints) - keep]:
            self._files.rm_file(f"{self._root}/{trial}/{name}")

    def close(self, state: str = "") -> None:
        """Copy the study's own facts."""
        self._put(self._folder / STUDY, STUDY)

    def _is_whole(self, known: Record, there: dict[str, int]) -> bool:
        """Whether the copy is that of this record: one that was lost to an error may have been run again since."""
        final = known.folder / "record.json"
        if there.get("record.json") != final.stat().st_size:
            return False
        path = f"{self._root}/{known.trial.id}/record.json"
        return known.kind != "error" or self._files.cat_file(path) == final.read_bytes()

    def _put(self, path: Path, name: str) -> None:
        place = f"{self._root}/{name}"
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(place, path.read_bytes())


def _attempt(name: str) -> int:
    """The attempt (1, 2, ...) that wrote a checkpoint; 0: the file is none."""
    found = _CHECKPOINT.match(name)
    return int(found[1]) if found else 0
