"""Searches as units: false positives by simulation, and the arithmetic of means and pairs."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import simulated
from scipy import stats

from reports import _sample
from reports.statistics import compare, compare_within, p_value, two_way

METRIC = "lfw/accuracy"


def drawn(searches, seeds, clusters, share, apart, effect, runs, draw, skewed=False):
    """Figures (runs, searches * seeds) of A and B, seeds nested in searches, and (runs, clusters) of their difference.

    Of the difference's variance, 1, the share `share` comes from searches and seeds; of this, `apart` from the searches. A
    skewed search effect is that of a winner: the truth behind the best of 8 trials by a figure that errs as much again.
    """
    size = math.sqrt(share / 2 * searches)
    figures = []
    for shift in (effect, 0.0):
        luck = draw.normal(size=(runs, searches))
        if skewed:
            truth = -(draw.normal(size=(runs, searches, 8)) ** 2)
            seen = truth + draw.normal(size=truth.shape) * truth.std()
            luck = np.take_along_axis(truth, seen.argmax(axis=-1)[..., None], -1)[..., 0]
            luck = (luck - luck.mean()) / luck.std()
        noise = draw.normal(size=(runs, searches, seeds)) * math.sqrt(seeds * (1 - apart))
        figures.append((shift + size * (math.sqrt(apart) * luck[..., None] + noise)).reshape(runs, -1))
    people = draw.normal(0, math.sqrt((1 - share) * clusters), (runs, clusters))
    return figures[0] + people.mean(axis=1, keepdims=True), figures[1], people


def by_search(a, b, people, searches):
    units = [x.reshape(len(x), searches, -1).mean(axis=-1) for x in (a, b)]
    return two_way(*units, people, "folds")


def by_seed(a, b, people, searches):
    """Wrong: the seeds as if each had been tuned for itself."""
    return two_way(a, b, people, "folds")


def false_positives(method, cell, runs=10_000, **options):
    draw = np.random.default_rng([int(10 * x) for x in cell])
    return float(np.mean(p_value(method(*drawn(*cell, 0.0, runs, draw, **options), cell[0])) < 0.05))


CELLS = [(3, 2, 10, 0.5, 1.0), (3, 5, 10, 1.0, 0.5), (3, 5, 80, 1.0, 0.0), (5, 2, 80, 0.5, 0.5), (3, 1, 10, 0.0, 1.0)]


@pytest.mark.parametrize("cell", CELLS)
def test_false_positives_over_searches_hold_five_percent(cell):
    assert false_positives(by_search, cell) <= simulated.allowed((*cell[:3], 1), 10_000)


@pytest.mark.parametrize("cell", CELLS[:2])
def test_winners_of_a_search_hold_it_though_they_are_skewed(cell):
    assert false_positives(by_search, cell, skewed=True) <= simulated.allowed((*cell[:3], 1), 10_000)


def test_seeds_taken_as_units_would_not_hold_it():
    assert min(false_positives(by_seed, cell) for cell in CELLS[:2]) > 0.09


@pytest.mark.slow
def test_the_whole_grid_of_searches_and_its_table(pytestconfig, capsys):
    """Searches {3, 5} x seeds {1, 5} x clusters {10, 80} x (share, apart), with search effects of both shapes.

    Where nothing comes of the seeds there is nothing of searches to see: that is in the grid of `test_statistics`.
    """
    shares = [(0.5, 0.5), (0.5, 1.0), (1.0, 0.0), (1.0, 0.5), (1.0, 1.0)]
    cells = [(*cell, *parts) for cell in itertools.product((3, 5), (1, 5), (10, 80)) for parts in shares]
    lines = ["searches seeds clusters share apart  normal  skewed  (false positives, 20,000 pairs of losses a cell)"]
    kept = True
    for cell in cells:
        found = [false_positives(by_search, cell, 20_000, skewed=skewed) for skewed in (False, True)]
        kept &= max(found) <= simulated.allowed((*cell[:3], 1), 20_000)
        lines.append("{:8} {:5} {:8} {:5g} {:5g}  {:.4f}  {:.4f}".format(*cell, *found))
    table = "\n".join(lines)
    (pytestconfig.cache.mkdir("statistics") / "searches.txt").write_text(table + "\n")
    with capsys.disabled():
        print(f"\n{table}")
    assert kept


def test_units_are_the_means_of_searches_whatever_the_order():
    draw = np.random.default_rng(0)
    one = _sample.Sample("A", METRIC, "h", "folds", draw.random(6), draw.random((6, 10)))
    units = one.by_search([1, 1, 2, 2, 3, 3])
    order = draw.permutation(6)
    mixed = replace(one, values=one.values[order], clusters=one.clusters[order])
    again = mixed.by_search([[1, 1, 2, 2, 3, 3][i] for i in order])
    assert units.values == pytest.approx(again.values) and units.clusters == pytest.approx(again.clusters)
    assert (units.unit, units.searches, one.unit) == ("search", (1, 2, 3), "seed")
    assert compare(units, units).seeds == 3 and compare_within(units, again).p == 1.0


def test_paired_searches_find_what_unpaired_ones_hide():
    """Runs of the same winners differ by half a point, the winners among themselves by five."""
    luck, folds = np.array([0.80, 0.85, 0.90]), np.zeros((3, 10))
    a = _sample.Sample("A", METRIC, "h", "folds", luck + 0.005 + np.array([0, 1e-4, -1e-4]), folds, (1, 2, 3))
    b = _sample.Sample("B", METRIC, "h", "folds", luck, folds, (1, 2, 3))
    assert compare_within(a, b).p < 0.01 < 0.5 < compare(a, b).p
    assert compare_within(a, b.of([3, 1])).seeds == 2
    assert stats.ttest_1samp(a.values - b.values, 0).pvalue == pytest.approx(compare_within(a, b).p, rel=1e-6)
