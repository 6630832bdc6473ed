"""Each loss against its paper: literal float64 references by loops, golden values, and what makes it the paper's."""

import math

import numpy as np
import pytest
import torch
from made_up_batches import CLASSES, DIM, batch, make

import losses


def reference_softmax(x, y, weight, bias):
    total = 0.0
    for i in range(len(x)):
        logits = [float(np.dot(weight[j], x[i]) + bias[j]) for j in range(len(weight))]
        total -= logits[y[i]] - math.log(sum(math.exp(v) for v in logits))
    return total / len(x)


def reference_lmcl(x, y, weight, scale, margin):
    total = 0.0
    for i in range(len(x)):
        cosine = [float(np.dot(w, x[i]) / math.sqrt(np.dot(w, w)) / math.sqrt(np.dot(x[i], x[i]))) for w in weight]
        own = math.exp(scale * (cosine[y[i]] - margin))
        others = sum(math.exp(scale * cosine[j]) for j in range(len(weight)) if j != y[i])
        total -= math.log(own / (own + others))
    return total / len(x)


def reference_center(x, y, centers):
    """Eq. 2, over the batch size."""
    return sum(0.5 * float(np.sum((x[i] - centers[y[i]]) ** 2)) for i in range(len(x))) / len(x)


def reference_move(x, y, centers, rate):
    """Eq. 4 and line 6 of Algorithm 1."""
    moved = centers.copy()
    for j in range(len(centers)):
        above, count = np.zeros(centers.shape[1]), 0
        for i in range(len(x)):
            if y[i] == j:
                above, count = above + (centers[j] - x[i]), count + 1
        moved[j] = centers[j] - rate * above / (1 + count)
    return moved


def test_softmax_equals_its_formula():
    x, y = batch()
    criterion = make("softmax").double()
    with torch.no_grad():
        criterion.bias.normal_()
    expected = reference_softmax(
        x.numpy(), y.numpy(), criterion.weight.detach().numpy(), criterion.bias.detach().numpy()
    )
    assert criterion(x, y).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("name", "hyper", "margin"), [("nsl", {}, 0.0), ("lmcl", {"margin": 0.35}, 0.35)])
def test_cosine_losses_equal_their_formula(name, hyper, margin):
    x, y = batch()
    criterion = make(name, scale=17.0, **hyper).double()
    expected = reference_lmcl(x.numpy(), y.numpy(), criterion.weight.detach().numpy(), 17.0, margin)
    assert criterion(x, y).item() == pytest.approx(expected, abs=1e-12)


def test_center_equals_its_formula_and_moves_by_equation_4():
    x, y = batch()
    criterion = make("center", center_weight=0.7, center_rate=0.3).double()
    before = criterion.centers.numpy().copy()
    softmax = criterion.softmax(x, y).item()
    loss = criterion(x, y).item()
    assert loss == pytest.approx(softmax + 0.7 * reference_center(x.numpy(), y.numpy(), before), abs=1e-12)
    np.testing.assert_allclose(criterion.centers.numpy(), reference_move(x.numpy(), y.numpy(), before, 0.3), atol=1e-12)


def test_center_golden_values():
    x = torch.tensor([[1.0, 2], [3, 0], [-1, 1], [2, 2]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 0, 1, 0])
    criterion = losses.create("center", 3, 2, center_weight=1.0, center_rate=0.5).double()
    criterion.centers.copy_(torch.tensor([[0.5, 0.5], [0, 0], [1, 1]]))
    old = criterion.centers.clone()
    apart = criterion(x, y) - criterion.softmax(x, y)
    assert 4 * apart.item() == pytest.approx(7.75, abs=1e-12)
    (gradient,) = torch.autograd.grad(apart, x)
    torch.testing.assert_close(4 * gradient, (x - old[y]).detach())  # eq. 3, with the centres of before
    expected = torch.tensor([[1.0625, 0.8125], [-0.25, 0.25], [1, 1]], dtype=torch.float64)
    torch.testing.assert_close(criterion.centers, expected, rtol=0, atol=1e-12)
    assert torch.equal(criterion.centers[2], old[2])  # an absent class does not move by a bit


@pytest.mark.parametrize(
    ("name", "hyper", "golden"),
    [
        ("lmcl", {"scale": 64.0, "margin": 0.35}, 3.239953333),
        ("lmcl", {"scale": 10.0, "margin": 0.35}, 0.985413226),
        ("nsl", {"scale": 10.0}, 0.049455610),
    ],
)
def test_cosine_golden_values(name, hyper, golden):
    """cos = (0.6, 0.3, -0.1), y = 0."""
    criterion = losses.create(name, 3, 4, **hyper).double()
    with torch.no_grad():
        criterion.weight.copy_(torch.eye(3, 4))
    rest = math.sqrt(1 - 0.6**2 - 0.3**2 - 0.1**2)
    x = torch.tensor([[0.6, 0.3, -0.1, rest]], dtype=torch.float64)
    assert criterion(x, torch.tensor([0])).item() == pytest.approx(golden, abs=1e-9)


