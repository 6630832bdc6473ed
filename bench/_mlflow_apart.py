"""A study's mirror in a process of its own: MLflow's client is Python, and would take most of the event loop's time.

The two talk in lines of JSON, one request at a time, by the child's standard input and output:

    {"open": {...}}       `tracking.Mirror` is made, anew if there is one
    {"send": folder}      Mirror.send
    {"complete": folder}  Mirror.complete
    {"close": state}      Mirror.close
    {"agreed": run}       the answer to {"agree": [mine, lost]}, which the child asks while it is opened

and the child (`_mlflow_child`) answers {"done": what the method gave} or {"failed": "the cause in a line"}. It hears no signal
of the terminal or of a job that is stopped: it ends when its input does, whatever became of its parent.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from bench._mlflow_store import Failed
from bench.record import Record

Agree = Callable[[str, str], str]


class Apart:
    """Stands for a `bench.tracking.Mirror` (see there for the arguments) that lives in another process.

    Raises:
        Failed: in every method, the mirror failed or its process is gone; after another `open` it may work.
    """

    def __init__(self, study: str, folder: Path, tracking: str, agree: Agree):
        self._facts = {"study": study, "folder": str(folder), "tracking": tracking}
        self._agree = agree

        self._start()  # now: its imports take seconds

    def open(self, alone: bool) -> "Apart":
        """Make the mirror, anew if there is one."""
        if self._child.poll() is not None:
            self.stop()
            self._start()
        self._ask("open", {**self._facts, "alone": alone})
        return self

    def _start(self) -> None:
        self._child = started("bench._mlflow_child")

    def send(self, known: Record) -> bool:
        return self._ask("send", str(known.folder))

    def complete(self, known: Record) -> None:
        self._ask("complete", str(known.folder))

    def close(self, state: str) -> None:
        self._ask("close", state)

    def stop(self) -> None:
        """End the process, in the middle of what it does."""
        ended(self._child)

    def _ask(self, kind: str, what: Any) -> bool:
        assert self._child.stdin and self._child.stdout
        try:
            say(self._child.stdin, kind, what)
            while line := self._child.stdout.readline():
                ((said, answer),) = json.loads(line).items()
                if said == "done":
                    return answer
                if said == "failed":
                    raise Failed(answer)
                say(self._child.stdin, "agreed", self._agree(*answer))
        except (OSError, ValueError):  # its end of the pipe is gone, or ours
            pass
        raise Failed("the process that writes it is gone")


def started(module: str, *options: str, **environment: str) -> "subprocess.Popen[str]":
    """A process of Python that runs a module of ours, and hears and answers in lines."""
    # Where the parent finds its packages: in a cluster's job they came with it. No file of the current folder.
    place = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", *options, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": place, **environment},
        start_new_session=True,
    )


def ended(process: "subprocess.Popen[str]") -> None:
    """End it, in the middle of what it does."""
    process.kill()
    with suppress(OSError), process:  # what was written to it, and not read, is lost
        pass


def say(to: IO[str], kind: str, what: Any) -> None:
    """Send a request or an answer."""
    to.write(json.dumps({kind: what}) + "\n")
    to.flush()
