"""What may wait (the models of networks) comes after all else, and costs the end of a sweep nothing but time that is there."""

import threading

import pytest
from counted import until
from made_up_tracking import begun, runs, template  # noqa: F401 (fixtures)

from bench import record
from bench.plain import Trial
from sweeps.window import TRIES, Courier


class Slow:
    """A copy of which every record has more to come."""

    def __init__(self, fails=()):
        self.calls = []
        self.free = threading.Event()
        self.free.set()
        self.fails = fails

    def send(self, known):
        self.calls.append(("send", known.trial.seed))
        return True

    def complete(self, known):
        self.free.wait(10)
        self.calls.append(("complete", known.trial.seed))
        if known.trial.seed in self.fails:
            raise OSError("no room")

    def close(self, state):
        self.calls.append(("close", state))


def folders(begun, count):
    return [record.start(Trial(study="study", seed=seed), begun) for seed in range(count)]


def courier(copy):
    return Courier(lambda: copy, str)


def test_it_comes_when_nothing_waits(begun):
    copy = Slow()
    copy.free.clear()
    shown = courier(copy)
    first, *others = folders(begun, 3)
    shown.send(first)
    until(lambda: copy.calls == [("send", 0)] and not shown._later, 10)  # it is at work on what can wait
    for folder in others:
        shown.send(folder)
    copy.free.set()
    until(lambda: len(copy.calls) == 6, 10)
    assert copy.calls[1:4] == [("complete", 0), ("send", 1), ("send", 2)]
    assert shown.close("finished") == "" and copy.calls[-1] == ("close", "finished")


def test_at_the_end_of_a_study_all_else_is_whole_before_it(begun):
    copy = Slow()
    copy.free.clear()
    shown = courier(copy)
    for folder in folders(begun, 2):
        shown._waiting[folder] = None
    shown.end("finished", 1.0)
    assert shown.wait() == "2 networks are still to be sent as models"
    assert copy.calls == [("send", 0), ("send", 1), ("close", "finished")]
    copy.free.set()


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_a_study_that_is_stopped_does_not_wait_for_it(begun, state):
    copy = Slow()
    shown = courier(copy)
    shown._waiting[folders(begun, 1)[0]] = None
    assert shown.close(state) == "" and ("complete", 0) not in copy.calls[copy.calls.index(("close", state)) :]


def test_what_fails_is_tried_again_a_few_times_and_holds_up_nothing(begun, monkeypatch):
    monkeypatch.setattr("sweeps.window.LONGEST", 0.01)
    copy = Slow(fails=[0])
    shown = courier(copy)
    for folder in folders(begun, 2):
        shown.send(folder)
    until(lambda: copy.calls.count(("complete", 0)) == TRIES and ("complete", 1) in copy.calls, 10)
    assert shown.close("finished") == "OSError: no room"
    assert copy.calls.count(("complete", 0)) == TRIES and copy.calls.count(("complete", 1)) == 1
