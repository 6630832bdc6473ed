"""kill -9 on a real local Ray with the real Optuna and MLflow: of workers in the middle of an epoch, of the driver over them."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import counted
import pytest
from counted import until
from made_up_sweep import numbers

from bench import record

pytestmark = pytest.mark.slow
PATIENCE = 100.0
STUDY = counted.STUDY | {
    "data": {"name": "digits", "nap": 0.3},
    # With two slots only a search without a memory asks the same whatever ended first.
    "tune": {**counted.STUDY["tune"], "sampler": "random", "pruner": "none"},
}


@contextmanager
def session(runs, study=STUDY, address="local"):
    """A driver as a process."""
    given = {"runs": str(runs), "study": study, "address": address}
    with (runs / "log").open("a") as log:
        process = subprocess.Popen([sys.executable, counted.__file__, json.dumps(given)], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def finish(process, runs):
    assert process.wait(PATIENCE) == 0, (runs / "log").read_text()[-3000:]
    counts = counted.count(runs)
    print(counts)
    assert not counts.wrong and counts.trials == counted.TRIALS
    return counts


def grown(runs, by):
    """Wait until so many more epochs were trained."""
    least = len(counted.epochs(runs)) + by
    return until(lambda: len(counted.epochs(runs)) >= least and counted.epochs(runs), PATIENCE)


def test_a_worker_killed_in_an_epoch_is_replaced_and_no_step_is_lost_or_told_twice(tmp_path):
    with session(tmp_path) as process:
        killed = []
        for _ in range(2):
            trial, _, pid = grown(tmp_path, 3)[-1]
            time.sleep(0.1)  # it is in its next epoch, or in the next trial
            os.kill(pid, signal.SIGKILL)
            killed.append((trial, pid))
        counts = finish(process, tmp_path)
    assert counts.again <= 2
    assert not [one for one in record.read_study(tmp_path / "study") if one.state != "finished"]
    for _, pid in killed:
        assert pid in {worker for _, _, worker in counted.epochs(tmp_path)}


def test_a_driver_killed_three_times_over_living_workers(tmp_path):
    dice = random.Random(counted.seed())
    for _ in range(3):
        with session(tmp_path) as process:
            grown(tmp_path, dice.randrange(1, 5))
            time.sleep(0.3 * dice.random())
            process.kill()
            process.wait()
        # The next one starts at once: workers of this one may be in their last epoch.
    with session(tmp_path) as process:
        counts = finish(process, tmp_path)
    assert counts.again <= 3 * len(os.sched_getaffinity(0))
    reference = tmp_path / "reference"
    reference.mkdir()
    forks = counted.Forks()
    whole = forks.start(reference / "log", runs=str(reference), study=STUDY)
    whole.join(PATIENCE)
    assert numbers(record.read_study(tmp_path / "study")) == numbers(record.read_study(reference / "study"))