def test_centers_decay_geometrically():
    """n fixed samples of a class: c - mean shrinks by 1 - alpha n / (1 + n) a call."""
    x = torch.tensor([[1.0, 2], [3, 0], [2, 2]], dtype=torch.float64)
    y = torch.zeros(3, dtype=torch.int64)
    criterion = losses.create("center", 2, 2, center_rate=0.4).double()
    start = criterion.centers[0] - x.mean(0)
    for _ in range(6):
        criterion(x, y)
    torch.testing.assert_close(criterion.centers[0] - x.mean(0), start * (1 - 0.4 * 3 / 4) ** 6, rtol=0, atol=1e-12)


def train(name, **hyper):
    """A few steps of SGD with momentum and decay on a small network; its weights and the criterion."""
    torch.manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Linear(6, DIM), torch.nn.PReLU(), torch.nn.Linear(DIM, DIM))
    criterion = losses.create(name, CLASSES, DIM, **hyper)
    optimizer = torch.optim.SGD([*network.parameters(), *criterion.parameters()], 0.1, momentum=0.9, weight_decay=1e-2)
    generator = torch.Generator().manual_seed(5)
    for _ in range(8):
        x, y = torch.randn(16, 6, generator=generator), torch.randint(0, CLASSES, (16,), generator=generator)
        optimizer.zero_grad()
        criterion(network(x), y).backward()
        optimizer.step()
    return network.state_dict(), criterion


def test_lambda_zero_is_softmax_bit_for_bit():
    joint, _ = train("center", center_weight=0.0)
    plain, _ = train("softmax")
    other, _ = train("center", center_weight=0.1)
    assert all(torch.equal(joint[key], plain[key]) for key in plain)
    assert not all(torch.equal(other[key], plain[key]) for key in plain)


def test_alpha_zero_freezes_the_centers_against_optimiser_and_decay():
    torch.manual_seed(3)
    torch.nn.Sequential(torch.nn.Linear(6, DIM), torch.nn.PReLU(), torch.nn.Linear(DIM, DIM))  # as train draws
    start = losses.create("center", CLASSES, DIM).centers
    _, criterion = train("center", center_rate=0.0)
    assert torch.equal(criterion.centers, start)


def test_the_centers_are_a_buffer():
    criterion = make("center")
    assert "centers" in dict(criterion.named_buffers())
    assert all("centers" not in name for name, _ in criterion.named_parameters())


def test_margin_zero_is_nsl():
    x, y = batch()
    lmcl, nsl = make("lmcl", scale=30.0, margin=0.0).double(), make("nsl", scale=30.0).double()
    assert lmcl(x, y).item() == pytest.approx(nsl(x, y).item(), abs=1e-12)


def test_a_margin_only_raises_the_loss():
    x, y = batch()
    values = [make("lmcl", scale=30.0, margin=m).double()(x, y).item() for m in (0.0, 0.1, 0.2, 0.35, 0.5)]
    assert values == sorted(values) and values[0] < values[-1]


@pytest.mark.parametrize("name", ["nsl", "lmcl"])
def test_the_length_of_an_embedding_does_not_matter(name):
    x, y = batch()
    x.requires_grad_()
    criterion = make(name).double()
    loss = criterion(x, y)
    assert criterion(7.5 * x, y).item() == pytest.approx(loss.item(), abs=1e-10)
    (gradient,) = torch.autograd.grad(loss, x)
    assert (x * gradient).sum(1).abs().max() < 1e-12  # the gradient is tangential


def test_margin_warm_up_rises_linearly_is_saved_and_leaves_eval_alone():
    x, y = batch()
    warm = make("lmcl", margin=0.4, margin_warmup_steps=4).double()
    seen = [warm(x, y).item() for _ in range(6)]
    for step, value in enumerate(seen):
        assert value == pytest.approx(make("lmcl", margin=0.4 * min(1, step / 4)).double()(x, y).item(), abs=1e-12)
    full = make("lmcl", margin=0.4).double()(x, y).item()
    fresh = make("lmcl", margin=0.4, margin_warmup_steps=4).double()
    assert fresh.eval()(x, y).item() == pytest.approx(full, abs=1e-12)
    fresh.train().load_state_dict(warm.state_dict())
    assert fresh(x, y).item() == pytest.approx(full, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("hinge", {}, "no 'hinge' in losses; there is: center, lmcl, nsl, softmax"),
        ("lmcl", {"marign": 0.2}, "loss 'lmcl' has no hyper-parameter 'marign'; it has: scale, margin"),
        ("lmcl", {"margin": -0.1}, "margin must be >= 0, got -0.1"),
        ("lmcl", {"scale": 0.0}, "scale must be > 0, got 0.0"),
        ("center", {"center_rate": 1.5}, "center_rate must be between 0 and 1, got 1.5"),
        ("center", {"center_weight": float("nan")}, "center_weight must be >= 0, got nan"),
    ],
)
def test_a_wrong_request_is_answered(name, hyper, message):
    with pytest.raises(ValueError, match=message):
        make(name, **hyper)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="num_classes >= 2"):
        losses.create("softmax", 1, DIM)


def test_aliases_and_classes():
    from losses import LMCL

    assert isinstance(make("cosface"), LMCL)
    assert losses.canonical("cosface") == "lmcl"
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        losses.Nonsense  # noqa: B018
