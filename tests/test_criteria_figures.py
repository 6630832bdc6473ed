"""The criteria of test figures on made-up studies of known answer: each passes, fails and says when it cannot decide."""

from dataclasses import replace

import made_up_features as made
import pytest
from made_up_features import Arm, answers, part
from made_up_toys import rays

from reports.criteria import FAIL, NOT_DECIDABLE, PASS, REPORTED

LFW, RANK1 = "lfw/accuracy", "megaface/rank1"


def margin_arms(levels, diverged=0) -> dict[str, Arm]:
    arms = {
        f"m {m}": Arm("lmcl", {"margin": m}, figures={LFW: a}) for m, a in zip((0.0, 0.35, 0.45), levels, strict=True)
    }
    return arms | {"m 0.45": replace(arms["m 0.45"], diverged=diverged)}


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((0.86, 0.9, 0.9), [PASS, PASS]),
        ((0.9, 0.9, 0.9), [NOT_DECIDABLE, PASS]),
        ((0.92, 0.9, 0.95), [FAIL, FAIL]),
        ((0.86, 0.9, 0.91), [PASS, NOT_DECIDABLE]),
    ],
)
def test_margin_shape(levels, expected, tmp_path):
    assert [one.verdict for one in answers(made.make(tmp_path, margin_arms(levels)), "margin_shape")] == expected


def test_a_margin_that_makes_runs_diverge_scores_chance(tmp_path):
    found = answers(made.make(tmp_path, margin_arms((0.86, 0.9, 0.9), diverged=4)), "margin_shape")
    assert found[1].verdict == PASS and "difference \N{MINUS SIGN}32" in found[1].statistic


def plateau_arms(rates, softmax=0.88, weight=0.9) -> dict[str, Arm]:
    arms = {"softmax": Arm("softmax", figures={LFW: softmax})}
    for rate, level in zip((0.01, 0.1, 0.5, 1.0), rates, strict=True):
        options = {"center_weight": 0.003, "center_rate": rate}
        arms[f"rate {rate}"] = Arm("center", options, figures={LFW: weight if rate == 0.5 else level})
    return arms


@pytest.mark.parametrize(
    ("arms", "expected", "words"),
    [
        (plateau_arms([0.9] * 4), [PASS, PASS], "better"),
        (plateau_arms([0.9] * 4, softmax=0.9), [PASS, PASS], "equivalent"),
        (plateau_arms([0.9] * 4, softmax=0.93), [PASS, FAIL], "worse"),
        (plateau_arms([0.85, 0.9, 0.9, 0.9]), [FAIL, PASS], "better"),
        (plateau_arms([0.892, 0.9, 0.9, 0.9]), [NOT_DECIDABLE, PASS], "better"),
    ],
)
def test_plateau(arms, expected, words, tmp_path):
    found = answers(made.make(tmp_path, arms), "plateau")
    assert [one.verdict for one in found] == expected and found[1].statistic.startswith(words)


def test_three_searches_decide_a_plateau(tmp_path):
    arms = plateau_arms([0.9] * 4)
    found = answers(made.make(tmp_path, arms, searches=3, seeds=1), "plateau")
    assert [one.verdict for one in found] == [PASS, PASS] and "(3 searches each)" in found[0].statistic


def test_a_plateau_that_spreads_too_much_is_not_decidable(tmp_path):
    found = answers(made.make(tmp_path / "a", plateau_arms([0.9] * 4, softmax=0.9), spread=0.02), "plateau")
    assert {one.verdict for one in found} == {NOT_DECIDABLE}
    found = answers(made.make(tmp_path / "b", plateau_arms([0.9] * 4), seeds=3), "plateau")
    assert {one.verdict for one in found} == {NOT_DECIDABLE}
    assert not any("p =" in one.statistic or "better" in one.statistic for one in found)  # no verdict in other words


