"""The figures of scores against loops over their definitions, and facts that must hold."""

import math

import numpy as np
import pytest
from literal import literal_auc, literal_eer, literal_tar, literal_threshold

from bench import metrics
from bench.metrics.verification import allowed_false_accepts

SEEDS = range(6)


def scored_pairs(seed, count=60, levels=8):
    """Scores on a coarse grid (many ties), a little higher for genuine pairs."""
    random = np.random.default_rng(seed)
    same = random.random(count) < 0.5
    same[:2] = [True, False]
    return np.round(random.normal(same * 0.8, 1.0) * levels) / levels, same


# --- folds ---


@pytest.mark.parametrize("seed", SEEDS)
def test_the_threshold_is_the_lower_median_of_all_maximisers(seed):
    scores, same = scored_pairs(seed)
    assert metrics.best_threshold(scores, same) == literal_threshold(scores.tolist(), same.tolist())


@pytest.mark.parametrize("seed", SEEDS)
def test_fold_accuracy_equals_the_literal_rule(seed):
    scores, same = scored_pairs(seed, 200)
    folds = np.random.default_rng(seed).integers(0, 5, 200)
    found = metrics.fold_accuracy(scores, same, folds)
    for fold in range(5):
        t = literal_threshold(scores[folds != fold].tolist(), same[folds != fold].tolist())
        right = [(s > t) == y for s, y, f in zip(scores, same, folds, strict=True) if f == fold]
        assert found.thresholds[fold] == t
        assert found.accuracies[fold] == sum(right) / len(right)
    mean = sum(found.accuracies) / 5
    assert found.mean == pytest.approx(mean, abs=1e-15)
    spread = math.sqrt(sum((a - mean) ** 2 for a in found.accuracies) / 4)
    assert found.standard_error == pytest.approx(spread / math.sqrt(5), abs=1e-15)


def test_a_threshold_between_neighbouring_floats_still_separates_them():
    low = 0.3
    high = np.nextafter(low, 1)
    scores, same = np.array([low, low, high, high]), np.array([False, False, True, True])
    threshold = metrics.best_threshold(scores, same)
    assert ((scores > threshold) == same).all()


@pytest.mark.parametrize(("same", "threshold"), [([True] * 3, -np.inf), ([False] * 3, np.inf)])
def test_one_class_alone_puts_the_threshold_at_infinity(same, threshold):
    assert metrics.best_threshold(np.array([0.1, 0.2, 0.3]), np.array(same)) == threshold


def test_constant_scores_are_half_right():
    found = metrics.fold_accuracy(np.ones(40), np.tile([True, False], 20), np.repeat(np.arange(10), 4))
    assert found.mean == 0.5 and found.standard_error == 0.0


def test_one_fold_has_no_others_to_choose_the_threshold_on():
    with pytest.raises(ValueError, match="at least 2 folds, got 1"):
        metrics.fold_accuracy(np.ones(4), np.array([True, False] * 2), np.zeros(4))


# --- verification ---


