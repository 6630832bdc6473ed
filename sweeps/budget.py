"""What a study may use and has used of trials, hours and GPU hours, over all its sessions; and when its searches end for it.

The searches end together, as soon as another trial would leave too little for what is sure to come: the finalists, the
confirmation, the untuned rows. Those begin as long as the budget is not spent, and what runs at its end is not cut short.
Hours are told by a clock that nobody sets. A driver that is killed loses what it used since it last wrote `study.json`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import index
from bench.index import Entry
from bench.plain import Trial
from bench.record import Record
from sweeps import plan
from sweeps.cell import Cell
from sweeps.mistake import Key
from sweeps.study import Study
from sweeps.tally import Cut

MARGIN = 1.25  # on the seconds of trials to come: they also start, and score test protocols
PAUSE = 10.0  # seconds after which what was used is written down though nothing else is new


def wrong(study: Study) -> Iterator[tuple[Key, str]]:
    """A budget that cannot be kept, or that counts nothing, as (key, what is wrong)."""
    asked = study.budget
    least = plan.least_trials(study)
    if asked.max_trials is not None and asked.max_trials < least:
        yield (
            ("budget", "max_trials"),
            f"got {asked.max_trials}, expected at least {least}: one search trial of each loss where it is tuned, its "
            "finalists, the confirmation and the untuned rows",
        )
    if asked.max_gpu_hours is not None and not study.resources.gpus:
        yield (
            ("budget", "max_gpu_hours"),
            "the trials of this study occupy no GPU: set `resources.gpus`, or `max_hours` instead",
        )


def cuts(facts: Mapping[str, Any], folder: Path) -> dict[str, Cut]:
    """Cell -> why its search was ended early in an earlier session, where that holds.

    The end of a budget holds once something was built on it: with a larger one the search is not taken up again after its
    winner was repeated or confirmed, nor is that of the other losses.
    """
    said = {
        name: Cut(**cell["stopped_early"])
        for name, cell in facts["cells"].items()
        if cell.get("stopped_early")
        and cell["trials"].get("finished")  # else there is nothing to confirm: it may go on
    }
    ended = {name for name, cut in said.items() if cut.by != "early_stop"}
    roles = ("finalist", "tuned", "again")
    built_on = ended and any(
        known.role in roles and f"{known.backbone}/{known.arm}" in ended for known in index.entries(folder)
    )
    return {name: cut for name, cut in said.items() if built_on or name not in ended}


class Meter:
    """Counts what a study uses, and says whether there is enough left.

    Args:
        study: its `budget` is kept.
        before: what earlier sessions used, as `used` said it.
        clock: seconds, from anywhere, never set back.
    """

    def __init__(
        self, study: Study, before: Mapping[str, float] | None = None, clock: Callable[[], float] = time.monotonic
    ):
        self._budget = study.budget
        self._gpus = study.resources.gpus
        self._before = {"hours": 0.0, "gpu_hours": 0.0} | dict(before or {})
        self._clock = clock
        self._begun = self._written = clock()
        self._occupied = 0.0  # seconds in this session, of trials that ended
        self._live: dict[Trial, float] = {}
        self._trained: dict[str, tuple[int, float]] = {}  # cell -> epochs and their seconds

    def began(self, trial: Trial) -> None:
        """A trial was handed to a worker."""
        self._live[trial] = self._clock()

    def dropped(self, trial: Trial) -> None:
        """A trial no longer runs here."""
        if trial in self._live:
            self._occupied += self._clock() - self._live.pop(trial)

    def ended(self, cell: Cell, trial: Trial, known: Record | Entry) -> None:
        """A trial ended, now or in an earlier session."""
        self.dropped(trial)
        if known.epochs:
            epochs, seconds = self._trained.get(cell.name, (0, 0.0))
            self._trained[cell.name] = (epochs + known.epochs, seconds + known.seconds)

    def used(self, cells: list[Cell]) -> dict[str, float]:
        """Trials that were trained, wall hours and GPU hours of all sessions."""
        now = self._clock()
        occupied = self._occupied + sum(now - begun for begun in self._live.values())
        return {
            "trials": sum(cell.trained for cell in cells),
            "hours": self._before["hours"] + (now - self._begun) / 3600,
            "gpu_hours": self._before["gpu_hours"] + occupied * self._gpus / 3600,
        }

    def due(self) -> bool:
        """Whether what was used should be written down again; True once in a while."""
        now = self._clock()
        if now - self._written < PAUSE:
            return False
        self._written = now
        return True

    def spent(self, cells: list[Cell]) -> str:
        """The limit that is reached, such as `max_hours: 12`, or "". The trial that is to be started now counts."""
        used = self.used(cells)
        if used["trials"] > self._limit("max_trials"):
            return self._say("max_trials")
        return next((self._say(f"max_{k}") for k in ("hours", "gpu_hours") if used[k] >= self._limit(f"max_{k}")), "")

    def short(self, asks: Cell, cells: list[Cell], slots: int) -> str:
        """The limit that another search trial of `asks` would break if all that is sure to come is to have its share, or "".

        Each cell may have one: without it there were nothing to confirm, and its loss would be lost to the comparison.
        """
        if not asks.begun:
            return ""
        ahead = {cell: cell.ahead(cell is asks) for cell in cells}
        if sum(cell.trained + len(epochs) for cell, epochs in ahead.items()) > self._limit("max_trials"):
            return self._say("max_trials")
        hours = MARGIN * self._seconds(ahead) / 3600
        used = self.used(cells)
        to_come = {"hours": hours / slots, "gpu_hours": hours * self._gpus}
        over = (key for key in to_come if used[key] + to_come[key] > self._limit(f"max_{key}"))
        return next((self._say(f"max_{key}") for key in over), "")

    def _seconds(self, ahead: Mapping[Cell, list[int]]) -> float:
        """What runs and what is ahead take, one after the other; 0 while nothing is known."""
        epochs = sum(count for count, _ in self._trained.values())
        if not epochs:
            return 0.0
        mean = sum(seconds for _, seconds in self._trained.values()) / epochs
        rates = {name: seconds / count for name, (count, seconds) in self._trained.items()}
        need = {cell: sum(to_come) + sum(trial.epochs for trial in cell.running) for cell, to_come in ahead.items()}
        return sum(rates.get(cell.name, mean) * epochs for cell, epochs in need.items())

    def _limit(self, name: str) -> float:
        limit = getattr(self._budget, name)
        return float("inf") if limit is None else limit

    def _say(self, name: str) -> str:
        return f"{name}: {getattr(self._budget, name):g}"
