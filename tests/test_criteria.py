"""The frame of the criteria: how they are found, how an interval becomes a verdict, which rows are arms of one sweep."""

import math
from dataclasses import replace

import made_up_features as made
import numpy as np
import pytest
from made_up_features import Arm, answers
from scipy import stats

from bench.errors import RequestError
from reports import _rows, _toy, criteria
from reports._equivalence import beyond, equivalent
from reports.criteria import FAIL, NOT_DECIDABLE, PASS, REPORTED, Finding, _arms, _limits, overall
from reports.statistics import Comparison

LFW, RANK1 = "lfw/accuracy", "megaface/rank1"


def test_a_criterion_is_a_file_with_an_id_a_claim_and_a_judge():
    assert criteria.names() == [
        "beyond_bound", "boundaries", "collapse", "compactness", "deepid2_lambda", "ensemble", "gap", "margin_shape",
        "normalisation", "order", "plateau", "separable",
    ]  # fmt: skip
    modules = [criteria.find(name) for name in criteria.names()]
    assert len({module.ID for module in modules}) == len(modules)
    assert all("et al. 20" in module.CLAIM and module.CLAIM.endswith(".") for module in modules)


def test_an_unknown_criterion_lists_the_known():
    for name in ("compactnes", "_arms"):
        with pytest.raises(RequestError, match=f"{name!r}; there is: beyond_bound, boundaries"):
            criteria.find(name)


@pytest.mark.parametrize("name", criteria.names())
def test_a_study_of_something_else_is_not_decidable_and_says_what_is_missing(name, tmp_path):
    study = made.make(tmp_path, {"arcface": Arm("arcface", figures={"ytf/accuracy": 0.9, RANK1: 0.5})})
    found = answers(study, name)
    assert overall(found) == NOT_DECIDABLE and all(one.statistic for one in found)


def test_all_parts_must_hold():
    def told(*verdicts):
        return overall([Finding(verdict, "", "") for verdict in verdicts])

    assert told(PASS, PASS, REPORTED) == PASS
    assert told(PASS, NOT_DECIDABLE) == NOT_DECIDABLE
    assert told(PASS, NOT_DECIDABLE, FAIL) == FAIL
    assert told() == told(REPORTED) == NOT_DECIDABLE


@pytest.mark.parametrize(
    ("low", "high", "side", "expected"),
    [
        (1.0, 2.0, "at least", PASS),
        (1.0, 2.0, "above", NOT_DECIDABLE),
        (0.5, 1.5, "at least", NOT_DECIDABLE),
        (0.5, 0.9, "at least", FAIL),
        (0.5, 1.0, "at least", NOT_DECIDABLE),
        (0.5, 1.0, "above", FAIL),
        (0.5, 1.0, "at most", PASS),
        (0.5, 1.0, "below", NOT_DECIDABLE),
        (1.1, 1.5, "at most", FAIL),
        (1.0, 1.5, "below", FAIL),
        (1.0 - 1e-13, 1.0 - 1e-13, "at least", PASS),  # a rank correlation on its bound, but for rounding
        (math.nan, math.nan, "at least", NOT_DECIDABLE),
    ],
)
def test_an_interval_against_the_bound_one(low, high, side, expected):
    assert _limits.decide(low, high, side, 1.0) == expected


def test_the_interval_over_seeds_is_the_t_interval():
    values = [0.31, 0.28, 0.35, 0.3, 0.33]
    half = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) / 5**0.5
    assert _limits.t_interval(values) == pytest.approx((np.mean(values) - half, np.mean(values) + half))
    assert all(math.isnan(edge) for edge in _limits.t_interval([0.3]))
    assert _limits.over_seeds("x", values, "below", 0.35).verdict == PASS


def test_few_seeds_are_a_pilot_and_an_undefined_run_decides_nothing():
    pilot = _limits.over_seeds("x", [0.1, 0.1, 0.1, 0.1], "below", 0.5)
    assert pilot.verdict == NOT_DECIDABLE and pilot.statistic.startswith("pilot, a verdict needs 5 seeds")
    broken = _limits.over_seeds("x", [0.1, 0.1, 0.1, 0.1, math.nan], "below", 0.5)
    assert broken.verdict == NOT_DECIDABLE and "undefined in 1 of 5 runs" in broken.statistic


def test_at_the_bound_itself_one_run_in_forty_passes_and_one_fails():
    draw = np.random.default_rng(0).normal(1.0, 0.3, (1500, 5))
    verdicts = [_limits.over_seeds("x", values, "at least", 1.0).verdict for values in draw]
    for wrong in (PASS, FAIL):
        assert verdicts.count(wrong) / len(verdicts) == pytest.approx(0.025, abs=0.012)


def comparison(difference: float, se: float = 0.004, df: float = 9.0) -> Comparison:
    half = stats.t.ppf(0.975, df) * se
    p = 2 * stats.t.sf(abs(difference) / se, df)
    return Comparison("a", "b", LFW, difference, se, df, difference - half, difference + half, p, 0.01, 5)


