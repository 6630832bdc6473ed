"""kill -9 on a real Ray with the real Optuna and MLflow: of workers in the middle of an epoch, of the driver, of a node."""

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
from ray_nodes import Shape, ray_nodes

from bench import record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PATIENCE = 240.0
STUDY = counted.STUDY | {
    "data": {"name": "digits", "nap": 0.3},
    # With two slots only a search without a memory asks the same whatever ended first.
    "tune": {**counted.STUDY["tune"], "sampler": "random", "pruner": "none"},
}


@contextmanager
def session(runs, address="local", env=None):
    """A driver as a process."""
    given = {"runs": str(runs), "study": STUDY, "address": address}
    with (runs / "log").open("a") as log:
        command = [sys.executable, counted.__file__, json.dumps(given)]
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
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


def test_a_node_that_dies_takes_no_trial_with_it(tmp_path):
    def at_work():
        """A worker that has another epoch of its trial before it, and its node."""
        trial, epoch, pid = grown(tmp_path, 1)[-1]
        found = [node for node in cluster.nodes[1:] if pid in node.workers()]
        return epoch < 3 and found and (trial, found[0])

    with (
        ray_nodes(Shape(cpus=0), Shape(cpus=1), Shape(cpus=1), dashboard=False) as cluster,
        session(tmp_path, cluster.address, cluster.env) as process,
    ):
        grown(tmp_path, 3)
        trial, node = until(at_work)
        node.kill()
        counts = finish(process, tmp_path)
    assert counts.again <= 1
    records = {known.trial.id: known for known in record.read_study(tmp_path / "study")}
    assert {known.state for known in records.values()} == {"finished"}
    there = [attempt["node"] for attempt in records[trial].provenance["attempts"]]
    assert there[0] == node.ip and there[-1] not in (node.ip, cluster.nodes[0].ip)


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
