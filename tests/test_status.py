"""`facebench status` and `stop`: what is counted and reckoned from records alone, and who is stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import places, record
from bench.errors import RequestError
from bench.plain import Progress
from sweeps import plan, reading, state

STUDY = """
name: tiny
data: {name: digits}
backbones: [cnn4]
losses: [softmax, lmcl]
confirm: {seeds: 2, epochs: 10}
protocols: []
closed_every: 2
"""


@pytest.fixture
def study():
    """A study as its driver begins it: `study.json`, and no trial yet."""
    asked = reading.parse(STUDY, "tiny.yaml")
    facts = plan.plain(asked) | {"state": "running", "cells": {}, "hash": reading.digest(asked), "created": "now"}
    write(facts)
    return asked


def write(facts: dict) -> None:
    folder = places.study_folder("tiny")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(facts))


def change(**changes) -> None:
    write(json.loads((places.study_folder("tiny") / "study.json").read_text()) | changes)


def trained(study, label: str, number: int, epochs: int, seconds: float, ended: str = "") -> None:
    """A trial with so many epochs, each of so many seconds."""
    trial = plan.confirm(study, plan.fixed(study, "cnn4", label), "tuned")[number]
    folder = record.start(trial, places.study_folder("tiny"))
    lines = [Progress(step + 1, step + 1, {"train/loss": 1.0}, (step + 1) * seconds) for step in range(epochs)]
    (folder / "events.jsonl").write_text("".join(json.dumps(vars(line)) + "\n" for line in lines))
    if ended:
        record.finish(folder, ended)


def summary() -> dict:
    return state.status("tiny")["summary"]


def test_before_the_first_epoch_nothing_is_promised(study):
    assert summary() == {"trials": {}, "failed": 0, "epochs": 0, "planned_epochs": 40, "left_seconds": None}


def test_what_is_left_goes_by_each_loss_s_own_pace_and_by_what_runs_now(study):
    trained(study, "softmax", 0, 10, 2.0, "finished")
    trained(study, "lmcl", 0, 4, 5.0)
    assert summary()["left_seconds"] == 10 * 2 + 16 * 5  # one trial in flight
    trained(study, "softmax", 1, 5, 2.0)
    told = summary()
    assert told["left_seconds"] == (5 * 2 + 16 * 5) / 2
    assert told["trials"] == {"finished": 1, "running": 2} and told["epochs"] == 19 and told["planned_epochs"] == 40


def test_a_cell_that_is_over_has_nothing_left_however_little_it_trained(study):
    trained(study, "softmax", 0, 10, 2.0, "finished")
    trained(study, "lmcl", 0, 3, 5.0, "failed")
    change(cells={"cnn4/lmcl": {"stage": "done", "trouble": "no such layer"}})
    told = summary()
    assert told["planned_epochs"] == 23 and told["left_seconds"] == 20 and told["failed"] == 1
    change(state="finished")
    assert summary()["left_seconds"] == 0


def test_a_study_of_another_facebench_is_counted_and_not_reckoned(study):
    trained(study, "softmax", 0, 10, 2.0, "finished")
    change(file={"name": "tiny", "unknown": 1})
    told = summary()
    assert told["planned_epochs"] is None and told["left_seconds"] is None and told["epochs"] == 10


def test_clocks_that_jump_change_nothing(study):
    trained(study, "softmax", 0, 10, 2.0)
    before = summary()
    for number, path in enumerate(places.study_folder("tiny").rglob("*")):
        os.utime(path, (number * 1e6, 4e9 - number * 1e6))
    assert summary() == before


def test_all_studies_are_listed_with_their_figures(facebench, study):
    trained(study, "softmax", 0, 10, 2.0, "finished")
    trained(study, "lmcl", 0, 4, 5.0)
    other = places.runs() / "other"
    other.mkdir()
    other.joinpath("study.json").write_text(json.dumps({"name": "other", "state": "finished", "cells": {}, "file": {}}))
    code, out, _ = facebench("status")
    first, second = out.splitlines()
    assert code == 0 and first == "other: finished; 0 trials; 0 epochs"
    assert second == "tiny: stopped; 2 trials (1 finished, 1 running); 14 of 40 epochs; about 1 min 40 s left"
    code, out, _ = facebench("status", "--json")
    told = json.loads(out)
    assert [one["study"] for one in told["studies"]] == ["other", "tiny"] and told["runs"] == str(places.runs())
    assert told["studies"][1]["left_seconds"] == 100


def test_one_that_was_spoiled_does_not_hide_the_others(facebench, study):
    spoiled = places.runs() / "spoiled" / "study.json"
    spoiled.parent.mkdir()
    spoiled.write_text('{"name": "spoi')
    code, out, _ = facebench("status")
    first, second = out.splitlines()
    assert code == 0 and second.startswith("tiny: stopped; 0 trials")
    assert first.startswith(f"spoiled: unreadable ({spoiled} cannot be read") and first.endswith("; 0 trials; 0 epochs")
    assert json.loads(facebench("status", "--json")[1])["studies"][0]["state"] == "unreadable"
    code, _, err = facebench("status", "spoiled")
    assert code == 2 and "cannot be read" in err


def test_one_study_ends_with_the_same_line(facebench, study):
    trained(study, "softmax", 0, 10, 2.0, "finished")
    code, out, _ = facebench("status", "tiny")
    line, last = out.splitlines()
    assert code == 0 and "confirm  finished  cnn4/softmax seed 1000" in line
    assert last == "tiny: stopped; 1 trial (1 finished); 10 of 40 epochs; about 1 min 00 s left"
    told = json.loads(facebench("status", "tiny", "--json")[1])
    assert set(told) == {"study", "state", "summary", "trials"}
    assert set(told["trials"][0]) >= {"id", "backbone", "loss", "stage", "state", "seed", "params", "metrics"}


def test_where_nothing_was_run_that_is_said(facebench):
    code, out, _ = facebench("status")
    assert code == 0 and out == f"no studies in {places.runs()} yet\n"


_DRIVER = """
import signal, sys, time
from pathlib import Path
from bench.locks import alone

