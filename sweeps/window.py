"""What a running sweep shows of its records: MLflow is written by a thread of its own, so that no trial waits for it."""

import queue
import threading
from pathlib import Path
from typing import Protocol

from bench import record, tracking

DRAIN = 120.0  # seconds that the end of a sweep waits for MLflow


class Window(Protocol):
    """Is told of every change of a record."""

    def send(self, folder: Path) -> None:
        """Show what is new in a trial's folder. Returns at once."""

    def close(self, state: str, patience: float = DRAIN) -> str:
        """Show the rest within so many seconds; `state` is `finished`, `failed` or `stopped`. Returns a warning, or ""."""


class MlflowWindow:
    """Shows a study in MLflow while it runs. Once MLflow has failed it is left alone, and `close` says so.

    Args:
        study: the study's name.
        folder: its folder.
        uri: the tracking store; None: `bench.tracking.uri()`.
        agree: see `bench.tracking.Mirror`.
    """

    def __init__(self, study: str, folder: Path, uri: str | None = None, **more: tracking.Agree):
        tracking.prepare()  # here: an import in the thread would race with the sweep's own
        self._study = study
        self._folder = folder
        self._uri = uri or tracking.uri()
        self._more = more
        self._trouble = ""
        self._state = "failed"
        self._queue: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def send(self, folder: Path) -> None:
        self._queue.put(folder)

    def close(self, state: str, patience: float = DRAIN) -> str:
        self._state = state
        self._queue.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            self._trouble = f"it did not answer within {patience:g} s"
        if not self._trouble:
            return ""
        return (
            f"MLflow at {self._uri} did not take everything ({self._trouble}); nothing is lost: "
            f"`facebench sync {self._study}` sends what is missing"
        )

    def _work(self) -> None:
        try:
            mirror = tracking.Mirror(self._study, self._folder, self._uri, **self._more)
            while (folder := self._queue.get()) is not None:
                if (folder / "trial.json").exists():  # of several drivers' studies a lost trial's folder is deleted
                    mirror.send(record.read(folder))
            mirror.close(self._state)
        except Exception as error:  # whatever it is, the sweep must not end of it; `close` reports it
            self._trouble = tracking.cause(error)
