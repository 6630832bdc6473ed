"""What a running sweep shows of its records: MLflow is written by a thread or a process of its own; no trial waits.

Copies of final records elsewhere (`bench.elsewhere`) are made in the same way.

The event loop only says which trial's folder has changed. The thread reads the record when its turn comes, so a folder
waits once, however often it changed, and what is sent is its newest state. A store that fails is tried again, ever more
rarely, until it is back; then everything is compared anew, for a call that failed may have been heard (`bench.tracking`).
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bench import record, tracking
from bench.credentials import hidden
from bench.elsewhere import Elsewhere
from bench.record import Record

DRAIN = 120.0  # seconds that the end of a sweep waits for MLflow
TRIES = 2  # failures in a row after which the end of a sweep waits no longer
LONGEST = 15.0  # seconds between two tries of a store that fails


class Window(Protocol):
    """Is told of every change of a record."""

    def send(self, folder: Path) -> None:
        """Show what is new in a trial's folder. Returns at once."""

    def close(self, state: str, patience: float = DRAIN) -> str:
        """Show the rest within `patience` seconds; `state` is `finished`, `failed` or `stopped`.

        Returns:
            A warning, or "".
        """


class Mirror(Protocol):
    """A copy of a study's records somewhere: `bench.tracking.Mirror`, `bench.elsewhere.Copy`."""

    def send(self, known: Record) -> bool:
        """Copy what is new; whether there is more to come, which can wait."""

    def complete(self, known: Record) -> None:
        """Copy what could wait: it may take many seconds."""

    def close(self, state: str) -> None: ...


