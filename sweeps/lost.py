"""The trials that an error of the machine or the request ended: which of them the next session runs again."""

import shutil
from collections.abc import Callable
from pathlib import Path

from bench import record
from bench.record import Record
from sweeps.study import Study

Place = tuple[str, str]  # backbone, entry of the study's `losses`
SHOWN = ("untrained", "default", "tuned", "again")  # the roles that are rows of the report


def of(folder: Path) -> list[Record]:
    """The records of trials that ended by an error and not by their training."""
    return [known for known in record.read_study(folder) if known.kind == "error"]


def overlap(study: Study, folder: Path) -> Study:
    """The study with its leave to overlap as it was when a network was first scored: it is part of a trial's id.

    Until then it may change; what was begun with the other answer, refused trials above all, is thrown away.
    """
    known = record.read_study(folder)
    scored = next((one.trial for one in known if one.scores), None)
    if scored is not None:
        return study.model_copy(update={"allow_overlap": scored.allow_overlap})
    for one in known:
        if one.trial.protocols and one.trial.allow_overlap != study.allow_overlap:
            _remove(one.folder)
    return study


def again(folder: Path, forget: Callable[[Place], None]) -> None:
    """Open the lost trials for another try: their final records are deleted, their checkpoints stay.

    What a decision was built on stays as it is: a finalist once its winner is confirmed, a search trial unless the whole
    search was lost.

    A search that was lost as a whole is thrown away: the tuner has to begin it anew and, with something to learn from, will
    ask for other trials.

    Args:
        forget: has the tuner forget the search of a place. Before its records go: were this to end in between, it would be
            done again, and a search without records would not be known to be a lost one.
    """
    groups: dict[Place, list[Record]] = {}
    for known in record.read_study(folder):
        groups.setdefault((known.trial.backbone, known.trial.name), []).append(known)
    for place, group in groups.items():
        roles = {*SHOWN, "patch"}
        if not any(known.trial.role in ("tuned", "again") for known in group):
            roles.add("finalist")
        searched = [known for known in group if known.trial.role == "search"]
        ended = [known for known in searched if known.state not in ("waiting", "running")]
        if ended and all(known.kind == "error" for known in ended):
            forget(place)
            for known in sorted(searched, key=lambda known: known in ended):  # while one of these is there, it is known
                _remove(known.folder)
        for known in group:
            if known.kind == "error" and known.trial.role in roles:
                (known.folder / "record.json").unlink()
                (known.folder / "error.txt").unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """Delete a trial's folder, for the study at once: half of one would be taken for another trial's."""
    gone = folder.parent / ".gone" / folder.name
    shutil.rmtree(gone.parent, ignore_errors=True)
    gone.parent.mkdir(exist_ok=True)
    folder.rename(gone)
    shutil.rmtree(gone.parent, ignore_errors=True)
