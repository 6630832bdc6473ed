"""The criteria of the toy experiments on made-up features of known answer: each passes, fails and may be undecided."""

from dataclasses import replace

import made_up_features as made
import pytest
from made_up_features import Arm, answers, part
from made_up_toys import clusters, rays

from losses._boundaries import lmcl as real
from reports import _rows
from reports.criteria import FAIL, NOT_DECIDABLE, PASS, REPORTED, _arms, overall, separable

CLOSED = "closed/accuracy"


def center_arms(**changes: Arm) -> dict[str, Arm]:
    sizes = {0.001: (3.5, 40), 0.01: (1.2, 20), 0.1: (0.4, 8), 1.0: (0.1, 3)}
    arms = {"softmax": Arm("softmax", {}, rays(), {CLOSED: 0.985})}
    for weight, size in sizes.items():
        arms[f"center {weight}"] = Arm("center", {"center_weight": weight}, clusters(*size), {CLOSED: 0.985})
    return arms | changes


def test_compactness(tmp_path):
    found = answers(made.make(tmp_path / "a", center_arms()), "compactness")
    assert overall(found) == PASS and len(found) == 9 and {one.seeds for one in found} == {5}
    order = part(found, "training images: at most \N{MINUS SIGN}0.9")
    assert "mean \N{MINUS SIGN}1 ± 0" in order.statistic
    assert [line[0] for line in order.details] == ["λ, training images", "0", "0.001", "0.01", "0.1", "1"]

    loose = center_arms(**{"center 0.1": Arm("center", {"center_weight": 0.1}, clusters(6, 12), {CLOSED: 0.985})})
    found = answers(made.make(tmp_path / "b", loose), "compactness")
    assert part(found, "λ = 0.1 over that at λ = 0, test images").verdict == FAIL
    assert part(found, "λ = 0.01 over that at λ = 0, test images").verdict == PASS
    assert part(found, "Spearman's \N{GREEK SMALL LETTER RHO} of λ and tr(S_w), test images").verdict == FAIL

    worse = center_arms(**{"center 0.01": replace(center_arms()["center 0.01"], figures={CLOSED: 0.95})})
    found = answers(made.make(tmp_path / "c", worse), "compactness")
    assert [one.verdict for one in found].count(FAIL) == 1
    assert part(found, "accuracy at λ = 0.01").verdict == FAIL and overall(found) == FAIL


def test_compactness_of_a_pilot_of_few_arms_or_of_diverged_runs_is_not_decidable(tmp_path):
    found = answers(made.make(tmp_path / "a", center_arms(), seeds=3), "compactness")
    assert {one.verdict for one in found} == {NOT_DECIDABLE} and all("pilot" in one.statistic for one in found)
    few = {name: arm for name, arm in center_arms().items() if name not in ("center 0.001", "center 1.0")}
    (found,) = answers(made.make(tmp_path / "b", few), "compactness")
    assert found.verdict == NOT_DECIDABLE and "3 weights" in found.statistic
    broken = center_arms(**{"center 1.0": replace(center_arms()["center 1.0"], diverged=1)})
    (found,) = answers(made.make(tmp_path / "c", broken), "compactness")
    assert "runs of center 1.0 diverged" in found.statistic
    bare = {name: replace(arm, features=None) for name, arm in center_arms().items()}
    (found,) = answers(made.make(tmp_path / "d", bare), "compactness")
    assert "keep: [features]" in found.statistic


def collapsing(features, **started: float) -> dict[str, Arm]:
    """Softmax, and center loss alone; 0.005 is its loss at the end of an epoch."""
    alone = {"center_weight": 1.0, "softmax_weight": 0.0}
    epochs = ({"train/loss": 4.0, **{f"train/{key}": value for key, value in started.items()}}, {"train/loss": 0.005})
    return {
        "softmax": Arm("softmax", {}, rays(), {CLOSED: 0.98}),
        "alone": Arm("center", alone, features, {CLOSED: 0.1, "closed/nearest": 0.12}, epochs=epochs),
    }


