"""Whether the search of a loss may be given up: the best that it can be expected to find is under what another will find.

A rule of thumb about the search and no verdict: the trials of a search are taken for independent draws from one normal
distribution. They are not quite (a sampler learns, pruned trials are left out), and looking after every trial raises the risk
above 1 - confidence. So the loss that is given up is still confirmed with the best that it has.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean, stdev

from sweeps.cell import Cell

_REPEATS = 20_000
LEAST = 5  # finished trials of either search before they are compared


def reason(cell: Cell, cells: Sequence[Cell]) -> str:
    """Why the search of `cell` should be ended, or "": it compares with those of other losses on the same backbone.

    Not with further searches of the loss itself: they are to be independent of one another.
    """
    rule = cell.study.tuning.early_stop
    if rule is None:
        return ""
    sign = -1 if cell.study.minimise else 1
    own = [sign * figure for figure in cell.searched()]
    draws = math.ceil(cell.left / cell.study.tuning.epochs)
    if len(own) < LEAST:
        return ""
    upper = max(*own, best_of(own, draws, rule.confidence))
    for other in cells:
        figures = [sign * figure for figure in other.searched()]
        if other.label == cell.label or other.backbone != cell.backbone or len(figures) < LEAST:
            continue
        lower = best_of(figures, len(figures), 1 - rule.confidence)
        if upper < lower:
            return (
                f"its {draws} remaining trials would reach {sign * upper:.4f} at best, {other.arm} reaches "
                f"{sign * lower:.4f} at least (one-sided bounds at {rule.confidence:g})"
            )
    return ""


def best_of(figures: Sequence[float], draws: int, probability: float) -> float:
    """The figure under which the best of so many new draws stays with this probability: m + c s, m and s of the n figures.

    c is the quantile of (best of the new draws - m) / s over normal samples, whose distribution hangs on no unknown: a
    prediction bound. For one draw it is sqrt(1 + 1/n) t(p, n - 1) (Hahn 1969).
    """
    return fmean(figures) + stdev(figures) * _factor(len(figures), max(1, draws), probability)


@lru_cache
def _factor(n: int, draws: int, probability: float) -> float:
    """By simulation, always the same; its error is under a tenth of a standard deviation in all that is asked here."""
    import numpy as np
    from scipy.special import ndtri

    random = np.random.default_rng(0)
    best = ndtri(random.random(_REPEATS) ** (1 / draws))
    sample = random.normal(size=(_REPEATS, n))
    return float(np.quantile((best - sample.mean(axis=1)) / sample.std(axis=1, ddof=1), probability))
