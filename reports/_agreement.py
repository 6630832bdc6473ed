"""How far the order of our losses agrees with a published one: Kendall's tau, with what seeds and identities leave open."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from reports import _words
from reports.statistics import LEVEL, Sample, compare, holm_family

DRAWS = 4000


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau between two orders of the same losses.

    Attributes:
        tau: (agreeing - disagreeing pairs) / all pairs, by our means.
        low: what 97.5 % of the taus exceed when our means are drawn anew, with their seeds and identities.
        high: tau if every pair agreed that is not significantly reversed (all pairs under one Holm).
        p: exact, two-sided: so large a tau of two orders that have nothing to do with each other.
        losses: how many were ordered.
        seeds: the fewest units of any, which are training seeds or independent searches (`unit`).
    """

    tau: float
    low: float
    high: float
    p: float
    losses: int
    seeds: int
    unit: str = "seed"


def agreement(samples: Sequence[Sample], published: Sequence[float]) -> Agreement:
    """Our figures against published ones; in both, higher is better.

    Losses that are close change places when their means are drawn anew, which lowers tau whatever the published order
    is: `low` is cautious. For the same reason the draws cannot speak against an agreement; only pairs that are
    significantly the other way round do, and they alone lower `high`.

    Args:
        samples: two losses or more, scored on the same identity clusters.
        published: (L,) the figures of the same losses.

    Raises:
        RequestError: the samples cannot be compared.
    """
    from scipy import stats

    means = np.array([sample.mean for sample in samples])
    theirs = np.asarray(published, float)
    high = 1 - 2 * _reversed(samples, theirs)
    low = np.quantile(_tau(means + _noise(samples), theirs), LEVEL / 2)
    p = float(stats.kendalltau(means, theirs).pvalue)
    seeds = min(sample.seeds for sample in samples)
    return Agreement(float(_tau(means, theirs)), float(low), high, p, len(samples), seeds, samples[0].unit)


def _reversed(samples: Sequence[Sample], theirs: np.ndarray) -> float:
    """The share of pairs in which ours differ significantly, and the other way round than theirs."""
    pairs = list(combinations(range(len(samples)), 2))
    tests = holm_family([compare(samples[i], samples[j]) for i, j in pairs])
    against = [
        one.significant and one.difference * (theirs[i] - theirs[j]) < 0
        for one, (i, j) in zip(tests, pairs, strict=True)
    ]
    return float(np.mean(against))


def _noise(samples: Sequence[Sample]) -> np.ndarray:
    """(DRAWS, L) departures of the means: s / sqrt(k) t(k - 1) of each loss's seeds, and a part of the identities, whose
    figures are weighted by the same normal numbers for every loss, as every loss is scored on the same people."""
    draw = np.random.default_rng(0)
    own = [s.spread / math.sqrt(s.seeds) * draw.standard_t(s.seeds - 1, DRAWS) for s in samples]
    clusters = np.array([sample.clusters.mean(axis=0) for sample in samples])  # (L, G)
    count = clusters.shape[1]
    share = 1 / (count * (count - 1)) if samples[0].kind == "folds" else (count - 1) / count
    around = clusters - clusters.mean(axis=1, keepdims=True)
    return np.stack(own, axis=1) + math.sqrt(share) * draw.standard_normal((DRAWS, count)) @ around.T


def _tau(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(..., L), (L,) -> (...): a tied pair neither agrees nor disagrees."""
    first, second = np.triu_indices(len(theirs), 1)
    agree = np.sign(ours[..., first] - ours[..., second]) * np.sign(theirs[first] - theirs[second])
    return agree.mean(axis=-1)


def in_words(found: Agreement) -> str:
    """tau with its p and its limits, for a table or a sentence."""
    tau, low, high = (f"{value:.2f}".replace("-", _words.MINUS) for value in (found.tau, found.low, found.high))
    return (
        f"τ = {tau} over {found.losses} losses (exact {_words.p_is(found.p)}); at least {low} in 97.5 % of the orders drawn anew "
        f"from {_words.plural(found.unit)} and identities; at most {high} if every pair agreed that is not significantly "
        f"reversed ({_words.many(found.seeds, found.unit)} each)"
    )