def test_two_one_sided_tests_are_the_90_percent_interval():
    for difference in np.linspace(-0.012, 0.012, 25):
        found = comparison(difference)
        half = stats.t.ppf(0.95, found.df) * found.se
        inside = difference - half > -0.01 and difference + half < 0.01
        assert (equivalent(found, 0.01) < 0.05) == inside
        assert equivalent(found, 0.01) + beyond(found, 0.01) == pytest.approx(1)
    assert beyond(comparison(0.03), 0.01) < 0.01
    same = replace(comparison(0.005), se=0.0)
    assert (equivalent(same, 0.01), beyond(same, 0.01)) == (0, 1)


def test_arms_that_differ_in_something_else_are_no_sweep(tmp_path):
    arms = {f"m {m}": Arm("lmcl", {"margin": m}, figures={LFW: 0.9}) for m in (0.0, 0.35, 0.45)}
    arms["m 0.35"] = replace(arms["m 0.35"], trial={"batch_size": 32})
    study = made.make(tmp_path, arms)
    (found,) = answers(study, "margin_shape")
    assert found.verdict == NOT_DECIDABLE and "no row with m 0.35" in found.statistic
    assert "m is there with: 0 and 0.45" in found.statistic


def test_a_default_is_as_good_as_a_value_and_a_tuned_rate_is_a_rows_own(tmp_path):
    arms = {
        "a": Arm("cosface", {"margin": 0.0}, figures={LFW: 0.9}, trial={"learning_rate": 0.05}),
        "b": Arm("lmcl", {}, figures={LFW: 0.9}),
    }
    study = made.make(tmp_path, arms, tune={"trials": 8})
    assert list(_arms.sweep(study, _arms._rows.in_order(study, "tuned"), "lmcl", "margin")) == [0.0, 0.35]


@pytest.mark.parametrize(
    ("name", "arms"),
    [
        (
            "compactness",
            {f"λ {w}": Arm("center", {"center_weight": w}, made.normal(1, 5)) for w in (0.0, 0.01, 0.1, 1)},
        ),
        ("gap", {f"m {m}": Arm("lmcl", {"margin": m}, made.normal(1, 5, 2)) for m in (0.0, 0.1, 0.2)}),
        ("collapse", {"alone": Arm("center", {"softmax_weight": 0.0}, made.point(0.01))}),
        ("separable", {f"λ {w}": Arm("center", {"center_weight": w}, made.normal(1, 5)) for w in (0.0, 0.1)}),
        (
            "deepid2_lambda",
            {f"λ {w}": Arm("deepid2", {"verification_weight": w}, made.normal(1, 5)) for w in (0.01, 0.05, 0.2, 1.0)},
        ),
    ],
)
def test_features_of_rows_that_several_searches_tuned_are_not_judged(name, arms, tmp_path):
    """Each search numbers its runs from 0: by their numbers, those of the last search alone would be judged."""
    arms = {"softmax": Arm("softmax", {}, made.normal(1, 5))} | arms
    found = answers(made.make(tmp_path, arms, searches=2, seeds=5, images=60), name)
    assert {one.verdict for one in found} == {NOT_DECIDABLE} and "tuned by several searches" in found[0].statistic


def test_a_row_whose_searches_chose_differently_stands_for_no_value(tmp_path):
    arms = {f"m {m}": Arm("lmcl", {"margin": m, "scale": 30.0}) for m in (0.0, 0.35, 0.45)}
    rows = _rows.in_order(made.make(tmp_path, arms, searches=2, seeds=1), "tuned")
    first, second = rows[0].records
    other = replace(second, trial=replace(second.trial, loss_options={"margin": 0.1, "scale": 30.0}))
    mixed = replace(rows[0], records=(first, other))
    study = made.reports.read(tmp_path / "made_up")
    assert _arms.options(mixed)["margin"] == (0.0, 0.1) and _arms.options(mixed)["scale"] == 30.0
    assert list(_arms.sweep(study, rows, "lmcl", "margin")) == [0.0, 0.35, 0.45]
    assert list(_arms.sweep(study, [mixed, *rows[1:]], "lmcl", "margin")) == [0.35, 0.45]
    assert _toy.cosine_margin(rows[1]) == 0.35 and _toy.cosine_margin(mixed) is None


def test_searches_are_no_setting_in_which_rows_differ(tmp_path):
    rows = _rows.in_order(made.make(tmp_path, {"lmcl": Arm("lmcl", {})}, searches=2, seeds=1), "tuned")
    study = made.reports.read(tmp_path / "made_up")
    assert _arms.setting(study, rows[0].of_search(1), {}) == _arms.setting(study, rows[0].of_search(2), {})


def test_several_backbones_are_judged_each_and_named(tmp_path):
    arms = {f"m {m}": Arm("lmcl", {"margin": m}, figures={LFW: 0.8 + m / 10}) for m in (0.0, 0.35, 0.45)}
    arms |= {f"{label} big": replace(arm, trial={"backbone": "sphere20"}) for label, arm in arms.items()}
    found = answers(made.make(tmp_path, arms), "margin_shape")
    assert [one.statement.partition(":")[0] for one in found] == ["cnn4", "cnn4", "sphere20", "sphere20"]
