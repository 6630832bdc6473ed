"""Ctrl-C and SIGTERM of a sweep in a process of its own: within their limits all is clean, whatever hangs."""

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import counted
import pytest
from counted import until
from made_up_tracking import template  # noqa: F401 (a fixture)

from bench import record
from sweeps import signals

pytestmark = [pytest.mark.slow, pytest.mark.timed, pytest.mark.timeout(600)]
PATIENCE = 240.0
LIMITS = {signal.SIGTERM: 2.0, signal.SIGINT: 10.0}
EITHER = [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
SLOW = counted.STUDY | {"data": {"name": "digits", "nap": 0.4}}


@pytest.fixture(scope="module")
def forks():
    return counted.Forks()


@pytest.fixture
def runs(template, tmp_path):
    """A place with an empty MLflow store: making one takes longer than these tests."""
    shutil.copy(template, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def hung():
    """The address of a server that takes every connection and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def stop(process, number, times=1) -> float:
    """Send the signal; seconds until the process has ended."""
    begun = time.monotonic()
    for _ in range(times):
        if process.is_alive():
            os.kill(process.pid, number)
            time.sleep(0.05 * (times > 1))
    process.join(PATIENCE)
    return time.monotonic() - begun


def state(runs: Path) -> str:
    return json.loads((runs / "study" / "study.json").read_text())["state"]


def written(runs: Path) -> int:
    """How many epochs are in the records: where that is all that were trained, the next is at work."""
    return sum(len(known.events) for known in record.read_study(runs / "study"))


def at_rest(runs: Path) -> bool:
    """Whether for the time of several epochs none is trained."""
    known = counted.epochs(runs)
    time.sleep(1.5)
    return counted.epochs(runs) == known


def running(runs: Path) -> int:
    with closing(sqlite3.connect(runs / "mlflow.db")) as base:
        return base.execute("select count(*) from runs where status = 'RUNNING'").fetchone()[0]


def goes_on(forks, runs, study=SLOW):
    process = forks.start(runs / "log", runs=str(runs), study=study)
    process.join(PATIENCE)
    assert process.exitcode == 0, (runs / "log").read_text()[-3000:]
    counts = counted.count(runs)
    assert not counts.wrong
    return counts


@pytest.mark.parametrize(
    ("number", "times"),
    [(signal.SIGTERM, 1), (signal.SIGINT, 1), pytest.param(signal.SIGINT, 3, marks=pytest.mark.long)],
)
def test_a_stopped_sweep_is_clean_in_time_and_goes_on(number, times, forks, runs):
    process = forks.start(runs / "log", runs=str(runs), study=SLOW)
    done = until(lambda: len(heard := counted.epochs(runs)) > 3 and written(runs) == len(heard) and heard)
    took = stop(process, number, times)
    assert process.exitcode == 130 and took < LIMITS[number]
    assert counted.epochs(runs) == done, "an epoch was trained to its end and saved after the signal"
    assert state(runs) == "stopped" and running(runs) == 0
    assert "stopped: the same command goes on with study 'study'" in (runs / "log").read_text()
    assert goes_on(forks, runs).again == 0, "an interrupted epoch is not counted as done"


@pytest.mark.parametrize("number", EITHER)
def test_an_mlflow_that_hangs_holds_up_nothing(number, forks, hung, runs):
    process = forks.start(runs / "log", runs=str(runs), study=SLOW, tracking=hung)
    until(lambda: len(counted.epochs(runs)) > 3)
    took = stop(process, number)
    assert process.exitcode == 130 and took < LIMITS[number]
    assert state(runs) == "stopped" and "facebench sync study" in (runs / "log").read_text()
    goes_on(forks, runs)


@pytest.mark.parametrize("number", EITHER)
def test_a_database_that_is_locked_holds_up_nothing(number, forks, runs):
    """The main thread is in SQLite, which waits for the lock for a minute: no handler of Python's runs."""
    process = forks.start(runs / "log", runs=str(runs), study=SLOW)
    until(lambda: counted.epochs(runs))
    with closing(sqlite3.connect(runs / "optuna.db", timeout=30, isolation_level=None)) as base:
        base.execute("begin exclusive")
        until(lambda: at_rest(runs))
        took = stop(process, number)
    assert process.exitcode == 130 and took < LIMITS[number]
    assert state(runs) == "stopped" and running(runs) == 0
    goes_on(forks, runs)


def test_signals_at_any_moment_of_the_start_are_obeyed_and_harm_nothing(forks, runs):
    dice = random.Random(counted.seed())
    for _ in range(8):
        process = forks.start(runs / "log", runs=str(runs), study=counted.STUDY)
        time.sleep(0.6 * dice.random())
        number = dice.choice([*LIMITS])
        took = stop(process, number)
        assert took < LIMITS[number]
        # Before facebench hears it the signal ends the process as it ends any.
        assert process.exitcode in (130, -number, 1), (runs / "log").read_text()[-3000:]
    goes_on(forks, runs, counted.STUDY)


@pytest.mark.parametrize("number", EITHER)
def test_on_ray_with_a_worker_that_is_stuck_in_c(number, runs):
    """Also how long the interpreter and Ray take to end: a process as the command line's."""
    study = counted.STUDY | {"data": {"name": "digits", "stuck": 300}}
    given = {"runs": str(runs), "study": study, "address": "local", "slots": 1}
    with (runs / "log").open("a") as log:
        process = subprocess.Popen([sys.executable, counted.__file__, json.dumps(given)], stdout=log, stderr=log)
    try:
        until(lambda: len(record.read_study(runs / "study")) and counted.epochs(runs), PATIENCE)
        time.sleep(1.5)
        begun = time.monotonic()
        process.send_signal(number)
        assert process.wait(PATIENCE) == signals.STOPPED, (runs / "log").read_text()[-3000:]
        assert time.monotonic() - begun < LIMITS[number]
    finally:
        process.kill()
        process.wait()
    assert state(runs) == "stopped" and running(runs) == 0
    assert {epoch for _, epoch, _ in counted.epochs(runs)} == {1}
