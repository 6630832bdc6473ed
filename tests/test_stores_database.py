"""A database that goes away under a search: the driver waits, says so once, goes on, and has asked and told nothing twice."""

import io
import threading
import time
from collections import Counter

import fake_trial
import pytest
from made_up_sweep import make, no_mlflow, numbers  # noqa: F401 (fixtures)
from made_up_sweep import sweep as swept
from optuna.exceptions import StorageInternalError
from servers import database, postgres  # noqa: F401 (fixtures)
from sqlalchemy.exc import OperationalError

import sweeps
from bench.errors import RequestError
from sweeps import patience, tuner

SPACE = {"learning_rate": ("log", 0.01, 0.3), "margin": ("linear", 0.1, 0.5)}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A search's database, and the lines that it says."""
    monkeypatch.setattr(patience, "FIRST", 0.01)
    monkeypatch.setattr("optuna.storages._rdb.storage.random.random", lambda: 0.0)  # it sleeps so many seconds
    made = tuner.storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    made.lines = []
    made.patience.say = made.lines.append
    yield made
    made.close()


def search(store):
    return tuner.Tuner("search", store, SPACE, seed="0", trials=8, epochs=4)


def lose_answers(store, monkeypatch, count, heard):
    """Let every `count`-th commit fail, `heard` by the database or not."""
    commits = Counter()
    commit = store.engine.dialect.do_commit

    def fail(connection):
        commits["all"] += 1
        lost = commits["all"] % count == 0
        if heard or not lost:
            commit(connection)
        if lost:
            raise OperationalError("commit", {}, type("Gone", (Exception,), {})("the server closed the connection"))

    monkeypatch.setattr(store.engine.dialect, "do_commit", fail)
    return commits


def ask_and_tell(asker, trials=3):
    asked = []
    for _ in range(trials):
        asked.append(asker.ask())
        for step in (1, 2):
            asker.report(asked[-1].number, step, 0.1 * step)
        asker.tell(asked[-1].number, "finished", 0.3)
    return asked


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_calls_whose_answers_are_lost_are_made_once(store, monkeypatch, count, heard, tmp_path):
    undisturbed = ask_and_tell(search(tuner.storage(f"sqlite:///{tmp_path / 'other.db'}")))
    commits = lose_answers(store, monkeypatch, count, heard)
    asker = search(store)
    assert ask_and_tell(asker) == undisturbed
    assert commits["all"] > 12 and store.lines
    trials = store.get_all_trials(store.get_study_id_from_name("search"))
    assert [(t.number, t.state.name, t.intermediate_values) for t in trials] == [
        (n, "COMPLETE", {1: 0.1, 2: 0.2}) for n in range(3)
    ]
    assert asker.known() == undisturbed
    tuner.forget("search", store)
    assert not tuner.exists("search", store)


def test_a_locked_file_is_waited_for_and_said_twice(store, monkeypatch):
    asker = search(store)
    store.engine.dispose()
    other = tuner.storage(str(store.engine.url))
    held, free = threading.Event(), threading.Event()

    def hold():
        with other.engine.connect() as connection:
            connection.exec_driver_sql("begin exclusive")
            held.set()
            free.wait(60)

    store.engine.dialect.create_connect_args = lambda url: ([url.database], {"timeout": 0.05})
    monkeypatch.setattr(store.engine.pool, "_creator", lambda *_: _impatient(store.engine.url.database))
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    threading.Timer(1.0, free.set).start()
    asker.ask()
    holder.join()
    assert len(store.lines) == 2 and len(asker.known()) == 1
    assert "does not answer (database is locked): waiting (0 s so far)" in store.lines[0]
    assert "optuna.db answers again after" in store.lines[1]


def _impatient(path):
    import sqlite3

    return sqlite3.connect(path, timeout=0.05, check_same_thread=False)


def test_it_says_every_minute_that_it_waits_and_may_be_interrupted(store, monkeypatch):
    clock = Counter()
    monkeypatch.setattr(patience.time, "monotonic", lambda: float(clock["now"]))

    def sleep(seconds):
        clock["now"] += 20
        if clock["now"] >= 200:
            raise KeyboardInterrupt  # as `sweeps.signals` does where a sweep waits

    monkeypatch.setattr(patience.time, "sleep", sleep)
    lose_answers(store, monkeypatch, 1, heard=False)
    with pytest.raises(KeyboardInterrupt):
        search(store)
    assert [line.rpartition("(")[2] for line in store.lines] == [f"{n} s so far)" for n in (0, 60, 120, 180)]


def test_what_waiting_does_not_mend_is_not_waited_for(store):
    asker = search(store)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("drop table trials")
    with pytest.raises(StorageInternalError) as error:
        asker.ask()
    assert "no such table" in str(error.value.__cause__)
    assert not store.lines


@pytest.mark.slow
def test_a_study_outlives_the_restart_of_its_postgres(postgres, database, monkeypatch):
    study = make(storage=database)
    events = Counter()

    def run(trial, folder):
        for event in fake_trial.run(trial, folder):
            events["all"] += 1
            if events["all"] in (5, 30):
                postgres.stop()
                threading.Timer(1.5, postgres.start).start()
            yield event

    disturbed, lines = swept(study, run)
    assert lines.count("the database at 127.0.0.1 does not answer") == 2
    assert lines.count("the database at 127.0.0.1 answers again") == 2
    assert postgres.password not in lines
    name = database.rpartition("/")[2]
    assert postgres.execute("select distinct state from trials", name) == [("COMPLETE",)] or set(
        postgres.execute("select distinct state from trials", name)
    ) == {("COMPLETE",), ("PRUNED",)}
    twice = "select 1 from trials group by study_id, number having count(*) > 1"
    assert not postgres.execute(twice, name)
    monkeypatch.setenv("FACEBENCH_RUNS", str(disturbed[0].folder.parents[1] / "undisturbed"))
    undisturbed, _ = swept(make())
    assert numbers(disturbed) == numbers(undisturbed)


@pytest.mark.slow
def test_a_driver_that_waits_for_its_postgres_can_be_stopped(postgres, database):
    def run(trial, folder):
        for event in fake_trial.run(trial, folder):
            if event.step == 20:
                postgres.stop()
                threading.Timer(1.0, _interrupt).start()
            yield event

    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            sweeps.sweep(make(storage=database), address="inline", run=run, stream=io.StringIO())
    finally:
        postgres.start()
    assert time.monotonic() - begun < 60
    records, _ = swept(make(storage=database))
    assert all(known.state in ("finished", "pruned") for known in records)


def _interrupt():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_a_wrong_password_is_a_sentence_without_it(database):
    wrong = database.replace("@", "x@")
    with pytest.raises(
        RequestError, match=r"^storage 'postgresql://\*\*\*@127.0.0.1:\d+/db_\w+' cannot be opened"
    ) as one:
        tuner.storage(wrong)
    assert wrong.split(":")[2].split("@")[0] not in str(one.value)
