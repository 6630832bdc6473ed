"""A real MLflow server that hangs or dies under a sweep: no trial waits for it, and in the end everything is there."""

import io
import sqlite3
import threading
import time
from contextlib import closing

import fake_trial
import pytest
from made_up_tracking import STUDY
from servers import _mlflow, mlflow_server  # noqa: F401 (fixtures)

import sweeps
from bench import places, record, tracking
from bench.plain import Trial
from sweeps.study import Study
from sweeps.window import MlflowWindow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a loaded machine starts an MLflow server in minutes

TWICE = "select 1 from metrics group by run_uuid, key, step having count(*) > 1"
ACTIVE = (
    "from runs join experiments using (experiment_id) where experiments.name = ? and runs.lifecycle_stage = 'active'"
)


@pytest.fixture
def server(mlflow_server, monkeypatch):
    """The server, asked impatiently, so that the tests are over soon."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    return mlflow_server


def sweep(name, at):
    """Run the study; `at[n]` is called before its n-th event. What it printed, and when each event was made."""
    times = []

    def run(trial, folder):
        for event in fake_trial.run(trial, folder):
            if call := at.get(len(times)):
                call()
            times.append(time.monotonic())
            yield event

    stream = io.StringIO()
    study = Study.model_validate(STUDY | {"name": name})
    sweeps.sweep(study, address="inline", run=run, stream=stream, command="facebench sweep x")
    return stream.getvalue(), times


def rows(server, query, *values):
    with closing(sqlite3.connect(server.folder / "mlflow.db", timeout=60)) as base:
        return base.execute(query, values).fetchall()


def counted(server, name):
    """How many rows of each kind there are, and what lies in the artifact store."""
    tables = {table: rows(server, f"select count(*) from {table}") for table in ("runs", "metrics", "params", "tags")}
    shown = sorted(rows(server, f"select run_uuid, runs.status, end_time {ACTIVE}", name))
    files = {path: path.read_bytes() for path in (server.folder / "artifacts").rglob("*") if path.is_file()}
    return tables, shown, files


def assert_whole(server, name):
    """Every trial of the study is there as its record has it, once, and nothing is left running."""
    known = {r.trial.id: r for r in record.read_study(places.study_folder(name))}
    states = rows(server, f"select runs.status, count(*) {ACTIVE} group by runs.status", name)
    assert states == [("FINISHED", len(known) + 1)]
    assert not rows(server, TWICE)
    of = tracking.client(server.url)
    experiment = of.get_experiment_by_name(name).experiment_id
    for run in of.search_runs([experiment], "tags.`facebench.trial` != ''"):
        steps = [(event.step, event.metrics["train/loss"]) for event in known[run.data.tags["facebench.trial"]].events]
        history = of.get_metric_history(run.info.run_id, "train/loss")
        assert sorted((metric.step, metric.value) for metric in history) == steps


def test_events_are_heard_at_speed_while_mlflow_hangs_and_sync_completes_it_once(server):
    printed, times = sweep("hung", {5: server.pause})
    # One call of a server that hangs takes seconds, and every one of these events would make several.
    assert len(times) > 25 and times[-1] - times[5] < 30
    assert f"MLflow at {server.url} did not take everything" in printed
    assert "`facebench sync hung` sends what is missing" in printed
    server.resume()
    assert tracking.sync("hung") == len(record.read_study(places.study_folder("hung")))
    assert_whole(server, "hung")
    folder = places.study_folder("hung")
    back = tracking.records_from_mlflow("hung", None, folder.parent / "back" / "hung")
    assert [(r.trial, r.state, r.metrics, r.events) for r in record.read_study(back)] == [
        (r.trial, r.state, r.metrics, r.events) for r in record.read_study(folder)
    ]
    before = counted(server, "hung")
    tracking.sync("hung")
    assert counted(server, "hung") == before


@pytest.mark.parametrize("away", ["hang", "die"])
def test_a_server_that_was_away_is_found_again_and_nothing_is_missing(server, away):
    leave, come_back = (server.pause, server.resume) if away == "hang" else (server.kill, server.start)

    def back():
        time.sleep(6)  # long enough for calls to have failed
        come_back()

    printed, _ = sweep(away, {5: leave, 20: back})
    assert "facebench sync" not in printed
    assert_whole(server, away)


def test_the_end_waits_no_longer_than_it_is_told(server):
    folder = places.study_folder("brief")
    sweep("brief", {})
    server.pause()
    try:
        for patience in (1.0, 5.0):
            window = MlflowWindow("brief", folder)
            window.send(record.start(Trial(study="brief", seed=99), folder))
            begun = time.monotonic()
            assert "did not take everything" in window.close("stopped", patience)
            assert patience - 0.5 < time.monotonic() - begun < patience + 1.5
    finally:
        server.resume()
    assert threading.active_count() < 20


def test_a_server_that_is_gone_for_good_costs_seconds_and_one_sentence(server):
    printed, times = sweep("gone", {0: lambda: None, 5: server.kill})
    ended = time.monotonic()
    assert printed.count("MLflow at") == 1 and ended - times[-1] < 60
    server.start()
    tracking.sync("gone")
    assert_whole(server, "gone")
