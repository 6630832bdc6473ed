"""A share of decisions with an interval that knows that the decisions share people."""

from dataclasses import dataclass

import numpy as np

from bench.metrics.spread import jackknife_pairs
from bench.scores import Clusters

LEVEL = 0.05


@dataclass(frozen=True)
class Proportion:
    """A mean of n values in [0, 1].

    Attributes:
        value: the mean.
        low, high: its 95 % interval.
        clusters: the mean with one cluster of people left out at a time; None where there is one cluster.
    """

    value: float
    low: float
    high: float
    clusters: Clusters | None


def proportion(values: np.ndarray, first: np.ndarray, second: np.ndarray) -> Proportion:
    """The mean of `values`, with Korn and Graubard's interval where they are 0 and 1, else with a jackknife t interval.

    Korn and Graubard ("Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data", Survey Methodology 24, 1998): Clopper and Pearson's exact interval for n_eff = n / deff decisions,
    times (t(n - 1) / t(G - 1))^2 for the degrees of freedom of G clusters; deff is the jackknife variance over that of
    n independent decisions, at least 1. Where all values are equal there is no variance to be seen, and deff is 1.

    Args:
        values: (n,) bool, or numbers in [0, 1]; n >= 1.
        first, second: (n,) the cluster of people on either side of each comparison (of a search twice the same).
    """
    from scipy.special import betaincinv, stdtrit  # the quantiles of the beta and of the t distribution

    mean, count = float(np.mean(values)), len(values)
    left = jackknife_pairs(values, first, second)
    if left is None:
        return Proportion(mean, 0.0, 1.0, None)  # one cluster says nothing of others
    groups, variance = len(left.values), left.standard_error**2
    strict = float(stdtrit(groups - 1, 1 - LEVEL / 2))
    if variance > 0 and not np.isin(values, (0, 1)).all():
        half = strict * variance**0.5
        return Proportion(mean, max(0.0, mean - half), min(1.0, mean + half), left)
    effect = max(1.0, variance * (count - 1) / (mean * (1 - mean))) if 0 < mean < 1 else 1.0
    loose = float(stdtrit(count - 1, 1 - LEVEL / 2)) if count > 1 else strict
    effective = count / effect * min(1.0, (loose / strict) ** 2)
    hits = mean * effective
    low = float(betaincinv(hits, effective - hits + 1, LEVEL / 2)) if mean > 0 else 0.0
    high = float(betaincinv(hits + 1, effective - hits, 1 - LEVEL / 2)) if mean < 1 else 1.0
    return Proportion(mean, low, high, left)
