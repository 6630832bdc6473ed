"""How much of what a search's trials differ by comes from each hyper-parameter: a forest, judged on trials it did not see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reports._tuning import logarithmic

if TYPE_CHECKING:
    from sklearn.tree import ExtraTreeRegressor

LEAST = 10  # trials; five folds of fewer are no folds
FOLDS, REPEATS, TREES, DONORS = 5, 3, 24, 16


@dataclass(frozen=True, eq=False)
class Importance:
    """What a forest found.

    Attributes:
        names: of the P parameters.
        r2: (REPEATS,) cross-validated R^2; below 0 the forest is worse than the mean of all trials.
        shares: (REPEATS * FOLDS, P) of the response's variance, what goes with each parameter, alone and with others.
    """

    names: tuple[str, ...]
    r2: np.ndarray
    shares: np.ndarray

    @property
    def known(self) -> bool:
        """Whether the forest predicts at all, in every repetition; else what it leans on says nothing."""
        return bool(self.r2.min() > 0)

    @property
    def means(self) -> np.ndarray:
        return self.shares.mean(axis=0)

    @property
    def spreads(self) -> np.ndarray:
        """(P,) standard deviations over folds and repetitions; these share trials, so no standard error follows from them."""
        return self.shares.std(axis=0, ddof=1)

    @property
    def ranking(self) -> list[str]:
        """The parameters that stand out from their spread and bring a hundredth at least, the most important first."""
        order = np.argsort(-self.means, kind="stable")
        return [self.names[p] for p in order if self.known and self.means[p] > max(self.spreads[p], 0.01)]


def importance(names: Sequence[str], x: np.ndarray, y: np.ndarray, seed: int = 0) -> Importance:
    """Permutation importance (Breiman 2001, Sec. 10) of a forest of extremely randomised trees (Geurts et al. 2006).

    Instead of being permuted within a fold of two or three, a held-out trial takes the parameter's value of up to 16 other
    trials in turn. Half the rise of the squared error, in variances of the response, is then the parameter's total share of
    the variance where parameters are independent and the forest perfect (Jansen 1999); less where it is not.

    Args:
        x: (N, P) parameters, N >= `LEAST`; those that span a decade are taken as logarithms.
        y: (N,) the response, finite and not all the same.
    """
    import sklearn
    from sklearn.model_selection import KFold

    x = np.stack([np.log(column) if logarithmic(column) else column for column in x.T], axis=1).astype(np.float32)
    r2, shares = [], []
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        for repeat in range(REPEATS):
            errors, draw = np.empty(len(y)), np.random.default_rng([seed, repeat])
            for seen, held in KFold(FOLDS, shuffle=True, random_state=seed + repeat).split(x):
                forest = _grown(x[seen], y[seen], draw)
                errors[held] = (_told(forest, x[held]) - y[held]) ** 2
                shares.append(_without(forest, x, y, held, draw) - errors[held].mean())
            r2.append(1 - errors.mean() / y.var())
    return Importance(tuple(names), np.array(r2), np.array(shares) / (2 * y.var()))


def _grown(x: np.ndarray, y: np.ndarray, draw: np.random.Generator) -> "list[ExtraTreeRegressor]":
    """The trees of an `ExtraTreesRegressor`, which takes twice the time over so few trials."""
    from sklearn.tree import ExtraTreeRegressor

    seeds = draw.integers(2**31, size=TREES).tolist()
    return [ExtraTreeRegressor(random_state=number).fit(x, y[:, None], check_input=False) for number in seeds]


def _told(forest: "list[ExtraTreeRegressor]", x: np.ndarray) -> np.ndarray:
    return np.mean([tree.predict(x, check_input=False) for tree in forest], axis=0)


def _without(
    forest: "list[ExtraTreeRegressor]", x: np.ndarray, y: np.ndarray, held: np.ndarray, draw: np.random.Generator
) -> np.ndarray:
    """(P,) the mean squared error on the held-out trials when one parameter is that of others."""
    order = draw.permutation(len(x))
    donors = np.stack([order[order != one][:DONORS] for one in held])  # (held, donors): never the trial itself
    mixed = np.tile(np.repeat(x[held], donors.shape[1], axis=0), (x.shape[1], 1, 1))  # (P, held * donors, P)
    for p, rows in enumerate(mixed):
        rows[:, p] = x[donors.ravel(), p]
    found = _told(forest, mixed.reshape(-1, x.shape[1])).reshape(len(mixed), len(held), -1)
    return ((found - y[held, None]) ** 2).mean(axis=(1, 2))
