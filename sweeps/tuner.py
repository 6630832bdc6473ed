"""The search of one (backbone, loss): an Optuna study that is asked and told. The only place that imports Optuna."""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sweeps import samplers
from sweeps.plan import Space

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from sweeps.patience import Database


@dataclass(frozen=True)
class Asked:
    """A trial that the search asked for: its number and its hyper-parameters."""

    number: int
    params: dict[str, float]


def storage(url: str) -> "Database":
    """Optuna's database, made where it does not exist; once it is open, one that goes away is waited for.

    Args:
        url: as SQLAlchemy takes it, or `postgres://...`; `${NAME}` in it stands for a variable of the environment.

    Raises:
        RequestError: it cannot be opened.
    """
    import optuna

    from sweeps import database
    from sweeps.patience import Database

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it warns of what is waited for here
    with database.opening(url):
        found = Database(database.address(url), database.options(url))
    if found.engine.dialect.name == "sqlite":
        # Each of a trial's dozen changes then costs one flush of the disk and not four. The file keeps it.
        with found.engine.begin() as connection:
            connection.exec_driver_sql("pragma journal_mode = wal").scalar()  # SQLite does it when it is read
    return found


def exists(name: str, storage: "RDBStorage") -> bool:
    """Whether the database holds the search `name`."""
    import optuna

    return name in optuna.get_all_study_names(storage)


def forget(name: str, storage: "RDBStorage") -> None:
    """Delete the search `name`."""
    import optuna

    optuna.delete_study(study_name=name, storage=storage)


class Tuner:
    """Asks for trials, hears their development figures, says which to prune.

    The sampler is made anew before each ask, from the seed and the trial's number: a search that was interrupted asks what
    it would have asked. (A sampler re-created with the same seed would replay its random start.)

    Args:
        name: the Optuna study's name.
        storage: from `storage(url)`.
        space: hyper-parameter -> (`log` or `linear`, low, high).
        seed: any text that the search's randomness follows from.
        sampler: `tpe`, `gp`, `cmaes`, `random`, `qmc` or `grid`.
        pruner: `median`, `hyperband`, `asha` or `none`.
        trials, epochs: the budget (it sizes random start, grid and brackets; the caller keeps it).
        first_pruning_step: no trial is pruned before this step; steps start at 1.
        minimise: whether a lower figure is better.
    """

    def __init__(
        self,
        name: str,
        storage: "RDBStorage",
        space: Space,
        *,
        seed: str,
        sampler: str = "tpe",
        pruner: str = "median",
        trials: int,
        epochs: int,
        first_pruning_step: int = 1,
        minimise: bool = False,
    ):
        import optuna

        self._space = space
        self._search = samplers.Search(space, seed, pruner, trials)
        self._make = samplers.SAMPLERS[sampler]
        self._sampler = sampler
        self._first = first_pruning_step
        self._study = optuna.create_study(
            study_name=name,
            storage=storage,
            load_if_exists=True,
            direction="minimize" if minimise else "maximize",
            pruner=samplers.pruner(pruner, first_pruning_step, epochs),
        )
        self._live: dict[int, Any] = {}
        self._over: set[int] = set()

    def known(self) -> list[Asked]:
        """All trials in the database, by number; those that an interrupted driver left RUNNING are taken up again."""
        import optuna

        found = []
        for frozen in self._study.get_trials(deepcopy=False):
            params = frozen.params
            if frozen.state is optuna.trial.TrialState.RUNNING:
                # A crash between ask and the last suggest leaves it without parameters: it is completed now.
                params = self._take(frozen.number, partial(optuna.trial.Trial, self._study, frozen._trial_id))
            else:
                self._over.add(frozen.number)
            found.append(Asked(frozen.number, dict(params)))
        return found

    def ask(self) -> Asked:
        """A new trial."""
        number = len(self._study.get_trials(deepcopy=False))
        return Asked(number, self._take(number, self._study.ask))

    def take_up(self, number: int) -> Asked:
        """Trial `number`, made and completed where it is not: whoever took it up before may have died on the way."""
        import optuna

        if number == len(self._study.get_trials(deepcopy=False)):
            params = self._take(number, self._study.ask)
            if self._live[number].number == number:
                return Asked(number, params)
            # A driver that lost its turn was held up in just this call: its trial is as good as one of ours.
        frozen = self._study.get_trials(deepcopy=False)[number]
        if frozen.state is not optuna.trial.TrialState.RUNNING:
            return Asked(number, dict(frozen.params))
        return Asked(number, self._take(number, partial(optuna.trial.Trial, self._study, frozen._trial_id)))

    def params(self, numbers: Iterable[int]) -> list[Asked]:
        """What other drivers asked for; nothing is changed."""
        trials = self._study.get_trials(deepcopy=False)
        return [Asked(number, dict(trials[number].params)) for number in numbers]

    def close(self, count: int) -> None:
        """The search is over and has `count` trials: what stands beyond them was made by drivers that lost their turn."""
        import optuna

        for frozen in self._study.get_trials(deepcopy=False)[count:]:
            if frozen.state is optuna.trial.TrialState.RUNNING:
                self.tell(frozen.number, "failed")

    def exhausted(self) -> bool:
        """Whether a grid's every point was asked for; other samplers never end."""
        if self._sampler != "grid":
            return False
        return len(self._study.get_trials(deepcopy=False)) >= samplers.side(self._search) ** len(self._space)

    def report(self, number: int, step: int, figure: float) -> bool:
        """Hear a development figure (step 1, 2, ...); True: prune. A second report at a step changes nothing."""
        trial = self._live.get(number)
        if trial is None or not math.isfinite(figure):
            return False
        if step not in trial.storage.get_trial(trial._trial_id).intermediate_values:
            trial.report(figure, step)
        return step >= self._first and trial.should_prune()

    def tell(self, number: int, state: str, figure: float | None = None) -> None:
        """The trial ended `finished` (with its figure), `pruned` or `failed`; telling twice changes nothing."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        if number in self._over:  # of 10,000 known ones Optuna would look each up
            return
        states = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        value = figure if state == "finished" else None
        with contextlib.suppress(UpdateFinishedTrialError):  # another driver was quicker: it told the same
            self._study.tell(number, value, state=states[state], skip_if_finished=True)
        self._live.pop(number, None)
        self._over.add(number)

    def _take(self, number: int, trial: Callable[[], Any]) -> dict[str, float]:
        """The parameters of a trial that is asked for, or taken up again: those that it lacks are drawn."""
        from optuna.exceptions import ExperimentalWarning

        with warnings.catch_warnings():
            # Optuna says it of the QMC sampler and of pruned trials in CMA-ES; a study asks for them by name.
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._study.sampler = self._make(self._search, str(number))
            self._live[number] = found = trial()
            if not self._space.keys() <= found.params.keys():
                _ = found.relative_params  # what a sampler draws together, it draws now
            params = {}
            for name, (kind, low, high) in self._space.items():
                # What is drawn alone has a seed of its own: after a crash between two parameters the rest is the same.
                self._study.sampler = self._make(self._search, f"{number}:{name}")
                params[name] = found.suggest_float(name, low, high, log=kind == "log")
        return params
