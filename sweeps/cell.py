"""A backbone under an entry of `losses`, from its search to its confirmation: which trial it wants next, what it learns."""

from collections import Counter, deque
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from bench.index import Entry
from bench.plain import Trial
from bench.record import Record
from sweeps import ensemble, plan
from sweeps.ensemble import Fusion
from sweeps.study import Study
from sweeps.tuner import Tuner

_SUSPECT = 3  # errors in a row after which a cell waits for those that fare better


class Cut(NamedTuple):
    """Why a search ended before its epochs were spent: `by` names the limit, or is `early_stop`; `reason` is for people."""

    by: str
    reason: str


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
        cut: why the search ended early, or None.
        trained: trials so far that train.
        tally: of the search's trials that ended, how many `finished`, `pruned`, `failed`. epochs, seconds: of all these.
    """

    def __init__(self, study: Study, backbone: str, label: str, tuner: Tuner | None, cut: Cut | None = None):
        self.study = study
        self.backbone = backbone
        self.label = label
        self.stage = "search" if tuner else "confirm"
        self.spent = 0
        self.winner: Trial | None = None
        self.trouble = ""
        self.refused = False
        self.running: set[Trial] = set()
        self.started = 0
        self.cut = cut
        self.trained = 0
        self.tally: Counter[str] = Counter()
        self.epochs = 0
        self.seconds = 0.0
        self._errors = 0  # in a row
        self._weight = 0
        self._search = tuner
        self._figures: dict[int, list[float]] = {}
        self._best: float | None = None  # None: to be found anew
        self._searched: dict[int, Trial] = {}
        self._failed = 0
        known = tuner.known() if tuner else ()
        self._start = plan.fixed(study, backbone, label)
        self._tune = deque(plan.searched(study, self._start, k.number, k.params) for k in known)
        self._fusions: deque[Fusion] = deque()
        if study.ensemble:
            self._tune.extend(ensemble.networks(study, backbone, label))
            self._fusions.extend(ensemble.fusions(study, backbone, label))
        elif not tuner:
            self._confirm(plan.fixed(study, backbone, label))
        # The untrained network comes first: what is wrong with data, protocols or network shows in it within seconds.
        first = label == study.reference and study.untrained
        self._first = deque(plan.untrained(study, backbone) if first else [])
        self._free = deque(plan.defaults(study, backbone, label))
        if cut:
            self._advance()

    @property
    def name(self) -> str:
        return f"{self.backbone}/{self.label}"

    def want(self) -> Trial | None:
        """The next trial to start; None: nothing before a running one has ended."""
        if self.asks:
            asked = self._tuner.ask()
            self._tune.append(plan.searched(self.study, self._start, asked.number, asked.params))
        trial = next((queue.popleft() for queue in (self._first, self._tune, self._free) if queue), None)
        if trial is not None:
            self.running.add(trial)
            self.started += 1
            self.trained += trial.epochs > 0
            if trial.role == "search":
                self._searched[trial.number] = trial
        return trial

    def fusion(self) -> Fusion | None:
        """The next ensemble to fuse; None: there is none, or its networks are still in training."""
        if self.stage != "fuse" or not self._fusions:
            return None
        found = self._fusions.popleft()
        self.running.add(found.trial)
        return found

    def heard(self, trial: Trial, epoch: int, figure: float | None) -> bool:
        """A running trial's development figure after its `epoch` (from 1); True: prune it."""
        return trial.role == "search" and figure is not None and self._tuner.report(trial.number, epoch, figure)

    def ended(self, trial: Trial, record: Record | Entry) -> None:
        """A trial ended, now or before an interruption."""
        self.running.discard(trial)
        figure = record.metrics.get(self.study.objective)
        if trial.role == "search":
            # A trial that dies in its first epoch costs one, else a loss that always fails would be asked for ever.
            self.spent += max(1, record.epochs)
            self._failed += record.state == "failed"
            self._count(trial, record)
            self._tuner.tell(trial.number, record.state, figure)
        self._errors = self._errors + 1 if record.kind == "error" else 0
        if trial.stage == "tune" and record.state == "finished" and figure is not None:
            self._figures.setdefault(trial.number, []).append(figure)
            self._best = None
        self._advance()

    def best(self) -> float | None:
        """The best mean development figure so far."""
        if self._best is None and self._figures:  # asked for at every event, changed by few
            self._best = (min if self.study.minimise else max)(map(fmean, self._figures.values()))
        return self._best

    @property
    def asks(self) -> bool:
        """Whether the next trial would have to be asked for."""
        return not self._first and not self._tune and self.stage == "search" and self._may_ask()

    @property
    def turn(self) -> tuple[bool, int, int, int]:
        """The cell with the least is served next: all searches shall come to the same epochs wherever they are ended.

        A failed trial weighs as a whole one here, and whoever only fails waits: it must not take the others' turns.
        """
        weight = self._weight + sum(t.epochs for t in self.running if t.role == "search")
        return self._errors >= _SUSPECT, weight, len(self.running), self.started

    @property
    def begun(self) -> bool:
        """Whether the search has a trial."""
        return bool(self._searched or self._tune)

    @property
    def left(self) -> int:
        """Epochs of the search's budget that are not spent."""
        return max(0, plan.budget(self.study) - self.spent)

    def searched(self) -> list[float]:
        """The development figures of the search's finished trials."""
        return [figures[0] for figures in self._figures.values()]

    def ahead(self, asked: int = 0) -> list[int]:
        """The epochs of each trial that is sure to come and trains: the search's own only as far as they are asked for.

        Args:
            asked: more trials of the search that shall count, for they may be finalists.
        """
        sure = [trial.epochs for queue in (self._first, self._tune, self._free) for trial in queue]
        confirm = self.study.confirm
        if self.stage == "search":
            tune = self.study.tuning
            known = max(1, len(self._searched) + sum(trial.role == "search" for trial in self._tune) + asked)
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
        for queue in (self._first, self._tune, self._free, self._fusions):
            queue.clear()

    @property
    def done(self) -> bool:
        return self.stage == "done" and not self.running

    @property
    def _tuner(self) -> Tuner:
        """The tuner, for whoever knows that something is searched."""
        assert self._search is not None
        return self._search

    def _count(self, trial: Trial, record: Record | Entry) -> None:
        self.tally[record.state] += 1
        self.epochs += record.epochs
        self.seconds += record.seconds
        self._weight += trial.epochs if record.state == "failed" else record.epochs

    def _may_ask(self) -> bool:
        tune = self.study.tuning
        if self.cut:
            return False
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
            for number in self._ranked()[: self.study.tuning.finalists]:
                self._tune.extend(plan.finalists(self.study, self._searched[number]))
        if self.stage == "finalists" and not self._tune:
            self.stage = "confirm"
            self._choose()
        if self.stage == "confirm" and not (self._first or self._tune or self._free or self.running):
            self.stage = "fuse" if self._fusions else "done"
        if self.stage == "fuse" and not (self._fusions or self.running):
            self.stage = "done"

    def _choose(self) -> None:
        """The winner: the best mean over its development seeds among those run on the most of them."""
        if not self._figures:
            self.trouble = "no tuning trial finished: there is nothing to confirm"
            if self.cut:
                self.trouble += f" ({self.cut.reason})"
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
