"""The trials that an error of the machine or the request ended: which of them the next session runs again."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.index import Entry
from sweeps.study import Study

Place = tuple[str, str]  # backbone, entry of the study's `losses` with its search (`bench.plain.arm`)
SHOWN = ("untrained", "default", "tuned", "again")  # the roles that are rows of the report


def of(known: Iterable[Entry]) -> list[Entry]:
    """The trials that ended by an error and not by their training."""
    return [one for one in known if one.kind == "error"]


def overlap(study: Study, folder: Path, known: list[Entry]) -> tuple[Study, list[Entry]]:
    """The study with its leave to overlap as it was when a network was first scored: it is part of a trial's id.

    Until then it may change; what was begun with the other answer, refused trials above all, is thrown away.

    Args:
        folder, known: the study's folder and the trials in it.

    Returns:
        The study, and the trials that are left.
    """
    scored = next((one for one in known if one.scored), None)
    if scored is not None:
        return study.model_copy(update={"allow_overlap": scored.allow_overlap}), known
    left = [one for one in known if not one.tested or one.allow_overlap == study.allow_overlap]
    for name in {one.id for one in known} - {one.id for one in left}:
        _remove(folder / name)
    return study, left


def again(folder: Path, known: Iterable[Entry], forget: Callable[[Place], None]) -> None:
    """Open the lost trials for another try: their final records are deleted, their checkpoints stay.

    What a decision was built on stays as it is: a finalist once its winner is confirmed, a search trial unless the whole
    search was lost.

    A search that was lost as a whole is thrown away: the tuner has to begin it anew and, with something to learn from, will
    ask for other trials.

    Args:
        folder, known: the study's folder and the trials in it.
        forget: has the tuner forget the search of a place. Before its records go: were this to end in between, it would be
            done again, and a search without records would not be known to be a lost one.
    """
    groups: dict[Place, list[Entry]] = {}
    for one in known:
        groups.setdefault((one.backbone, one.arm), []).append(one)
    for place, group in groups.items():
        roles = {*SHOWN, "patch"}
        if not any(one.role in ("tuned", "again") for one in group):
            roles.add("finalist")
        searched = [one for one in group if one.role == "search"]
        ended = [one for one in searched if one.ended]
        trains = any(one.epochs for one in searched if not one.ended)
        if ended and not trains and all(one.kind == "error" for one in ended):
            forget(place)
            for one in sorted(searched, key=lambda one: one.ended):  # while one that ended is there, it is known
                _remove(folder / one.id)
        for one in of(group):
            if one.role in roles:
                reopen(folder / one.id)


def reopen(trial: Path) -> None:
    """Let a trial's folder be gone on with: its final record goes, its checkpoint stays."""
    (trial / "record.json").unlink(missing_ok=True)
    (trial / "error.txt").unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """Delete a trial's folder, for the study at once: half of one would be taken for another trial's."""
    gone = folder.parent / ".gone" / folder.name
    shutil.rmtree(gone.parent, ignore_errors=True)
    gone.parent.mkdir(exist_ok=True)
    folder.rename(gone)
    shutil.rmtree(gone.parent, ignore_errors=True)
