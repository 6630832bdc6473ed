"""The loop of a sweep: it fills the workers, writes every record, tells the tuners, and is the only one that writes."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import index, record
from bench.credentials import hidden
from bench.elsewhere import Elsewhere
from bench.errors import RequestError, StudyStopped, TrialFailed
from bench.index import Entry
from bench.plain import Progress, Result, Trial
from bench.record import Begun, Journal, Record
from sweeps import early_stop, ensemble, outcome
from sweeps.budget import Meter
from sweeps.cell import Cell
from sweeps.ensemble import Fusion
from sweeps.failures import Streak
from sweeps.progress import Board
from sweeps.share import Alone, Share
from sweeps.signals import Stop
from sweeps.study import Study
from sweeps.tally import Cut
from sweeps.window import Window
from sweeps.work import Workers

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
        meter: what the study has used; None: nothing yet.
        elsewhere: where checkpoints lie; None: in the trial's folder.
        share: what is known of the other drivers of the study; None: there are none.

    Attributes:
        decided: is called after a decision that must be written down before anything is built on it.

    Raises:
        StudyStopped: in `run`, the budget is spent before everything was run, or trial after trial fails alike.
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
        meter: Meter | None = None,
        elsewhere: Elsewhere | None = None,
        share: Share | None = None,
    ):
        self.study = study
        self.folder = folder
        self.cells = cells
        self.workers = workers
        self.window = window
        self.board = board
        self.stop = stop or Stop()
        self.meter = meter or Meter(study)
        self.decided: Callable[[], None] = lambda: None
        self._streak = Streak(study.stop_after_failures)
        self._spent = ""
        self.elsewhere = elsewhere
        self.share = share or Alone()
        self._owner: dict[Trial, Cell] = {}
        self._epochs: dict[Trial, int] = {}
        self._journals: dict[Trial, Journal] = {}
        self._ended: dict[str, Entry] = {}
        self._waits = False
        self.others: dict[str, str] = {}  # trials that other drivers ended, and how

    def run(self) -> Iterator[None]:
        """Work until all cells are done; yields whenever an event was heard or a moment has passed."""
        self._ended = {one.id: one for one in index.entries(self.folder) if one.ended}
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
            for cell in self.cells:
                while fusion := cell.fusion():
                    self._fuse(cell, fusion)
                    self.board.tick()
                    yield
            if self.share.alone or all(cell.done for cell in self.cells):
                return
            self._wait()
            yield

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
        """Start trials while there are slots and the budget is not spent."""
        waits: list[Cell] = []
        while self.workers.busy() < self.workers.slots and not self._spent:
            open_cells = [cell for cell in self.cells if not cell.done and cell not in waits]
            if not open_cells:
                return
            self.stop.check()  # many slots, or many records to read again, take their time
            cell = min(open_cells, key=lambda c: c.turn)
            if cell.asks and self._ends_search(cell):
                continue
            trial = cell.want()
            if trial is None:
                waits.append(cell)
            else:
                self._start(cell, trial)

        if self._spent and not self._owner and not self.workers.busy():
            raise StudyStopped(self._spent, self.folder)

    def _ends_search(self, cell: Cell) -> bool:
        """Whether the search of a cell that would ask for a trial ends instead: all of them for want of budget, or this one."""
        if limit := self.meter.short(cell, self.cells, self.workers.slots):
            reason = f"the rest of the budget ({limit}) is for the finalists and the confirmation"
            cuts = dict.fromkeys(self.cells, Cut(limit.partition(":")[0], reason))
        elif reason := early_stop.reason(cell, self.cells):
            cuts = {cell: Cut("early_stop", reason)}
        else:
            return False
        for one, cut in cuts.items():
            before = one.stage
            one.end_search(cut)
            if one.cut == cut:
                epochs = f"{one.tally.spent} of {one.tally.spent + one.left} epochs"
                self.board.say(f"{one.name}: the search ends early, after {epochs}: {reason}")
            if one.stage != before:
                self.board.stage(one)
        self.decided()
        return True

    def _start(self, cell: Cell, trial: Trial) -> None:
        outcome.check_sealed(trial)
        self._waits = False
        self._owner[trial] = cell
        if before := self._ended.get(trial.id):
            self._settle(trial, before, replayed=True)
            return
        folder = record.start(trial, self.folder)
        self._epochs[trial] = 0
        self._journals[trial] = journal = Journal(folder)
        # An interrupted driver may have written an event down and not told the tuner. Only the last one may prune: at the
        # others the tuner has answered before, and knows more by now.
        prune = False
        for event in journal.events:
            prune = self._count(trial, event, replayed=True)
        if prune:
            self._prune(trial)
            return
        if self._is_spent(cell, trial):
            return
        self.board.started(trial)
        self.meter.began(trial)
        self.workers.submit(trial, self.elsewhere.place(trial.id) if self.elsewhere else str(folder))
        self.window.send(folder)

    def _is_spent(self, cell: Cell, trial: Trial) -> bool:
        """Whether the budget is spent before this trial, which then waits for a larger one; what runs comes to its end."""
        limit = self.meter.spent(self.cells) if trial.epochs else ""
        if limit:
            del self._owner[trial]
            cell.put_back(trial)
            left = sum(len(one.ahead()) for one in self.cells)
            self._spent = (
                f"the budget ({limit}) is spent before study {self.study.name!r} is confirmed: at least {left} trials are "
                "still to come; give a larger budget in the study file, and the same command goes on"
            )
        return bool(limit)

    def _fuse(self, cell: Cell, fusion: Fusion) -> None:
        """Make an ensemble of finished networks, in this process: nothing is trained."""
        self._owner[fusion.trial] = cell
        if before := self._ended.get(fusion.trial.id):
            self._settle(fusion.trial, before, replayed=True)
        else:
            self._journals[fusion.trial] = Journal(record.start(fusion.trial, self.folder))
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
            if self._journals[trial].append(event):
                if self._count(trial, event):
                    self._prune(trial)
                self.window.send(folder)
            return
        if isinstance(event, Result):
            outcome.enter(trial, event)
            event = outcome.with_objective(trial, event, self.study.objective)
        known = outcome.write(folder, event, self._begun(trial))
        cell = self._owner[trial]
        self._settle(trial, known)
        if isinstance(event, RequestError):
            self._give_up(cell, trial, hidden(str(event)))
        elif isinstance(event, Result):
            self._streak.ends()
        elif not isinstance(event, TrialFailed) and (why := self._streak.fails(event, known)):
            raise StudyStopped(why, self.folder)

    def _count(self, trial: Trial, event: Progress, replayed: bool = False) -> bool:
        """Count an epoch; True: the trial is not worth another."""
        self._epochs[trial] += 1
        figure = event.metrics.get(self.study.objective)
        prune = self._owner[trial].heard(trial, self._epochs[trial], figure)
        self.board.epoch(trial, event, replayed)
        return prune and self._epochs[trial] < trial.epochs

    def _prune(self, trial: Trial) -> None:
        self.workers.cancel(trial)
        reason = f"after epoch {self._epochs[trial]} by the {self.study.tuning.pruner} pruner"
        self._settle(trial, record.finish(self.folder / trial.id, "pruned", reason, begun=self._begun(trial)))
        self._streak.ends()

    def _settle(self, trial: Trial, known: Record | Entry, replayed: bool = False) -> None:
        """A record is final: its cell learns it."""
        if not self.share.end(trial, known):
            self._drop(trial)
            return
        if isinstance(known, Record):
            index.enter(known)
        folder = self.folder / trial.id
        cell = self._owner.pop(trial)
        self._epochs.pop(trial, None)
        self._journals.pop(trial, None)
        stage = cell.stage
        cell.ended(trial, known)
        self.meter.ended(cell, trial, known)
        outcome.tidy(trial, folder)
        self.window.send(folder)
        self.board.ended(cell, known, replayed)
        if cell.stage != stage:
            self.board.stage(cell)

    def _begun(self, trial: Trial) -> Begun:
        return trial, self._journals[trial].events

    def _drop(self, trial: Trial) -> None:
        """Another driver took a trial over while this one was not heard of: what was written of it here goes."""
        self.workers.cancel(trial)
        self._owner.pop(trial).lose(trial)
        self.meter.dropped(trial)
        self._ended.pop(trial.id, None)
        self._epochs.pop(trial, None)
        self._journals.pop(trial, None)
        shutil.rmtree(self.folder / trial.id, ignore_errors=True)
        self.board.say(f"another driver has taken trial {trial.id} over: what was begun of it here is dropped")

    def _give_up(self, cell: Cell, trial: Trial, reason: str) -> None:
        """A wrong request is wrong for the whole cell; seen in the untrained network, for every loss of that backbone."""
        for other in self.cells:
            if other is cell or (trial.role == "untrained" and other.backbone == cell.backbone):
                other.give_up(reason)
                self.board.stage(other)
