"""Ctrl-C and SIGTERM while a sweep is open: heard at once, obeyed where nothing is half done, and in the time there is.

Python's own Ctrl-C is an exception between any two lines: in the middle of a record, of a commit. Here it is raised only
where the sweep waits (`Stop.waiting`); elsewhere it is noted, and raised when the next wait begins. A thread hears the
signals too: while a call does not come back (a locked database, a hung disk) no handler of Python's runs. It then says
the last words itself and ends the process, from which the sweep can be gone on with as from a kill -9.
"""

import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

LIMITS = {int(signal.SIGINT): 10.0, int(signal.SIGTERM): 2.0}  # seconds; Ray kills a stopped job after about 3
AGAIN = 2.0  # seconds after a second Ctrl-C
RESERVE = 0.6  # seconds of a limit that are left for the end of the process itself
STOPPED = 130  # exit code


def leave() -> NoReturn:
    """End the process after a sweep that was stopped. All is written; what the interpreter, torch and Ray do at their end takes
    seconds, which the stop of a job does not leave."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(STOPPED)


class Stop:
    """The wish to stop, heard from `with Stop() as stop` on; a thread that is not the main one hears of none.

    Attributes:
        last_words: called with the seconds there are for it, where the main thread has not begun its end by half the limit.
    """

    def __init__(self) -> None:
        self.last_words: Callable[[float], None] = lambda patience: None
        self._asked = False
        self._raised = False
        self._waits = False
        self._end = math.inf  # when the process ends at the latest
        self._ending = threading.Lock()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in LIMITS}
            self._ears, self._mouth = os.pipe()
            os.set_blocking(self._mouth, False)
            self._woken = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)
            self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
            self._thread.start()
            self.listen()
        return self

    def __exit__(self, *error: object) -> None:
        if not self._before:
            return
        for number, before in self._before.items():
            signal.signal(number, before or signal.SIG_DFL)
        signal.set_wakeup_fd(self._woken)
        os.write(self._mouth, b"\0")
        self._thread.join()
        os.close(self._ears)
        os.close(self._mouth)

    def listen(self) -> None:
        """Take the signals: again after Ray has started, which takes SIGTERM for itself. An ignored one stays ignored."""
        for number, before in self._before.items():
            if before is not signal.SIG_IGN:
                signal.signal(number, self._heard)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, the sweep may be interrupted at any line. (Not in other threads, which wait as long as they are let.)

        Raises:
            KeyboardInterrupt: it is, or was asked to stop before.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._waits = True
        try:
            self.check()
            yield
        except SystemExit as end:
            time.sleep(0.05)  # until the thread has heard it too
            if self.left() is None:
                raise
            self._raised = True
            raise KeyboardInterrupt from end  # Ray makes that of SIGTERM while it starts
        finally:
            self._waits = False

    def check(self) -> None:
        """Obey a wish to stop, once.

        Raises:
            KeyboardInterrupt: there is one.
        """
        if self._asked and not self._raised:
            self._raised = True
            raise KeyboardInterrupt

    def begin_end(self) -> None:
        """The main thread ends the sweep now; where the last words are being said already, it does not come back."""
        if not self._ending.acquire(blocking=False):
            threading.Event().wait()

    def left(self) -> float | None:
        """Seconds left for a clean end; None: as many as it takes."""
        return None if self._end == math.inf else max(0.1, self._end - time.monotonic())

    def _heard(self, number: int, frame: Any) -> None:
        self._asked = True
        self._end = min(self._end, time.monotonic() + LIMITS[number] - RESERVE)
        if self._waits:
            self.check()

    def _watch(self) -> None:
        """Hear the signals as the system delivers them, and keep the limits."""
        half = math.inf  # when the main thread must have begun its end
        heard = False
        while True:
            wait = min(half, self._end) - time.monotonic()
            if select.select([self._ears], [], [], None if wait == math.inf else max(0.0, wait))[0]:
                numbers = os.read(self._ears, 64)
                if 0 in numbers:
                    return
                for limit in (LIMITS[number] for number in numbers if number in LIMITS):
                    limit = min(limit, AGAIN) if heard else limit
                    heard = True
                    half = min(half, time.monotonic() + limit / 2)
                    self._end = min(self._end, time.monotonic() + limit - RESERVE)
            elif time.monotonic() >= self._end:
                os._exit(STOPPED)
            else:
                half = math.inf
                if self._ending.acquire(blocking=False):
                    self._speak()

    def _speak(self) -> None:
        left = self._end - time.monotonic()
        words = threading.Thread(target=self.last_words, args=(left / 2,), daemon=True)
        words.start()
        words.join(left)
        os._exit(STOPPED)
