"""The search of one (backbone, loss): an Optuna study that is asked and told."""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sweeps import samplers
from sweeps.plan import Space

if TYPE_CHECKING:
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


def exists(name: str, storage: "Database") -> bool:
    """Whether the database holds the search `name`."""
    import optuna

    return name in optuna.get_all_study_names(storage)


def forget(name: str, storage: "Database") -> None:
    """Delete the search `name`."""
    import optuna

    optuna.delete_study(study_name=name, storage=storage)


class Tuner:
    """Asks for trials, hears their development figures, says which to prune.

    The sampler is made anew before each ask, from the seed and the trial's number: a search that was interrupted asks what
    it would have asked. (A sampler re-created with the same seed would replay its random start.)

    Args:
        name: the Optuna study's name.
        storage: from `storage(url)`; None: in memory alone.
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
        storage: "Database | None",
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
        from sweeps.twin import Twin

        self._space = space
        self._search = samplers.Search(space, seed, pruner, trials)
        self._make = samplers.SAMPLERS[sampler]
        self._sampler = sampler
        self._first = first_pruning_step
        # The last step ends a trial anyway; only where there are rungs does it matter to others that it was asked.
        self._last = epochs + (pruner in ("asha", "hyperband"))
        self._twin = Twin(
            name,
            storage,
            direction="minimize" if minimise else "maximize",
            pruner=samplers.pruner(pruner, first_pruning_step, epochs),
        )

    def known(self) -> list[Asked]:
        """All trials in the database, by number; those that an interrupted driver left RUNNING are taken up again."""
        return [self._taken(number) for number in range(len(self._twin.trials()))]

    def ask(self) -> Asked:
        """A new trial."""
        return self._at(len(self._twin.trials()))

    def take_up(self, number: int) -> Asked:
        """Trial `number`, made where it is not: whoever took it up before may have died on the way."""
        self._twin.refresh()
        return self._at(number)

    def params(self, numbers: Iterable[int]) -> list[Asked]:
        """What other drivers asked for; nothing is changed."""
        self._twin.refresh()
        trials = self._twin.trials()
        return [Asked(number, dict(trials[number].params)) for number in numbers]

    def close(self, count: int) -> None:
        """The search is over and has `count` trials: what stands beyond them was made by drivers that lost their turn."""
        self._twin.refresh()
        for number in range(count, len(self._twin.trials())):
            self.tell(number, "failed")

    def exhausted(self) -> bool:
        """Whether a grid's every point was asked for; other samplers never end."""
        if self._sampler != "grid":
            return False
        return len(self._twin.trials()) >= samplers.side(self._search) ** len(self._space)

    def report(self, number: int, step: int, figure: float) -> bool:
        """Hear a development figure (step 1, 2, ...); True: prune. A second report at a step changes nothing."""
        trial = self._twin.trials()[number]
        if trial.state.is_finished() or not math.isfinite(figure):
            return False
        self._twin.report(number, step, figure)
        return self._first <= step < self._last and self._twin.prunes(number)

    def tell(self, number: int, state: str, figure: float | None = None) -> None:
        """The trial ended `finished` (with its figure), `pruned` or `failed`; telling twice changes nothing."""
        from optuna.trial import TrialState

        if number >= len(self._twin.trials()):  # another driver asked for it, and it has ended
            self._twin.refresh()
        if self._twin.trials()[number].state.is_finished():
            return
        states = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        self._twin.tell(number, states[state], figure if state == "finished" else None)

    def _at(self, number: int) -> Asked:
        """Trial `number`, made where it is not."""
        if number == len(self._twin.trials()):
            params = self._draw(number, self._twin.study.ask)
            if self._twin.enter(number):
                return Asked(number, params)
            # A driver that lost its turn was held up in just this call: its trial is as good as one of ours.
        return self._taken(number)

    def _taken(self, number: int) -> Asked:
        """A trial that is there; the parameters that it lacks are drawn (an older facebench wrote them one by one)."""
        import optuna

        trial = self._twin.trials()[number]
        params = trial.params
        if not trial.state.is_finished() and not self._space.keys() <= params.keys():
            params = self._draw(number, partial(optuna.trial.Trial, self._twin.study, number))
            self._twin.complete(number)
        return Asked(number, dict(params))

    def _draw(self, number: int, trial: Callable[[], Any]) -> dict[str, float]:
        """The parameters of a trial."""
        from optuna.exceptions import ExperimentalWarning

        study = self._twin.study
        with warnings.catch_warnings():
            # Optuna says it of the QMC sampler and of pruned trials in CMA-ES; a study asks for them by name.
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.sampler = self._make(self._search, str(number))
            found = trial()
            together = found.relative_params
            params = {}
            for name, (kind, low, high) in self._space.items():
                if name not in together:
                    # What is drawn alone has a seed of its own: it does not hang on what was drawn before it.
                    study.sampler = self._make(self._search, f"{number}:{name}")
                params[name] = found.suggest_float(name, low, high, log=kind == "log")
        return params
