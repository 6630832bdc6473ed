"""One session of a sweep: everything is opened, the driver runs, everything is closed; the next one goes on from there."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from bench import credentials, places, record
from bench.credentials import hidden, hidden_in
from bench.errors import RequestError, StudyIncomplete, TrialFailed
from bench.locks import alone
from sweeps import checks, gathering, given, joining, lost, plan, reading, sheets, tuner
from sweeps.cell import Cell
from sweeps.driver import Driver
from sweeps.ending import End, room
from sweeps.progress import board
from sweeps.share import Alone, Share
from sweeps.signals import Stop
from sweeps.study import Study
from sweeps.window import MlflowWindow
from sweeps.work import Run, Workers


def sweep(
    study: str | Path | Study,
    *,
    address: str = "local",
    slots: int | None = None,
    allow_overlap: bool = False,
    command: str | None = None,
    stream: TextIO | None = None,
    run: Run | None = None,
    report: checks.Report | None = None,
    own_data: bool = False,
) -> Path:
    """Run a study, or go on with it where it stood.

    Args:
        study: a yaml file, the name of a shipped study, or a study.
        address: `inline` (this process, no Ray), `local` (starts Ray), or a Ray cluster's address.
        slots: at most so many trials at once; None: as many as fit.
        allow_overlap: score although training and test share people or images (the figures are marked).
        command: what the user typed, for the record.
        stream: where progress is shown; None: stderr.
        run: stands in for `bench.trial.run` in tests.
        report: what the report can judge and show, for the study file to be checked against; None: not checked.
        own_data: whether the data folder was named for this very call: a study that has a `given` part then runs on the
            files in it or not at all.

    Returns:
        The study's folder, `runs/<study>/`.

    Raises:
        RequestError: the study, the address or the request in it is wrong.
        TrialFailed: not one trial finished, a loss was not confirmed, or runs were lost to errors; all else was run and
            written.
        KeyboardInterrupt: it was stopped (Ctrl-C or SIGTERM); the same call goes on with it.
    """
    asked = study if isinstance(study, Study) else reading.load(study, report=report, own_data=own_data)
    if line := given.line(asked):
        print(line, file=stream or sys.stderr, flush=True)
    if allow_overlap:
        asked = asked.model_copy(update={"allow_overlap": True})
    if os.environ.get(credentials.STORAGE) and asked.tune:
        asked = asked.model_copy(update={"storage": f"${credentials.STORAGE}"})
    if run is None:
        checks.openable(asked)
    folder = places.study_folder(asked.name)
    folder.mkdir(parents=True, exist_ok=True)
    with room(folder), alone(folder), Stop() as stop, _storage(asked) as store, ExitStack() as last:
        say = partial(print, file=stream or sys.stderr, flush=True)
        asked, facts, share = _facts(asked, folder, command, store, say)
        last.callback(share.leave)
        if run is None:
            sheets.draw(asked, folder)
        # All that can still be wrong here is found before Ray is started.
        cells = [Cell(asked, *place, _tuner(asked, *place, store), share) for place in _places(asked)]
        stop.check()
        window = (
            MlflowWindow(asked.name, folder) if share.alone else MlflowWindow(asked.name, folder, agree=share.agree)
        )
        shown = board(asked, cells, stream)
        share.speak(shown.say, stop.waiting)
        if store:
            store.patience.say, store.patience.waiting = shown.say, stop.waiting
        end = End(asked.name, partial(_mark, folder, facts), window, shown, stop)
        stop.last_words = end.last_words
        with end:
            with stop.waiting():
                end.workers = workers = _workers(asked, address, slots, run)
            stop.listen()
            driver = Driver(asked, folder, cells, workers, window, shown, stop, share)
            end.save = partial(_save, driver, facts)
            end.save("running")
            for _ in driver.run():
                end.save("running")
        if not share.alone:
            with stop.waiting():
                gathering.gather(driver, say)
        _complain(driver)
    return folder


def _facts(
    study: Study, folder: Path, command: str | None, store: Any, say: Callable[[str], None]
) -> tuple[Study, dict[str, Any], Share]:
    """What `study.json` holds, the study as it goes on, and with whom: begun now, or continued after what was lost is opened
    again. A study that names its database may have other drivers."""
    facts = _known(study, folder)
    if study.storage:
        searches = [_search(study, *place) for place in _places(study)]
        study, created, share = joining.join(study, folder, facts, searches, store, say)
        facts = (facts or _begun(study, command)) | _said(study) | {"created": created}
        _mark(folder, facts, "running")
        return study, facts, share
    if facts is None:
        return study, _begin(study, folder, command, store), Alone()
    study = lost.overlap(study, folder)
    facts |= _said(study)

    def forget(place: lost.Place) -> None:
        if store and tuner.exists(name := _search(study, *place), store):
            tuner.forget(name, store)

    lost.again(folder, forget)
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
    facts = json.loads(path.read_text())
    if facts["hash"] != reading.digest(study):
        if not trials:
            return None
        raise RequestError(
            f"{folder} holds records of another version of study {study.name!r}: "
            "rename the study in its file, or delete that folder to begin anew"
        )
    return facts


def _begin(study: Study, folder: Path, command: str | None, store: Any) -> dict[str, Any]:
    """Write the first `study.json`; what a study of that name left in the tuner's database is deleted."""
    for place in _places(study) if store else ():
        if tuner.exists(name := _search(study, *place), store):
            tuner.forget(name, store)
    facts = _begun(study, command)
    _mark(folder, facts, "running")
    return facts


