"""Trials one by one in this process, without Ray: for tests, debuggers, and a machine that has no Ray."""

from collections import deque
from collections.abc import Generator

from bench.plain import Result, Trial
from sweeps.work import Heard, Run, WorkerLost, work


class Inline:
    """The twin of `sweeps.pool.RayPool` (see `sweeps.work.Workers`); one slot.

    Args:
        cpus: threads of a trial.
        run: what runs a trial; None: `bench.trial.run`.
    """

    slots = 1

    def __init__(self, cpus: float = 1, run: Run | None = None):
        self._cpus = cpus
        self._run = run
        self._live: deque[tuple[Trial, Generator]] = deque()

    def submit(self, trial: Trial, folder: str) -> None:
        self._live.append((trial, work(trial, folder, self._cpus, self._run)))  # type: ignore[arg-type]

    def next(self, timeout: float) -> Heard | None:
        if not self._live:
            return None
        trial, generator = self._live[0]
        try:
            event = next(generator)
        except StopIteration:
            event = WorkerLost("the trial ended without a result")
        except Exception as error:
            event = error
        if isinstance(event, Result | Exception):
            self.cancel(trial)
        return Heard(trial, event)

    def cancel(self, trial: Trial) -> None:
        for entry in [entry for entry in self._live if entry[0] == trial]:
            self._live.remove(entry)
            entry[1].close()

    def busy(self) -> int:
        return len(self._live)

    def close(self, patience: float = 10.0) -> None:
        for trial, _ in list(self._live):
            self.cancel(trial)
