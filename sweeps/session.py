"""One session of a sweep: everything is opened, the driver runs, everything is closed; the next one goes on from there."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from bench import credentials, index, places, tracking
from bench.elsewhere import Elsewhere
from bench.errors import RequestError, StudyIncomplete, TrialFailed
from bench.locks import alone
from bench.plain import arm
from sweeps import budget, checks, gathering, given, lost, opening, plan, reading, sheets, tuner
from sweeps.cell import Cell
from sweeps.driver import Driver
from sweeps.ending import End, room
from sweeps.progress import board
from sweeps.share import Share
from sweeps.signals import Stop
from sweeps.study import Study
from sweeps.tally import Cut
from sweeps.window import Both, CopyWindow, MlflowWindow, Window
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
    describe: Callable[[Path], object] | None = None,
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
        describe: writes, once all trials have ended, what MLflow's description of the study ends with into its folder.

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
        elsewhere = Elsewhere(asked.checkpoints, asked.name) if asked.checkpoints else None
        asked, facts, share = opening.opened(asked, folder, command, store, elsewhere, say)
        last.callback(share.leave)
        meter = budget.Meter(asked, facts.get("used"))
        cuts = budget.cuts(facts, folder)
        if run is None:
            sheets.draw(asked, folder)
        # All that can still be wrong here is found before Ray is started.
        cells = [_cell(asked, *at, store, cuts, share) for at in plan.places(asked)]
        stop.check()
        mlflow = MlflowWindow(asked.name, folder, agree=share.agree, alone=share.alone, apart=address != "inline")
        window: Window = Both(mlflow, CopyWindow(elsewhere, folder)) if elsewhere else mlflow
        shown = board(asked, cells, stream)
        share.speak(shown.say, stop.waiting)
        if store:
            store.patience.say, store.patience.waiting = shown.say, stop.waiting
        end = End(asked.name, partial(opening.mark, folder, facts), window, shown, stop)
        stop.last_words = end.last_words
        with end:
            with stop.waiting():
                end.workers = workers = _workers(asked, address, slots, run, shown.say, elsewhere)
            stop.listen()
            driver = Driver(asked, folder, cells, workers, window, shown, stop, meter, elsewhere, share)
            end.save = partial(opening.save, driver, facts)
            driver.decided = partial(end.save, "running")
            end.save("running")
            for _ in driver.run():
                end.save("running")
            if describe and share.alone:  # one of several drivers has not all records
                _describe(describe, folder, shown.say)
        if not share.alone:
            with stop.waiting():
                gathering.gather(driver, say)
        _complain(driver)
    return folder


def _describe(describe: Callable[[Path], object], folder: Path, say: Callable[[str], None]) -> None:
    try:
        describe(folder)
    except Exception as error:  # whatever it is, the sweep must not end of it: the report says it again
        say(f"MLflow's description of the study has no leaderboard ({tracking.cause(error)})")


@contextmanager
def _storage(study: Study) -> Iterator[Any]:
    """Optuna's database; None where nothing is tuned."""
    if not study.tune:
        yield None
        return
    with closing(tuner.storage(study.storage or f"sqlite:///{places.runs() / 'optuna.db'}")) as store:
        yield store


def _cell(
    study: Study, backbone: str, label: str, search: int, store: Any, cuts: Mapping[str, Cut], share: Share
) -> Cell:
    cut = cuts.get(f"{backbone}/{arm(label, search)}")
    return Cell(study, backbone, label, _tuner(study, backbone, label, search, store), cut, share, search)


def _tuner(study: Study, backbone: str, label: str, search: int, store: Any) -> tuner.Tuner | None:
    tune = study.tune
    if tune is None:
        return None
    return tuner.Tuner(
        opening.search_name(study, backbone, arm(label, search)),
        store,
        plan.space(study, label),
        seed=f"{tune.seed + search - 1}:{backbone}:{label}",
        sampler=tune.sampler,
        pruner=tune.pruner,
        trials=tune.trials,
        epochs=tune.epochs,
        first_pruning_step=plan.first_pruning_step(study, label),
        minimise=study.minimise,
    )


def _workers(
    study: Study,
    address: str,
    slots: int | None,
    run: Run | None,
    say: Callable[[str], None],
    elsewhere: Elsewhere | None,
) -> Workers:
    if slots is not None and slots < 1:
        raise RequestError(f"slots must be at least 1, got {slots}")
    if address == "inline":
        from sweeps.inline import Inline

        return Inline(study.resources, run)
    from sweeps import nodes
    from sweeps.pool import RayPool

    pool = RayPool(address, resources=study.resources, slots=slots, run=run, say=say)
    try:
        if address != "local" and run is None:
            place = elsewhere.url if elsewhere else str(places.study_folder(study.name))
            nodes.check(study, place)
    except BaseException:
        pool.close()
        raise
    return pool


def _complain(driver: Driver) -> None:
    """Say what is missing, at the end and aloud: a report of the rest looks like a whole one.

    Raises:
        RequestError: nothing finished because the request was wrong.
        TrialFailed: not one trial finished, a loss was not confirmed, or runs were lost to errors.
    """
    known = index.entries(driver.folder)
    if not any(one.state == "finished" for one in known) and "finished" not in driver.others.values():
        if request := next((cell.trouble for cell in driver.cells if cell.refused), ""):
            raise RequestError(request)
        reason = next((one.reason for one in known if one.state == "failed"), "none was run")
        raise TrialFailed(f"not one trial of the study finished; the first one's reason: {reason}")
    missing = [f"{cell.name} was not confirmed: {cell.trouble}" for cell in driver.cells if cell.trouble]
    if gone := [one for one in lost.of(known) if one.role in lost.SHOWN]:
        missing.append(
            f"{len(gone)} run(s) of the report were lost to errors (the first: {gone[0].reason}): "
            "the same command runs them again"
        )
    if missing:
        raise StudyIncomplete("; ".join(missing), driver.folder)
