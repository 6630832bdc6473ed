"""What counts as a difference: the two-way t interval over training seeds and test identities.

Seeds and identities are crossed (every seed is scored on the same identities), so neither a test over seeds alone nor
one over identities alone holds its level. The steps below are those of the project's page on statistics: the target is
E[A] - E[B] over training seeds and test identities, at the tuned configurations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from bench.errors import RequestError
from bench.scores import cluster_variance as cluster_variance
from reports._sample import LEAST as LEAST
from reports._sample import Sample as Sample
from reports._sample import shared_unit

LEVEL = 0.05
POWER = 0.8
SEEDS_FOR_A_VERDICT = LEAST["seed"]
PILOT = "pilot, no verdict"


class TwoWay(NamedTuple):
    """A difference, its standard error and its degrees of freedom; each of the shape of the batch."""

    difference: np.ndarray
    se: np.ndarray
    df: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """A against B on one figure; `difference` is A - B, in fractions.

    Attributes:
        higher_is_better: whether a positive difference speaks for A.
        seeds: the smaller of the two numbers of units, which are training seeds or independent searches (`unit`).
        low, high: the 95 % interval, not corrected for the number of comparisons.
        p, adjusted: two-sided p, plain and after Holm over the declared family.
        detectable: the true difference that this comparison would find with probability .8 at p < .05, uncorrected.
    """

    a: str
    b: str
    metric: str
    difference: float
    se: float
    df: float
    low: float
    high: float
    p: float
    detectable: float
    seeds: int
    higher_is_better: bool = True
    adjusted: float = float("nan")
    unit: str = "seed"

    @property
    def least(self) -> int:
        """The units that a verdict needs."""
        return LEAST[self.unit]

    @property
    def pilot(self) -> bool:
        """Too few units for a verdict: shown, nothing is claimed."""
        return self.seeds < self.least

    @property
    def significant(self) -> bool:
        """Whether the Holm-adjusted p is below the level, however many seeds there are."""
        return self.adjusted < LEVEL

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `tie`, said of A; `pilot, no verdict` below five seeds or three searches."""
        if self.pilot:
            return PILOT
        if not self.significant:
            return "tie"
        return "better" if (self.difference > 0) == self.higher_is_better else "worse"


def two_way(a: np.ndarray, b: np.ndarray, clusters: np.ndarray, kind: str) -> TwoWay:
    """Steps 2 to 5: the difference, SE^2 = V_seed + V_id, and Satterthwaite's degrees of freedom.

    Args:
        a: (..., k_a) the figure of each seed of A; k_a >= 2.
        b: (..., k_b) the same of B. The same seed number pairs nothing, so the two are unpaired.
        clusters: (..., G) per identity cluster the seed-averaged difference A - B; G >= 2.
        kind: `folds` or `jackknife`.

    Returns:
        Three arrays of the batch's shape; where there is no variance at all, se is 0 and df is infinite.
    """
    seed_a = np.var(a, axis=-1, ddof=1) / a.shape[-1]
    seed_b = np.var(b, axis=-1, ddof=1) / b.shape[-1]
    identity = cluster_variance(clusters, kind)
    variance = seed_a + seed_b + identity
    bottom = seed_a**2 / (a.shape[-1] - 1) + seed_b**2 / (b.shape[-1] - 1) + identity**2 / (clusters.shape[-1] - 1)
    df = np.full(np.shape(variance), np.inf)
    np.divide(variance**2, bottom, out=df, where=bottom > 0)
    return TwoWay(np.mean(a, axis=-1) - np.mean(b, axis=-1), np.sqrt(variance), df)


def p_value(result: TwoWay) -> np.ndarray:
    """Two-sided p of each difference in a batch; 1 where there is no spread to judge it by."""
    from scipy import stats

    ratio = np.zeros(np.shape(result.se))
    np.divide(np.abs(result.difference), result.se, out=ratio, where=result.se > 0)
    return 2 * stats.t.sf(ratio, result.df)


def compare(a: Sample, b: Sample, *, higher_is_better: bool = True) -> Comparison:
    """The two-way t interval of A - B; `adjusted` is filled in by `holm_family`.

    Raises:
        RequestError: different figures, different protocol hashes, fewer than two seeds of either, or no identity
            clusters of the same shape on both sides.
    """
    _comparable(a, b)
    result = two_way(a.values, b.values, a.clusters.mean(axis=0) - b.clusters.mean(axis=0), a.kind)
    return _comparison(a, b, result, higher_is_better)


