"""A backbone under an entry of `losses`, from its search to its confirmation: which trial it wants next, what it learns."""

from collections import deque

from bench.index import Entry
from bench.plain import Trial
from bench.record import Record
from sweeps import ensemble, plan
from sweeps.ensemble import Fusion
from sweeps.figures import Figures
from sweeps.share import Alone, Share
from sweeps.study import Study
from sweeps.tally import Cut, Tally
from sweeps.tuner import Asked, Tuner

_SUSPECT = 3  # errors in a row after which a cell waits for those that fare better


class Cell:
    """The stages search -> finalists -> confirm; the untuned default rows wait for nothing.

    The search spends `trials * epochs` training epochs, those of pruned and failed trials counted by what they trained:
    it asks for trials until what is left cannot hold another whole one. A cell without a tuner confirms what the study
    says, at once; of an ensemble it trains the networks (`confirm`) and then has them fused (`fuse`).

    Attributes:
        label: the entry of the study's `losses`. arm: with the number of its search, where there are several.
        stage: `search`, `finalists`, `confirm`, `fuse` or `done`.
        winner: the search trial that was chosen; None where nothing is searched.
        trouble: why nothing more comes of the cell, or "".
        refused: whether that is because the request is wrong.
        running: the trials that this driver runs. elsewhere: those that others of the same study run (sweeps.shared).
        cut: why the search ended early, or None.
        trained: trials so far that train. begun: whether the search has a trial.
        tally: what the search has spent.
    """

    def __init__(
        self,
        study: Study,
        backbone: str,
        label: str,
        tuner: Tuner | None,
        cut: Cut | None = None,
        share: Share | None = None,
        search: int = 1,
    ):
        self.share, self.study = share or Alone(), study
        self.backbone, self.label = backbone, label
        self.stage = "search" if tuner else "confirm"
        self.winner: Trial | None = None
        self.trouble = ""
        self.refused = False
        self.running: set[Trial] = set()
        self.elsewhere: set[Trial] = set()
        self.started = 0
        self.cut = cut
        self.trained = 0
        self.tally = Tally()
        self._errors = 0  # in a row
        self._search = tuner
        self._figures = Figures(study.minimise)
        self._searched: dict[int, Trial] = {}
        self._start = plan.fixed(study, backbone, label, search)
        self.arm = self._start.arm
        known = self.share.known(self._place, tuner) if tuner else ()
        self._tune = deque(self._search_trial(asked) for asked in known)
        self._fusions: deque[Fusion] = deque()
        if study.ensemble:
            self._tune.extend(ensemble.networks(study, backbone, label))
            self._fusions.extend(ensemble.fusions(study, backbone, label))
        elif not tuner:
            self._confirm(self._start)
        # The untrained network comes first: what is wrong with data, protocols or network shows in it within seconds.
        once = search == 1 and label == study.reference and study.untrained
        self._first = deque(plan.untrained(study, backbone) if once else [])
        self._free = deque(plan.defaults(study, backbone, label) if search == 1 else [])
        if cut:
            self._advance()

    @property
    def name(self) -> str:
        return f"{self.backbone}/{self.arm}"

    def want(self) -> Trial | None:
        """The next trial to start; None: nothing before a running one has ended."""
        if self._searches:
            self._discover()  # what others asked for is reserved before the budget is looked at
            may = self.share.owes(self._place) or self._may_ask()
            if may and (asked := self.share.ask(self._place, self._tuner)):
                self._tune.append(self._search_trial(asked))
        for queue in (self._first, self._tune, self._free):
            while queue:
                trial = queue.popleft()
                if self._take(trial):
                    return trial
        left = next((t for t in self.elsewhere if self.share.inherit(t)), None)
        if left is not None:
            self._begin(left)
            if left.role == "search":
                self._tuner.take_up(left.number)
        return left

    def put_back(self, trial: Trial) -> None:
        """A trial of `want` was not started after all."""
        self.running.discard(trial)
        self.started -= 1
        self.trained -= plan.trains(trial)
        self._tune.appendleft(trial)

    def fusion(self) -> Fusion | None:
        """The next ensemble to fuse; None: there is none, or its networks are still in training."""
        if self.stage != "fuse" or not self._fusions:
            return None
        found = self._fusions.popleft()
        self._begin(found.trial)
        return found

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

    def lose(self, trial: Trial) -> None:  # to another driver
        self.running.discard(trial)
        self.trained -= plan.trains(trial)
        self.elsewhere.add(trial)

    def heard(self, trial: Trial, epoch: int, figure: float | None) -> bool:
        """A running trial's development figure after its `epoch` (from 1); True: prune it."""
        return trial.role == "search" and figure is not None and self._tuner.report(trial.number, epoch, figure)

    def ended(self, trial: Trial, record: Record | Entry) -> None:
        """A trial ended, now or before an interruption."""
        self.running.discard(trial)
        figure = record.metrics.get(self.study.objective)
        if trial.role == "search":
            self.tally.add(trial, record)
            self._tuner.tell(trial.number, record.state, figure)
        self._errors = self._errors + 1 if record.kind == "error" else 0
        if trial.stage == "tune" and record.state == "finished" and figure is not None:
            self._figures.add(trial.number, figure)
        self._advance()

    def best(self) -> float | None:
        """The best mean development figure so far."""
        return self._figures.best()

    @property
    def asks(self) -> bool:
        """Whether the next trial would have to be asked for."""
        return self._searches and self._may_ask()

    @property
    def turn(self) -> tuple[bool, int, int, int]:
        """The cell with the least is served next: all searches shall come to the same epochs wherever they are ended.

        A failed trial weighs as a whole one here, and whoever only fails waits: it must not take the others' turns.
        """
        weight = self.tally.weight + sum(t.epochs for t in self.running if t.role == "search")
        return self._errors >= _SUSPECT, weight, len(self.running), self.started

    @property
    def begun(self) -> bool:
        return bool(self._searched or self._tune)

    @property
    def left(self) -> int:
        """Epochs of the search's budget that are not spent."""
        return max(0, plan.budget(self.study) - self.tally.spent)

    def searched(self) -> list[float]:
        """The development figures of the search's finished trials."""
        return self._figures.first()

    def ahead(self, asked: int = 0) -> list[int]:
        """The epochs of each trial that is sure to come and trains: the search's own only as far as they are asked for.

        Args:
            asked: more trials of the search that shall count, for they may be finalists.
        """
        sure = [trial.epochs for queue in (self._first, self._tune, self._free) for trial in queue]
        confirm = self.study.confirm
        if self.stage == "search":
            tune = self.study.tuning
            known = max(1, len(self._searched) + asked)
            sure += [tune.epochs] * (min(tune.finalists, known) * tune.finalist_seeds) + [tune.epochs] * asked
        if self.stage in ("search", "finalists"):
            rows = 1 + (self.label == self.study.reference and self.study.again)
            sure += [confirm.epochs] * (rows * confirm.seeds)
        return [epochs for epochs in sure if epochs]

    def end_search(self, cut: Cut) -> None:
        """Ask for nothing more; what was asked for is trained, and the best so far is confirmed."""
        if self.stage == "search" and self._may_ask():
            self.cut = cut
            self._advance()

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
        return self.backbone, self.arm

    @property
    def _tuner(self) -> Tuner:
        assert self._search is not None, "nothing is searched"
        return self._search

    @property
    def _searches(self) -> bool:
        """Whether a trial of the search is next."""
        return not self._first and not self._tune and self.stage == "search"

    def _take(self, trial: Trial) -> bool:
        """Begin a trial, or note that another driver has it."""
        mine = self.share.take(trial)
        self._begin(trial) if mine else self.elsewhere.add(trial)
        return mine

    def _discover(self) -> None:
        """Note the search trials that other drivers asked for."""
        asked = self.share.asked(self._place, self._tuner, self._searched)
        self.elsewhere |= set(map(self._search_trial, asked))

    def _search_trial(self, asked: Asked) -> Trial:
        trial = plan.search(self.study, self._start, asked.number, asked.params)
        self._searched[asked.number] = trial
        return trial

    def _begin(self, trial: Trial) -> None:
        self.elsewhere.discard(trial)
        self.running.add(trial)
        self.started += 1
        self.trained += plan.trains(trial)

    def _may_ask(self) -> bool:
        tune = self.study.tuning
        if self.cut or self.share.closed(self._place):
            return False
        reserved = sum(t.epochs for t in self.running | self.elsewhere if t.role == "search")
        spent = self.tally.spent + reserved + tune.epochs
        if self.tally.states["failed"] >= tune.trials or spent > plan.budget(self.study):
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
            self._discover()  # others may have asked, trained and closed it since this driver last looked
            if any(trial.role == "search" for trial in self.elsewhere):
                return
            self.stage = "finalists"
            for number in self._figures.ranked()[: self.study.tuning.finalists]:
                self._tune.extend(plan.finalists(self.study, self._searched[number]))
        if self.stage == "finalists" and not self._tune:
            self.stage = "confirm"
            self._choose()
        if self.stage == "confirm" and not (self._first or self._tune or self._free or here_or_there):
            self.stage = "fuse" if self._fusions else "done"
        if self.stage == "fuse" and not (self._fusions or here_or_there):
            self.stage = "done"

    def _choose(self) -> None:
        """Confirm the winner, where there is one."""
        number = self._figures.winner()
        if number is None:
            why = f" ({self.cut.reason})" if self.cut else ""
            self.trouble = f"no tuning trial finished: there is nothing to confirm{why}"
            return
        self.winner = self._searched[number]
        self._confirm(self.winner)

    def _confirm(self, chosen: Trial) -> None:
        self._tune.extend(plan.confirm(self.study, chosen, "tuned"))
        if self.label == self.study.reference and self.study.again:
            self._tune.extend(plan.confirm(self.study, chosen, "again"))
