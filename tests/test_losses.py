"""Each loss against its paper: literal float64 references by loops, golden values, and what makes it the paper's."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_batches import DIM, batch, make

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
        ("hinge", {}, f"no 'hinge' in losses; there is: {', '.join(losses.names())} (aliases: cosface, "),
        ("lmcl", {"marign": 0.2}, "loss 'lmcl' has no hyper-parameter 'marign'; it has: scale, margin"),
        ("lmcl", {"margin": -0.1}, "margin must be >= 0, got -0.1"),
        ("lmcl", {"scale": 0.0}, "scale must be > 0, got 0.0"),
        ("center", {"center_weight": 0.0, "softmax_weight": 0.0}, "center_weight and softmax_weight are both 0"),
        ("lmcl", {"scale": float("inf")}, "scale must be a finite number, got inf"),
        ("center", {"center_rate": 1.5}, "center_rate must be between 0 and 1, got 1.5"),
        ("center", {"center_weight": float("nan")}, "center_weight must be >= 0, got nan"),
    ],
)
def test_a_wrong_request_is_answered(name, hyper, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(name, **hyper)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="num_classes >= 2"):
        losses.create("softmax", 1, DIM)


@pytest.mark.parametrize(("alias", "name"), [("cosface", "lmcl"), ("normface", "nsl"), ("sphereface", "asoftmax")])
def test_an_alias_is_the_loss_behind_it(alias, name):
    assert losses.canonical(alias) == name and alias not in losses.names()
    assert type(make(alias)) is type(make(name)) and losses.defaults(alias) == losses.defaults(name)


def test_the_names_are_the_files():
    """Files with a leading underscore are no losses, and no composed name is in the list."""
    files = [path.stem for path in Path(losses.__file__).parent.glob("[a-z]*.py")]
    assert losses.names() == sorted(files) and {"softmax", "center", "lmcl", "triplet", "deepid2"} <= set(files)


def test_classes_and_functions_are_found_without_their_file():
    from losses import LMCL, CenterLoss, Layered, margin_upper_bound, scale_lower_bound

    assert type(make("lmcl")) is LMCL and type(make("center")) is CenterLoss
    assert Layered.__module__ == "losses._layered"
    assert margin_upper_bound(8, 2) == pytest.approx(1 - math.cos(math.pi / 4))
    assert scale_lower_bound(8, 0.9) == pytest.approx(3.625, abs=1e-3)


@pytest.mark.parametrize("name", ["Nonsense", "Tensor", "Ramp", "_Hidden"])
def test_what_a_loss_merely_imports_is_no_part_of_the_package(name):
    with pytest.raises(AttributeError, match=f"module 'losses' has no attribute '{name}'"):
        getattr(losses, name)
