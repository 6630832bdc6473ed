"""Several drivers as processes, on a real PostgreSQL and a real MLflow: killed at random moments, restarted or not."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import made_up_drivers
import pytest
import yaml
from made_up_drivers import until
from made_up_sweep import make, no_mlflow, numbers, of, sweep  # noqa: F401 (fixture)
from servers import _mlflow, database, mlflow_server, postgres  # noqa: F401 (fixtures)

import reports
from bench import ledger, record

pytestmark = pytest.mark.slow

TUNE = {"trials": 8, "epochs": 3, "sampler": "random", "pruner": "none", "finalists": 3, "finalist_seeds": 2}
BODY = {
    "name": "study",
    "data": {"name": "digits"},
    "backbones": ["cnn4"],
    "losses": {"softmax": None, "lmcl": {"fixed": {"margin_warmup_fraction": 0.25}}},
    "tune": TUNE,
    "confirm": {"seeds": 3, "epochs": 2},
    "protocols": [{"name": "lfw"}],
}
LIMIT = 600.0  # seconds for all drivers of a test


class Processes:
    """Drivers as processes; all are dead when the test is over."""

    def __init__(self, folder: Path, storage: str):
        self.folder = folder
        self.storage = storage
        self.study = folder / "study.yaml"
        self.write()
        self.executed = folder / "executed"
        self.executed.touch()
        self.running: dict[str, subprocess.Popen] = {}

    def write(self, **changes):
        self.study.write_text(yaml.safe_dump(BODY | {"storage": self.storage} | changes))

    def start(self, name, **variables):
        mine = {"FACEBENCH_RUNS": str(self.folder / name), "EXECUTED": str(self.executed), "OMP_NUM_THREADS": "1"}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, made_up_drivers.__file__, str(self.study)],
                env=os.environ | mine | variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name):
        self.running[name].kill()
        self.running.pop(name).wait()

    def join(self):
        deadline = time.monotonic() + LIMIT
        for name, process in self.running.items():
            assert process.wait(max(1.0, deadline - time.monotonic())) == 0, self.log(name)

    def log(self, name):
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def lines(self):
        return self.executed.read_text().splitlines()

    def records(self, name):
        return record.read_study(self.folder / name / "study")

    def facts(self, name):
        return json.loads((self.folder / name / "study" / "study.json").read_text())


@pytest.fixture
def processes(tmp_path, database):
    made = Processes(tmp_path, database)
    yield made
    for process in made.running.values():
        if process.poll() is None:
            process.kill()
            process.wait()


def check_optuna(postgres, url):
    name = url.rpartition("/")[2]
    assert set(postgres.execute("select distinct state::text from trials", name)) == {("COMPLETE",)}
    left = "select * from facebench_claims where state in ('asking', 'running')"
    assert postgres.execute(left, name) == []


def test_drivers_that_open_a_new_database_at_once_all_live(processes):
    names = [f"driver{i}" for i in range(4)]
    for name in names:
        processes.start(name, NAP="0")
    processes.join()
    known = [one.trial.id for name in names for one in processes.records(name)]
    assert len(known) == len(set(known)) == 2 * (8 + 6 + 3 + 3) + 3 + 3
    assert len({json.dumps(processes.facts(name)["cells"]) for name in names}) == 1


def test_nothing_is_lost_or_done_twice_whoever_is_killed(processes, postgres, database):
    """One of three drivers is killed at random moments and restarted, one is killed and never comes back."""
    seed = int(os.environ.get("FACEBENCH_SEED", time.time()))
    print(f"FACEBENCH_SEED={seed}")
    chance = random.Random(seed)
    alone, _ = sweep(make(tune=TUNE))
    stale = {"STALE": "8"}
    for name in ("steady", "restarted", "gone"):
        processes.start(name, **stale)
    least, joined = 5 + chance.randrange(20), processes.folder / "gone" / "study" / ".driver"
    until(lambda: len(processes.lines()) > least and joined.exists(), lambda: processes.log("gone"))
    processes.kill("gone")
    for _ in range(3):
        time.sleep(chance.uniform(0.5, 6))  # random moments are the subject: from the first import on
        processes.kill("restarted")
        processes.start("restarted", **stale)
    processes.join()
    names = ("steady", "restarted", "gone")
    claims = postgres.execute("select owner, state from facebench_claims", database.rpartition("/")[2])
    by_owner = {(processes.folder / name / "study" / ".driver").read_text().strip(): name for name in names}
    finished = Counter(by_owner[owner] for owner, state in claims if state == "finished")
    # What the lost driver had ended stays its own; of the rest, records without an end are on its disk alone.
    ended = [one for name in names for one in processes.records(name) if one.state == "finished"]
    assert len({one.trial.id for one in ended}) == sum(finished.values()) == len(alone)
    assert all(len([o for o in processes.records(name) if o.state == "finished"]) >= finished[name] for name in names)
    assert numbers({one.trial.id: one for one in ended}.values()) == numbers(alone)
    assert {one.state for name in ("steady", "restarted") for one in processes.records(name)} == {"finished"}
    check_optuna(postgres, database)
    again = Counter(processes.lines())
    taken_over = processes.log("steady").count("is taken over") + processes.log("restarted").count("is taken over")
    repeated = {line.split()[0] for line, times in again.items() if times > 1}
    assert len(repeated) <= taken_over, "an epoch is trained again only where a trial was taken over"
    assert len({json.dumps(processes.facts(name)["cells"]) for name in ("steady", "restarted")}) == 1


@pytest.mark.long
def test_all_drivers_show_one_study_in_mlflow_and_end_with_the_whole(processes, mlflow_server, monkeypatch):
    from bench import tracking

    names = ("a", "b")
    small = TUNE | {"trials": 3, "finalists": 1, "finalist_seeds": 1}
    processes.write(tune=small, confirm={"seeds": 1, "epochs": 2})
    for name in names:
        processes.start(name, MLFLOW_TRACKING_URI=mlflow_server.url)
    processes.join()
    of_ = tracking.client(mlflow_server.url)
    runs = of_.search_runs([of_.get_experiment_by_name("study").experiment_id])
    parents = [run for run in runs if "facebench.begun" in run.data.tags]
    trials = [run for run in runs if "facebench.trial" in run.data.tags]
    assert len(parents) == 1 and {run.info.status for run in runs} == {"FINISHED"}
    whole = 2 * (3 + 1 + 1 + 1) + 1 + 1
    assert len(trials) == len({run.data.tags["facebench.trial"] for run in trials}) == whole
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parents[0].info.run_id}
    for name in names:
        assert {one.trial.id for one in processes.records(name)} == {run.data.tags["facebench.trial"] for run in trials}
        assert {one.state for one in processes.records(name)} == {"finished"}
        assert len(ledger.entries(processes.folder / name / "test_ledger.jsonl")) == 2 * 2 + 1 + 1, "every look, once"
    tables = [
        reports.frame(processes.folder / name / "study").drop(columns="seconds", errors="ignore") for name in names
    ]
    assert numbers(processes.records("a")) == numbers(processes.records("b"))
    assert len(tables[0]) == len(tables[1])
    # The same command again has nothing to do, and another place reads the whole.
    before = processes.lines()
    processes.start("a", MLFLOW_TRACKING_URI=mlflow_server.url)
    processes.join()
    assert processes.lines() == before
    monkeypatch.setenv("FACEBENCH_RUNS", str(processes.folder / "reader"))
    folder = tracking.records_from_mlflow("study", mlflow_server.url, processes.folder / "reader" / "study")
    assert numbers(record.read_study(folder)) == numbers(processes.records("a"))
