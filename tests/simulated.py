"""Simulated figures of pairs of losses, and how a test fares on them: its false positives, and what its intervals cover.

python tests/simulated.py [RUNS]      # the table of the whole grid
"""

import itertools
import math
import sys

import numpy as np
from scipy import stats

from reports.statistics import p_value, two_way

GRID = list(itertools.product([3, 5, 10], [10, 80, 400], [0, 0.5, 1], [1, 5]))  # seeds, clusters, seed share, ratio
LEVEL, UNEQUAL, COVERAGE = 0.05, 0.07, 0.93


def simulate(
    seeds: int,
    clusters: int,
    share: float,
    ratio: float,
    effect: float,
    runs: int,
    draw: np.random.Generator,
    method=two_way,
):
    """Figures of `runs` pairs of losses whose difference has variance 1, of which `share` comes from the seeds.

    A's seeds spread `ratio` times as much as B's. The identity clusters act on A - B, are shared by all seeds, and
    reach the test as folds (10 clusters) or as figures with one identity left out.
    """
    spread_b = math.sqrt(share * seeds / (1 + ratio**2))
    people = draw.normal(0, math.sqrt((1 - share) * clusters), (runs, clusters))
    a = effect + draw.normal(0, ratio * spread_b, (runs, seeds)) + people.mean(axis=1, keepdims=True)
    b = draw.normal(0, spread_b, (runs, seeds))
    if clusters == 10:
        return method(a, b, people, "folds")
    return method(a, b, (people.sum(axis=1, keepdims=True) - people) / (clusters - 1), "jackknife")


def fares(cell, runs: int, method=two_way) -> tuple[float, float]:
    """The shares of false positives at no difference, and of 95 % intervals that hold a true one, in a cell of the grid."""
    seeds, clusters, share, ratio = cell
    draw = np.random.default_rng([seeds, clusters, int(10 * share), ratio])
    false = np.mean(p_value(simulate(*cell, 0.0, runs, draw, method)) < LEVEL)
    result = simulate(*cell, 3.0, runs, draw, method)
    half = stats.t.ppf(1 - LEVEL / 2, result.df) * result.se
    return float(false), float(np.mean(np.abs(result.difference - 3.0) <= half))


def allowed(cell, runs: int) -> float:
    """The most false positives that a cell may show: 5 % and two simulation errors, 7 % at spreads 5:1."""
    return LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / runs) if cell[3] == 1 else UNEQUAL


def holds(cell, runs: int, method=two_way) -> bool:
    false, covered = fares(cell, runs, method)
    return false <= allowed(cell, runs) and covered >= COVERAGE


def table(runs: int) -> str:
    """A line a cell of the whole grid."""
    lines = [f"two-way t, {runs:,} pairs of losses a cell", "seeds clusters seed share ratio  false  allowed  coverage"]
    for cell in GRID:
        false, covered = fares(cell, runs)
        seeds, clusters, share, ratio = cell
        wrong = "" if false <= allowed(cell, runs) and covered >= COVERAGE else "  NOT KEPT"
        lines.append(
            f"{seeds:5} {clusters:8} {share:10g} {ratio:5}  {false:.4f} {allowed(cell, runs):.4f}    {covered:.4f}{wrong}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(int(sys.argv[1]) if len(sys.argv) > 1 else 60_000))
