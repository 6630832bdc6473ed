"""What becomes of a trial whose attempt ended without a word of its own: another try, with what, and when; or its end."""

import math
from typing import Any, Literal

from sweeps.parts import Resources
from sweeps.work import WorkerLost

ATTEMPTS = 3  # of a trial whose worker died
NODES = 10  # lost under a trial, or not there when it was to begin: it had no part in that
PAUSE = 0.5  # seconds before the second attempt, twice as many before each further one
LONGEST = 30.0  # seconds

Cause = Literal["worker", "node", "GPU memory", "memory"]


class Attempts:
    """The attempts at one trial, each going on from the last checkpoint.

    Out of memory, a trial is tried once more with twice its share, never with another batch size: its numbers stay what
    they would have been.

    Attributes:
        asked: what every attempt was to occupy.
        wanted: what the next one occupies.
        over: the attempts that came to nothing, as the record's provenance has them.
    """

    def __init__(self, asked: Resources):
        self.asked = asked
        self.wanted = asked
        self.over: list[dict[str, Any]] = []
        self._causes: list[Cause] = []

    @property
    def weight(self) -> int:
        """How many ordinary trials the next attempt stands in the place of."""
        return 1 if self.wanted == self.asked else math.ceil(_share(self.wanted, self.asked))

    @property
    def change(self) -> str:
        """What the next attempt has more than was asked, in words."""
        wanted, asked = self.wanted.model_dump(), self.asked.model_dump()
        return ", ".join(f"{key} {value:g}" for key, value in wanted.items() if value != asked[key])

    def lost(self, cause: Cause, reason: str, node: str, most: dict[str, float]) -> float:
        """Note the end of an attempt.

        Args:
            cause: a worker that is lost before the trial began is a node's fault.
            reason: a sentence.
            node: where it ran; "": it had not begun.
            most: the largest amount of `cpus`, `gpus` and `memory` on any node that holds a trial.

        Returns:
            Seconds until the next attempt.

        Raises:
            WorkerLost: there is none.
        """
        if cause == "worker" and not node:
            cause = "node"
        self.over.append(self._entry(reason, node))
        self._causes.append(cause)
        count = self._causes.count(cause)
        if cause == "worker" and count == ATTEMPTS:
            raise WorkerLost(f"the worker died {ATTEMPTS} times, at last with: {reason}")
        if cause == "node" and count == NODES:
            raise WorkerLost(f"{NODES} times its node was lost or the trial could not begin, at last with: {reason}")
        if cause in ("GPU memory", "memory"):
            self.wanted = self._more(cause, reason, most)
        return min(LONGEST, PAUSE * 2 ** (len(self.over) - 1))

    def all(self, node: str) -> list[dict[str, Any]]:
        """The attempts with the one that finished, on `node`; none where the first one did."""
        return [*self.over, self._entry("finished", node)] if self.over else []

    def _more(self, cause: Cause, reason: str, most: dict[str, float]) -> Resources:
        key = "gpus" if cause == "GPU memory" else "memory" if self.asked.memory else "cpus"
        had = getattr(self.wanted, key)
        if self.wanted != self.asked:
            first = getattr(self.asked, key)
            again = f"{key} {first:g} and again with {had:g}" if had != first else f"less and again with {self.change}"
            raise WorkerLost(f"out of {'memory' if had == first else cause} twice, with {again}: {reason}")
        limit = 1.0 if cause == "GPU memory" else most[key]
        if had >= limit or not had:
            there = "a whole GPU or more" if cause == "GPU memory" and had else f"{key} {had:g}, all that there is"
            raise WorkerLost(f"out of {cause} with {there}, so it is not tried again: {reason}")
        return self.asked.model_copy(update={key: min(limit, 2 * had)})

    def _entry(self, reason: str, node: str) -> dict[str, Any]:
        had = {
            key: value for key, value in self.wanted.model_dump().items() if key in ("cpus", "gpus", "memory") and value
        }
        return {"reason": reason, "node": node} | had


def _share(wanted: Resources, asked: Resources) -> float:
    """By how much more is wanted than was asked, of what differs most."""
    pairs = [(wanted.cpus, asked.cpus), (wanted.gpus, asked.gpus), (wanted.memory or 0, asked.memory or 0)]
    return max(now / before for now, before in pairs if before)


def out_of_memory(error: BaseException) -> Cause | None:
    """Which memory an exception of a trial says is full: the GPU's, the machine's, or None.

    By its name and words: what it was raised as in a process of the trial may have been wrapped since.
    """
    says = f"{type(error).__name__}: {error}"
    if "OutOfMemoryError" in says or ("out of memory" in says and ("CUDA" in says or "HIP" in says)):
        return "GPU memory"
    if isinstance(error, MemoryError) or "can't allocate memory" in says:  # the words of torch's CPU allocator
        return "memory"
    return None
