"""A progress bar with the time that is left, for work that takes longer than two seconds, where somebody is looking."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 2.0  # seconds without a bar: what is quick says nothing


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function `(done, total) -> None` to be called as the work goes on; it draws on stderr if that is a terminal.

    Args:
        what: stands before the bar.
    """
    drawn: list[Any] = []
    start = time.monotonic()

    def advance(done: int, total: int) -> None:
        if not drawn and time.monotonic() - start >= PATIENCE and done < total and sys.stderr.isatty():
            drawn.append(_started(what, total))
        if drawn:
            progress, task = drawn[0]
            progress.update(task, completed=done, total=total)

    try:
        yield advance
    finally:
        if drawn:
            drawn[0][0].stop()


def _started(what: str, total: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    progress.start()
    return progress, progress.add_task(what, total=total)
