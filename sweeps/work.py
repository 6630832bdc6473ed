"""What runs trials: the interface that the pool on Ray and its twin in this process share."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from bench.plain import Progress, Result, Trial


class WorkerLost(RuntimeError):
    """What ran a trial is gone: an error of the machine, which says nothing of the trial."""


Run = Callable[[Trial, str], Iterator[Progress | Result]]


class Heard(NamedTuple):
    """A trial's next event; `Result` or an exception is its last."""

    trial: Trial
    event: Progress | Result | Exception


class Workers(Protocol):
    """Trials in, events out, at most `slots` trials at once.

    `close` cancels what still runs; no event of a cancelled trial is heard.
    """

    slots: int

    def submit(self, trial: Trial, folder: str) -> None:
        """Start a trial; `folder` holds its checkpoints, and it goes on from there."""

    def next(self, timeout: float) -> Heard | None:
        """The next event of any trial; None when none came within `timeout` seconds."""

    def cancel(self, trial: Trial) -> None:
        """Stop a trial, politely at first. Its slot is free when it is gone (`busy`)."""

    def busy(self) -> int:
        """How many slots are taken."""

    def close(self, patience: float = 10.0) -> None:
        """Stop everything within so many seconds: by force at once where they are few."""


def work(trial: Trial, folder: str, cpus: float, run: Run | None) -> Iterator[Progress | Result]:
    """Run a trial on as many threads as it was given CPUs; `run` stands in for `bench.trial.run` in tests."""
    if run is None:
        import torch

        from bench import trial as real

        torch.set_num_threads(max(1, int(cpus)))
        run = real.run
    yield from run(trial, folder)