@pytest.mark.parametrize(("level", "expected"), [(0.6, PASS), (0.54, FAIL), (0.571, NOT_DECIDABLE)])
def test_normalisation(level, expected, tmp_path):
    arms = {
        "on": Arm("lmcl", {}, figures={RANK1: level}),
        "off": Arm("lmcl", {"normalize_features": False}, figures={RANK1: 0.58}),
        "softmax": Arm("softmax", {}, rays(), {RANK1: 0.5}),
        "another margin": Arm("lmcl", {"margin": 0.2}, figures={RANK1: 0.3}),  # no part of the pair
    }
    found = answers(made.make(tmp_path, arms), "normalisation")
    assert found[0].verdict == expected
    lengths = part(found, "softmax")
    assert lengths.verdict == REPORTED and lengths.statistic.startswith("0.41 ± 0.02")  # Gamma(6): 1 / sqrt(6)


def test_normalisation_needs_a_pair_that_differs_in_nothing_else(tmp_path):
    arms = {
        "on": Arm("lmcl", {"margin": 0.2}, figures={RANK1: 0.6}),
        "off": Arm("lmcl", {"normalize_features": False}, figures={RANK1: 0.58}),
    }
    (found,) = answers(made.make(tmp_path, arms), "normalisation")
    assert found.verdict == NOT_DECIDABLE and "there are 0 such pairs" in found.statistic


def deepid2_arms(within, between, levels) -> dict[str, Arm]:
    arms = {}
    for weight, w, b, level in zip((0.01, 0.05, 0.2, 1.0), within, between, levels, strict=True):
        arms[f"w {weight}"] = Arm("deepid2", {"verification_weight": weight}, made.normal(w, b), {LFW: level})
    return arms


def test_deepid2_lambda(tmp_path):
    good = deepid2_arms((3, 2, 1, 0.5), (5, 4.9, 3, 1), (0.88, 0.9, 0.89, 0.85))
    assert [one.verdict for one in answers(made.make(tmp_path / "a", good), "deepid2_lambda")] == [PASS] * 4
    bad = deepid2_arms((1, 2, 3, 4), (5, 3, 3, 4), (0.88, 0.86, 0.88, 0.9))
    assert [one.verdict for one in answers(made.make(tmp_path / "b", bad), "deepid2_lambda")] == [FAIL] * 4
    flat = deepid2_arms((3, 2, 1, 0.5), (5, 4.9, 3, 1), (0.9, 0.9, 0.9, 0.9))
    verdicts = [one.verdict for one in answers(made.make(tmp_path / "c", flat), "deepid2_lambda")]
    assert verdicts == [PASS, PASS, PASS, NOT_DECIDABLE]


def ensemble_arms(cosine, joint) -> dict[str, Arm]:
    arms = {}
    for scorer, levels in (("cosine", cosine), ("joint_bayesian", joint)):
        for count, level in zip((1, 4, 16, 25), levels, strict=True):
            trial = {"scorer": scorer, "patches": ((0.0, 0.0, 0.5),) * count}
            arms[f"{count} {scorer}"] = Arm("softmax", figures={LFW: level}, trial=trial)
    return arms


def test_the_trend_of_an_ensemble_counts_searches(tmp_path):
    study = made.make(tmp_path, ensemble_arms((0.8, 0.85, 0.9, 0.95), (0.8, 0.85, 0.9, 0.95)), searches=3, seeds=1)
    found = next(one for one in answers(study, "ensemble") if "Kendall" in one.statement)
    assert found.verdict == PASS and found.statistic.endswith("(3 searches)")


def test_ensemble(tmp_path):
    rising = (0.85, 0.87, 0.89, 0.9)
    good = ensemble_arms(rising, (0.86, 0.88, 0.9, 0.92))
    assert [one.verdict for one in answers(made.make(tmp_path / "a", good), "ensemble")] == [PASS] * 5
    bad = ensemble_arms(rising[::-1], (0.86, 0.85, 0.84, 0.8))
    assert {one.verdict for one in answers(made.make(tmp_path / "b", bad), "ensemble")} == {FAIL}
    level = ensemble_arms((0.9,) * 4, (0.9,) * 4)
    found = answers(made.make(tmp_path / "c", level), "ensemble")
    assert [one.verdict for one in found] == [PASS] + [NOT_DECIDABLE] * 4  # as good is within a point
    lost = {name: replace(arm, trial={"scorer": arm.trial["scorer"]}) for name, arm in good.items()}
    (found,) = answers(made.make(tmp_path / "d", lost), "ensemble")
    assert "cosine: none" in found.statistic
