"""Trials on Ray, each a streaming-generator task. The only place that imports Ray.

A task hands over one event at a time and waits until it was taken (back-pressure 1), so a pruned trial has not trained
ahead. Dropping a generator does not stop its task; cancelling does.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.errors import RequestError
from bench.plain import Progress, Result, Trial
from sweeps.work import Heard, Run, WorkerLost, work

ATTEMPTS = 3  # of a trial whose worker died
STARTS = 3  # tries to start Ray here
PATIENCE = 2.0  # seconds between a polite and a forced cancel
LOOK = 30.0  # seconds between two looks at the cluster while no trial says anything
_PLACES = ("FACEBENCH_DATA", "FACEBENCH_CACHE", "FACEBENCH_RUNS")


@dataclass
class _Task:
    trial: Trial
    folder: str
    stream: Any
    attempt: int = 1


class RayPool:
    """See `sweeps.work.Workers`.

    Args:
        address: `local` starts Ray in this process's care; anything else is a cluster's address (or `auto`).
        cpus, gpus: what a trial occupies.
        slots: at most so many trials at once; None: as many as fit.
        run: what runs a trial; None: `bench.trial.run`.

    Raises:
        RequestError: the cluster cannot be reached, or no node of it can ever hold a trial.
    """

    def __init__(
        self,
        address: str = "local",
        *,
        cpus: float = 1,
        gpus: float = 0,
        slots: int | None = None,
        run: Run | None = None,
    ):
        self._cpus = cpus
        self._gpus = gpus
        self._run = run
        self._live: list[_Task] = []
        self._look = 0.0
        self._dying: list[tuple[_Task, float]] = []
        _connect(address)
        try:
            fit = _places(cpus, gpus)
            self.slots = min(fit, slots) if slots else fit
            self._remote = self._task()
        except BaseException:
            self.close()
            raise

    def submit(self, trial: Trial, folder: str) -> None:
        self._live.append(_Task(trial, folder, self._start(trial, folder)))

    def next(self, timeout: float) -> Heard | None:
        import ray

        self._bury()
        if not self._live:
            time.sleep(min(timeout, 0.05) if self._dying else 0)
            return None
        streams = [task.stream for task in self._live]
        ready, _ = ray.wait(streams, num_returns=1, timeout=timeout)
        if not ready:
            return self._orphan()
        task = next(task for task in self._live if task.stream is ready[0])
        # The one just heard goes to the end, so that no trial starves the others.
        self._live.remove(task)
        self._live.append(task)
        event = self._event(task)
        if isinstance(event, Result | Exception):
            self._live.remove(task)
        return None if event is None else Heard(task.trial, event)

    def cancel(self, trial: Trial) -> None:
        import ray

        for task in [task for task in self._live if task.trial == trial]:
            self._live.remove(task)
            ray.cancel(task.stream)
            self._dying.append((task, time.monotonic() + PATIENCE))

    def busy(self) -> int:
        self._bury()
        return len(self._live) + len(self._dying)

    def close(self, patience: float = 10.0) -> None:
        import ray

        if patience > 2 * PATIENCE:
            for task in list(self._live):
                self.cancel(task.trial)
            while self._dying:
                self._bury()
                time.sleep(0.02)
        ray.shutdown()

    def _event(self, task: _Task) -> Progress | Result | Exception | None:
        """The event that is ready; None when the worker died and the trial was started anew."""
        import ray
        from ray import exceptions

        died = (
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            exceptions.ObjectLostError,
            exceptions.OutOfMemoryError,
            exceptions.LocalRayletDiedError,
        )
        try:
            return ray.get(next(task.stream))
        except StopIteration:
            return WorkerLost("the trial ended without a result")
        except died as error:
            if task.attempt == ATTEMPTS:
                return WorkerLost(f"the worker died {ATTEMPTS} times, at last with: {str(error).splitlines()[0]}")
            task.attempt += 1
            task.stream = self._start(task.trial, task.folder)
            return None
        except exceptions.RayTaskError as error:
            if not isinstance(error.cause, Exception):
                return WorkerLost(str(error))
            error.cause.add_note(str(error))  # the traceback on the worker
            return error.cause
        except exceptions.RayError as error:
            return WorkerLost(f"{type(error).__name__}: {str(error).splitlines()[0]}")

    def _orphan(self) -> Heard | None:
        """While nothing is heard: a trial that no node can hold any more (its node is gone) would wait for ever."""
        if time.monotonic() < self._look:
            return None
        self._look = time.monotonic() + LOOK
        try:
            _places(self._cpus, self._gpus)
        except RequestError as error:
            trial = self._live[0].trial
            self.cancel(trial)
            return Heard(trial, WorkerLost(str(error)))
        return None

    def _start(self, trial: Trial, folder: str) -> Any:
        return self._remote.remote(trial, folder, self._cpus, self._run)

    def _task(self) -> Any:
        import ray

        variables = {name: os.environ[name] for name in _PLACES if name in os.environ}
        if not self._gpus:
            variables["CUDA_VISIBLE_DEVICES"] = ""  # Ray hides no GPU from a task that asked for none
        return ray.remote(_stream).options(
            num_returns="streaming",
            _generator_backpressure_num_objects=1,
            max_retries=0,
            num_cpus=self._cpus,
            num_gpus=self._gpus,
            runtime_env={"env_vars": variables},
        )

    def _bury(self) -> None:
        """Take note of cancelled tasks that are gone; force those that outlive their patience."""
        import ray

        still = []
        for task, deadline in self._dying:
            if _gone(task.stream):
                continue
            if time.monotonic() < deadline:
                still.append((task, deadline))
            else:
                ray.cancel(task.stream, force=True)
        self._dying = still


def _stream(trial: Trial, folder: str, cpus: float, run: Run | None) -> Iterator[Progress | Result]:
    """The body of a task."""
    # Not `yield from`: Ray sends values into its generators, and the list of a resumed trial's past events takes none.
    for event in work(trial, folder, cpus, run):  # noqa: UP028
        yield event


def _gone(stream: Any) -> bool:
    """Whether a cancelled task has ended: its stream ends, or hands over the exception that ended it."""
    import ray

    while ray.wait([stream], num_returns=1, timeout=0)[0]:
        try:
            ray.get(next(stream))
        except (StopIteration, ray.exceptions.RayError):
            return True
    return False


def _connect(address: str) -> None:
    import logging

    # Ray 2.60 authenticates by token; every client has to be told.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address != "local":
        try:
            ray.init(address, **quiet)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError, ray.exceptions.RayError) as error:
            raise RequestError(
                f"no Ray cluster answers at {address!r} ({str(error).strip().splitlines()[0]}): "
                "give the head's HOST:PORT, or `local` or `inline`"
            ) from error
        return
    local: dict[str, Any] = {
        "num_cpus": len(os.sched_getaffinity(0)),
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }
    for tries_left in reversed(range(STARTS)):
        try:
            ray.init("local", **local, **quiet)
            return
        except (
            Exception
        ) as error:  # Ray gives its own processes 30 s, too little on a busy machine, and raises just that
            ray.shutdown()
            if not tries_left:
                raise RequestError(
                    f"Ray did not start here ({str(error).splitlines()[0]}): try --address inline"
                ) from error


def _places(cpus: float, gpus: float) -> int:
    """How many trials fit into the cluster at once.

    Raises:
        RequestError: not one: Ray would wait for ever.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fit = 0
    for node in nodes:
        by_cpu = int(node.get("CPU", 0) / cpus + 1e-9)
        fit += min(by_cpu, int(node.get("GPU", 0) / gpus + 1e-9)) if gpus else by_cpu
    if not fit:
        largest = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise RequestError(
            f"a trial asks for {cpus:g} CPUs and {gpus:g} GPUs, and no node can hold it (there is: {largest}): "
            "lower `resources` in the study file or use another cluster"
        )
    return fit