def test_collapse(tmp_path):
    found = answers(made.make(tmp_path / "a", collapsing(made.point(0.01), loss_at_start=30.0)), "collapse")
    assert overall(found) == PASS and "before the first step" in found[0].statement
    assert "collapsed to zero" in found[-1].statistic and found[-1].verdict == REPORTED
    found = answers(made.make(tmp_path / "b", collapsing(made.point(0.01, 40.0), loss_at_start=30.0)), "collapse")
    assert overall(found) == PASS and "to a constant that is not zero" in found[-1].statistic

    spread_out = made.make(tmp_path / "c", collapsing(clusters(0.05, 9.0), loss_at_start=30.0))
    found = answers(spread_out, "collapse")
    assert [one.verdict for one in found[:2]] == [PASS, FAIL] and "no collapse" in found[-1].statistic
    found = answers(made.make(tmp_path / "d", collapsing(made.point(3.0), loss_at_start=30.0)), "collapse")
    assert found[0].verdict == FAIL


def test_the_mean_of_the_first_epoch_can_show_a_collapse_and_not_refute_it(tmp_path):
    found = answers(made.make(tmp_path / "a", collapsing(made.point(0.01))), "collapse")
    assert found[0].verdict == PASS and "mean of the first epoch" in found[0].statement
    found = answers(made.make(tmp_path / "b", collapsing(made.point(3.0))), "collapse")
    assert found[0].verdict == NOT_DECIDABLE and "not recorded" in found[0].statistic


def test_separable(tmp_path):
    found = answers(made.make(tmp_path / "a", center_arms()), "separable")
    assert overall(found) == PASS
    assert "softmax on digits (the paper's data are MNIST)" in found[0].statement
    assert "cosine" in part(found, "cosine").statement and part(found, "cosine").verdict == REPORTED

    same = center_arms(**{"center 0.1": Arm("center", {"center_weight": 0.1}, rays(), {CLOSED: 0.98})})
    found = answers(made.make(tmp_path / "b", same), "separable")
    assert part(found, "Not discriminative").verdict == FAIL
    for level, expected in ((0.97, NOT_DECIDABLE), (0.94, FAIL)):
        arms = center_arms(softmax=Arm("softmax", {}, rays(), {CLOSED: level}))
        assert part(answers(made.make(tmp_path / f"{level}", arms), "separable"), "Separable").verdict == expected


def test_the_accuracy_of_a_row_counts_its_searches(tmp_path):
    study = made.make(tmp_path, {"softmax": Arm("softmax", {}, None, {CLOSED: 0.985})}, searches=3, seeds=1)
    found = separable._accuracy(study, _rows.rows(study)[0])
    assert found.verdict == PASS and found.statistic.endswith("over searches and test images (3 searches)")


def circle_arms(widths=(0.1, 0.07, 0.03), first="nsl") -> dict[str, Arm]:
    arms = {"softmax": Arm("softmax", {}, rays(0.13))}
    for margin, width in zip((0.0, 0.1, 0.2), widths, strict=True):
        bare = first == "nsl" and margin == 0
        options = {"scale": 64.0} if bare else {"scale": 64.0, "margin": margin}
        arms[f"m {margin}"] = Arm("nsl" if bare else "lmcl", options, rays(width))
    return arms


@pytest.mark.parametrize("first", ["nsl", "lmcl"])
def test_gap(first, tmp_path):
    found = answers(made.make(tmp_path, circle_arms(first=first), classes=8), "gap")
    assert overall(found) == PASS and len(found) == 6
    assert part(found, "m = 0.2 against g(m) / 2").statement.endswith("at least 15.1°")
    assert [line[3] for line in found[0].details] == ["g(m)", "0.0°", "15.0°", "30.3°", "\N{EN DASH}"]


def test_gap_can_fail(tmp_path):
    found = answers(made.make(tmp_path / "a", circle_arms((0.03, 0.07, 0.16)), classes=8), "gap")
    assert part(found, "m = 0.1 \N{MINUS SIGN} m = 0.0").verdict == FAIL
    assert part(found, "m = 0.2 against g(m) / 2").verdict == FAIL
    assert part(found, "keep the margin").verdict == FAIL
    assert part(found, "\N{MINUS SIGN} softmax").verdict == FAIL
    found = answers(made.make(tmp_path / "b", circle_arms(), classes=8, seeds=4), "gap")
    assert {one.verdict for one in found} == {NOT_DECIDABLE}


def test_a_margin_that_so_many_classes_cannot_keep_has_no_gap_to_reach(tmp_path):
    found = answers(made.make(tmp_path, circle_arms((0.06, 0.04, 0.02)), classes=10), "gap")
    assert part(found, "m = 0.2 against").verdict == NOT_DECIDABLE
    assert (
        "no features of 10 classes in two dimensions keep a margin of 0.2" in part(found, "m = 0.2 against").statistic
    )


