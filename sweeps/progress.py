"""The live display of a sweep: a table on a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from bench.index import Entry
from bench.plain import Progress, Trial
from bench.record import Record
from sweeps import plan
from sweeps.cell import Cell
from sweeps.study import Study

if TYPE_CHECKING:
    from rich.table import Table


class Board:
    """What is known of a sweep while it runs: trials per cell and state, the best so far, the time that is left.

    This one prints a line per ended trial and per stage; `LiveBoard` draws a table.
    """

    def __init__(self, study: Study, cells: list[Cell], stream: TextIO | None = None):
        self.study = study
        self.cells = cells
        self.stream = stream or sys.stderr
        self.states: dict[str, Counter[str]] = {cell.name: Counter() for cell in cells}
        self._troubles: set[str] = set()
        self._begun = time.monotonic()
        self._trained = 0  # epochs in this session
        self._old = 0  # epochs in earlier ones

    def started(self, trial: Trial) -> None:
        """A trial was handed to a worker."""

    def epoch(self, trial: Trial, event: Progress, replayed: bool) -> None:
        """A trial trained an epoch, in this session or (`replayed`) in an earlier one."""
        self._trained += not replayed
        self._old += replayed

    def ended(self, cell: Cell, known: Record | Entry, replayed: bool) -> None:
        """A trial ended, in this session or (`replayed`) in an earlier one."""
        self.states[cell.name][known.state] += 1
        if replayed:
            self._old += known.epochs
        elif isinstance(known, Record):
            self.say(self._line(cell, known))

    def stage(self, cell: Cell) -> None:
        """A cell went on to its next stage, or gave up."""
        if cell.trouble and cell.name not in self._troubles:
            self._troubles.add(cell.name)
            self.say(f"{cell.name}: {cell.trouble}")
        elif cell.stage == "done" or self.study.tune is None:
            self.say(f"{cell.name}: {cell.stage}")
        else:
            self.say(f"{cell.name}: {cell.stage} (best {self.study.objective} so far {_figure(cell.best())})")

    def tick(self) -> None:
        """Time has passed."""

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, file=self.stream, flush=True)

    def close(self) -> None:
        """The sweep is over."""

    def left(self) -> float | None:
        """Seconds still to go, by the epochs trained in this session; None before the first."""
        if not self._trained:
            return None
        todo = max(0, sum(_epochs(self.study, cell) for cell in self.cells) - self._trained - self._old)
        return todo * (time.monotonic() - self._begun) / self._trained

    def _line(self, cell: Cell, known: Record) -> str:
        trial = known.trial
        figures = {self.study.objective: known.metrics.get(self.study.objective)}
        for scores in known.scores.values():
            primary = scores.get("primary", "")
            figures[primary] = known.metrics.get(primary)
        shown = ", ".join(f"{name} {_figure(value)}" for name, value in figures.items() if value is not None)
        tail = (
            f" {known.reason}"
            if known.state == "pruned"
            else f": {known.reason or shown}"
            if known.reason or shown
            else ""
        )
        left = self.left()
        eta = f" [{duration(left)} left]" if left is not None else ""
        what = trial.name if trial.patches else f"{trial.role} {trial.number}"
        return f"{cell.name}: {what} (seed {trial.seed}) {known.state}{tail}{eta}"


class LiveBoard(Board):
    """The table on a terminal, redrawn at most four times a second."""

    def __init__(self, study: Study, cells: list[Cell], stream: TextIO | None = None):
        super().__init__(study, cells, stream)
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self.stream)
        self._live = Live(
            self._table(), console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()
        self._drawn = 0.0

    def tick(self) -> None:
        if time.monotonic() - self._drawn > 0.25:
            self._drawn = time.monotonic()
            self._live.update(self._table(), refresh=True)

    def ended(self, cell: Cell, known: Record | Entry, replayed: bool) -> None:
        self.states[cell.name][known.state] += 1
        if replayed:
            self._old += known.epochs
        elif known.state == "failed" and isinstance(known, Record):
            self.say(self._line(cell, known))

    def stage(self, cell: Cell) -> None:
        if cell.trouble:
            super().stage(cell)

    def say(self, line: str) -> None:
        self._live.console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        self._live.update(self._table(), refresh=True)
        self._live.stop()

    def _table(self) -> "Table":
        from rich.table import Table

        left = self.left()
        caption = f"about {duration(left)} left" if left is not None else "starting"
        searched = self.study.tune is not None
        table = Table(
            title=f"study {self.study.name}", caption=f"best {self.study.objective}; {caption}" if searched else caption
        )
        counted = ("running", "finished", "pruned", "failed", "best") if searched else ("running", "finished", "failed")
        for column in ("backbone", "loss", "stage", *counted):
            table.add_column(column, justify="left" if column in ("backbone", "loss", "stage") else "right")
        for cell in self.cells:
            states = self.states[cell.name]
            told = {**{state: str(states[state]) for state in counted}, "running": str(len(cell.running))}
            told["best"] = _figure(cell.best())
            table.add_row(cell.backbone, cell.arm, cell.stage, *(told[column] for column in counted))
        return table


def board(study: Study, cells: list[Cell], stream: TextIO | None = None) -> Board:
    """The table where the stream is a terminal, else plain lines."""
    stream = stream or sys.stderr
    return (LiveBoard if stream.isatty() else Board)(study, cells, stream)


def _epochs(study: Study, cell: Cell) -> int:
    return (
        0
        if cell.trouble
        else planned(study, cell.label, cell.tally.spent if cell.cut else None, cell.arm == cell.label)
    )


def planned(study: Study, label: str, spent: int | None = None, first: bool = True) -> int:
    """All training epochs that a backbone under an entry of `losses` is going to spend for one of its searches.

    Args:
        spent: by a search that ended early.
        first: whether it is the first of several searches, which has the untuned rows with it.
    """
    tune, confirm = study.tune, study.confirm
    if study.ensemble:
        return confirm.seeds * study.ensemble.counts[-1] * confirm.epochs
    rows = 1 + (label == study.reference and study.again)
    untuned = first * (confirm.seeds if study.default_seeds is None else study.default_seeds)
    searched = 0
    if tune:
        searched = plan.budget(study) if spent is None else spent
        searched += min(tune.finalists, tune.trials) * tune.finalist_seeds * tune.epochs
    return searched + (rows * confirm.seeds + untuned) * confirm.epochs


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def duration(seconds: float) -> str:
    """Seconds for people."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
