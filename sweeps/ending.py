"""The end of a session, however it comes: what is on disk, in Optuna's database and in MLflow can be gone on from."""

import errno
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

from bench.errors import StudyStopped, TrialFailed
from sweeps.progress import Board
from sweeps.signals import Stop
from sweeps.window import DRAIN, Window
from sweeps.work import Workers

QUIET = 5.0  # seconds that an end may take before it says what it waits for
SHARE = 0.6  # of the time that is left is theirs: about 1 s after SIGTERM, 5 s after Ctrl-C
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class End:
    """Closes all that a session has opened when its `with` is left; after a signal, within the time that there is.

    Args:
        study: the study's name.
        save: writes the state that it is given into `study.json`.
        window, board: are closed.
        stop: says how much time there is.

    Attributes:
        save: may be replaced.
        workers: are closed too where there are any.
    """

    def __init__(self, study: str, save: Callable[[str], None], window: Window, board: Board, stop: Stop):
        self.save = save
        self.workers: Workers | None = None
        self._study = study
        self._window = window
        self._board = board
        self._stop = stop

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.begin_end()
        state = (
            "finished"
            if error is None
            else "stopped"
            if isinstance(error, KeyboardInterrupt | StudyStopped)
            else "failed"
        )
        with ExitStack() as last:  # from below, each whatever becomes of the others
            last.callback(self._close, state)
            last.callback(self._board.close)
            if state == "stopped":
                last.callback(self._board.say, self._again())
            last.callback(self.save, state)

    def last_words(self, patience: float) -> None:
        """What another thread writes when the main one does not come back."""
        self.save("stopped")
        warning = self._window.close("stopped", patience)
        self._board.say(self._again())
        if warning:
            self._board.say(warning)

    def _again(self) -> str:
        return f"stopped: the same command goes on with study {self._study!r} where it stands"

    def _close(self, state: str) -> None:
        """Workers and MLflow at the same time."""
        left = self._stop.left()
        left = left and left * SHARE
        warnings = [f"MLflow has not taken everything; nothing is lost: `facebench sync {self._study}` sends the rest"]

        def close() -> None:
            warnings[:] = [self._window.close(state) if left is None else self._window.close(state, left)]

        closing = threading.Thread(target=close, name="closing", daemon=True)
        closing.start()
        try:
            if self.workers:
                self.workers.close() if left is None else self.workers.close(left)
            with self._stop.waiting():  # a server that hangs is waited for long: not by somebody who wants to go
                closing.join(QUIET if left is None else left)
                if left is None and closing.is_alive():
                    self._board.say(f"MLflow is given the rest, models of confirmed networks last: {DRAIN:g} s at most")
                    closing.join()
        finally:
            if warnings[0]:
                self._board.say(warnings[0])


@contextmanager
def room(folder: Path) -> Iterator[None]:
    """A disk that is full under the driver is no defect but a sentence.

    Raises:
        TrialFailed: so it is.
    """
    try:
        yield
    except Exception as error:
        if not _is_full(error):
            raise
        raise TrialFailed(
            f"the disk is full: the records of study {folder.name!r} in {folder}, or its database, could not be written; "
            "make room, and the same command goes on where it stands"
        ) from error


def _is_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error, through all that was made of it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if isinstance(error, sqlite3.Error) and error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
