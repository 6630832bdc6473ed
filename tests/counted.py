"""Sweeps whose driver is killed: a trial that counts what it does, drivers in processes of their own, and the sums.

Every executed epoch is appended to `runs/executed` before its checkpoint is written, by whichever process trains it: what
was done is counted apart from all that is under test. `Counts` holds it against events.jsonl, Optuna's and MLflow's rows.

    python tests/counted.py '{"runs": ..., "study": {...}, "address": "inline"}'     # a driver, as a process
"""

import json
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import fake_trial

from bench import record
from bench.plain import Progress, Result, Trial
from bench.record import Record

STUDY: dict[str, Any] = {
    "name": "study",
    "data": {"name": "digits", "nap": 0.1},
    "backbones": ["cnn4"],
    "losses": ["softmax"],
    "tune": {"trials": 4, "epochs": 3, "finalists": 1, "finalist_seeds": 2},
    "confirm": {"seeds": 3, "epochs": 3},
    "again": False,
    "untrained": False,
    "protocols": [{"name": "lfw"}],
}
TRIALS = 12  # where none is pruned: of the search 4, finalists 2, confirmed 3, untuned 3


def run(trial: Trial, folder: str) -> Iterator[Progress | Result]:
    """Stands in for `bench.trial.run`: a formula, but real checkpoints. `nap`: seconds an epoch; `ballast`: bytes that the
    second search trial's checkpoints hold from its second epoch on; `stuck`: seconds in C, in the second epoch."""
    import torch

    from bench.checkpoint import Checkpoints

    saved = Checkpoints(folder)
    past: list[Progress] = []
    if found := saved.latest():
        past = found[1]
        yield from past
    for epoch in range(len(past) + 1, trial.epochs + 1):
        time.sleep(trial.data.get("nap", 0))
        metrics = {"train/loss": 1 / epoch}
        if trial.holdout:
            metrics["dev/accuracy"] = fake_trial.figure(trial, epoch)
        if epoch == 2 and trial.data.get("stuck"):
            fake_trial.sleep_in_c(trial.data["stuck"])
        past.append(Progress(10 * epoch, epoch, metrics, 0.5 * epoch))
        executed(folder, trial, epoch)
        heavy = (trial.role, trial.number) == ("search", 1) and epoch > 1
        weights = torch.zeros(trial.data.get("ballast", 0) if heavy else 0, dtype=torch.uint8)
        saved.save({"epoch": epoch, "weights": weights}, past)
        yield past[-1]
    yield fake_trial.result(trial, past)


