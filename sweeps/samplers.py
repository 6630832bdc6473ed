"""Optuna's samplers and pruners, as a search makes them."""

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sweeps.plan import Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler, RandomSampler


@dataclass(frozen=True)
class Search:
    """What a sampler must know of its search; all its randomness follows from `seed`."""

    space: Space
    seed: str
    pruner: str
    trials: int

    def number(self, place: str) -> int:
        """The sampler's seed at a place of the search (a trial, one of its parameters), 32 bits."""
        return int(hashlib.sha256(f"{self.seed}:{place}".encode()).hexdigest()[:8], 16)


def _tpe(search: Search, place: str) -> "BaseSampler":
    from optuna.samplers import TPESampler

    # Optuna's 10 random trials would be the whole of a small search.
    start = min(10, max(3, search.trials // 3))
    return TPESampler(seed=search.number(place), multivariate=True, constant_liar=True, n_startup_trials=start)


def _random(search: Search, place: str) -> "BaseSampler":
    sampler = _one_random()
    sampler._rng.rng.seed(search.number(place))
    return sampler


@cache
def _one_random() -> "RandomSampler":
    """Made once: numpy's making of a generator, which asks the system for entropy, takes longer than all else in an ask."""
    from optuna.samplers import RandomSampler

    return RandomSampler()


def _qmc(search: Search, place: str) -> "BaseSampler":
    from optuna.distributions import FloatDistribution
    from optuna.samplers import QMCSampler

    class Sequence(QMCSampler):
        """Optuna's; a trial's place in the sequence is its number, not a count in the database that a crash may advance."""

        def infer_relative_search_space(self, *asked: Any) -> dict[str, Any]:
            return {k: FloatDistribution(low, high, log=kind == "log") for k, (kind, low, high) in search.space.items()}

        def _find_sample_id(self, *asked: Any) -> int:
            return int(place)

    return Sequence(scramble=True, seed=search.number("sequence"), warn_asynchronous_seeding=False)


def _gp(search: Search, place: str) -> "BaseSampler":
    from optuna.samplers import GPSampler

    class Process(GPSampler):
        """Optuna's, which counts a trial that was cut short in its ask among those that run beside it."""

        def _sample_relative_impl(self, study: Any, completed: Any, running: list[Any], space: Any) -> dict[str, Any]:
            others = [trial for trial in running if str(trial.number) != place]
            return super()._sample_relative_impl(study, completed, others, space)

    return Process(seed=search.number(place), n_startup_trials=min(10, max(3, search.trials // 3)))


def _cmaes(search: Search, place: str) -> "BaseSampler":
    from optuna.samplers import CmaEsSampler

    # At the rungs of successive halving pruned trials can be ranked among the others; the median pruner has no rungs.
    return CmaEsSampler(
        seed=search.number(place),
        warn_independent_sampling=False,
        consider_pruned_trials=search.pruner in ("hyperband", "asha"),
    )


def _grid(search: Search, place: str) -> "BaseSampler":
    from optuna.samplers import GridSampler

    class Grid(GridSampler):
        """Optuna's, which ends `study.optimize` after its last point; here nothing is running that could be ended."""

        def after_trial(self, *told: Any) -> None:
            pass

    count = side(search)
    return Grid({k: _points(*limits, count) for k, limits in search.space.items()}, seed=search.number("grid"))


def side(search: Search) -> int:
    """The points of a grid on each axis: the fewest that make at least as many as there are trials."""
    return next(side for side in itertools.count(2) if side ** len(search.space) >= search.trials)


def _points(kind: str, low: float, high: float, count: int) -> list[float]:
    """`count` values from low to high, both included, evenly spaced on their scale."""
    shares = [i / (count - 1) for i in range(count)]
    if kind == "linear":
        return [low + share * (high - low) for share in shares]
    inner = [low * (high / low) ** share for share in shares[1:-1]]
    return [low, *inner, high]


def pruner(name: str, first: int, epochs: int) -> "BasePruner":
    from optuna import pruners

    if name == "median":
        return pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=first, n_min_trials=3)
    first = min(first, epochs)  # the first rung, at which a third goes on; the next are at 3, 9, ... times it
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=first, max_resource=epochs)
    if name == "asha":
        return pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=3)
    return pruners.NopPruner()


SAMPLERS: dict[str, Callable[[Search, str], "BaseSampler"]] = {
    "tpe": _tpe,
    "random": _random,
    "qmc": _qmc,
    "gp": _gp,
    "cmaes": _cmaes,
    "grid": _grid,
}