@pytest.mark.parametrize("far", [0.01, 0.05, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_tar_at_far_equals_the_literal_rule(seed, far):
    scores, same = scored_pairs(seed, 300)
    expected = literal_tar(scores[same].tolist(), scores[~same].tolist(), far)
    assert metrics.tar_at_far(scores[same], scores[~same], far).value == expected


def test_a_far_below_one_impostor_is_undefined_and_says_so():
    rate = metrics.tar_at_far(np.ones(5), np.zeros(3000), 1e-6)
    assert rate.value is None and rate.undefined == "FAR 1e-06 is undefined on 3,000 impostor pairs"


def test_a_far_on_a_handful_is_marked_with_its_count():
    impostor = np.arange(3000) / 3000
    rate = metrics.tar_at_far(np.array([0.9, 0.9995]), impostor, 1e-3)
    assert rate.value == 0.5  # 3 false accepts: 0.999, 0.99933 and 0.99967 are accepted, 0.99867 is not
    assert rate.mark == "hangs on 3 false accepts (FAR 1e-03 of 3,000 impostor pairs)"
    assert metrics.tar_at_far(np.ones(1), impostor, 1e-2).mark is None  # 30 false accepts are enough


def test_the_allowed_false_accepts_are_exact_in_decimals():
    assert [allowed_false_accepts(far, n) for far, n in [(1e-3, 3000), (1e-6, 10**6), (0.1, 29), (0.29, 100)]] == [
        3,
        1,
        2,
        29,
    ]
    assert math.floor(0.29 * 100) == 28  # what floating arithmetic would say


@pytest.mark.parametrize("seed", SEEDS)
def test_auc_counts_ties_half(seed):
    scores, same = scored_pairs(seed)
    assert metrics.Sorted.of(scores, same).roc().auc() == literal_auc(scores.tolist(), same.tolist())


@pytest.mark.parametrize("seed", SEEDS)
def test_eer_equals_the_literal_rule(seed):
    scores, same = scored_pairs(seed)
    expected = literal_eer(scores[same].tolist(), scores[~same].tolist())
    assert metrics.Sorted.of(scores, same).roc().eer() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("genuine", "impostor", "eer"), [([2, 3], [0, 1], 0), ([1, 1], [1, 1], 0.5), ([0, 1], [2, 3], 1)]
)
def test_eer_of_known_cases(genuine, impostor, eer):
    roc = metrics.Sorted.of(np.array(genuine + impostor, float), np.array([True] * 2 + [False] * 2)).roc()
    assert roc.eer() == eer


def test_a_thinned_curve_keeps_exact_points_in_order():
    random = np.random.default_rng(0)
    same = random.random(20_000) < 0.3
    scores = random.normal(same * 1.0, 1.0)
    roc = metrics.Sorted.of(scores, same).roc()
    curve = roc.curve(at_most=500)
    assert 400 < len(curve["far"]) <= 500
    assert curve["far"] == sorted(curve["far"]) and curve["tar"] == sorted(curve["tar"])
    assert curve["far"][-1] == curve["tar"][-1] == 1.0
    for far, tar, threshold in list(zip(*curve.values(), strict=True))[::50]:
        assert far == np.mean(scores[~same] >= threshold) and tar == np.mean(scores[same] >= threshold)


@pytest.mark.parametrize(("far", "name"), [(1e-3, "1e-3"), (0.1, "1e-1"), (1e-6, "1e-6"), (2.5e-4, "2.5e-4")])
def test_the_name_of_a_far(far, name):
    assert metrics.far_name(far) == name


# --- spread ---


@pytest.mark.parametrize("seed", SEEDS)
def test_the_jackknife_is_the_figure_of_the_pairs_that_remain(seed):
    scores, same = scored_pairs(seed, 400)
    random = np.random.default_rng(seed)
    first, second = random.integers(0, 7, 400), random.integers(0, 7, 400)
    figures = {"auc": metrics.Roc.auc, "eer": metrics.Roc.eer, "tar_at_far_1e-1": lambda roc: roc.tar_at_far(0.1)}
    found = metrics.jackknife_verification(metrics.Sorted.of(scores, same), first, second, [0.1])
    assert set(found) == set(figures) and {clusters.kind for clusters in found.values()} == {"jackknife"}
    for label in range(7):
        rest = (first != label) & (second != label)
        again = metrics.Sorted.of(scores[rest], same[rest]).roc()
        for name, figure in figures.items():
            assert found[name].values[label] == figure(again)


def test_no_jackknife_where_leaving_one_out_leaves_no_impostors():
    pairs = metrics.Sorted.of(np.array([1.0, 0.0]), np.array([True, False]))
    assert metrics.jackknife_verification(pairs, np.array([0, 0]), np.array([0, 1]), [0.1]) == {}


def test_the_jackknife_of_a_mean_leaves_out_one_owner_at_a_time():
    values, owners = np.array([1.0, 0.0, 1.0, 1.0, 0.0]), np.array([4, 4, 7, 9, 9])
    assert metrics.jackknife_mean(values, owners).values == pytest.approx([2 / 3, 2 / 4, 2 / 3])
    assert metrics.jackknife_mean(values, np.zeros(5)) is None


def test_clusters_are_whole_people_dealt_out_by_weight():
    assert metrics.person_clusters({0: 1, 1: 5, 2: 3, 3: 3}, at_most=2) == {1: 0, 2: 1, 3: 0, 0: 1}
    assert sorted(metrics.person_clusters(dict.fromkeys(range(50), 1)).values()) == list(range(50))


# --- identification ---


def test_cmc_counts_a_hit_iff_fewer_than_k_distractors_are_as_good():
    better = np.array([0, 0, 1, 3, 9, 100])
    literal = [sum(b < k for b in better) / 6 for k in range(1, 11)]
    assert metrics.cmc(better, 10).tolist() == pytest.approx(literal)


def test_effective_identities_and_macro_average():
    owners = np.array([3, 3, 3, 3, 3, 3, 8, 8, 5, 5])
    shares = metrics.Shares.of(owners)
    assert shares.largest == 0.6 and shares.effective == pytest.approx(100 / (36 + 4 + 4))
    assert shares.mark() == "2.3 effective identities, the largest has 60.0% of the trials"
    assert metrics.Shares.of(np.arange(30)).mark() is None
    macro, each = metrics.macro_average(np.array([1, 1, 1, 0, 0, 0, 1, 1, 0, 0]), owners)
    assert each.tolist() == [0.5, 0.0, 1.0] and macro == 0.5
