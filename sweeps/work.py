"""What runs trials: the interface that the pool on Ray and its twin in this process share."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from bench.plain import Progress, Result, Trial
from sweeps.parts import Resources


class WorkerLost(RuntimeError):
    """What ran a trial is gone: an error of the machine, which says nothing of the trial."""


Run = Callable[..., Iterator[Progress | Result]]  # (trial, folder); `processes=N` too where a trial has several
CONTEXT = 600 * 2**20  # bytes of a GPU that CUDA's context and libraries take in each process, about


class Heard(NamedTuple):
    """A trial's next event; `Result` or an exception is its last."""

    trial: Trial
    event: Progress | Result | Exception


class Workers(Protocol):
    """Trials in, events out, at most `slots` trials at once.

    `close` cancels what still runs; no event of a cancelled trial is heard.
    """

    slots: int  # may change: nodes come and go

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


def work(trial: Trial, folder: str, resources: Resources, run: Run | None) -> Iterator[Progress | Result]:
    """Run a trial on the threads and processes it was given; `run` stands in for `bench.trial.run` in tests."""
    if run is None:
        import torch

        from bench import trial as real

        torch.set_num_threads(resources.threads)
        run = real.run
    several = {"processes": resources.count} if resources.count > 1 else {}
    yield from run(trial, folder, **several)


def confine(gpus: float) -> None:
    """Keep a process that was given a share of a GPU within that share of its memory.

    Ray only counts shares. Without a limit one trial could fill the GPU, and a neighbour within its own share would be the
    one that finds no memory. torch counts what it allocates, and not the context that CUDA makes for each process: that is
    taken off the share.
    """
    if not 0 < gpus < 1:
        return
    import torch

    if torch.cuda.is_available():
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(max(gpus / 2, gpus - CONTEXT / whole))
