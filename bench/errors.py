"""The ways in which a command of facebench ends badly."""

from pathlib import Path


class RequestError(ValueError):
    """The request was wrong: one sentence saying what came, what was expected and what to do. Exit code 2."""


class TrialFailed(RuntimeError):
    """The work failed (a non-finite loss, say): the step and the cause. Exit code 1; a sweep goes on without it."""


class ProcessLost(RuntimeError):
    """One of a trial's processes is gone (killed, say): nothing is wrong with the trial. Exit code 1; it can go on."""


class Unreachable(RuntimeError):
    """What was to be fetched did not come, or came damaged: no network, a silent server, a wrong checksum. Exit code 1."""


class StudyIncomplete(TrialFailed):
    """A study came to its end and something in it is missing; what there is can be reported from `folder`. Exit code 1."""

    def __init__(self, message: str, folder: Path):
        super().__init__(message)
        self.folder = folder


class StudyStopped(StudyIncomplete):
    """A study stopped of itself (its budget is spent, or trial after trial fails alike) and can be gone on with. Exit code 1."""
