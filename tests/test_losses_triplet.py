"""Triplet loss against literal loops: its hinge, its mining, and what it does where nothing is to be learned (A16)."""

import math

import numpy as np
import pytest
import torch
from made_up_batches import BATCH, DIM, crowded, make, slope, value_and_gradients


def reference_triplets(x, y, margin, mining):
    """Each chosen (a, p, n) with its violation, as the paper's text says it, with no array operation."""
    unit = [row / math.sqrt(float(np.dot(row, row))) for row in x]
    near = [[float(np.sum((a - b) ** 2)) for b in unit] for a in unit]
    found = {}
    for a in range(len(x)):
        for p in range(len(x)):
            if a == p or y[a] != y[p]:
                continue
            others = [n for n in range(len(x)) if y[n] != y[a]]
            if mining == "semihard":
                others = [n for n in others if near[a][p] < near[a][n] < near[a][p] + margin]
            if mining != "all":
                others = sorted(others, key=lambda n: near[a][n])[:1]
            for n in others:
                found[a, p, n] = max(0.0, near[a][p] - near[a][n] + margin)
    return found


@pytest.mark.parametrize("mining", ["semihard", "all", "hard"])
@pytest.mark.parametrize("margin", [0.2, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_triplet_equals_its_formula_on_the_triplets_of_the_paper(mining, margin, seed):
    x, y = crowded(seed)
    criterion = make("triplet", mining=mining, margin=margin)
    expected = reference_triplets(x.numpy(), y.tolist(), margin, mining)
    assert expected
    assert {tuple(row) for row in criterion.triplets(x, y).tolist()} == set(expected)
    assert criterion(x, y).item() == pytest.approx(sum(expected.values()) / len(expected), abs=1e-12)
    assert criterion.empty == 0


@pytest.mark.parametrize("margin", [0.05, 0.2, 1.0])
def test_semihard_negatives_lie_beyond_the_positive_and_within_the_margin(margin):
    """d_ap < d_an < d_ap + alpha, both strictly; in a batch that has nearer and farther negatives too."""
    x, y = crowded(spread=1.5)
    unit = torch.nn.functional.normalize(x)
    a, p, n = make("triplet", margin=margin).triplets(x, y).T
    d_ap, d_an = (unit[a] - unit[p]).square().sum(1), (unit[a] - unit[n]).square().sum(1)
    assert len(a) and ((d_ap < d_an) & (d_an < d_ap + margin)).all()
    assert (y[a] == y[p]).all() and (y[a] != y[n]).all() and (a != p).all()
    a, p, n = make("triplet", margin=margin, mining="all").triplets(x, y).T
    d_ap, d_an = (unit[a] - unit[p]).square().sum(1), (unit[a] - unit[n]).square().sum(1)
    assert (d_an < d_ap).any() and (d_an > d_ap + margin).any()


def on_circle(*degrees):
    """Unit vectors in a plane: their squared distances are 2 - 2 cos of the angles between them."""
    radians = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.nn.functional.pad(torch.stack([radians.cos(), radians.sin()], dim=1), (0, DIM - 2))


# a at 0 and p at 60 degrees: d_ap = 1. With alpha = 0.2 the hinge is at d_an = 1.2, an angle of 66.42 degrees.
@pytest.mark.parametrize("negative", [66.3, 66.5, 150.0, 50.0])
def test_the_triplet_hinge_is_at_the_margin(negative):
    x, y = 2.5 * on_circle(0, 60, -negative), torch.tensor([0, 0, 1])
    criterion = make("triplet", mining="all")
    loss, gradient, _ = value_and_gradients(criterion, x, y)

    def squared(degrees):
        return 2 - 2 * math.cos(math.radians(degrees))

    violations = [max(0, squared(60) - squared(d) + 0.2) for d in (negative, 60 + negative)]
    assert loss.item() == pytest.approx(sum(violations) / 2, abs=1e-12)
    torch.testing.assert_close(gradient, slope(criterion, x, y), rtol=1e-6, atol=1e-8)
    assert gradient.any() == (negative < 66.42)


@pytest.mark.parametrize(("negative", "chosen"), [(59.9, 0), (60.0, 0), (60.1, 1), (66.4, 1), (66.5, 0)])
def test_the_bounds_of_semihard_are_where_the_paper_has_them(negative, chosen):
    """Of both anchors only the one at 0 degrees can have a semi-hard negative: the other one is far from it."""
    x, y = on_circle(0, 60, -negative), torch.tensor([0, 0, 1])
    assert len(make("triplet").triplets(x, y)) == chosen


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("margin", [0.2, 0.7])
def test_collapsed_embeddings_cost_exactly_the_margin(dtype, margin):
    x = torch.randn(1, DIM, dtype=dtype, generator=torch.Generator().manual_seed(4)).repeat(BATCH, 1)
    y = torch.arange(BATCH) % 3
    for mining in ("all", "hard"):
        loss, gradient, _ = value_and_gradients(make("triplet", mining=mining, margin=margin), x, y)
        # Each violation is the margin exactly; their mean is, up to the rounding of a sum.
        assert loss.item() == pytest.approx(margin, rel=4 * torch.finfo(dtype).eps)
        assert torch.isfinite(gradient).all()


COLLAPSED = (torch.ones(4, DIM), torch.tensor([0, 0, 1, 1]))
FAR = (on_circle(0, 1, 120, 121).float(), torch.tensor([0, 0, 1, 1]))
ONE_CLASS = (on_circle(0, 30, 60).float(), torch.tensor([5, 5, 5]))
ALONE = (on_circle(0, 30, 60).float(), torch.tensor([0, 1, 2]))


@pytest.mark.parametrize(
    ("x", "y"), [COLLAPSED, FAR, ONE_CLASS, ALONE], ids=["collapsed", "far", "one class", "no pair"]
)
def test_where_nothing_is_semihard_the_loss_is_zero_and_counted(x, y):
    criterion = make("triplet")
    weights = torch.nn.Linear(DIM, DIM)
    for call in range(3):
        loss = criterion(weights(x) * 0 + x, y)
        assert loss.item() == 0 and criterion.empty == call + 1
        loss.backward()
    assert weights.weight.grad is not None and torch.equal(weights.weight.grad, torch.zeros(DIM, DIM))
    criterion.eval()(x, y)
    assert criterion.empty == 3 and criterion.state_dict()["empty"] == 3


def test_the_length_of_an_embedding_does_not_matter():
    x, y = crowded()
    lengths = torch.linspace(0.2, 5, BATCH, dtype=torch.float64)[:, None]
    criterion = make("triplet", mining="all")
    loss, gradient, _ = value_and_gradients(criterion, x, y)
    assert criterion(lengths * x, y).item() == pytest.approx(loss.item(), abs=1e-12)
    assert (x * gradient).sum(1).abs().max() < 1e-12


def test_mining_the_hardest_raises_the_loss():
    x, y = crowded(spread=1.5)
    hard, every = (make("triplet", mining=mining)(x, y).item() for mining in ("hard", "all"))
    assert hard > every > 0


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"mining": "easy"}, "mining must be one of semihard, all, hard, got 'easy'"),
        ({"margin": -0.2}, "margin must be > 0, got -0.2"),
    ],
)
def test_a_wrong_hyper_parameter_is_answered(hyper, message):
    with pytest.raises(ValueError, match=message):
        make("triplet", **hyper)
