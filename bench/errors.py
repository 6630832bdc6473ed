"""The two ways in which a command of facebench ends badly."""


class RequestError(ValueError):
    """The request was wrong: one sentence saying what came, what was expected and what to do. Exit code 2."""


class TrialFailed(RuntimeError):
    """The work failed (a non-finite loss, say): the step and the cause. Exit code 1; a sweep goes on without it."""
