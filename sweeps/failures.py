"""Trials that fail one after the other of the same cause: the machine is broken, or the code is; more of them say no more."""

import re

from bench.record import Record

# What differs between two messages of one defect: addresses, paths, numbers.
_VARIES = (r"0x[0-9a-fA-F]+", r"(?:[A-Za-z]:)?[\w.~-]*[/\\][\w./\\~-]+", r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?")


def alike(error: BaseException) -> str:
    """What is the same in the failures of one defect: kind and message without addresses, paths and numbers."""
    said = f"{type(error).__name__}: {error}"
    for pattern in _VARIES:
        said = re.sub(pattern, "*", said)
    return said


class Streak:
    """The failures in a row of one cause, with no trial between them that finished or was pruned.

    Neither a training that diverged counts (that is a finding, and no success either) nor a wrong request (which ends its
    cell as it is).

    Args:
        limit: so many are enough; 0: never.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._cause = ""
        self._count = 0

    def fails(self, error: Exception, known: Record) -> str:
        """Count a failure; why the study should stop, or ""."""
        cause = alike(error)
        self._count = self._count + 1 if cause == self._cause else 1
        self._cause = cause
        if not self._limit or self._count < self._limit:
            return ""
        trial = known.trial
        rows = (
            f"{self._count} trials in a row failed of the same cause, at last" if self._count > 1 else "a trial failed,"
        )
        return (
            f"{rows} {trial.backbone}/{trial.arm} {trial.role} "
            f"{trial.number} in {known.folder}: {known.reason}; mend it, and the same command "
            "tries again (`stop_after_failures` in the study file says how many are enough)"
        )

    def ends(self) -> None:
        """A trial came to a good end."""
        self._count = 0
