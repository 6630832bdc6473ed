"""A backbone under an entry of `losses`, from its search to its confirmation: which trial it wants next, what it learns."""

from collections import deque
from collections.abc import Sequence
from statistics import fmean

from bench.plain import Trial
from bench.record import Record
from sweeps import ensemble, plan
from sweeps.ensemble import Fusion
from sweeps.share import Alone, Share
from sweeps.study import Study
from sweeps.tuner import Asked, Tuner


class Cell:
    """The stages search -> finalists -> confirm; the untuned default rows wait for nothing.

    The search spends `trials * epochs` training epochs, those of pruned and failed trials counted by what they trained:
    it asks for trials until what is left cannot hold another whole one. A cell without a tuner confirms what the study
    says, at once; of an ensemble it trains the networks (`confirm`) and then has them fused (`fuse`).

    Attributes:
        label: the entry of the study's `losses`.
        stage: `search`, `finalists`, `confirm`, `fuse` or `done`.
        spent: training epochs of the search so far.
        winner: the search trial that was chosen; None where nothing is searched.
        trouble: why nothing more comes of the cell, or "".
        refused: whether that is because the request is wrong.
        running: the trials that this driver runs. elsewhere: those that others of the same study run (sweeps.shared).
    """

    def __init__(self, study: Study, backbone: str, label: str, tuner: Tuner | None, share: Share | None = None):
        self.share = share or Alone()
        self.study = study
        self.backbone = backbone
        self.label = label
        self.stage = "search" if tuner else "confirm"
        self.spent = 0
        self.winner: Trial | None = None
        self.trouble = ""
        self.refused = False
        self.running: set[Trial] = set()
        self.elsewhere: set[Trial] = set()
        self.started = 0
        self._search = tuner
        self._figures: dict[int, list[float]] = {}
        self._searched: dict[int, Trial] = {}
        self._failed = 0
        known = self.share.known(self._place, tuner) if tuner else ()
        self._tune = deque(self._search_trial(asked) for asked in known)
        self._fusions: deque[Fusion] = deque()
        self._fused: dict[Trial, Fusion] = {}
        if study.ensemble:
            self._tune.extend(ensemble.networks(study, backbone, label))
            self._fusions.extend(ensemble.fusions(study, backbone, label))
        elif not tuner:
            self._confirm(plan.fixed(study, backbone, label))
        # The untrained network comes first: what is wrong with data, protocols or network shows in it within seconds.
        first = label == study.reference and study.untrained
        self._first = deque(plan.untrained(study, backbone) if first else [])
        self._free = deque(plan.defaults(study, backbone, label))

    @property
    def name(self) -> str:
        return f"{self.backbone}/{self.label}"

    def want(self) -> Trial | None:
        """The next trial to start; None: nothing before a running one has ended."""
        waits = not self._first and not self._tune and self.stage == "search"
        if waits:
            self._discover()  # what others asked for is reserved before the budget is looked at
        may = waits and (self.share.owes(self._place) or self._may_ask())
        if may and (asked := self.share.ask(self._place, self._tuner)):
            self._tune.append(self._search_trial(asked))
        for queue in (self._first, self._tune, self._free):
            while queue:
                trial = queue.popleft()
                if self._take(trial):
                    return trial
        left = next((t for t in self.elsewhere if not t.patches and self.share.inherit(t)), None)
        if left is not None:
            self._begin(left)
            if left.role == "search":
                self._tuner.take_up(left.number)
        return left

    def fusion(self) -> Fusion | None:
        """The next ensemble to fuse; None: there is none, or its networks are still in training."""
        while self.stage == "fuse" and self._fusions:
            found = self._fusions.popleft()
            self._fused[found.trial] = found
            if self._take(found.trial):
                return found
        trial = next((t for t in self.elsewhere if t.patches and self.share.inherit(t)), None)
        if trial is None:
            return None
        self._begin(trial)
        return self._fused[trial]

    def learn(self) -> list[Record]:
        """Hear what other drivers did; the records, in short, of trials that ended there."""
        if self.refused:
            return []
        if self._search:
            self._discover()
        ended = [known for trial in self.elsewhere if (known := self.share.outcome(trial))]
        for known in ended:
            self.elsewhere.discard(known.trial)
            self.ended(known.trial, known)
        self._advance()  # it may be that all waited for the end of an ask
        return ended

    def lose(self, trial: Trial) -> None:
        """A running trial was taken over by another driver."""
        self.running.discard(trial)
        self.elsewhere.add(trial)

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
        for queue in (self._first, self._tune, self._free, self._fusions, self.elsewhere):
            queue.clear()

    @property
    def done(self) -> bool:
        return self.stage == "done" and not self.running and not self.elsewhere

    @property
    def _place(self) -> tuple[str, str]:
        return self.backbone, self.label

    @property
    def _tuner(self) -> Tuner:
        """The tuner, for whoever knows that something is searched."""
        assert self._search is not None
        return self._search

    def _take(self, trial: Trial) -> bool:
        """Begin a trial, or note that another driver has it."""
        mine = self.share.take(trial)
        self._begin(trial) if mine else self.elsewhere.add(trial)
        return mine

    def _discover(self) -> None:
        """Note the search trials that other drivers asked for."""
        self.elsewhere |= {
            self._search_trial(asked) for asked in self.share.asked(self._place, self._tuner, self._searched)
        }

    def _search_trial(self, asked: Asked) -> Trial:
        trial = plan.search(self.study, self.backbone, self.label, asked.number, asked.params)
        self._searched[asked.number] = trial
        return trial

    def _begin(self, trial: Trial) -> None:
        self.elsewhere.discard(trial)
        self.running.add(trial)
        self.started += 1

    def _may_ask(self) -> bool:
        tune = self.study.tuning
        if self.share.closed(self._place):
            return False
        reserved = sum(t.epochs for t in self.running | self.elsewhere if t.role == "search")
        if self._failed >= tune.trials or self.spent + reserved + tune.epochs > plan.budget(self.study):
            return False
        return not self._tuner.exhausted()

    def _advance(self) -> None:
        """Go to the next stage once nothing of this one is left."""
        here_or_there = self.running | self.elsewhere
        if self._tune or any(t.stage == "tune" or t.role in ("tuned", "again") for t in here_or_there):
            return
        if self.share.asking(self._place):
            return
        if self.stage == "search" and not self._may_ask() and self.share.close(self._place, self._tuner):
            self.stage = "finalists"
            for number in self._ranked()[: self.study.tuning.finalists]:
                self._tune.extend(plan.finalists(self.study, self._searched[number]))
        if self.stage == "finalists" and not self._tune:
            self.stage = "confirm"
            self._choose()
        if self.stage == "confirm" and not (self._first or self._tune or self._free or here_or_there):
            self.stage = "fuse" if self._fusions else "done"
        if self.stage == "fuse" and not (self._fusions or here_or_there):
            self.stage = "done"

    def _choose(self) -> None:
        """The winner: the best mean over its development seeds among those run on the most of them."""
        if not self._figures:
            self.trouble = "no tuning trial finished: there is nothing to confirm"
            return
        most = max(len(figures) for figures in self._figures.values())
        self.winner = self._searched[self._ranked([n for n, f in self._figures.items() if len(f) == most])[0]]
        self._confirm(self.winner)

    def _confirm(self, chosen: Trial) -> None:
        self._tune.extend(plan.confirm(self.study, chosen, "tuned"))
        if self.label == self.study.reference and self.study.again:
            self._tune.extend(plan.confirm(self.study, chosen, "again"))

    def _ranked(self, numbers: Sequence[int] | None = None) -> list[int]:
        """Search trials by their mean figure, the best first; the earlier trial on a tie."""
        sign = 1 if self.study.minimise else -1
        given = self._figures if numbers is None else numbers
        return sorted(given, key=lambda number: (sign * fmean(self._figures[number]), number))
