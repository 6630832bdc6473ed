"""A server of the tests as a process with children, which can be hung, killed and started again (see `servers`)."""

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

READY = 400.0  # seconds that a server may take to answer; a loaded machine is slow


class Server:
    """Abstract: a process with children, at one port for all its lives."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it, or start it again; returns once it answers."""
        assert self.process is None, "it runs"
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is not for it
                cwd=self.folder,
                **self._options(),
            )
        until(self._answers, READY, self._what_is_wrong)

    def pause(self) -> None:
        """Hang it: connections are accepted by the kernel, nothing is answered."""
        for process in self._all():
            process.suspend()

    def resume(self) -> None:
        for process in self._all():
            process.resume()

    def kill(self) -> None:
        """kill -9 of all its processes."""
        every = self._all()
        for process in every:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._gone()
        psutil.wait_procs(every, timeout=30)  # the port is free when the last of them is gone

    def stop(self) -> None:
        """End it in order; by kill -9 where that takes too long."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
        self._gone()

    def restart(self) -> None:
        self.stop()
        self.start()

    def _gone(self) -> None:
        if self.process is not None:
            self.process.wait(timeout=30)
            self.process = None

    def _all(self) -> list[psutil.Process]:
        if self.process is None:
            return []
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def _what_is_wrong(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")[-2000:]

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _options(self) -> dict[str, Any]:
        return {}

    def _answers(self) -> bool:
        raise NotImplementedError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition: Callable[[], Any], seconds: float, wrong: Callable[[], str] = lambda: "") -> Any:
    """Wait for a condition; its value. Fails, saying what is wrong, when the time is over."""
    deadline = time.monotonic() + seconds
    while not (met := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {wrong()}"
        time.sleep(0.1)
    return met
