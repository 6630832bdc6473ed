"""Trials on Ray, each a streaming-generator task.

A task says first where it runs, and then hands over one event at a time and waits until it was taken (back-pressure 1), so
a pruned trial has not trained ahead. Dropping a generator does not stop its task; cancelling does.

An attempt that ends without a word of the trial (its worker or node died, memory was full, Ray lost sight of it) is fenced
off, by a forced cancel, and the trial goes on from its checkpoint in another one (`sweeps.attempts`). One that lives on
nevertheless, on a node that is out of reach, is not listened to, and its checkpoints are files of their own.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from bench.errors import RequestError, Unreachable
from bench.plain import Progress, Result, Trial
from sweeps import cluster, room
from sweeps.attempts import Attempts, Cause, out_of_memory
from sweeps.parts import ONE_CPU, Resources
from sweeps.room import Node
from sweeps.work import Heard, Run, WorkerLost, confine, work

PATIENCE = 2.0  # seconds between a polite and a forced cancel
LOOK = 5.0  # seconds between two looks at the cluster
SAY = 60.0  # seconds that a trial waits in a full cluster before that is said
SILENCE = 30.0  # seconds that a trial is listened for whose node is gone
WAIT = 600.0  # seconds that a trial waits for a node that can hold it

Event = Progress | Result | Exception


@dataclass(eq=False)
class _Task:
    """A trial that was submitted.

    Attributes:
        stream: the running attempt; None: the next one begins at `due`.
        node, address: where the attempt runs; "": it has not begun.
        since: when it was handed to Ray.
        homeless: since when no node can hold it, or the one that held it is gone.
    """

    trial: Trial
    folder: str
    attempts: Attempts
    stream: Any = None
    due: float = 0.0
    node: str = ""
    address: str = ""
    since: float = 0.0
    homeless: float = math.inf


class RayPool:
    """See `sweeps.work.Workers`.

    Args:
        address: `local` starts Ray in this process's care; anything else is a cluster's address (or `auto`).
        resources: what a trial occupies.
        slots: at most so many trials at once; None: as many as fit.
        run: what runs a trial; None: `bench.trial.run`.
        say: is told in a sentence what happens to the cluster and to trials.

    Attributes:
        slots: follows the nodes that come and go.

    Raises:
        RequestError: the cluster cannot be reached, or no node of it can ever hold a trial.
    """

    def __init__(
        self,
        address: str = "local",
        *,
        resources: Resources = ONE_CPU,
        slots: int | None = None,
        run: Run | None = None,
        say: Callable[[str], None] = lambda sentence: None,
    ):
        self._address = address
        self._resources = resources
        self._most = slots or math.inf
        self._run = run
        self._say = say
        self._live: list[_Task] = []
        self._dying: list[tuple[Any, float]] = []
        self._look = 0.0
        self._said = False
        cluster.connect(address)
        try:
            there = cluster.nodes()
            fit = room.fit(resources, there)
            if not fit:
                raise RequestError(room.no_room(resources, there))
            self.slots = int(min(fit, self._most))
        except BaseException:
            self.close(0)
            raise

    def submit(self, trial: Trial, folder: str) -> None:
        task = _Task(trial, folder, Attempts(self._resources))
        self._live.append(task)
        self._start(task)

    def next(self, timeout: float) -> Heard | None:
        """See `sweeps.work.Workers`.

        Raises:
            Unreachable: for `WAIT` seconds no node of the cluster could hold a trial.
        """
        end = time.monotonic() + timeout
        while True:
            self._bury()
            for task in self._live:
                if task.stream is None and task.due <= time.monotonic():
                    self._start(task)
            if heard := self._watch() or self._listen(end - time.monotonic()):
                return heard
            if time.monotonic() >= end or not self._live:
                return None

    def cancel(self, trial: Trial) -> None:
        for task in [task for task in self._live if task.trial == trial]:
            self._live.remove(task)
            self._end(task.stream)

    def busy(self) -> int:
        self._bury()
        taken = sum(task.attempts.weight for task in self._live) + len(self._dying)
        # A trial that wants more than the others would never find it while each of them that ends makes room for another.
        large = any(task.attempts.weight > 1 and not task.node for task in self._live)
        return max(taken, self.slots) if large else taken

    def close(self, patience: float = 10.0) -> None:
        forced = patience < 2 * PATIENCE
        for task in self._live:
            self._end(task.stream, forced)
        self._live = []
        until = time.monotonic() + (0.3 if forced else PATIENCE + 1)
        while self._dying and time.monotonic() < until:
            self._bury()
            time.sleep(0.02)
        cluster.disconnect(self._address)

    def _listen(self, timeout: float) -> Heard | None:
        """What a task says next within the timeout, or before another attempt is due; None: nothing for the driver."""
        import ray

        running = {id(task.stream): task for task in self._live if task.stream is not None}
        due = min((task.due for task in self._live if task.stream is None), default=math.inf) - time.monotonic()
        timeout = max(0.0, min(timeout, due, LOOK))
        if not running:
            time.sleep(min(timeout, 0.05) if self._live or self._dying else 0)
            return None
        ready, _ = ray.wait([task.stream for task in running.values()], num_returns=1, timeout=timeout)
        if not ready:
            return None
        task = running[id(ready[0])]
        # The one just heard goes to the end, so that no trial starves the others.
        self._live.remove(task)
        self._live.append(task)
        event = self._event(task)
        if isinstance(event, Result | Exception):
            self._live.remove(task)
        return None if event is None else Heard(task.trial, event)

    def _event(self, task: _Task) -> Event | None:
        """The event that is ready; None: it was none of the trial's, which runs on or is tried again."""
        import ray

        try:
            said = ray.get(next(task.stream))
        except StopIteration:
            return WorkerLost("the trial ended without a result")
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if not isinstance(cause, Exception) or isinstance(cause, ray.exceptions.RayError):
                return self._again(task, "worker", cluster.line(error))  # cancelled, and not by us
            if full := out_of_memory(cause):
                return self._again(task, full, cluster.line(cause))
            cause.add_note(str(error))  # the traceback on the worker
            return cause
        except ray.exceptions.RayError as error:
            lost = (ray.exceptions.NodeDiedError, ray.exceptions.ObjectLostError)  # an object goes with its node
            is_full = isinstance(error, ray.exceptions.OutOfMemoryError)
            found: Cause = "memory" if is_full else "node" if isinstance(error, lost) else "worker"
            return self._again(task, found, f"{type(error).__name__}: {cluster.line(error)}")
        task.homeless = math.inf
        if isinstance(said, tuple):
            task.node, task.address = said
            return None
        if isinstance(said, Result) and (attempts := task.attempts.all(task.address)):
            return replace(said, provenance=said.provenance | {"attempts": attempts})
        return said

    def _again(self, task: _Task, cause: Cause, reason: str) -> WorkerLost | None:
        """Fence an attempt off and have another one, or the error where there is none."""
        self._end(task.stream, force=True)
        there = [node for node in cluster.nodes() if room.holds(node, self._resources)]
        most = {name: room.most(name, there) for name in ("cpus", "gpus", "memory")}
        try:
            pause = task.attempts.lost(cause, reason, task.address, most)
        except WorkerLost as error:
            return error
        where = f" on {task.address}" if task.node else ""
        more = f" with {task.attempts.change}" if task.attempts.change else ""
        self._say(f"trial {task.trial.id} lost its attempt{where} ({reason}) and is tried again{more}")
        task.stream, task.node, task.address = None, "", ""
        task.due = time.monotonic() + pause
        task.homeless = math.inf
        self._look = 0.0  # the nodes may be others now
        return None

    def _watch(self) -> Heard | None:
        """Now and then: follow the nodes that come and go, and see that no trial waits for what will not be."""
        now = time.monotonic()
        if now < self._look:
            return None
        self._look = now + LOOK
        there = cluster.nodes()
        fit = room.fit(self._resources, there)
        slots = int(max(1, min(fit, self._most)))  # one at least: what is submitted then says that it cannot be placed
        if slots != self.slots and fit:
            self._say(f"the cluster has room for {fit} trials at once; {slots} are run (before: {self.slots})")
        self.slots = slots
        self._say_if_full(now)
        for task in list(self._live):
            if heard := self._lodge(task, there, now):
                return heard
        return None

    def _lodge(self, task: _Task, there: list[Node], now: float) -> Heard | None:
        """See that a trial has a node, or can have one; the last word of one that cannot."""
        if task.node:
            if any(task.node == node.id for node in there):
                task.homeless = math.inf
            elif now - (started := min(task.homeless, now)) < SILENCE:
                task.homeless = started  # it may be heard yet: a worker can outlive what Ray knows of its node
            elif error := self._again(task, "node", "its node is gone, and nothing more was heard"):
                self._live.remove(task)
                return Heard(task.trial, error)
            return None
        if room.fit(task.attempts.wanted, there):
            task.homeless = math.inf
            return None
        sentence = room.no_room(task.attempts.wanted, there)
        if task.homeless == math.inf:
            task.homeless = now
            self._say(f"trial {task.trial.id} waits: {sentence}")
        if now - task.homeless < WAIT:
            return None
        if not room.fit(self._resources, there):
            raise Unreachable(f"{sentence}, and it was so for {WAIT:g} s; the same command goes on where it stands")
        self.cancel(task.trial)
        return Heard(task.trial, WorkerLost(sentence))

    def _say_if_full(self, now: float) -> None:
        """A cluster that others use may be full, and then nothing moves for a while."""
        waiting = [task for task in self._live if task.stream is not None and not task.node and now - task.since > SAY]
        if waiting and not self._said:
            self._say(f"{len(waiting)} trial(s) wait for a place: the cluster has one, and it is taken")
        self._said = bool(waiting)

    def _start(self, task: _Task) -> None:
        wanted = task.attempts.wanted
        # On the threads that were asked for, however many CPUs are held for their memory: the numbers stay the same.
        task.stream = cluster.stream(_work, (task.trial, task.folder, self._resources, wanted.gpus, self._run), wanted)
        task.since = time.monotonic()

    def _end(self, stream: Any, force: bool = False) -> None:
        """Cancel an attempt; it counts as busy until it is gone."""
        if stream is not None:
            cluster.cancel(stream, force)
            self._dying.append((stream, time.monotonic() + (0 if force else PATIENCE)))

    def _bury(self) -> None:
        """Take note of cancelled attempts that are gone; force those that outlive their patience."""
        still = []
        for stream, deadline in self._dying:
            if cluster.gone(stream):
                continue
            if time.monotonic() < deadline:
                still.append((stream, deadline))
            else:
                cluster.cancel(stream, force=True)
        self._dying = still


def _work(
    trial: Trial, folder: str, resources: Resources, gpus: float, run: Run | None
) -> Iterator[tuple[str, str] | Progress | Result]:
    """The body of a task: where it runs, then the trial's events."""
    yield cluster.here()
    confine(gpus)
    # Not `yield from`: Ray sends values into its generators, and the list of a resumed trial's past events takes none.
    for event in work(trial, folder, resources, run):  # noqa: UP028
        yield event
