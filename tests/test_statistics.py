"""The two-way t interval: against a literal reference, by simulation, and at its edges."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import simulated
from scipy import stats

from bench.errors import RequestError
from reports.statistics import (
    Sample,
    cluster_variance,
    compare,
    holm,
    holm_family,
    level_interval,
    p_value,
    rank_ranges,
    two_way,
)


def sample(name="A", *, seeds=5, clusters=10, kind="folds", mean=0.9, seed=0, spread=0.005, **changes) -> Sample:
    """A made-up figure: seeds around a mean, every seed with the same easy and hard identity clusters."""
    draw = np.random.default_rng(seed)
    values = mean + spread * draw.standard_normal(seeds)
    people = np.random.default_rng(99).normal(0, 0.02, clusters)  # the identities are the same for every loss
    own = draw.normal(0, 0.004, clusters)
    if kind == "jackknife":
        people, own = people / clusters, own / clusters
    made = Sample(name, "lfw/accuracy", "abc", kind, values, values[:, None] + people + own)
    return replace(made, **changes)


def literal(a: Sample, b: Sample) -> dict[str, float]:
    """Steps 2 to 7 in loops, as the page on statistics writes them."""

    def average(numbers):
        return sum(numbers) / len(numbers)

    def variance(numbers):
        return sum((x - average(numbers)) ** 2 for x in numbers) / (len(numbers) - 1)

    difference = average(list(a.values)) - average(list(b.values))
    part_a, part_b = variance(list(a.values)) / a.seeds, variance(list(b.values)) / b.seeds
    count = a.clusters.shape[1]
    delta = []
    for g in range(count):
        delta.append(
            average([a.clusters[i, g] for i in range(a.seeds)]) - average([b.clusters[i, g] for i in range(b.seeds)])
        )
    if a.kind == "folds":
        identity = variance(delta) / count
    else:
        identity = (count - 1) / count * sum((x - average(delta)) ** 2 for x in delta)
    squared = part_a + part_b + identity
    df = squared**2 / (part_a**2 / (a.seeds - 1) + part_b**2 / (b.seeds - 1) + identity**2 / (count - 1))
    se = math.sqrt(squared)
    t95, t80 = stats.t.ppf(0.975, df), stats.t.ppf(0.8, df)
    return {
        "difference": difference,
        "se": se,
        "df": df,
        "low": difference - t95 * se,
        "high": difference + t95 * se,
        "p": 2 * (1 - stats.t.cdf(abs(difference) / se, df)),
        "detectable": (t95 + t80) * se,
    }


@pytest.mark.parametrize("kind", ["folds", "jackknife"])
@pytest.mark.parametrize("seeds", [(5, 5), (3, 7)])
def test_compare_is_the_literal_formula(kind, seeds):
    a = sample("A", seeds=seeds[0], kind=kind, mean=0.903, seed=1, clusters=10 if kind == "folds" else 60)
    b = sample("B", seeds=seeds[1], kind=kind, mean=0.9, seed=2, clusters=10 if kind == "folds" else 60)
    found = compare(a, b)
    for name, value in literal(a, b).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9), name
    assert found.seeds == min(seeds)


def test_the_jackknife_of_a_mean_has_the_variance_of_a_mean():
    x = np.random.default_rng(0).normal(size=40)
    left_out = (x.sum() - x) / (len(x) - 1)
    assert cluster_variance(left_out, "jackknife") == pytest.approx(np.var(x, ddof=1) / len(x), rel=1e-12)
    assert cluster_variance(x, "folds") == pytest.approx(np.var(x, ddof=1) / len(x), rel=1e-12)


def test_an_unknown_kind_of_clusters_lists_the_known():
    with pytest.raises(RequestError, match=r"'bootstrap'.*folds, jackknife"):
        cluster_variance(np.zeros(3), "bootstrap")


def test_swapping_the_two_turns_the_sign_and_nothing_else():
    a, b = sample("A", seed=3, mean=0.91), sample("B", seed=4)
    one, other = compare(a, b), compare(b, a)
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))
    assert (one.p, one.df, one.detectable) == pytest.approx((other.p, other.df, other.detectable))


def test_the_order_of_seeds_and_of_clusters_does_not_matter():
    a, b = sample("A", seed=3), sample("B", seed=4)
    draw = np.random.default_rng(0)
    seeds, people = draw.permutation(a.seeds), draw.permutation(a.clusters.shape[1])
    shuffled = replace(a, values=a.values[seeds], clusters=a.clusters[seeds][:, people])
    again = compare(shuffled, replace(b, clusters=b.clusters[:, people]))
    assert again.p == pytest.approx(compare(a, b).p, rel=1e-9)


def test_what_all_seeds_and_losses_find_hard_cancels():
    """What shifts an identity cluster on both sides changes nothing: clusters are crossed with losses, not nested."""
    a, b = sample("A", seed=3), sample("B", seed=4)
    shift = np.linspace(-0.2, 0.2, a.clusters.shape[1])
    moved = compare(replace(a, clusters=a.clusters + shift), replace(b, clusters=b.clusters + shift))
    assert moved.se == pytest.approx(compare(a, b).se, rel=1e-9)


def test_different_protocol_hashes_are_never_compared():
    with pytest.raises(
        RequestError, match=r"lfw/accuracy of A and B cannot be compared.*different versions.*abc and xyz"
    ):
        compare(sample("A"), sample("B", hash="xyz"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metric": "ytf/accuracy"}, "one figure is lfw/accuracy, the other ytf/accuracy"),
        ({"values": np.array([0.9]), "clusters": np.zeros((1, 10))}, "5 and 1 training seeds.*at least 2"),
        ({"clusters": np.zeros((5, 9))}, r"10 \(folds\) and 9 \(folds\) identity clusters"),
        ({"kind": "jackknife"}, r"10 \(folds\) and 10 \(jackknife\)"),
        ({"clusters": np.zeros((5, 0))}, r"0 \(folds\) identity clusters"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(changes, words):
    with pytest.raises(RequestError, match=words):
        compare(sample("A"), replace(sample("B"), **changes))


def test_a_diverged_side_without_a_hash_is_compared():
    chance = replace(sample("B"), hash="", values=np.full(5, 0.5), clusters=np.full((5, 10), 0.5))
    assert compare(sample("A"), chance).difference == pytest.approx(0.4, abs=0.02)


def test_no_spread_at_all_is_a_tie_and_no_division_by_zero():
    flat = replace(sample("A"), values=np.full(5, 0.9), clusters=np.full((5, 10), 0.9))
    other = replace(flat, name="B", values=np.full(5, 0.8), clusters=np.full((5, 10), 0.8))
    found = holm_family([compare(flat, other)])[0]
    assert (found.p, found.verdict, found.se) == (1.0, "tie", 0.0)
    assert found.df == math.inf


def test_verdict_needs_five_seeds_significance_and_the_right_direction():
    a, b = sample("A", mean=0.95, seed=1), sample("B", seed=2)
    better = holm_family([compare(a, b)])[0]
    assert better.verdict == "better"
    assert holm_family([compare(b, a)])[0].verdict == "worse"
    assert holm_family([compare(a, b, higher_is_better=False)])[0].verdict == "worse"
    assert holm_family([compare(sample("A", seed=1), sample("B", seed=2))])[0].verdict == "tie"
    few = holm_family([compare(sample("A", seeds=4, mean=0.95, seed=1), sample("B", seeds=9, seed=2))])[0]
    assert few.significant and few.verdict == "pilot, no verdict"
    assert compare(a, b).verdict == "tie", "a comparison that no family has corrected claims nothing"


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_never_orders_p_values_anew_and_never_lowers_them():
    p = np.random.default_rng(0).uniform(size=30)
    adjusted = np.array(holm(p.tolist()))
    assert (adjusted >= p).all() and adjusted.max() <= 1
    assert all(x <= y for x, y in pairwise(adjusted[np.argsort(p)]))


def test_rank_ranges_count_those_significantly_better_and_worse():
    rows = {
        name: sample(name, mean=mean, seed=i)
        for i, (name, mean) in enumerate({"a": 0.95, "b": 0.9, "c": 0.9, "d": 0.8}.items())
    }
    assert rank_ranges(rows) == {"a": (1, 1), "b": (2, 3), "c": (2, 3), "d": (4, 4)}
    assert rank_ranges(rows, higher_is_better=False) == {"a": (4, 4), "b": (2, 3), "c": (2, 3), "d": (1, 1)}


def test_rank_ranges_claim_nothing_in_a_pilot_and_nothing_of_one_row():
    rows = {
        name: sample(name, mean=mean, seeds=3, seed=i) for i, (name, mean) in enumerate({"a": 0.95, "b": 0.8}.items())
    }
    assert rank_ranges(rows) == {"a": (1, 2), "b": (1, 2)}
    assert rank_ranges({"a": rows["a"]}) == {"a": (1, 1)}


def test_level_interval_covers_seeds_and_identities():
    one = sample(seeds=5, spread=0.01)
    low, high = level_interval(one)
    seed, identity = np.var(one.values, ddof=1) / 5, np.var(one.clusters.mean(axis=0), ddof=1) / 10
    df = (seed + identity) ** 2 / (seed**2 / 4 + identity**2 / 9)
    half = stats.t.ppf(0.975, df) * math.sqrt(seed + identity)
    assert (low, high) == pytest.approx((one.mean - half, one.mean + half), rel=1e-9)
    assert all(math.isnan(edge) for edge in level_interval(sample(seeds=1)))


@pytest.mark.parametrize("cell", simulated.GRID)
def test_false_positives_and_coverage_by_simulation(cell):
    """At no difference at most 5 % are found (7 % at spreads 5:1); 95 % intervals hold the true difference in 93 %."""
    false, covered = simulated.fares(cell, 10_000)
    assert false <= simulated.allowed(cell, 10_000) and covered >= simulated.COVERAGE


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_grid_and_its_table(pytestconfig, capsys):
    """Six times as many pairs a cell; the table stays in `.pytest_cache/d/statistics`."""
    table = simulated.table(60_000)
    (pytestconfig.cache.mkdir("statistics") / "grid.txt").write_text(table + "\n")
    with capsys.disabled():
        print(f"\n{table}")
    assert "NOT KEPT" not in table


def over_seeds_alone(a, b, clusters, kind):
    """Welch: the identities as if they were all there are."""
    return two_way(a, b, np.zeros_like(clusters), kind)


def over_identities_alone(a, b, clusters, kind):
    """The folds or the jackknife of the mean difference: the seeds as if they were all there are."""
    means = [np.repeat(x.mean(axis=-1, keepdims=True), 2, axis=-1) for x in (a, b)]
    return two_way(*means, clusters, kind)


def normal_quantiles(a, b, clusters, kind):
    return two_way(a, b, clusters, kind)._replace(df=np.full(len(a), np.inf))


@pytest.mark.parametrize("wrong", [over_seeds_alone, over_identities_alone, normal_quantiles])
def test_a_wrong_method_does_not_pass_the_grid(wrong):
    short = [(3, 10, 0, 1), (3, 10, 1, 1), (5, 80, 0.5, 1)]
    assert all(simulated.holds(cell, 4000) for cell in short)
    assert not all(simulated.holds(cell, 4000, wrong) for cell in short)


def test_power_at_the_minimum_detectable_effect_is_about_four_in_five():
    """The effect that `compare` calls detectable, computed with the true standard error, is found in about 80 %."""
    draw = np.random.default_rng(0)
    null = simulated.simulate(10, 80, 0.5, 1, 0.0, 4000, draw)
    df = float(np.median(null.df))
    effect = stats.t.ppf(0.975, df) + stats.t.ppf(0.8, df)
    assert np.mean(p_value(simulated.simulate(10, 80, 0.5, 1, effect, 4000, draw)) < 0.05) == pytest.approx(
        0.8, abs=0.05
    )