def compare_within(a: Sample, b: Sample, *, higher_is_better: bool = True) -> Comparison:
    """A - B where both are runs of the same searches on different seeds: the searches that both have are pairs.

    What a search's choice adds is on both sides and cancels; taken as unpaired it would hide all but a gross difference.
    """
    both = sorted(set(a.searches) & set(b.searches))
    a, b = a.of(both), b.of(both)
    _comparable(a, b)
    clusters = a.clusters.mean(axis=0) - b.clusters.mean(axis=0)
    result = two_way(a.values - b.values, np.zeros(2), clusters, a.kind)
    return _comparison(a, b, result, higher_is_better)


def _comparison(a: Sample, b: Sample, result: TwoWay, higher_is_better: bool) -> Comparison:
    from scipy import stats

    difference, se, df = (float(part) for part in result)
    half = float(stats.t.ppf(1 - LEVEL / 2, df)) * se
    return Comparison(
        a=a.name,
        b=b.name,
        metric=a.metric,
        difference=difference,
        se=se,
        df=df,
        low=difference - half,
        high=difference + half,
        p=float(p_value(result)),
        detectable=half + float(stats.t.ppf(POWER, df)) * se,
        seeds=min(a.seeds, b.seeds),
        higher_is_better=higher_is_better,
        unit=shared_unit(a, b),
    )


def _comparable(a: Sample, b: Sample) -> None:
    pair = f"{a.name} and {b.name}"
    if a.metric != b.metric:
        raise RequestError(
            f"{pair} cannot be compared: one figure is {a.metric}, the other {b.metric}; name one figure"
        )
    if a.hash and b.hash and a.hash != b.hash:
        raise RequestError(
            f"{a.metric} of {pair} cannot be compared: scored with different versions of the protocol "
            f"({a.hash} and {b.hash}); score both with the same lists and options"
        )
    units = "searches" if "search" in (a.unit, b.unit) else "training seeds"
    if min(a.seeds, b.seeds) < 2:
        raise RequestError(
            f"{a.metric} of {pair} cannot be compared: {a.seeds} and {b.seeds} {units}, and the spread over "
            f"{units.split()[-1]} needs at least 2 of each; run more {units.split()[-1]}"
        )
    if a.clusters.shape[1] != b.clusters.shape[1] or a.clusters.shape[1] < 2 or a.kind != b.kind:
        raise RequestError(
            f"{a.metric} of {pair} cannot be compared: {a.clusters.shape[1]} ({a.kind}) and {b.clusters.shape[1]} "
            f"({b.kind}) identity clusters were kept, and at least 2, the same ones, are needed; score both again"
        )


def level_interval(sample: Sample) -> tuple[float, float]:
    """The 95 % interval of one row's own level, over seeds and identities; (NaN, NaN) where it has no such spread.

    Two rows share their test identities, so whether these intervals overlap says nothing about their difference.
    """
    from scipy import stats

    if sample.seeds < 2 or sample.clusters.shape[1] < 2:
        return float("nan"), float("nan")
    fixed = np.zeros(2)
    result = two_way(sample.values, fixed, sample.clusters.mean(axis=0), sample.kind)
    half = float(stats.t.ppf(1 - LEVEL / 2, result.df) * result.se)
    return sample.mean - half, sample.mean + half


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, running = [0.0] * len(p), 0.0
    for position, index in enumerate(order):
        running = max(running, min(1.0, (len(p) - position) * p[index]))
        adjusted[index] = running
    return adjusted


def holm_family(family: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of one declared family, with their Holm-adjusted p-values."""
    from dataclasses import replace

    return [replace(one, adjusted=p) for one, p in zip(family, holm([one.p for one in family]), strict=True)]


def all_pairs(samples: Mapping[str, Sample], *, higher_is_better: bool = True) -> dict[tuple[str, str], Comparison]:
    """(a, b), in the order given -> their comparison, under a Holm over all pairs."""
    pairs = list(combinations(samples, 2))
    tests = holm_family([compare(samples[a], samples[b], higher_is_better=higher_is_better) for a, b in pairs])
    return dict(zip(pairs, tests, strict=True))


def rank_ranges(samples: Mapping[str, Sample], *, higher_is_better: bool = True) -> dict[str, tuple[int, int]]:
    """Row -> the ranks it may hold: [1 + rows significantly better, K - rows significantly worse].

    All pairs are tested, with a Holm of their own; below five seeds nothing is claimed, so the range is the full one.
    """
    above = dict.fromkeys(samples, 0)
    below = dict.fromkeys(samples, 0)
    for (a, b), test in all_pairs(samples, higher_is_better=higher_is_better).items():
        if test.verdict in ("better", "worse"):
            winner, loser = (a, b) if test.verdict == "better" else (b, a)
            above[loser] += 1
            below[winner] += 1
    return {name: (1 + above[name], len(samples) - below[name]) for name in samples}
