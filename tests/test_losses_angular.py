"""A-Softmax and L-Softmax: psi (acceptance A15), the annealing, the released backward."""

import math

import literal_margins as literal
import numpy as np
import pytest
import torch
from made_up_batches import batch, make

from losses._angles import psi, psi_slope
from losses._annealing import Annealing

PLAIN = {"annealing_base": 0.0, "annealing_floor": 0.0}  # no annealing: the margin alone


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_psi_is_continuous_and_falls(m):
    theta = torch.linspace(0, math.pi, 10_001, dtype=torch.float64)
    values = psi(theta.cos(), m)
    steps = values.diff()
    assert steps.max() <= 1e-12
    assert steps.min() > -1.01 * m * math.pi / 10_000  # nowhere steeper than m: no jump
    assert values[0] == 1 and values[-1] == pytest.approx(-(2 * m - 1), abs=1e-12)
    expected = [literal.psi(float(t), m) for t in theta]
    np.testing.assert_allclose(values.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_the_slope_of_psi_is_its_derivative(m):
    cosine = torch.linspace(-1, 1, 999, dtype=torch.float64).requires_grad_()
    (derivative,) = torch.autograd.grad(psi(cosine, m).sum(), cosine)
    torch.testing.assert_close(psi_slope(cosine, m), derivative)


def modified_softmax(x, y, weight):
    return torch.nn.functional.cross_entropy(x @ torch.nn.functional.normalize(weight).T, y).item()


@pytest.mark.parametrize("hyper", [{"margin": 1} | PLAIN, {"margin": 1}, {"margin": 4, "annealing_floor": 1e12}])
def test_margin_one_or_endless_annealing_is_modified_softmax(hyper):
    x, y = batch()
    criterion = make("asoftmax", **hyper).double()
    expected = modified_softmax(x, y, criterion.weight.detach())
    assert criterion(x, y).item() == pytest.approx(expected, abs=1e-10)


def test_lsoftmax_with_margin_one_is_softmax_without_bias():
    x, y = batch()
    x.requires_grad_()
    pair = [make("lsoftmax", margin=1, **PLAIN).double(), make("softmax", bias=False).double()]
    one, other = (criterion(x, y) for criterion in pair)
    assert one.item() == pytest.approx(other.item(), abs=1e-12)
    first, second = (torch.autograd.grad(loss, (x, p.weight)) for loss, p in zip((one, other), pair, strict=True))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-12)


# annealing


@pytest.mark.parametrize(
    ("hyper", "expected"),
    [
        (
            (1000.0, 0.12, 1.0, 5.0),
            {0: 1000, 1: 892.857142857, 100: 76.9230769231, 1658: 5.00100020004, 1659: 5, 10**6: 5},
        ),
        (
            (1000.0, 2.5e-5, 35.0, 0.0),
            {0: 1000, 1: 999.125393629, 8727: 1.00037104833, 8728: 0.999652759575, 40_000: 1000 / 2**35},
        ),
    ],
)
def test_the_annealing_has_the_papers_values(hyper, expected):
    annealing = Annealing(*hyper).eval()
    for step, value in expected.items():
        annealing.count.fill_(step)
        assert annealing.weight().item() == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("name", ["asoftmax", "lsoftmax"])
def test_training_calls_are_counted_saved_and_resumed(name):
    x, y = batch()
    criterion = make(name, annealing_rate=0.1).double()
    scores = literal.asoftmax if name == "asoftmax" else literal.lsoftmax
    at, weight = x.numpy(), criterion.weight.detach().numpy()
    for call in (1, 2, 3):
        mixed = criterion.annealing.base * (1 + 0.1 * call) ** -criterion.annealing.power
        expected = literal.loss(at, y.tolist(), weight, scores, m=4, mixed=max(mixed, criterion.annealing.floor))
        assert criterion(x, y).item() == pytest.approx(expected, abs=1e-10)
    assert criterion.eval()(x, y).item() == pytest.approx(expected, abs=1e-10)  # the last call's lambda
    assert criterion.state_dict()["annealing.count"] == 3
    resumed = make(name, seed=9, annealing_rate=0.1).double()
    resumed.load_state_dict(criterion.state_dict())
    assert resumed(x, y).item() == criterion.train()(x, y).item()
    assert abs(resumed(x, y).item() - expected) > 1e-6  # lambda has gone on


# the released backward of A-Softmax


@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("floor", [0.0, 5.0])
def test_gradient_rescaling_is_the_released_backward(m, floor):
    x, y = literal.far_batch()
    x.requires_grad_()
    hyper = {"margin": m, "annealing_base": 0.0, "annealing_floor": floor}
    plain, criterion = make("asoftmax", **hyper).double(), make("asoftmax", gradient_rescaling=True, **hyper).double()
    loss = criterion(x, y)
    assert loss.item() == plain(x, y).item()  # only the gradient differs
    loss.backward()
    lengths = criterion.weight.detach().norm(dim=1, keepdim=True)
    unit = (criterion.weight.detach() / lengths).numpy()
    to_x, to_weight = literal.released_gradient(x.detach().numpy(), y.tolist(), unit, m, floor)
    np.testing.assert_allclose(x.grad.numpy(), to_x, atol=1e-12)
    # The released code writes W / ||W|| back after each step; here the normalisation is in the graph.
    tangential = to_weight - (to_weight * unit).sum(1, keepdims=True) * unit
    np.testing.assert_allclose(criterion.weight.grad.numpy(), tangential / lengths.numpy(), atol=1e-12)
