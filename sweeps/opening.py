"""A study is opened: begun, continued, or joined; `study.json` says what was asked, when it was begun, how far it is."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import index, record
from bench.credentials import hidden, hidden_in
from bench.elsewhere import Elsewhere
from bench.errors import RequestError
from sweeps import joining, lost, plan, reading, tuner
from sweeps.driver import Driver
from sweeps.share import Alone, Share
from sweeps.study import Study


def opened(
    study: Study,
    folder: Path,
    command: str | None,
    store: Any,
    elsewhere: Elsewhere | None,
    say: Callable[[str], None],
) -> tuple[Study, dict[str, Any], Share]:
    """What `study.json` holds, the study as it goes on, and with whom: begun now, or continued after what was lost is opened
    again. A study that names its database may have other drivers."""
    facts = _known(study, folder)
    if study.storage:
        searches = [search_name(study, *place) for place in plan.arms(study)]
        study, created, share = joining.join(study, folder, facts, searches, store, say)
        facts = (facts or _begun(study, command)) | _said(study) | {"created": created}
        mark(folder, facts, "running")
        return study, facts, share
    if facts is None:
        if elsewhere and not (folder / "study.json").exists():
            elsewhere.check_free()
        return study, _begin(study, folder, command, store), Alone()
    study, known = lost.overlap(study, folder, index.entries(folder))
    facts |= _said(study)

    def forget(place: lost.Place) -> None:
        if store and tuner.exists(name := search_name(study, *place), store):
            tuner.forget(name, store)

    lost.again(folder, known, forget)
    return study, facts, Alone()


def _said(study: Study) -> dict[str, Any]:
    """What may change in a study that goes on."""
    return {"file": hidden_in(study.model_dump()), "criteria": study.criteria, "published": study.published}


def _known(study: Study, folder: Path) -> dict[str, Any] | None:
    """The facts in `study.json` of an earlier session, None where there was none or it came to no trial.

    Raises:
        RequestError: the folder holds trials of a study of the same name that said something else.
    """
    path = folder / "study.json"
    trials = any(folder.glob("*/trial.json"))
    if not path.exists():
        if trials:
            raise RequestError(
                f"{folder} holds trials and no study.json: rename the study, or delete that folder to begin anew"
            )
        return None
    known = reading.facts(folder)
    if known["hash"] != reading.digest(study):
        if not trials:
            return None
        raise RequestError(
            f"{folder} holds records of another version of study {study.name!r}: "
            "rename the study in its file, or delete that folder to begin anew"
        )
    return known


def _begin(study: Study, folder: Path, command: str | None, store: Any) -> dict[str, Any]:
    """Write the first `study.json`; what a study of that name left in the tuner's database is deleted."""
    for place in plan.arms(study) if store else ():
        if tuner.exists(name := search_name(study, *place), store):
            tuner.forget(name, store)
    facts = _begun(study, command)
    mark(folder, facts, "running")
    return facts


def _begun(study: Study, command: str | None) -> dict[str, Any]:
    """What `study.json` holds of a study that begins now."""
    return plan.plain(study) | {
        "command": hidden(command or " ".join(sys.argv)),
        "hash": reading.digest(study),
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),  # tells two starts apart, however soon
        "cells": {},
    }


def save(driver: Driver, facts: dict[str, Any], state: str) -> None:
    """Write `study.json`: when something was decided at once, when more was only counted once in a while."""
    cells = {
        cell.name: {
            "stage": cell.stage,
            "spent_epochs": cell.tally.spent,
            "trials": dict(cell.tally.states),
            "epochs": cell.tally.epochs,
            "train_seconds": cell.tally.seconds,
            "stopped_early": cell.cut._asdict() if cell.cut else None,
            "winner": cell.winner.number if cell.winner else None,
            "best": cell.best(),
            "trouble": cell.trouble,
        }
        for cell in driver.cells
    }
    if facts["state"] != state or _decided(facts["cells"]) != _decided(cells) or driver.meter.due():
        facts |= {"cells": cells, "used": driver.meter.used(driver.cells)}
        mark(driver.folder, facts, state)


def _decided(cells: dict[str, Any]) -> list[Any]:
    """What a killed session must leave behind; the rest follows from the records."""
    return [
        (name, *(cell.get(key) for key in ("stage", "stopped_early", "winner", "trouble")))
        for name, cell in cells.items()
    ]


def mark(folder: Path, facts: dict[str, Any], state: str) -> None:
    """Write `study.json` with a new state."""
    facts["state"] = state
    record.write_text(folder / "study.json", json.dumps(facts, indent=1, sort_keys=True), durable=True)


def search_name(study: Study, backbone: str, arm: str) -> str:
    """What Optuna calls the search of a cell."""
    return f"{study.name}/{backbone}/{arm}"