class Courier:
    """Keeps a copy of a study's records while it runs, in a thread of its own.

    Args:
        make: opens the copy. It is called again after every failure.
        trouble: makes the warning from what went wrong.
    """

    def __init__(self, make: Callable[[], Mirror], trouble: Callable[[str], str]):
        self._make = make
        self._says = trouble
        self._mirror: Mirror | None = None
        self._waiting: dict[Path, None] = {}  # folders to look at, the oldest first
        self._later: dict[Path, None] = {}  # those of which more is to come when nothing waits
        self._tries: Counter[Path] = Counter()  # at that
        self._state = ""  # of the study, once it has ended
        self._deadline = math.inf
        self._reserve = 0.0  # seconds before the deadline in which the copy is closed, whatever waits
        self._failures = 0  # in a row
        self._trouble = ""  # of the last of them
        self._whole = False  # everything was sent
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=type(self).__name__, daemon=True)
        self._thread.start()

    def send(self, folder: Path) -> None:
        with self._changed:
            self._waiting[folder] = None
            self._changed.notify()

    def close(self, state: str, patience: float = DRAIN) -> str:
        self.end(state, patience)
        return self.wait()

    def end(self, state: str, patience: float) -> None:
        """The first half of `close`: say that it has that long. Returns at once."""
        with self._changed:
            self._state = state
            self._patience = patience
            self._deadline = time.monotonic() + patience
            self._reserve = min(2.0, patience / 2)
            self._failures = min(self._failures, 1)  # however long it has been away, it is tried once more
            self._changed.notify()

    def wait(self) -> str:
        """The second half of `close`."""
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        return "" if self._whole else self._says(self._trouble or f"it did not answer within {self._patience:g} s")

    def _work(self) -> None:
        while not self._over():
            folder = None
            try:
                if self._mirror is None:
                    self._mirror = self._make()
                folder, late = self._next()
                if folder is None:
                    self._mirror.close(self._state)
                    whole = not self._waiting
                    self._whole = self._rest(self._mirror) and whole
                    self._mirror = None  # and the processes behind it
                    return
                if (folder / "trial.json").exists():  # what another driver has taken over is deleted
                    self._look(self._mirror, folder, late)
                self._failures = 0
            except Exception as error:  # whatever it is, the sweep must not end of it; `close` reports it
                self._mirror = None  # what it knew of the store may be wrong now
                self._trouble = tracking.cause(error)
                self._failures += 1
                self._pause(folder)

    def _look(self, mirror: Mirror, folder: Path, late: bool) -> None:
        if late:
            self._tries[folder] += 1
            mirror.complete(record.read(folder))
        elif mirror.send(record.read(folder)) and self._tries[folder] < TRIES:
            self._later[folder] = None

    def _next(self) -> tuple[Path | None, bool]:
        """Wait for a folder to look at, and whether it is to be completed: that comes when no other waits.

        None: the study has ended, and the copy is to be closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._later or self._state)
            hurry = time.monotonic() > self._deadline - self._reserve
            if self._state and (not self._waiting or hurry or self._failures >= TRIES):
                return None, False
            queue = self._waiting or self._later
            folder = next(iter(queue))
            del queue[folder]  # now: what changes while it is sent is sent again
            return folder, queue is self._later

    def _rest(self, mirror: Mirror) -> bool:
        """Of a study that has finished, after all else, what could wait, in the time that is left; whether that was all."""
        if self._state != "finished":
            return True
        self._trouble = self._trouble or f"{len(self._later)} networks are still to be sent as models"
        for folder in list(self._later):
            if time.monotonic() < self._deadline:
                self._look(mirror, folder, True)
                del self._later[folder]
        return not self._later and all(tries < TRIES for tries in self._tries.values())

    def _pause(self, folder: Path | None) -> None:
        """Wait before the next try. The folder that failed goes to the end: MLflow may refuse that one alone."""
        with self._changed:
            if folder:
                self._waiting[folder] = None
            seconds = min(LONGEST, 2.0 ** (self._failures - 1), max(0.0, self._deadline - time.monotonic()))
            ended = self._state
            self._changed.wait_for(lambda: self._state != ended, seconds)

    def _over(self) -> bool:
        """Whether nobody waits for it any more, or the store has had its tries after the end."""
        return time.monotonic() > self._deadline or (bool(self._state) and self._failures > TRIES)


class MlflowWindow(Courier):
    """Shows a study in MLflow while it runs.

    Args:
        study: the study's name.
        folder: its folder.
        uri: the tracking store; None: `bench.tracking.uri()`.
        agree: see `bench.tracking.Mirror`.
        alone: whether the study has no other driver.
        apart: whether MLflow is written by a process of its own; else in this one's thread.
    """

    def __init__(
        self,
        study: str,
        folder: Path,
        uri: str | None = None,
        agree: tracking.Agree = tracking.as_it_is,
        alone: bool = True,
        apart: bool = False,
    ):
        store = uri or tracking.uri()
        self._apart = tracking.Apart(study, folder, store, agree) if apart else None
        if not apart:
            tracking.prepare()  # here: an import in the thread would race with the sweep's own

        def make() -> Mirror:
            first = alone and not self._trouble  # once a call has failed, it may be heard at any time
            if self._apart:
                return self._apart.open(first)
            return tracking.Mirror(study, folder, store, agree=agree, alone=first)

        def trouble(cause: str) -> str:
            return (
                f"MLflow at {hidden(store)} did not take everything ({cause}); nothing is lost: "
                f"`facebench sync {study}` sends what is missing"
            )

        super().__init__(make, trouble)

    def wait(self) -> str:
        said = super().wait()
        if self._apart:
            self._apart.stop()
        return said


class CopyWindow(Courier):
    """Copies final records to where the study's checkpoints lie."""

    def __init__(self, place: Elsewhere, folder: Path):
        def trouble(cause: str) -> str:
            return (
                f"{hidden(place.url)} did not take every record ({cause}); nothing is lost, they are in {folder}: "
                "the same command copies what is missing"
            )

        super().__init__(lambda: place.copy(folder), trouble)


class Both:
    """Two windows as one; neither waits for the other."""

    def __init__(self, *windows: Courier):
        self._windows = windows

    def send(self, folder: Path) -> None:
        for window in self._windows:
            window.send(folder)

    def close(self, state: str, patience: float = DRAIN) -> str:
        for window in self._windows:
            window.end(state, patience)
        return "; ".join(filter(None, [window.wait() for window in self._windows]))