def _begun(study: Study, command: str | None) -> dict[str, Any]:
    """What `study.json` holds of a study that begins now."""
    return plan.plain(study) | {
        "command": hidden(command or " ".join(sys.argv)),
        "hash": reading.digest(study),
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),  # tells two starts apart, however soon
        "cells": {},
    }


def _save(driver: Driver, facts: dict[str, Any], state: str) -> None:
    """Write `study.json` when something in it has changed."""
    cells = {
        cell.name: {
            "stage": cell.stage,
            "spent_epochs": cell.spent,
            "winner": cell.winner.number if cell.winner else None,
            "best": cell.best(),
            "trouble": cell.trouble,
        }
        for cell in driver.cells
    }
    if facts["state"] != state or facts["cells"] != cells:
        facts["cells"] = cells
        _mark(driver.folder, facts, state)


def _mark(folder: Path, facts: dict[str, Any], state: str) -> None:
    """Write `study.json` with a new state."""
    facts["state"] = state
    record.write_text(folder / "study.json", json.dumps(facts, indent=1, sort_keys=True))


def _places(study: Study) -> list[lost.Place]:
    return [(backbone, label) for backbone in study.backbones for label in study.losses]


@contextmanager
def _storage(study: Study) -> Iterator[Any]:
    """Optuna's database; None where nothing is tuned."""
    if not study.tune:
        yield None
        return
    with closing(tuner.storage(study.storage or f"sqlite:///{places.runs() / 'optuna.db'}")) as store:
        yield store


def _search(study: Study, backbone: str, label: str) -> str:
    """What Optuna calls the search of a cell."""
    return f"{study.name}/{backbone}/{label}"


def _tuner(study: Study, backbone: str, label: str, store: Any) -> tuner.Tuner | None:
    tune = study.tune
    if tune is None:
        return None
    return tuner.Tuner(
        _search(study, backbone, label),
        store,
        plan.space(study, label),
        seed=f"{tune.seed}:{backbone}:{label}",
        sampler=tune.sampler,
        pruner=tune.pruner,
        trials=tune.trials,
        epochs=tune.epochs,
        first_pruning_step=plan.first_pruning_step(study, label),
        minimise=study.minimise,
    )


def _workers(study: Study, address: str, slots: int | None, run: Run | None) -> Workers:
    if slots is not None and slots < 1:
        raise RequestError(f"slots must be at least 1, got {slots}")
    cpus, gpus = study.resources.cpus, study.resources.gpus
    if address == "inline":
        from sweeps.inline import Inline

        return Inline(cpus, run)
    from sweeps.pool import RayPool

    return RayPool(address, cpus=cpus, gpus=gpus, slots=slots, run=run)


def _complain(driver: Driver) -> None:
    """Say what is missing, at the end and aloud: a report of the rest looks like a whole one.

    Raises:
        RequestError: nothing finished because the request was wrong.
        TrialFailed: not one trial finished, a loss was not confirmed, or runs were lost to errors.
    """
    known = record.read_study(driver.folder)
    if not any(one.state == "finished" for one in known) and "finished" not in driver.others.values():
        if request := next((cell.trouble for cell in driver.cells if cell.refused), ""):
            raise RequestError(request)
        reason = next((one.reason for one in known if one.state == "failed"), "none was run")
        raise TrialFailed(f"not one trial of the study finished; the first one's reason: {reason}")
    missing = [f"{cell.name} was not confirmed: {cell.trouble}" for cell in driver.cells if cell.trouble]
    if gone := [one for one in lost.of(driver.folder) if one.trial.role in lost.SHOWN]:
        missing.append(
            f"{len(gone)} run(s) of the report were lost to errors (the first: {gone[0].reason}): "
            "the same command runs them again"
        )
    if missing:
        raise StudyIncomplete("; ".join(missing), driver.folder)
