"""`facebench report --watch`: the page anew whenever a trial has ended, while a sweep is at work on the study."""

import time
from collections.abc import Callable
from pathlib import Path

from bench import index, locks
from reports._write import write


def watch(
    folder: Path,
    seconds: float,
    say: Callable[[Path], None],
    sleep: Callable[[float], None] = time.sleep,
    *,
    pictures: bool = True,
) -> Path:
    """Write the report, and again whenever a trial has ended, until nobody runs the study any more.

    Meanwhile the page loads itself anew; the last one does not.

    Args:
        seconds: between two looks.
        say: is told of each page that was written.
        pictures: whether it holds images of the data.
    """
    seen = None
    while True:
        runs = locks.held(folder)  # before the trials: what ends after the last look was ended by nobody
        ended = [(one.id, one.state) for one in index.entries(folder) if one.ended]
        if not runs or ended != seen:
            path = write(folder, refresh=seconds if runs else None, pictures=pictures)
            say(path)
            seen = ended
        if not runs:
            return path
        sleep(seconds)
