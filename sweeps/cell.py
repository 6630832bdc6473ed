"""One (backbone, loss) of a study, from its search to its confirmation: which trial it wants next, and what it learns."""

from collections import deque
from collections.abc import Sequence
from statistics import fmean

from bench.plain import Trial
from bench.record import Record
from sweeps import plan
from sweeps.study import Study
from sweeps.tuner import Tuner


class Cell:
    """The stages search -> finalists -> confirm; the untuned default rows wait for nothing.

    The search spends `trials * epochs` training epochs, those of pruned and failed trials counted by what they trained:
    it asks for trials until what is left cannot hold another whole one.

    Attributes:
        stage: `search`, `finalists`, `confirm` or `done`.
        spent: training epochs of the search so far.
        winner: the search trial that was chosen.
        trouble: why nothing more comes of the cell, or "".
        refused: whether that is because the request is wrong.
    """

    def __init__(self, study: Study, backbone: str, loss: str, tuner: Tuner):
        self.study = study
        self.backbone = backbone
        self.loss = loss
        self.stage = "search"
        self.spent = 0
        self.winner: Trial | None = None
        self.trouble = ""
        self.refused = False
        self.running: set[Trial] = set()
        self.started = 0
        self._tuner = tuner
        self._figures: dict[int, list[float]] = {}
        self._searched: dict[int, Trial] = {}
        self._failed = 0
        self._tune = deque(plan.search(study, backbone, loss, k.number, k.params) for k in tuner.known())
        # The untrained network comes first: what is wrong with data, protocols or network shows in it within seconds.
        first = loss == study.reference and study.untrained
        self._first = deque(plan.untrained(study, backbone) if first else [])
        self._free = deque(plan.defaults(study, backbone, loss))

    @property
    def name(self) -> str:
        return f"{self.backbone}/{self.loss}"

    def want(self) -> Trial | None:
        """The next trial to start; None: nothing before a running one has ended."""
        if not self._first and not self._tune and self.stage == "search" and self._may_ask():
            asked = self._tuner.ask()
            self._tune.append(plan.search(self.study, self.backbone, self.loss, asked.number, asked.params))
        trial = next((queue.popleft() for queue in (self._first, self._tune, self._free) if queue), None)
        if trial is not None:
            self.running.add(trial)
            self.started += 1
            if trial.role == "search":
                self._searched[trial.number] = trial
        return trial

    def heard(self, trial: Trial, epoch: int, figure: float | None) -> bool:
        """A running trial's development figure after its `epoch` (from 1); True: prune it."""
        return trial.role == "search" and figure is not None and self._tuner.report(trial.number, epoch, figure)

    def ended(self, trial: Trial, record: Record) -> None:
        """A trial ended, now or before an interruption."""
        self.running.discard(trial)
        figure = record.metrics.get(self.study.objective)
        if trial.role == "search":
            # A trial that dies in its first epoch costs one, else a loss that always fails would be asked for ever.
            self.spent += max(1, len(record.events))
            self._failed += record.state == "failed"
            self._tuner.tell(trial.number, record.state, figure)
        if trial.stage == "tune" and record.state == "finished" and figure is not None:
            self._figures.setdefault(trial.number, []).append(figure)
        self._advance()

    def best(self) -> float | None:
        """The best mean development figure so far."""
        means = [fmean(figures) for figures in self._figures.values()]
        return (min if self.study.minimise else max)(means) if means else None

    def give_up(self, reason: str) -> None:
        """Ask for nothing more: the request itself is wrong for this cell."""
        self.trouble = reason
        self.refused = True
        self.stage = "done"
        for queue in (self._first, self._tune, self._free):
            queue.clear()

    @property
    def done(self) -> bool:
        return self.stage == "done" and not self.running

    def _may_ask(self) -> bool:
        tune = self.study.tune
        reserved = sum(t.epochs for t in self.running if t.role == "search")
        if self._failed >= tune.trials or self.spent + reserved + tune.epochs > plan.budget(self.study):
            return False
        return not self._tuner.exhausted()

    def _advance(self) -> None:
        """Go to the next stage once nothing of this one is left."""
        if self._tune or any(t.stage == "tune" or t.role in ("tuned", "again") for t in self.running):
            return
        if self.stage == "search" and not self._may_ask():
            self.stage = "finalists"
            for number in self._ranked()[: self.study.tune.finalists]:
                self._tune.extend(plan.finalists(self.study, self._searched[number]))
        if self.stage == "finalists" and not self._tune:
            self.stage = "confirm"
            self._choose()
        if self.stage == "confirm" and not (self._first or self._tune or self._free or self.running):
            self.stage = "done"

    def _choose(self) -> None:
        """The winner: the best mean over its development seeds among those run on the most of them."""
        if not self._figures:
            self.trouble = "no tuning trial finished: there is nothing to confirm"
            return
        most = max(len(figures) for figures in self._figures.values())
        self.winner = self._searched[self._ranked([n for n, f in self._figures.items() if len(f) == most])[0]]
        self._tune.extend(plan.confirm(self.study, self.winner, "tuned"))
        if self.loss == self.study.reference and self.study.again:
            self._tune.extend(plan.confirm(self.study, self.winner, "again"))

    def _ranked(self, numbers: Sequence[int] | None = None) -> list[int]:
        """Search trials by their mean figure, the best first; the earlier trial on a tie."""
        sign = 1 if self.study.minimise else -1
        given = self._figures if numbers is None else numbers
        return sorted(given, key=lambda number: (sign * fmean(self._figures[number]), number))
