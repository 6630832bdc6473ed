"""kill -9 of a sweep's driver: the same command goes on, and at the end every trial and every epoch is counted once."""

import random
import shutil
import time

import counted
import pytest
from counted import until
from made_up_sweep import numbers
from made_up_tracking import template  # noqa: F401 (a fixture)

from bench import record
from bench.plain import Trial

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PATIENCE = 240.0  # seconds that a session may take on a busy machine

MOMENTS = (
    "bench.record:write_text before 1",  # before study.json
    "bench.record:write_text after 1",
    "optuna.storages:RDBStorage.create_new_study after 1",
    "optuna.trial:Trial.suggest_float before 2",  # with the first of two parameters
    "sweeps.twin:Twin.enter before 1",  # asked, in memory alone
    "sweeps.twin:Twin.enter after 1",
    "optuna.storages:RDBStorage.set_trial_intermediate_value after 1",
    "bench.record:start before 1",  # asked, nothing on disk
    "bench.checkpoint:Checkpoints.save after 1",  # trained, not heard
    "bench.record:Journal.append after 1",  # written, not told to the tuner
    "sweeps.tuner:Tuner.report before 2",
    "bench.record:finish before 1",
    "bench.record:finish after 1",  # final, not told to the tuner
    "sweeps.tuner:Tuner.tell after 1",
    "sweeps.tuner:Tuner.ask after 1",
    "bench.ledger:append after 1",
    # MLflow is written by a thread, which the end of the sweep waits for: whatever it has not yet, it comes to.
    "mlflow:MlflowClient.create_run after 1",
    "mlflow:MlflowClient.create_run after 1",  # a trial's run that holds nothing
    "mlflow:MlflowClient.log_batch after 1",
    "mlflow:MlflowClient.set_terminated before 1",
    "bench._mlflow_trial:Filler.set_status after 1",
    "bench.tracking:Mirror.close before 1",  # all is done, the study's own run is open
)


@pytest.fixture(scope="module")
def forks():
    return counted.Forks()


@pytest.fixture(scope="module")
def whole(forks, template, tmp_path_factory):
    """The records of a sweep that nobody interrupted."""
    runs = tmp_path_factory.mktemp("whole")
    shutil.copy(template, runs / "mlflow.db")
    finish(forks, runs, counted.STUDY)
    return record.read_study(runs / "study")


def finish(forks, runs, study, **more):
    process = forks.start(runs / "log", runs=str(runs), study=study, **more)
    process.join(PATIENCE)
    assert process.exitcode == 0, (runs / "log").read_text()[-3000:]


def kill(process, after):
    """Kill -9 after so many seconds; False: it had ended before."""
    process.join(after)
    if process.exitcode is not None:
        return False
    process.kill()
    process.join()
    return True


def check(runs, whole, tmp_path, trials=counted.TRIALS):
    counts = counted.count(runs)
    print(counts)
    assert not counts.wrong
    records = record.read_study(runs / "study")
    assert len(records) == trials == len(whole)
    assert numbers(records) == numbers(whole)
    for known in records:
        if known.state == "finished":
            heard = [(event.epoch, event.metrics) for event in known.events]
            assert (heard, known.metrics) == counted.alone(known, tmp_path / "alone"), known.trial
    return counts


@pytest.mark.parametrize("kills", [3, 6])
def test_kills_at_random_moments_lose_nothing_and_repeat_nothing(kills, forks, whole, tmp_path):
    dice = random.Random(counted.seed())
    done = 0
    while done < kills:
        process = forks.start(tmp_path / "log", runs=str(tmp_path), study=counted.STUDY)
        # Half of the moments fall into the first instants: before study.json, while the databases are made or read.
        assert kill(process, dice.choice([0.3, 1.3]) * dice.random()), "it was at its end before all kills were made"
        done += 1
    finish(forks, tmp_path, counted.STUDY)
    counts = check(tmp_path, whole, tmp_path)
    assert counts.again <= kills, "a kill costs no more than the epoch in work"


def test_a_kill_at_each_of_the_moments_that_matter(forks, whole, template, tmp_path):
    study = counted.STUDY
    shutil.copy(template, tmp_path / "mlflow.db")  # making one takes longer than the sweep: its moments would not come
    for moment in MOMENTS:
        process = forks.start(tmp_path / "log", runs=str(tmp_path), study=study, moment=moment)
        process.join(PATIENCE)
        assert process.exitcode == -9, f"{moment}: {(tmp_path / 'log').read_text()[-3000:]}"
    finish(forks, tmp_path, study)
    check(tmp_path, whole, tmp_path)


def test_each_trial_that_was_asked_for_before_a_kill_keeps_its_parameters(forks, tmp_path):
    study = counted.STUDY | {"tune": {**counted.STUDY["tune"], "sampler": "tpe", "pruner": "none"}}
    asked: dict[int, Trial] = {}
    dice = random.Random(counted.seed())
    for kills in range(1, 4):
        process = forks.start(tmp_path / "log", runs=str(tmp_path), study=study)
        until(lambda least=3 * kills: len(counted.epochs(tmp_path)) >= least)
        assert kill(process, 0.3 * dice.random())
        known = {r.trial.number: r.trial for r in record.read_study(tmp_path / "study") if r.trial.role == "search"}
        assert asked.items() <= known.items()
        asked = known
    finish(forks, tmp_path, study)
    assert (
        asked
        and asked.items()
        <= {r.trial.number: r.trial for r in record.read_study(tmp_path / "study") if r.trial.role == "search"}.items()
    )


def test_a_worker_of_the_killed_driver_that_writes_on_harms_nothing(forks, whole, tmp_path):
    """It trains and saves in the same folders as those of the driver that took its place, from before their first epoch."""
    study = counted.STUDY
    process = forks.start(tmp_path / "log", runs=str(tmp_path), study=study, moment="bench.record:start after 1")
    process.join(PATIENCE)
    trials = [r.trial for r in record.read_study(tmp_path / "study")]
    assert len(trials) == 1
    old = forks._context.Process(target=_work, args=(trials[0], str(tmp_path / "study" / trials[0].id)), daemon=True)
    old.start()
    finish(forks, tmp_path, study)
    old.join(PATIENCE)
    assert old.exitcode == 0
    check(tmp_path, whole, tmp_path)


def _work(trial, folder):
    for _ in counted.run(trial, folder):
        time.sleep(0.05)
