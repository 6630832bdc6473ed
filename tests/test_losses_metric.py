"""Contrastive loss and DeepID2 against literal loops: the hinge, and the margin that follows the pairs (A16)."""

import itertools
import math

import numpy as np
import pytest
import torch
from made_up_batches import BATCH, DIM, batch, crowded, make, slope, value_and_gradients

import losses
from losses._contrastive import Margin, best_threshold, pairs


def reference_contrastive(x, y, margin, balanced):
    together, apart = [], []
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            distance = math.sqrt(sum((x[i][k] - x[j][k]) ** 2 for k in range(DIM)))
            if y[i] == y[j]:
                together.append(0.5 * distance**2)
            else:
                apart.append(0.5 * max(0.0, margin - distance) ** 2)
    if balanced:
        return (sum(together) / max(1, len(together)) + sum(apart) / max(1, len(apart))) / 2
    return (sum(together) + sum(apart)) / (len(together) + len(apart))


@pytest.mark.parametrize("margin", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("balanced", [True, False])
def test_contrastive_equals_its_formula(margin, balanced):
    x, y = crowded()
    criterion = make("contrastive", margin=margin, balanced=balanced)
    assert criterion(x, y).item() == pytest.approx(reference_contrastive(x.numpy(), y, margin, balanced), abs=1e-12)


def test_deepid2_is_softmax_plus_lambda_contrastive():
    x, y = crowded()
    assert losses.defaults("deepid2")["verification_weight"] == 0.05
    joint = make("deepid2", verification_weight=0.3, margin=2.0).double()
    expected = make("softmax").double()(x, y).item() + 0.3 * reference_contrastive(x.numpy(), y, 2.0, True)
    assert joint(x, y).item() == pytest.approx(expected, abs=1e-12)


def test_deepid2_with_lambda_zero_is_softmax_bit_for_bit():
    x, y = batch(torch.float32)
    plain, joint = make("softmax"), make("deepid2", verification_weight=0.0)
    first, second = value_and_gradients(plain, x, y), value_and_gradients(joint, x, y)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert torch.equal(first[2]["weight"], second[2]["base.weight"])


def two(distance):
    """Two embeddings at a distance, not along an axis."""
    direction = torch.tensor([3.0, 0, 4, 0, 12], dtype=torch.float64) / 13
    return torch.stack([torch.ones(DIM, dtype=torch.float64), 1 + distance * direction])


@pytest.mark.parametrize("distance", [0.3, 1.49, 1.51, 4.0])
@pytest.mark.parametrize("same", [True, False])
def test_the_contrastive_hinge_is_at_the_unsquared_distance(distance, same):
    """Value and gradient of one pair on both sides of m = 1.5."""
    x, y = two(distance), torch.tensor([2, 2 if same else 3])
    criterion = make("contrastive", margin=1.5, balanced=False)
    loss, gradient, _ = value_and_gradients(criterion, x, y)
    expected = distance**2 / 2 if same else max(0, 1.5 - distance) ** 2 / 2
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    torch.testing.assert_close(gradient, slope(criterion, x, y), rtol=1e-6, atol=1e-8)
    assert gradient.any() == (same or distance < 1.5)


def test_equal_embeddings_of_two_identities_have_a_finite_gradient():
    x = two(0.0)
    loss, gradient, _ = value_and_gradients(make("contrastive", margin=1.5, balanced=False), x, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(1.5**2 / 2) and not gradient.any()


def test_pairs_are_all_pairs():
    x, y = crowded()
    distances, same = pairs(x, y)
    expected = [(i, j) for i in range(BATCH) for j in range(i + 1, BATCH)]
    assert len(distances) == len(expected) == BATCH * (BATCH - 1) // 2
    for (i, j), distance, one in zip(expected, distances, same, strict=True):
        assert distance.item() == pytest.approx(math.dist(x[i], x[j]), abs=1e-12) and one == (y[i] == y[j])


def reference_threshold(distances, same):
    """The least mean of the error rates over all thresholds between two neighbouring distances, by counting."""
    values, ones = sorted(set(distances)), sum(same)
    best = (math.inf, 0.0)
    for low, high in itertools.pairwise(values):
        cut = (low + high) / 2
        missed = sum(s and d >= cut for d, s in zip(distances, same, strict=True)) / ones
        accepted = sum(not s and d < cut for d, s in zip(distances, same, strict=True)) / (len(same) - ones)
        best = min(best, ((missed + accepted) / 2, cut))
    return best


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_has_the_least_verification_error(seed):
    random = np.random.default_rng(seed)
    same = random.random(60) < 0.2
    distances = (random.normal(2.0 - same, 0.6).clip(0.1) * 8).round() / 8  # with ties, exact in float32
    error, cut = reference_threshold(distances.tolist(), same.tolist())
    assert error < 0.5
    assert best_threshold(torch.from_numpy(distances), torch.from_numpy(same)).item() == pytest.approx(cut, abs=1e-12)


@pytest.mark.parametrize(
    ("distances", "same"),
    [
        ([1.0, 2, 3], [True] * 3),
        ([1.0, 2, 3], [False] * 3),
        ([1.0, 1, 1], [True, False, True]),
        ([1.0, 2], [False, True]),
    ],
)
def test_where_no_threshold_beats_a_guess_there_is_none(distances, same):
    assert best_threshold(torch.tensor(distances), torch.tensor(same)) is None


@pytest.mark.parametrize("chunk", [1, 7, 20, 65])
def test_the_margin_is_reset_after_every_window_of_pairs_from_the_last_of_them(chunk):
    random = np.random.default_rng(chunk)
    same = random.random(130) < 0.4
    distances = random.normal(3.0 - 2 * same, 0.5).astype(np.float32)
    margin, expected, resets = Margin(9.0, True, 20), 9.0, 0
    for start in range(0, len(same), chunk):
        end = min(start + chunk, len(same))
        margin.observe(torch.from_numpy(distances[start:end]), torch.from_numpy(same[start:end]))
        if end // 20 > start // 20:
            recent = slice(end - 20, end)
            expected, resets = reference_threshold(distances[recent].tolist(), same[recent].tolist())[1], resets + 1
        assert float(margin()) == pytest.approx(expected, abs=1e-6)
    assert resets >= 2


@pytest.mark.parametrize("name", ["contrastive", "deepid2"])
def test_an_adapting_margin_is_used_from_the_next_call_on_saved_and_still_in_eval(name):
    x, y = crowded(spread=0.1)
    options = {"adapt_margin": True, "margin": 0.01, "margin_pairs": BATCH * (BATCH - 1) // 2}
    first = make(name, **options)
    verification = first if name == "contrastive" else first.term
    fixed = make(name, margin=0.01)(x.float(), y).item()
    assert first.eval()(x.float(), y).item() == pytest.approx(fixed, abs=1e-6)
    assert first.train()(x.float(), y).item() == pytest.approx(fixed, abs=1e-6)
    adapted = reference_threshold(*(part.tolist() for part in pairs(x, y)))[1]
    assert adapted > 0.1 and float(verification.margin()) == pytest.approx(adapted, rel=1e-6)
    assert first(x.float(), y).item() == pytest.approx(make(name, margin=adapted)(x.float(), y).item(), rel=1e-5)
    second = make(name, **options)
    second.load_state_dict(first.state_dict())
    for seed in range(3):
        x, y = crowded(seed)
        assert first(x.float(), y).item() == second(x.float(), y).item()
    assert all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("contrastive", {"margin": 0.0}, "margin must be > 0, got 0.0"),
        ("contrastive", {"balanced": "yes"}, "balanced must be true or false, got 'yes'"),
        ("contrastive", {"margin_pairs": 1}, "margin_pairs must be >= 2, got 1"),
        ("deepid2", {"margin_pairs": 2.5}, "margin_pairs must be a whole number, got 2.5"),
        ("deepid2", {"verification_weight": -0.1}, "verification_weight must be >= 0, got -0.1"),
    ],
)
def test_a_wrong_hyper_parameter_is_answered(name, hyper, message):
    with pytest.raises(ValueError, match=message):
        make(name, **hyper)


def test_they_say_how_many_images_of_an_identity_they_need():
    needed = {name: losses.images_per_identity(name) for name in ("contrastive", "deepid2", "triplet", "softmax")}
    assert needed == {"contrastive": 2, "deepid2": 2, "triplet": 4, "softmax": 1}


def test_one_class_is_refused():
    for name in ("contrastive", "triplet", "deepid2"):
        with pytest.raises(ValueError, match="num_classes >= 2"):
            losses.create(name, 1, DIM)
