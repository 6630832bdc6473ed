"""The search of one (backbone, loss): an Optuna study that is asked and told. The only place that imports Optuna."""

import hashlib
import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sweeps.plan import Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
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
    from sqlalchemy.exc import ArgumentError, OperationalError

    from bench.credentials import hidden
    from bench.errors import RequestError
    from sweeps import database
    from sweeps.patience import Database

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it warns of what is waited for here
    try:
        with database.alone_at(url):
            return Database(database.address(url), database.options(url))
    except (ArgumentError, OperationalError, ImportError, OSError) as error:
        cause = hidden(str(error).splitlines()[0])
        raise RequestError(
            f"storage {hidden(url)!r} cannot be opened ({cause}): expected an SQLAlchemy URL such as sqlite:///optuna.db"
        ) from error


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
        sampler: `tpe`, `random`, `qmc`, `gp` or `grid`.
        pruner: `median`, `hyperband` or `none`.
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
        self._seed = seed
        self._make = _SAMPLERS[sampler]
        self._sampler = sampler
        self._trials = trials
        self._first = first_pruning_step
        self._study = optuna.create_study(
            study_name=name,
            storage=storage,
            load_if_exists=True,
            direction="minimize" if minimise else "maximize",
            pruner=_pruner(pruner, first_pruning_step, epochs),
        )
        self._live: dict[int, Any] = {}

    def known(self) -> list[Asked]:
        """All trials in the database, by number; those that an interrupted driver left RUNNING are taken up again."""
        import optuna

        found = []
        for frozen in self._study.get_trials(deepcopy=False):
            params = frozen.params
            if frozen.state is optuna.trial.TrialState.RUNNING:
                params = self._take(frozen.number, partial(optuna.trial.Trial, self._study, frozen._trial_id))
            # A crash between ask and the last suggest leaves a trial without parameters; it was completed just now.
            found.append(Asked(frozen.number, dict(params)))
        return found

    def ask(self) -> Asked:
        """A new trial."""
        number = len(self._study.get_trials(deepcopy=False))
        return Asked(number, self._take(number, self._study.ask))

    def exhausted(self) -> bool:
        """Whether a grid's every point was asked for; other samplers never end."""
        if self._sampler != "grid":
            return False
        return len(self._study.get_trials(deepcopy=False)) >= _side(self) ** len(self._space)

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
        from optuna.trial import TrialState

        states = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        value = figure if state == "finished" else None
        self._study.tell(number, value, state=states[state], skip_if_finished=True)
        self._live.pop(number, None)

    def _take(self, number: int, trial: Callable[[], Any]) -> dict[str, float]:
        from optuna.exceptions import ExperimentalWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # the QMC sampler is; a study asks for it by name
            self._study.sampler = self._make(self, number)
        self._live[number] = found = trial()
        return {k: found.suggest_float(k, low, high, log=kind == "log") for k, (kind, low, high) in self._space.items()}

    def _number(self, number: int | str) -> int:
        """The sampler's seed at a trial, 32 bits."""
        return int(hashlib.sha256(f"{self._seed}:{number}".encode()).hexdigest()[:8], 16)


def _tpe(tuner: Tuner, number: int) -> "BaseSampler":
    from optuna.samplers import TPESampler

    # Optuna's 10 random trials would be the whole of a small search.
    start = min(10, max(3, tuner._trials // 3))
    return TPESampler(seed=tuner._number(number), multivariate=True, constant_liar=True, n_startup_trials=start)


def _random(tuner: Tuner, number: int) -> "BaseSampler":
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=tuner._number(number))


def _qmc(tuner: Tuner, number: int) -> "BaseSampler":
    from optuna.samplers import QMCSampler

    # The sequence's place is kept in the database under the seed, which must therefore stay the same.
    return QMCSampler(
        scramble=True,
        seed=tuner._number("sequence"),
        independent_sampler=_random(tuner, number),
        warn_independent_sampling=False,
        warn_asynchronous_seeding=False,
    )


def _gp(tuner: Tuner, number: int) -> "BaseSampler":
    from optuna.samplers import GPSampler

    return GPSampler(seed=tuner._number(number), n_startup_trials=min(10, max(3, tuner._trials // 3)))


def _grid(tuner: Tuner, number: int) -> "BaseSampler":
    from optuna.samplers import GridSampler

    class Grid(GridSampler):
        """Optuna's, which ends `study.optimize` after its last point; here nothing is running that could be ended."""

        def after_trial(self, *told: Any) -> None:
            pass

    side = _side(tuner)
    return Grid({k: _points(*limits, side) for k, limits in tuner._space.items()}, seed=tuner._number("grid"))


def _side(tuner: Tuner) -> int:
    """The points of a grid on each axis: the fewest that make at least as many as there are trials."""
    return next(side for side in itertools.count(2) if side ** len(tuner._space) >= tuner._trials)


def _points(kind: str, low: float, high: float, count: int) -> list[float]:
    """`count` values from low to high, both included, evenly spaced on their scale."""
    shares = [i / (count - 1) for i in range(count)]
    if kind == "linear":
        return [low + share * (high - low) for share in shares]
    inner = [low * (high / low) ** share for share in shares[1:-1]]
    return [low, *inner, high]


def _pruner(name: str, first: int, epochs: int) -> "BasePruner":
    from optuna import pruners

    if name == "median":
        return pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=first, n_min_trials=3)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=min(first, epochs), max_resource=epochs)
    return pruners.NopPruner()


_SAMPLERS: dict[str, Callable[[Tuner, int], "BaseSampler"]] = {
    "tpe": _tpe,
    "random": _random,
    "qmc": _qmc,
    "gp": _gp,
    "grid": _grid,
}
