"""The wish to stop: heard at once, obeyed where the sweep waits, once."""

import os
import signal
import threading

import pytest

from sweeps import ending, signals
from sweeps.ending import End
from sweeps.signals import Stop


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch):
    """A test that is held up must not end the process of all tests."""
    monkeypatch.setattr(signals, "LIMITS", dict.fromkeys(signals.LIMITS, 600.0))
    monkeypatch.setattr(signals, "AGAIN", 600.0)


def send(number=signal.SIGINT):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_half_done_is_done_first(number):
    done = []
    with pytest.raises(KeyboardInterrupt), Stop() as stop:
        send(number)
        done.append("the rest of a record")
        with stop.waiting():
            done.append("a wait")
    assert done == ["the rest of a record"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_wait_is_interrupted_at_once(number):
    done = []
    with pytest.raises(KeyboardInterrupt), Stop() as stop, stop.waiting():
        send(number)
        done.append("the rest")
    assert not done


def test_a_second_signal_does_not_disturb_the_end():
    done = []
    with Stop() as stop:
        with pytest.raises(KeyboardInterrupt), stop.waiting():
            send()
        send()
        stop.check()
        with stop.waiting():
            send(signal.SIGTERM)
            done.append("closed")
        left = stop.left()
    assert done == ["closed"] and 0 < left <= 600


def test_without_a_signal_there_is_all_the_time():
    with Stop() as stop, stop.waiting():
        stop.check()
        assert stop.left() is None


def test_handlers_are_given_back_and_an_ignored_signal_stays_ignored():
    before = signal.getsignal(signal.SIGTERM)
    asked = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stop() as stop, stop.waiting():
            send()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN and signal.getsignal(signal.SIGTERM) is before
    finally:
        signal.signal(signal.SIGINT, asked)


def test_sigterm_while_ray_starts_is_a_stop_and_another_exit_is_not():
    with Stop() as stop:
        with pytest.raises(SystemExit), stop.waiting():
            raise SystemExit(3)
        signal.signal(signal.SIGTERM, lambda number, frame: exit(number))  # as `ray.init` does
        with pytest.raises(KeyboardInterrupt), stop.waiting():
            send(signal.SIGTERM)
        stop.listen()
        assert signal.getsignal(signal.SIGTERM) == stop._heard


def test_in_another_thread_nothing_is_touched():
    seen = []

    def other():
        before = signal.getsignal(signal.SIGINT)
        with Stop() as stop, stop.waiting():
            seen.append((signal.getsignal(signal.SIGINT) is before, stop.left()))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [(True, None)]


def test_a_thread_that_waits_neither_hears_a_wish_to_stop_nor_lets_it_interrupt_the_main_one():
    with Stop() as stop:
        stop._asked = True

        def wait():
            with stop.waiting():
                heard.append(stop._waits)

        heard: list[bool] = []
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
        assert heard == [False]
        with pytest.raises(KeyboardInterrupt):
            stop.check()


class Hesitant:
    """A window that closes when its end is spoken of, and a board that speaks."""

    def __init__(self):
        self.said = []
        self.heard = threading.Event()

    def close(self, *state):
        return "" if not state or self.heard.wait(30) else "nobody said a word"

    def say(self, line):
        self.said.append(line)
        self.heard.set()


def test_an_end_that_takes_long_says_what_it_waits_for(monkeypatch):
    monkeypatch.setattr(ending, "QUIET", 0.01)
    one = Hesitant()
    with Stop() as stop, End("study", lambda state: None, one, one, stop):
        pass
    assert one.said == ["MLflow is given the rest, models of confirmed networks last: 120 s at most"]
