"""What a comparison of so many seeds and test identities would find: the two-way t interval, looked at from the other side.

SE² = (s_A² + s_B²) / k + V_id (`reports.statistics`): seeds divide the first part, identities the second. What a study found
of the three says how both would have to grow for a wanted effect.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from reports._sample import Sample, shared_unit
from reports.statistics import LEAST, LEVEL, POWER, cluster_variance

MOST = 1000  # seeds: what needs more needs something else
OPEN = 0.8  # confidence of the upper bound of a spread


@dataclass(frozen=True)
class Spread:
    """What varies between two rows, in fractions squared.

    Attributes:
        a, b: the variance of one run over training seeds, of each row.
        identity: the variance of the difference that comes from the test identities.
        clusters: how many clusters of identities that was seen on.
        folds: whether these are folds, of which more identities make none more.
        seeds: of the row with fewer, from which all of it was estimated.
        unit: what is called seeds here, `seed` or `search` (`reports._sample`).
    """

    a: float
    b: float
    identity: float
    clusters: int
    folds: bool
    seeds: int
    unit: str = "seed"

    @classmethod
    def of(cls, a: Sample, b: Sample) -> "Spread":
        """Of two rows that can be compared."""
        difference = a.clusters.mean(axis=0) - b.clusters.mean(axis=0)
        return cls(
            a=float(np.var(a.values, ddof=1)),
            b=float(np.var(b.values, ddof=1)),
            identity=float(cluster_variance(difference, a.kind)),
            clusters=len(difference),
            folds=a.kind == "folds",
            seeds=min(a.seeds, b.seeds),
            unit=shared_unit(a, b),
        )

    def widest(self) -> "Spread":
        """The spread over seeds at the upper end of what so few seeds leave open (`OPEN`, by chi squared)."""
        from scipy import stats

        df = self.seeds - 1
        more = df / float(stats.chi2.ppf(1 - OPEN, df))
        return replace(self, a=self.a * more, b=self.b * more)


def detectable(spread: Spread, seeds: int, identities: float = 1.0, power: float = POWER) -> float:
    """The true difference that is found with this power, at p < .05 and not corrected for the number of comparisons.

    Args:
        seeds: of each row.
        identities: how many times as many test identities there are as now.
    """
    from scipy import stats

    a, b, identity = spread.a / seeds, spread.b / seeds, spread.identity / identities
    clusters = spread.clusters * (1.0 if spread.folds else identities)
    bottom = (a**2 + b**2) / (seeds - 1) + identity**2 / (clusters - 1)
    df = (a + b + identity) ** 2 / bottom if bottom > 0 else math.inf
    return float(stats.t.ppf(1 - LEVEL / 2, df) + stats.t.ppf(power, df)) * math.sqrt(a + b + identity)


def seeds_needed(spread: Spread, effect: float, power: float = POWER) -> int | None:
    """The fewest seeds of each row, and as many as a verdict needs, that find an effect; None: no number of them does."""
    low, high = LEAST[spread.unit], MOST
    if detectable(spread, high, power=power) > effect:
        return None
    while low < high:  # more seeds find smaller effects
        middle = (low + high) // 2
        low, high = (low, middle) if detectable(spread, middle, power=power) <= effect else (middle + 1, high)
    return low


def identities_needed(spread: Spread, effect: float, seeds: int, power: float = POWER) -> float | None:
    """How many times the test identities, with so many seeds, find an effect (1: those that are there); None: none do."""
    if detectable(spread, seeds, power=power) <= effect:
        return 1.0
    low, high = 1.0, 1e4
    if detectable(spread, seeds, high, power) > effect:
        return None
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if detectable(spread, seeds, middle, power) <= effect else (middle, high)
    return high
