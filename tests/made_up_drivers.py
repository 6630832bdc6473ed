"""Several drivers on one study: as threads of a test, each with a runs folder of its own, or one as a process.

python made_up_drivers.py STUDY.json      # a driver; $FACEBENCH_RUNS, $EXECUTED (a log of all drivers), $STALE, $NAP
"""

import io
import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import fake_trial
import pytest
from made_up_sweep import NoWindow

import sweeps
from bench import places, record
from bench.plain import Progress, Result
from sweeps import gathering, session, shared

DEADLINE = 120.0  # seconds; a loaded machine is slow


class Drivers:
    """Drivers in threads, each in `folder / name`; `executed` counts (trial, epoch) over all of them, `end` is the result."""

    def __init__(self, folder):
        self.folder = folder
        self.executed = Counter()
        self.here = threading.local()
        self.lines = {}
        self.errors = {}
        self.threads = {}

    def runs(self):
        return self.folder / self.here.name

    def run(self, trial, folder):
        past = Path(folder) / "checkpoint-1.pt"
        known = len(json.loads(past.read_text())) if past.exists() else 0
        for number, event in enumerate(fake_trial.run(trial, folder), 1):
            if isinstance(event, Result) or number > known:
                self.executed[trial.id, "end" if isinstance(event, Result) else number] += 1
            yield event

    def drive(self, name, study, run=None):
        """Run a driver in this thread; its records."""
        self.here.name = name
        self.lines[name] = io.StringIO()
        folder = sweeps.sweep(study, address="inline", run=run or self.run, stream=self.lines[name])
        return record.read_study(folder)

    def start(self, name, study, run=None):
        """Run a driver in a thread of its own; `join` gives what it raised."""

        def work():
            try:
                self.drive(name, study, run)
            except BaseException as error:
                self.errors[name] = error

        self.threads[name] = threading.Thread(target=work, name=name)
        self.threads[name].start()

    def join(self, *names):
        for name in names:
            self.threads[name].join(DEADLINE)
            assert not self.threads[name].is_alive(), f"{name}: {self.lines[name].getvalue()}"
            if name in self.errors:
                raise self.errors.pop(name)

    def said(self, name):
        return self.lines[name].getvalue() if name in self.lines else ""

    def records(self, name, study="study"):
        return record.read_study(self.folder / name / study)

    def facts(self, name, study="study"):
        return json.loads((self.folder / name / study / "study.json").read_text())


@pytest.fixture
def drivers(tmp_path, monkeypatch):
    made = Drivers(tmp_path)
    monkeypatch.setattr(places, "runs", made.runs)
    monkeypatch.setattr(gathering, "gather", lambda driver, say: None)  # no MLflow here
    return made


def until(condition, wrong=lambda: ""):
    """Wait for a condition; its value."""
    deadline = time.monotonic() + DEADLINE
    while not (met := condition()):
        assert time.monotonic() < deadline, wrong()
        time.sleep(0.02)
    return met


def run(trial, folder):
    """A trial that adds a line to $EXECUTED for each epoch that it works on and for its end; its checkpoint is never torn."""
    saved, nap = Path(folder) / "checkpoint-1.pt", float(os.environ.get("NAP", 0.02))
    past = [Progress(**event) for event in json.loads(saved.read_text())] if saved.exists() else []
    yield from past
    for epoch in range(len(past) + 1, trial.epochs + 1):
        time.sleep(nap)
        metrics = {"dev/accuracy": fake_trial.figure(trial, epoch)} if trial.holdout else {}
        past.append(Progress(10 * epoch, epoch, {"train/loss": 1 / epoch} | metrics, 0.5 * epoch))
        saved.with_suffix(".part").write_text(json.dumps([vars(event) for event in past]))
        saved.with_suffix(".part").replace(saved)
        _log(f"{trial.id} {epoch}")
        yield past[-1]
    yield fake_trial.result(trial, past)


def _log(line):
    with Path(os.environ["EXECUTED"]).open("ab", buffering=0) as file:
        file.write(f"{line}\n".encode())


if __name__ == "__main__":
    shared.STALE = float(os.environ.get("STALE", 600))
    gathering.PATIENCE = 5.0
    if "MLFLOW_TRACKING_URI" not in os.environ:
        session.MlflowWindow = NoWindow
        gathering.gather = lambda driver, say: None
    study = sweeps.load(sys.argv[1])
    sweeps.sweep(study, address="inline", run=run, stream=sys.stderr)