def test_beyond_bound(tmp_path, monkeypatch):
    arms = {"lmcl .4": Arm("lmcl", {"margin": 0.4}, rays(0.03), diverged=1, epochs=({"train/loss": 9.0},))}
    study = made.make(tmp_path, arms, classes=8)
    found = answers(study, "beyond_bound")
    assert overall(found) == PASS and "m = 0.4 > 0.2929" in found[0].statement
    assert "4 of 4 runs have such a class" in found[0].statistic and len(found[0].details) == 5
    assert found[1].verdict == REPORTED and "1 diverged" in found[1].statistic

    import losses

    monkeypatch.setitem(vars(losses), "margin_upper_bound", lambda classes, dimension: 0.01)
    easy = made.make(tmp_path / "b", {"lmcl .1": Arm("lmcl", {"margin": 0.1}, rays(0.03))}, classes=8)
    assert answers(easy, "beyond_bound")[0].verdict == FAIL  # were the bound wrong, it would show


def test_boundaries(tmp_path, monkeypatch):
    plane = {"embedding_dim": 2}
    study = made.make(tmp_path, {"softmax": Arm("softmax", {}, rays(), {CLOSED: 1.0}, trial=plane)}, classes=2)
    found = answers(study, "boundaries")
    assert [one.verdict for one in found] == [PASS] * 4 and overall(found) == PASS
    assert "measured 0.495," in found[-1].statistic  # sqrt(2) x .35
    monkeypatch.setattr("losses._boundaries.lmcl", lambda margin, level: real(1.02 * margin, level))
    assert [one.verdict for one in answers(study, "boundaries")] == [PASS] * 3 + [FAIL]


def test_features_that_all_lie_on_one_point_break_no_criterion(tmp_path):
    """Where softmax itself collapsed every share is one of nothing: no verdict, and a report all the same."""
    start = ({"train/loss": 0.0, "train/loss_at_start": 0.0},)
    weights = (0.0, 0.001, 0.01, 0.05, 0.1)
    arms = {"softmax": Arm("softmax", {}, made.point(0.0), {CLOSED: 0.1}, epochs=start)}
    for weight in weights[1:]:
        arms[f"center {weight}"] = Arm(
            "center", {"center_weight": weight}, made.point(0.0), {CLOSED: 0.1}, epochs=start
        )
    alone = {"softmax_weight": 0.0, "center_weight": 1.0}
    arms["alone"] = Arm("center", alone, made.point(0.0), {CLOSED: 0.1}, epochs=start)
    for weight in weights:
        arms[f"deepid2 {weight}"] = Arm("deepid2", {"verification_weight": weight}, made.point(0.0), {CLOSED: 0.1})
    study = made.make(tmp_path, arms)
    for name in ("compactness", "collapse", "separable", "deepid2_lambda"):
        assert PASS not in {one.verdict for one in answers(study, name) if "accuracy" not in one.statement}, name


def test_a_row_stands_for_zero_only_where_nothing_else_differs(tmp_path):
    point = made.point(1.0)
    centers = {f"c {w}": Arm("center", {"center_weight": w}, point, {CLOSED: 0.9}) for w in (0.001, 0.01, 0.1)}
    free = {f"m {m}": Arm("lmcl", {"margin": m, "normalize_features": False}, point, {CLOSED: 0.9}) for m in (0.1, 0.2)}
    other = {
        "softmax": Arm("softmax", {"bias": False}, point, {CLOSED: 0.9}),
        "nsl": Arm("nsl", {"scale": 64.0}, point),
    }
    study = made.make(tmp_path / "a", {**centers, **free, **other})
    rows = _rows.in_order(study, "tuned")
    assert list(_arms.center_weights(study, rows)) == [0.001, 0.01, 0.1]  # softmax without a bias is not lambda = 0
    assert list(_arms.margins(study, rows)) == [0.1, 0.2]  # NSL normalises what these leave free
    right = {"softmax": Arm("softmax", {}, point), "nsl": Arm("nsl", {"scale": 64.0}, point)}
    bound = {f"m {m}": Arm("lmcl", {"margin": m}, point) for m in (0.1, 0.2)}
    study = made.make(tmp_path / "b", {**centers, **bound, **right})
    rows = _rows.in_order(study, "tuned")
    assert list(_arms.center_weights(study, rows)) == [0.0, 0.001, 0.01, 0.1]
    assert list(_arms.margins(study, rows)) == [0.0, 0.1, 0.2]
