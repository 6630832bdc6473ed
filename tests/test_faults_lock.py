"""One driver a study, named by its lock; clocks that jump."""

import os
import socket
import time

import counted
import pytest
from counted import until
from made_up_sweep import numbers
from made_up_tracking import template  # noqa: F401 (a fixture)

import sweeps
from bench import locks, record
from bench.errors import RequestError
from bench.locks import Owner, alone

PATIENCE = 240.0


@pytest.fixture(scope="module")
def forks():
    return counted.Forks()


def test_the_lock_names_its_holder_who_is_refused_to_others(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    with alone(folder):
        assert locks.owner(folder) == Owner(os.getpid(), socket.gethostname())
        said = rf"by another process: wait for it \(process {os.getpid()} on {socket.gethostname()}\), or stop it first"
        with pytest.raises(RequestError, match=said), alone(folder):
            pass
        assert locks.owner(folder) == Owner(os.getpid(), socket.gethostname()), "the one that was refused wrote into it"
    assert locks.owner(folder) is None


@pytest.mark.parametrize("stale", ["", "999999 elsewhere\n", "no line of ours"])
def test_a_lock_that_a_dead_process_left_is_in_nobodys_way(stale, tmp_path):
    (tmp_path / ".lock").write_text(stale)
    with alone(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()} {socket.gethostname()}\n"


def test_who_only_looks_whether_a_study_is_driven_does_not_stop_a_sweep_from_starting(tmp_path):
    import threading

    held = threading.Event()

    def look():
        with alone(tmp_path):
            held.set()
            time.sleep(locks.GLANCE / 4)

    looking = threading.Thread(target=look)
    looking.start()
    held.wait()
    with alone(tmp_path):
        pass
    looking.join()


@pytest.mark.slow
def test_the_second_of_two_drivers_is_refused_and_after_a_kill_9_the_next_is_not(forks, tmp_path):
    first = forks.start(tmp_path / "log", runs=str(tmp_path), study=counted.STUDY)
    until(lambda: counted.epochs(tmp_path))
    second = forks.start(tmp_path / "second", runs=str(tmp_path), study=counted.STUDY)
    second.join(PATIENCE)
    assert second.exitcode == 1 and first.is_alive()
    assert f"(process {first.pid} on {socket.gethostname()})" in (tmp_path / "second").read_text()
    first.kill()
    first.join()
    assert locks.owner(tmp_path / "study") == Owner(first.pid, socket.gethostname()), "the dead one's line is there"
    third = forks.start(tmp_path / "log", runs=str(tmp_path), study=counted.STUDY)
    third.join(PATIENCE)
    assert third.exitcode == 0 and not counted.count(tmp_path).wrong


@pytest.mark.slow
def test_clocks_that_jump_between_sessions_and_during_them_change_nothing(forks, template, tmp_path):
    """Twelve hours back, two days forth, 60 years back (before the epoch), each cut short by a kill."""
    runs, whole = tmp_path / "runs", tmp_path / "whole"
    for place in (runs, whole):
        place.mkdir()
        (place / "mlflow.db").write_bytes(template.read_bytes())
    for hours in (0, -12, 48, -24 * 365 * 60):
        process = forks.start(tmp_path / "log", runs=str(runs), study=counted.STUDY, clock=hours)
        least = len(counted.epochs(runs)) + 3
        until(lambda least=least: len(counted.epochs(runs)) >= least)
        process.kill()
        process.join()
        for known in record.read_study(runs / "study"):  # the files' times are the clock's too
            when = time.time() + 3600 * hours
            os.utime(known.folder / "trial.json", (when, when))
    for place, hours in ((runs, 5), (whole, 0)):
        process = forks.start(tmp_path / "log", runs=str(place), study=counted.STUDY, clock=hours)
        process.join(PATIENCE)
        assert process.exitcode == 0, (tmp_path / "log").read_text()[-3000:]
    assert not counted.count(runs).wrong
    assert numbers(record.read_study(runs / "study")) == numbers(record.read_study(whole / "study"))
    shown = (tmp_path / "log").read_text()
    assert "facebench sync" not in shown and " h " not in shown, "a warning, or hours that are left of a few seconds"


def test_status_does_not_ask_the_clock(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path))
    from made_up_sweep import NoWindow, make, sweep

    monkeypatch.setattr("sweeps.session.MlflowWindow", NoWindow)
    sweep(make(tune={"trials": 1, "epochs": 1}))
    before = sweeps.status("study")
    for path in (tmp_path / "study").rglob("*"):
        os.utime(path, (2**33, 2**33))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert sweeps.status("study") == before