def executed(folder: str, trial: Trial, epoch: int) -> None:
    """Say that an epoch was trained, in a line that no other process's cuts in two."""
    file = os.open(Path(folder).parents[1] / "executed", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{trial.id} {epoch} {os.getpid()}\n".encode())
    os.close(file)


def drive(
    runs: str,
    study: dict[str, Any],
    address: str = "inline",
    slots: int | None = None,
    moment: str = "",
    tracking: str = "",
    clock: float = 0.0,
) -> None:
    """One session of a sweep in this process.

    Args:
        moment: such as `bench.record:finish after 2`: there it kills itself.
        tracking: where MLflow is; "": in `runs`.
        clock: hours that the clock is wrong by.
    """
    os.environ["FACEBENCH_RUNS"] = runs
    os.environ["MLFLOW_TRACKING_URI"] = tracking
    if clock:
        right = time.time
        time.time = lambda: right() + 3600 * clock
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been ignored in who started this
    import sweeps.signals
    from sweeps.study import Study

    if address != "inline":
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # before Ray is imported: it looks only then
        from ray import cloudpickle

        for module in (sys.modules[__name__], fake_trial):  # the workers do not have this folder on their path
            cloudpickle.register_pickle_by_value(module)
    if moment:
        _die_at(moment)
    try:
        sweeps.sweep(Study.model_validate(study), address=address, slots=slots, run=run, command="facebench sweep x")
    except KeyboardInterrupt:
        sweeps.signals.leave()


def _die_at(moment: str) -> None:
    from importlib import import_module

    where, when, nth = moment.split()
    module, _, path = where.partition(":")
    owner: Any = import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    real, calls = getattr(owner, name), [0]

    def dying(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == int(nth) and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        made = real(*given, **named)
        if calls[0] == int(nth) and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    setattr(owner, name, dying)


class Forks:
    """Drivers that are forked from a process that has all imports behind it: a session begins in an instant."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        wanted = ["mlflow", "mlflow.store.tracking.sqlalchemy_store", "optuna", "torch", "sweeps.session", "counted"]
        self._context.set_forkserver_preload(wanted)

    def start(self, log: Path, **given: Any) -> multiprocessing.Process:
        """Begin a session; what it prints goes to the end of `log`."""
        process = self._context.Process(target=_logged, args=(str(log), given), daemon=True)
        process.start()
        return process


def _logged(log: str, given: dict[str, Any]) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    drive(**given)


def seed(name: str = "FACEBENCH_FAULT_SEED") -> int:
    """The seed of all random moments: from the environment, else another each time; printed."""
    value = int(os.environ.get(name) or random.SystemRandom().randrange(10**6))
    print(f"{name}={value}")
    return value


@dataclass
class Counts:
    """What must be right when a sweep has ended; all but the first four must be 0.

    Attributes:
        trials, epochs: how many ended, and the epochs in their records.
        executed, again: epochs that were trained, and how many of those more than once (a kill costs the one in work).
        lost: (trial, step) that an ended trial lacks in its events, or that Optuna or MLflow lack of these.
        repeated: (trial, step) twice in a trial's events, rows twice in MLflow.
        past_end: steps beyond a trial's last epoch, or in Optuna or MLflow and not in its events; epochs trained so.
        unheard: events of epochs that nobody trained.
        open: trials without a final record; running_trials: of Optuna, running_runs: of MLflow, that are RUNNING.
        runs: MLflow runs too many or too few: one a trial, and the study's own.
    """

    trials: int = 0
    epochs: int = 0
    executed: int = 0
    again: int = 0
    lost: int = 0
    repeated: int = 0
    past_end: int = 0
    unheard: int = 0
    open: int = 0
    running_trials: int = 0
    running_runs: int = 0
    runs: int = 0

    @property
    def wrong(self) -> dict[str, int]:
        """The counts that should be 0 and are not."""
        return {name: value for name in self.must_be_none() if (value := getattr(self, name))}

    @classmethod
    def must_be_none(cls) -> list[str]:
        """The names of the counts that must be 0."""
        return [f.name for f in fields(cls)[4:]]

    def plain(self) -> dict[str, int]:
        return asdict(self)


def epochs(runs: Path) -> list[tuple[str, int, int]]:
    """The executed epochs so far, in their order: trial id, epoch, process."""
    file = runs / "executed"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [(trial, int(epoch), int(pid)) for trial, epoch, pid in map(str.split, lines)]


def until(condition: Any, patience: float = 240.0) -> Any:
    """Wait until it is true; its value."""
    end = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)
    return value


def count(runs: Path, study: str = "study", optuna: Path | None = None) -> Counts:
    """Count, at the end of a sweep, from the files and databases themselves; `optuna` is a database that is elsewhere."""
    records = record.read_study(runs / study)
    trained = Counter((trial, epoch) for trial, epoch, _ in epochs(runs))
    made = Counts(len(records), sum(len(r.events) for r in records), sum(trained.values()))
    made.again = sum(times - 1 for times in trained.values())
    base = optuna or runs / "optuna.db"
    tuned, mlflow = _optuna(base), _mlflow(runs)
    for known in records:
        trial, heard = known.trial, [event.epoch for event in known.events]
        whole = set(range(1, (trial.epochs if known.state == "finished" else len(heard)) + 1))
        made.lost += len(whole - set(heard))
        made.repeated += len(heard) - len(set(heard))
        made.past_end += sum(epoch > trial.epochs for epoch in heard)
        made.past_end += sum(who == trial.id and epoch > trial.epochs for who, epoch in trained)
        made.unheard += sum((trial.id, epoch) not in trained for epoch in heard)
        made.open += known.state in ("waiting", "running")
        if trial.role == "search":
            told = tuned.get((f"{trial.study}/{trial.backbone}/{trial.name}", trial.number), Counter())
            _compare(made, told, set(heard))
        rows = {(key, event.step) for event in known.events for key in event.metrics}
        rows |= {(key, known.events[-1].step) for key in known.metrics}
        _compare(made, mlflow.get(trial.id, Counter()), rows)
    made.running_trials = _rows(base, "select count(*) from trials where state = 'RUNNING'")[0][0]
    made.running_runs = _rows(runs / "mlflow.db", "select count(*) from runs where status = 'RUNNING'")[0][0]
    made.runs = abs(_rows(runs / "mlflow.db", "select count(*) from runs")[0][0] - len(records) - 1)
    return made


def _compare(made: Counts, told: Counter, wanted: set) -> None:
    made.lost += len(wanted - set(told))
    made.past_end += len(set(told) - wanted)
    made.repeated += sum(told.values()) - len(told)


def _optuna(base: Path) -> dict[tuple[str, int], Counter]:
    found: dict[tuple[str, int], Counter] = {}
    query = (
        "select study_name, number, step from trial_intermediate_values join trials using (trial_id) "
        "join studies using (study_id)"
    )
    for name, number, step in _rows(base, query):
        found.setdefault((name, number), Counter())[step] += 1
    return found


def _mlflow(runs: Path) -> dict[str, Counter]:
    found: dict[str, Counter] = {}
    query = (
        "select t.value, m.key, m.step from metrics m join tags t on t.run_uuid = m.run_uuid "
        "where t.key = 'facebench.trial'"
    )
    for trial, key, step in _rows(runs / "mlflow.db", query):
        found.setdefault(trial, Counter())[key, step] += 1
    return found


def _rows(file: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(file)) as base:
        return base.execute(query).fetchall()


def alone(known: Record, folder: Path) -> tuple:
    """What a trial tells when it is run by itself: its (epoch, figures), its final figures."""
    place = folder / "study" / known.trial.id
    *events, result = run(known.trial, str(place))
    return [(event.epoch, event.metrics) for event in events], result.metrics


if __name__ == "__main__":
    import counted  # by its name, under which Ray's workers get it

    counted.drive(**json.loads(sys.argv[1]))