def end(*_):
    sys.exit(0)

signal.signal(signal.SIGTERM, end)
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def driver(study):
    """A process that holds the study's lock as a driver does."""
    command = [sys.executable, "-c", _DRIVER, str(places.study_folder("tiny"))]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_driver_here_is_stopped_and_waited_for(facebench, driver):
    assert state.status("tiny")["state"] == "running"
    assert state.status("tiny")["state"] == "running"  # looking does not disturb the lock
    code, out, _ = facebench("stop", "tiny")
    assert code == 0 and f"tiny: stopped (process {driver.pid})" in out
    assert driver.wait(10) == 0
    assert state.status("tiny")["state"] == "stopped"
    code, _, err = facebench("stop", "tiny")
    assert code == 2 and "study 'tiny' is not running here" in err


def test_a_driver_on_another_machine_is_not_touched(driver):
    lock = places.study_folder("tiny") / ".lock"
    for line, said in (
        (f"{driver.pid} elsewhere\n", f"on elsewhere, as process {driver.pid}"),
        ("", "did not say which"),
    ):
        lock.write_text(line)
        with pytest.raises(RequestError, match=said):
            state.stop("tiny")
    assert driver.poll() is None


def test_a_driver_of_another_user_is_named(driver, monkeypatch):
    def refused(pid, number):
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch, pytest.raises(RequestError, match=f"process {driver.pid}, .* another user's"):
        patch.setattr(os, "kill", refused)
        state.stop("tiny")


def test_a_driver_that_does_not_end_is_said_to(driver, monkeypatch):
    monkeypatch.setattr(state, "PATIENCE", 0.3)
    driver.send_signal(signal.SIGSTOP)
    until = time.monotonic() + 10
    while "T" not in Path(f"/proc/{driver.pid}/stat").read_text().split()[2] and time.monotonic() < until:
        time.sleep(0.01)
    assert (places.study_folder("tiny") / ".lock").read_text() == f"{driver.pid} {socket.gethostname()}\n"
    with pytest.raises(Exception, match=f"process {driver.pid} was asked to stop and still runs"):
        state.stop("tiny")
