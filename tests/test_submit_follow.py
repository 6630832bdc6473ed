"""Following a job's log: broken connections show nothing twice, Ctrl-C ends the follower alone, silence asks for the job."""

import asyncio
import os
import signal
import threading
from types import SimpleNamespace

import pytest

from bench.errors import Unreachable
from sweeps import jobs
from sweeps.jobs import Dashboard, Job


class Client:
    """A dashboard's client whose log breaks off as told; `logs` are the pieces of one connection after the other."""

    def __init__(self, logs, states):
        self.logs = iter(logs)
        self.states = iter(states)
        self.asked = 0

    async def tail_job_logs(self, id):
        for piece in next(self.logs):
            if piece is None:
                await asyncio.sleep(600)
            elif isinstance(piece, Exception):
                raise piece
            else:
                yield piece

    def get_job_info(self, id):
        self.asked += 1
        state = next(self.states)
        return SimpleNamespace(
            submission_id=id,
            metadata={},
            status=state,
            message="",
            start_time=1,
            driver_exit_code=0 if state != "RUNNING" else None,
        )


def dashboard(logs, states) -> Dashboard:
    found = object.__new__(Dashboard)
    found.address = "http://head:8265"
    found._client = Client(logs, states)
    return found


JOB = Job("a-r1", "a", "RUNNING")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(jobs, "SILENCE", 0.05)
    monkeypatch.setattr(jobs.time, "sleep", lambda seconds: None)


def test_a_log_is_shown_to_its_end():
    assert list(dashboard([["one\n", "two\n"]], ["SUCCEEDED"]).follow(JOB)) == ["one\n", "two\n"]


def test_a_log_that_broke_off_goes_on_where_it_was():
    broken = [["one\n", "tw", RuntimeError("closed")], ["one", "\ntwo\nthree\n"]]
    assert "".join(dashboard(broken, ["RUNNING", "FAILED"]).follow(JOB)) == "one\ntwo\nthree\n"


def test_a_log_that_breaks_off_again_and_again_is_given_up():
    broken = [["one\n", OSError("gone")]] * 10
    with pytest.raises(Unreachable, match="log of job a-r1 broke off 6 times; the job runs on"):
        list(dashboard(broken, ["RUNNING"] * 10).follow(JOB))


def test_silence_asks_how_the_job_stands():
    silent = dashboard([["one\n", None]], ["RUNNING", "RUNNING", "STOPPED", "STOPPED"])
    assert list(silent.follow(JOB)) == ["one\n"]
    assert silent._client.asked == 4


def test_ctrl_c_ends_the_follower(monkeypatch):
    monkeypatch.setattr(jobs, "SILENCE", 60)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs this may ignore it
    pressed = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    try:
        following = dashboard([["one\n", None]], []).follow(JOB)
        assert next(following) == "one\n"
        pressed.start()
        with pytest.raises(KeyboardInterrupt):
            next(following)
    finally:
        pressed.cancel()
        signal.signal(signal.SIGINT, before)
