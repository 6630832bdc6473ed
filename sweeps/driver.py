"""The loop of a sweep: it fills the workers, writes every record, tells the tuners, and is the only one that writes."""

import math
import shutil
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from bench import ledger, record
from bench.errors import RequestError, TrialFailed
from bench.plain import Progress, Result, Trial
from bench.record import Record
from sweeps import ensemble
from sweeps.cell import Cell
from sweeps.ensemble import Fusion
from sweeps.progress import Board
from sweeps.share import Alone, Share
from sweeps.signals import Stop
from sweeps.study import Study
from sweeps.window import Window
from sweeps.work import WorkerLost, Workers

TICK = 0.2  # seconds between two looks at clock and signals while nothing is heard (Ray itself looks once a second)


class Driver:
    """Runs a study's cells to their end.

    Args:
        study: what is asked.
        folder: the study's folder; each trial has one below it.
        cells: one per backbone and entry of `losses`.
        workers: what runs trials.
        window: is told of every change of a record.
        board: the live display.
        stop: interrupts the loop, nowhere but where it waits; None: nothing does.
        share: what is known of the other drivers of the study; None: there are none.
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        cells: list[Cell],
        workers: Workers,
        window: Window,
        board: Board,
        stop: Stop | None = None,
        share: Share | None = None,
    ):
        self.study = study
        self.folder = folder
        self.cells = cells
        self.workers = workers
        self.window = window
        self.board = board
        self.stop = stop or Stop()
        self.share = share or Alone()
        self._owner: dict[Trial, Cell] = {}
        self._epochs: dict[Trial, int] = {}
        self._waits = False
        self.others: dict[str, str] = {}  # trials that other drivers ended, and how

    def run(self) -> Iterator[None]:
        """Work until all cells are done; yields whenever an event was heard or a moment has passed."""
        while True:
            self._fill()
            while self._owner or self.workers.busy():
                with self.stop.waiting():
                    heard = self.workers.next(TICK)
                if heard:
                    self._hear(heard.trial, heard.event)
                self._learn()
                self._fill()
                self.board.tick()
                yield
            for cell in self.cells if self._trained() else ():
                while fusion := cell.fusion():
                    self._fuse(cell, fusion)
                    self.board.tick()
                    yield
            if self.share.alone or all(cell.done for cell in self.cells):
                return
            self._wait()
            yield

    def _trained(self) -> bool:
        """Whether nothing is left to train, here or at other drivers."""
        return self.share.alone or all(cell.stage in ("fuse", "done") for cell in self.cells)

    def _wait(self) -> None:
        """All that is left is at other drivers."""
        if left := sum(len(cell.elsewhere) for cell in self.cells):
            if not self._waits:
                self.board.say(f"waiting for {left} trial(s) that other drivers of the study run")
            self._waits = True
        with self.stop.waiting():
            time.sleep(TICK)
        self._learn()
        self.board.tick()

    def _learn(self) -> None:
        """Hear, about once a second, what other drivers did."""
        if not self.share.look():
            return
        for cell in self.cells:
            stage = cell.stage
            for known in cell.learn():
                self.others[known.trial.id] = known.state
                self.board.ended(cell, known, replayed=True)
            if cell.stage != stage:
                self.board.stage(cell)

    def _fill(self) -> None:
        """Start trials while there are slots: of the cell with the fewest running, then the fewest started."""
        waits: list[Cell] = []
        while self.workers.busy() < self.workers.slots:
            open_cells = [cell for cell in self.cells if not cell.done and cell not in waits]
            if not open_cells:
                return
            self.stop.check()  # many slots, or many records to read again, take their time
            cell = min(open_cells, key=lambda c: (len(c.running), c.started))
            trial = cell.want()
            if trial is None:
                waits.append(cell)
            else:
                self._start(cell, trial)

    def _start(self, cell: Cell, trial: Trial) -> None:
        check_sealed(trial)
        self._waits = False
        folder = record.start(trial, self.folder)
        self._owner[trial] = cell
        self._epochs[trial] = 0
        known = record.read(folder)
        if (folder / "record.json").exists():
            self._settle(trial, known, replayed=True)
            return
        # An interrupted driver may have written an event down and not told the tuner. Only the last one may prune: at the
        # others the tuner has answered before, and knows more by now.
        prune = False
        for event in known.events:
            prune = self._count(trial, event, replayed=True)
        if prune:
            self._prune(trial)
            return
        self.board.started(trial)
        self.workers.submit(trial, str(folder))
        self.window.send(folder)

    def _fuse(self, cell: Cell, fusion: Fusion) -> None:
        """Make an ensemble of finished networks, in this process: nothing is trained."""
        folder = record.start(fusion.trial, self.folder)
        self._owner[fusion.trial] = cell
        if (folder / "record.json").exists():
            self._settle(fusion.trial, record.read(folder), replayed=True)
        else:
            with self.stop.waiting():
                fused = ensemble.fuse(fusion, self.folder)
            self._hear(fusion.trial, fused)

    def _hear(self, trial: Trial, event: Progress | Result | Exception) -> None:
        folder = self.folder / trial.id
        if not self.share.holds(trial):
            self._drop(trial)
            return
        if isinstance(event, Progress):
            # A resumed trial says again what it said before.
            if record.append(folder, event):
                if self._count(trial, event):
                    self._prune(trial)
                self.window.send(folder)
            return
        if isinstance(event, Result):
            self._enter(trial, event)
            event = self._with_objective(trial, event)
        if isinstance(event, Result):
            record.finish(folder, "finished", result=event)
        elif isinstance(event, TrialFailed):
            record.finish(folder, "failed", str(event), kind="diverged")
        elif isinstance(event, RequestError | WorkerLost):
            record.finish(folder, "failed", str(event), kind="error")
        else:
            # Not a trial that went wrong but a defect: where it came from is wanted.
            (folder / "error.txt").write_text("".join(traceback.format_exception(event)))
            reason = f"{type(event).__name__}: {event} (traceback in {folder.name}/error.txt)"
            record.finish(folder, "failed", reason, kind="error")
        cell = self._owner[trial]
        self._settle(trial, record.read(folder))
        if isinstance(event, RequestError):
            self._give_up(cell, trial, str(event))

    def _count(self, trial: Trial, event: Progress, replayed: bool = False) -> bool:
        """Count an epoch; True: the trial is not worth another."""
        self._epochs[trial] += 1
        figure = event.metrics.get(self.study.objective)
        prune = self._owner[trial].heard(trial, self._epochs[trial], figure)
        self.board.epoch(trial, event, replayed)
        return prune and self._epochs[trial] < trial.epochs

    def _prune(self, trial: Trial) -> None:
        self.workers.cancel(trial)
        folder = self.folder / trial.id
        reason = f"after epoch {self._epochs[trial]} by the {self.study.tuning.pruner} pruner"
        record.finish(folder, "pruned", reason)
        self._settle(trial, record.read(folder))

    def _settle(self, trial: Trial, known: Record, replayed: bool = False) -> None:
        """A record is final: its cell learns it."""
        if not self.share.end(known):
            self._drop(trial)
            return
        cell = self._owner.pop(trial)
        self._epochs.pop(trial, None)
        stage = cell.stage
        cell.ended(trial, known)
        _tidy(known)
        self.window.send(known.folder)
        self.board.ended(cell, known, replayed)
        if cell.stage != stage:
            self.board.stage(cell)

    def _drop(self, trial: Trial) -> None:
        """Another driver took a trial over while this one was not heard of: what was written of it here goes."""
        self.workers.cancel(trial)
        self._owner.pop(trial).lose(trial)
        self._epochs.pop(trial, None)
        shutil.rmtree(self.folder / trial.id, ignore_errors=True)
        self.board.say(f"another driver has taken trial {trial.id} over: what was begun of it here is dropped")

    def _give_up(self, cell: Cell, trial: Trial, reason: str) -> None:
        """A wrong request is wrong for the whole cell; seen in the untrained network, for every loss of that backbone."""
        for other in self.cells:
            if other is cell or (trial.role == "untrained" and other.backbone == cell.backbone):
                other.give_up(reason)
                self.board.stage(other)

    def _with_objective(self, trial: Trial, result: Result) -> Result | RequestError:
        """A tuning trial without the figure that it is tuned by is no result."""
        if trial.stage != "tune" or math.isfinite(result.metrics.get(self.study.objective, math.nan)):
            return result
        given = sorted(key for key in result.metrics if key.startswith("dev/")) or ["no dev/ figure at all"]
        return RequestError(
            f"these development data give no {self.study.objective!r} to tune by: choose another `objective` or `holdout`; "
            f"there is: {', '.join(given)}"
        )

    def _enter(self, trial: Trial, result: Result) -> None:
        """Every look at a test goes into the ledger, before the record: one too many is better than one too few."""
        for name, scores in result.scores.items():
            primary = str(scores.get("primary"))
            metrics: dict[str, float] = scores.get("metrics", {})
            figure = {primary: metrics[primary]} if primary in metrics else metrics
            ledger.append(trial.study, trial.id, name, scores.get("hash", ""), figure)


def check_sealed(trial: Trial) -> None:
    """Refuse a tuning trial that could see a test protocol.

    Raises:
        ValueError: it carries protocols.
    """
    if trial.stage == "tune" and trial.protocols:
        names = ", ".join(str(spec.get("name")) for spec in trial.protocols)
        raise ValueError(f"tuning trial {trial.id} carries the test protocols {names}: tuning never sees the test")


def _tidy(known: Record) -> None:
    """Of a tuning trial no checkpoint is kept, of the others the newest: all of them would fill a disk."""
    # By the attempt's number: the clock may have jumped between two of them.
    files = sorted(known.folder.glob("checkpoint-*.pt"), key=lambda path: int(path.stem.rpartition("-")[2]))
    keep = 0 if known.trial.stage == "tune" else 1
    for path in files[: len(files) - keep]:
        path.unlink(missing_ok=True)
