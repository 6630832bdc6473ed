"""One trial in several processes of this machine: they are started, watched, and ended together.

The caller computes nothing itself: it starts a process for each rank, all of which go through the trial in step, and hands
over the events of the first. So it is never caught in an exchange with one that is dead: where one fails or dies, the
others are killed. A process whose parent is gone, however that ended, ends within a second.
"""

import contextlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

from bench.errors import ProcessLost, RequestError, TrialFailed
from bench.plain import Progress, Result, Trial

LOOK = 0.5  # seconds between a child's looks at its parent
GRACE = 1.0  # seconds in which the death of one process may explain the error of another
_CHILD = "import sys; from bench.processes import child; child(int(sys.argv[1]))"


class ChildTraceback(Exception):
    """The traceback of an error in another process, as its cause."""

    def __init__(self, text: str):
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"\n{self.text}"


Steps = Callable[[Trial, str | None, Any], Iterator[Progress | Result | None]]  # of a module: it is sent by its name


@dataclass(frozen=True)
class _Task:
    steps: Steps
    trial: Trial
    folder: str | None
    rank: int
    size: int
    threads: int
    store: str
    parent: int


@dataclass(frozen=True)
class _Failure:
    error: BaseException
    trace: str


def run(steps: Steps, trial: Trial, folder: str | None, count: int) -> Iterator[Progress | Result]:
    """The events of a trial that `count` processes train together, each by `steps`; see `bench.trial.run`.

    Each computes on as many threads as are set in this process. On CUDA each has a GPU of its own, of those that are
    visible here.

    Raises:
        RequestError: fewer GPUs than processes, or batches of fewer images.
        ProcessLost: one of them died.
        Exception: what one of them raised, its traceback as the cause.
    """
    _check(trial, count)
    crew = _Crew(steps, trial, folder, count)
    try:
        while True:
            event = crew.meet()
            if event is not None:
                yield event
            if isinstance(event, Result):
                return
            crew.go_on()
    finally:
        crew.end()


def _check(trial: Trial, count: int) -> None:
    import torch

    if trial.batch_size < count:
        raise RequestError(
            f"a batch of {trial.batch_size} cannot be shared by {count} processes: choose a larger batch_size or fewer processes"
        )
    if torch.cuda.is_available() and torch.cuda.device_count() < count:
        raise RequestError(
            f"{count} processes need a GPU each, and {torch.cuda.device_count()} are visible here: ask for as many GPUs, "
            "or for fewer processes"
        )


class _Crew:
    """The processes of one trial, seen from their parent. They come to `meet` together, and wait there to `go_on`."""

    def __init__(self, steps: Steps, trial: Trial, folder: str | None, count: int):
        import torch

        self.place = tempfile.mkdtemp(prefix="facebench-")
        self.pipes: list[Connection] = []
        self.running: list[subprocess.Popen] = []
        threads = torch.get_num_threads()
        try:
            for rank in range(count):
                task = _Task(steps, trial, folder, rank, count, threads, f"{self.place}/store", os.getpid())
                self._start(task)
        except BaseException:
            self.end()
            raise

    def _start(self, task: _Task) -> None:
        ours, theirs = Pipe()
        self.pipes.append(ours)
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(task.threads)}
        if sys.platform == "linux":  # they talk to each other alone
            environment |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
        with theirs:
            self.running.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-c", _CHILD, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the parent, who ends them
                )
            )
        with contextlib.suppress(BrokenPipeError):  # it died at once: `meet` says so
            ours.send(task)

    def meet(self) -> Progress | Result | None:
        """Wait for all processes; what the first one has to tell.

        Raises:
            ProcessLost, or what one of them raised.
        """
        told: dict[int, Any] = {}
        while len(told) < len(self.pipes):
            waiting = [pipe for rank, pipe in enumerate(self.pipes) if rank not in told]
            for pipe in wait(waiting):
                rank = self.pipes.index(pipe)  # type: ignore[arg-type]
                told[rank] = self._heard(rank)
        return told[0]

    def _heard(self, rank: int) -> Any:
        try:
            said = self.pipes[rank].recv()
        except (EOFError, ConnectionError):
            raise self._lost(rank) from None
        if isinstance(said, _Failure):
            if not isinstance(said.error, RequestError | TrialFailed):
                self._look_for_the_dead()
            raise said.error from ChildTraceback(said.trace)
        return said

    def _look_for_the_dead(self) -> None:
        """One process failed: if only because another had died, that is the cause."""
        end = time.monotonic() + GRACE
        while time.monotonic() < end:
            for rank, process in enumerate(self.running):
                if process.poll() is not None:
                    raise self._lost(rank)
            time.sleep(0.02)

    def _lost(self, rank: int) -> ProcessLost:
        try:
            code = self.running[rank].wait(timeout=5)
        except subprocess.TimeoutExpired:
            how = "went silent"
        else:
            how = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {signal.Signals(-code).name}"
        return ProcessLost(
            f"process {rank + 1} of the {len(self.running)} of this trial {how}: run it again, it goes on from its last "
            "checkpoint (too little memory is the usual reason for SIGKILL)"
        )

    def go_on(self) -> None:
        """Let them all go on."""
        for pipe in self.pipes:
            with contextlib.suppress(ConnectionError):  # a dead one is noticed at the next meeting
                pipe.send(None)

    def end(self) -> None:
        """Kill what still runs. Checkpoints are written whole or not at all."""
        for process in self.running:
            process.kill()
        for process in self.running:
            process.wait()
        for pipe in self.pipes:
            pipe.close()
        shutil.rmtree(self.place, ignore_errors=True)


def child(handle: int) -> None:
    """What a process does: go through the trial, meeting the others where the trial yields."""
    pipe = Connection(handle)
    task: _Task = pipe.recv()
    threading.Thread(target=_watch, args=(task.parent,), daemon=True).start()

    def meet(event: Progress | Result | None = None) -> None:
        pipe.send(event)
        pipe.recv()

    # Where the parent is gone there is nobody to tell.
    with contextlib.suppress(EOFError, ConnectionError):
        try:
            _go_through(task, meet)
        except BaseException as error:
            pipe.send(_Failure(_sendable(error), traceback.format_exc()))
            # Stay until the end: others would fail for want of this one, and the first failure is the cause.
            pipe.recv()
    os._exit(0)


def _go_through(task: _Task, meet: Any) -> None:
    import torch

    import losses
    from bench.parallel import Parallel

    torch.set_num_threads(task.threads)
    if torch.cuda.is_available():
        torch.cuda.set_device(task.rank)
    parallel = Parallel(losses.Group(task.rank, task.size), meet, task.store)
    for event in task.steps(task.trial, task.folder, parallel):
        meet(event if task.rank == 0 else None)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


def _sendable(error: BaseException) -> BaseException:
    """The error, or one that says the same where it cannot be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
