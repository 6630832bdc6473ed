"""The thread that shows a study in MLflow, and what a store is left with by calls that failed: a real store in a SQLite file."""

import threading
import time

import pytest
from counted import until
from made_up_tracking import begun, rows, runs, template  # noqa: F401 (fixtures)

from bench import record, tracking
from bench.plain import Progress, Result, Trial
from sweeps import window
from sweeps.window import MlflowWindow


def trial(folder, seed, steps=1, ended=True):
    place = record.start(Trial(study="study", seed=seed), folder)
    for step in range(1, steps + 1):
        record.Journal(place).append(Progress(step, step, {"train/loss": 1 / step}))
    if ended:
        record.finish(place, "finished", result=Result({"lfw/accuracy": 0.5}))
    return place


def mirror(folder, **options):
    return tracking.Mirror("study", folder, tracking.uri(), **options)


def active():
    """Trial's seed (or `parent`) -> status, of all runs that are not deleted."""
    of = tracking.client(tracking.uri())
    found = of.search_runs([of.get_experiment_by_name("study").experiment_id])
    return sorted((run.data.tags.get("seed", "parent"), run.info.status) for run in found)


def twin(mirror, known):
    """What a server does late when it has hung: a run that nobody knows of."""
    tags = {"mlflow.parentRunId": mirror.parent, "facebench.trial": known.trial.id, "seed": str(known.trial.seed)}
    return mirror.client.create_run(mirror.experiment, tags=tags).info.run_id


def test_runs_left_running_by_a_killed_driver_are_closed_by_sync(begun):
    unfinished, ended = trial(begun, 0, ended=False), trial(begun, 1, ended=False)
    killed = mirror(begun)
    for folder in (unfinished, ended):
        killed.send(record.read(folder))
    record.finish(ended, "finished", result=Result({"lfw/accuracy": 0.5}))  # and then it was killed
    assert active() == [("0", "RUNNING"), ("1", "RUNNING"), ("parent", "RUNNING")]
    tracking.sync("study")
    assert active() == [("0", "KILLED"), ("1", "FINISHED"), ("parent", "KILLED")]
    before = rows("select * from runs"), rows("select * from tags"), rows("select * from metrics")
    tracking.sync("study")
    assert (rows("select * from runs"), rows("select * from tags"), rows("select * from metrics")) == before


def test_runs_left_running_by_a_killed_driver_are_closed_by_the_next_session(begun):
    ended = trial(begun, 1, ended=False)
    mirror(begun).send(record.read(ended))
    record.finish(ended, "failed", "of a made-up reason")
    shown = MlflowWindow("study", begun)
    shown.send(ended)  # as the driver does with every record that it finds
    assert shown.close("finished") == ""
    assert active() == [("1", "FAILED"), ("parent", "FINISHED")]


def test_of_runs_made_twice_the_one_that_was_gone_on_with_stays(begun):
    known = record.read(trial(begun, 1, ended=False))
    first = mirror(begun)
    early = twin(first, known)
    first.send(known)  # takes what a lost answer left
    late = twin(first, known)
    second = mirror(begun)
    second.send(known)
    assert active() == [("1", "RUNNING"), ("parent", "RUNNING")]
    assert rows(f"select lifecycle_stage from runs where run_uuid = '{early}'") == [("active",)]
    assert rows(f"select lifecycle_stage from runs where run_uuid = '{late}'") == [("deleted",)]


def test_what_a_server_does_late_is_set_right_at_the_end(begun):
    ended, unfinished = trial(begun, 1), trial(begun, 2, ended=False)
    shown = mirror(begun)
    for folder in (ended, unfinished):
        shown.send(record.read(folder))
    twin(shown, record.read(ended))
    twin(shown, record.read(unfinished))
    again = {"facebench.begun": shown.facts["created"]}
    shown.client.create_run(shown.experiment, tags=again)
    shown.client.update_run(shown._shown[record.read(ended).trial.id].run, status="RUNNING")
    shown.close("stopped")
    assert active() == [("1", "FINISHED"), ("2", "KILLED"), ("parent", "KILLED")]


def test_a_parent_made_twice_keeps_its_children(begun):
    first = mirror(begun)
    first.send(record.read(trial(begun, 1)))
    for _ in range(3):
        first.client.create_run(first.experiment, tags={"facebench.begun": first.facts["created"]})
    second = mirror(begun)
    assert second.parent == first.parent
    second.close("finished")
    assert active() == [("1", "FINISHED"), ("parent", "FINISHED")]


def test_a_lost_trial_that_fails_again_is_sent_again(begun):
    folder = trial(begun, 1, ended=False)
    record.finish(folder, "failed", "the first reason", kind="error")
    tracking.sync("study")
    record.Journal(folder).append(Progress(2, 2, {"train/loss": 0.5}))
    record.finish(folder, "failed", "the second reason", kind="error")
    tracking.sync("study")
    assert rows("select value from tags where key = 'facebench.reason'") == [("the second reason",)]
    assert rows("select count(*) from metrics") == [(2,)]


@pytest.fixture
def stubborn(monkeypatch):
    """A store that fails while the event is not set, and refuses a trial for good where its seed is 13."""
    works = threading.Event()
    calls = []
    send = tracking.Mirror.send

    def fail(self, known):
        calls.append(known.trial.seed)
        if not works.is_set() or known.trial.seed == 13:
            raise ConnectionError("no answer of http://me:secret@host")
        send(self, known)

    monkeypatch.setattr(tracking.Mirror, "send", fail)
    monkeypatch.setattr(window, "LONGEST", 0.2)
    works.calls = calls
    return works


def test_a_folder_waits_once_however_often_it_changes_and_is_sent_when_the_store_is_back(begun, stubborn):
    folders = [trial(begun, seed, steps=3) for seed in range(5)]
    shown = MlflowWindow("study", begun)
    for _ in range(1000):
        for folder in folders:
            shown.send(folder)
    assert len(shown._waiting) <= 5
    until(lambda: len(stubborn.calls) > 10)
    stubborn.set()
    until(lambda: not shown._waiting)
    assert shown.close("finished") == ""
    assert active() == [*((str(seed), "FINISHED") for seed in range(5)), ("parent", "FINISHED")]
    assert rows("select count(*) from metrics") == [(5 * 4,)]


def test_a_trial_that_mlflow_refuses_keeps_no_other_back(begun, stubborn):
    stubborn.set()
    shown = MlflowWindow("study", begun)
    for seed in (13, 1, 2):
        shown.send(trial(begun, seed))
    until(lambda: len(set(stubborn.calls)) == 3)
    warning = shown.close("finished")
    assert "did not take everything (ConnectionError: no answer of http://***@host)" in warning
    assert active() == [("1", "FINISHED"), ("2", "FINISHED"), ("parent", "FINISHED")]


def test_a_store_that_fails_is_given_up_at_the_end(begun, stubborn):
    shown = MlflowWindow("study", begun)
    shown.send(trial(begun, 1))
    until(lambda: len(stubborn.calls) > 5)
    begun_at = time.monotonic()
    assert "`facebench sync study` sends what is missing" in shown.close("finished", patience=60.0)
    assert time.monotonic() - begun_at < 30
    assert active() == [("parent", "FINISHED")]
