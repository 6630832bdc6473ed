"""The trials that an error of the machine or the request ended: which of them the next session runs again."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from bench.index import Entry
from sweeps.study import Study

Place = tuple[str, str]  # backbone, entry of the study's `losses`
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
    gone = [one for one in known if one.tested and one.allow_overlap != study.allow_overlap]
    for one in gone:
        shutil.rmtree(folder / one.id)
    return study, [one for one in known if one not in gone]


def again(folder: Path, known: Iterable[Entry]) -> list[Place]:
    """Open the lost trials for another try: their final records are deleted, their checkpoints stay.

    What a decision was built on stays as it is: a finalist once its winner is confirmed, a search trial unless the whole
    search was lost.

    Args:
        folder, known: the study's folder and the trials in it.

    Returns:
        The places whose whole search was lost. It is thrown away, for the tuner has to begin it anew and, with something
        to learn from, will ask for other trials.
    """
    groups: dict[Place, list[Entry]] = {}
    for one in known:
        groups.setdefault((one.backbone, one.name), []).append(one)
    begun_anew = []
    for place, group in groups.items():
        roles = {*SHOWN, "patch"}
        if not any(one.role in ("tuned", "again") for one in group):
            roles.add("finalist")
        ended = [one for one in group if one.role == "search" and one.ended]
        if ended and all(one.kind == "error" for one in ended):
            begun_anew.append(place)
            for one in group:
                if one.role == "search":
                    shutil.rmtree(folder / one.id)
        for one in of(group):
            if one.role in roles:
                (folder / one.id / "record.json").unlink(missing_ok=True)
                (folder / one.id / "error.txt").unlink(missing_ok=True)
    return begun_anew
