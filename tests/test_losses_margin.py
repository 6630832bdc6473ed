"""The margin losses against their papers: literal references (value and gradient), limits, annealing, error paths."""

import math

import literal_margins as literal
import numpy as np
import pytest
import torch
from made_up_batches import CLASSES, DIM, batch, make

import losses

PLAIN = {"annealing_base": 0.0, "annealing_floor": 0.0}  # no annealing: the margin alone
CASES = {  # name, hyper-parameters, the literal logits and what they take
    "nsl": ("nsl", {"scale": 9.0}, literal.lmcl, {"s": 9.0, "m": 0.0}),
    "lmcl": ("lmcl", {"scale": 9.0, "margin": 0.35}, literal.lmcl, {"s": 9.0, "m": 0.35}),
    "lmcl, features as they are": (
        "lmcl",
        {"scale": 9.0, "margin": 0.35, "normalize_features": False},
        literal.lmcl_without_normalised_features,
        {"m": 0.35},
    ),
    "arcface": ("arcface", {"scale": 9.0, "margin": 0.5}, literal.arcface, {"s": 9.0, "m": 0.5}),
    "arcface, widest": (
        "arcface",
        {"scale": 9.0, "margin": math.pi / 2},
        literal.arcface,
        {"s": 9.0, "m": math.pi / 2},
    ),
    "combined": (
        "combined",
        {"scale": 9.0, "angle_factor": 1.7, "angle_margin": 0.4, "cosine_margin": 0.15},
        literal.combined,
        {"s": 9.0, "m1": 1.7, "m2": 0.4, "m3": 0.15},
    ),
    **{
        f"asoftmax, m = {m}": ("asoftmax", {"margin": m} | PLAIN, literal.asoftmax, {"m": m, "mixed": 0.0})
        for m in (1, 2, 3, 4)
    },
    "asoftmax, first call": ("asoftmax", {}, literal.asoftmax, {"m": 4, "mixed": 1000 / 1.12}),
    "asoftmax, normalised features": (
        "asoftmax",
        {"margin": 3, "normalize_features": True, "scale": 9.0, "annealing_base": 0.0},
        literal.asoftmax,
        {"m": 3, "mixed": 5.0, "size": 9.0},
    ),
    **{
        f"lsoftmax, m = {m}": ("lsoftmax", {"margin": m} | PLAIN, literal.lsoftmax, {"m": m, "mixed": 0.0})
        for m in (1, 2, 3, 4)
    },
    "lsoftmax, first call": ("lsoftmax", {}, literal.lsoftmax, {"m": 4, "mixed": 1000 * (1 + 2.5e-5) ** -35}),
}
COSINE = ["nsl", "lmcl", "arcface", "combined"]  # losses of the angles alone


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_are_those_of_the_formula(case):
    name, hyper, scores, taken = CASES[case]
    x, y = literal.far_batch()
    x.requires_grad_()
    criterion = make(name, **hyper).double()
    loss = criterion(x, y)
    loss.backward()
    at, weight, labels = x.detach().numpy(), criterion.weight.detach().numpy(), y.tolist()
    assert loss.item() == pytest.approx(literal.loss(at, labels, weight, scores, **taken), abs=1e-11)
    to_x = literal.slope(lambda e: literal.loss(e, labels, weight, scores, **taken), at)
    to_weight = literal.slope(lambda w: literal.loss(at, labels, w, scores, **taken), weight)
    np.testing.assert_allclose(x.grad.numpy(), to_x, atol=2e-8)
    np.testing.assert_allclose(criterion.weight.grad.numpy(), to_weight, atol=2e-8)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_the_batch_reaches_beyond_every_fold(m):
    """Or the test above would not see what the losses do there."""
    x, y = literal.far_batch()
    weight = make("nsl").weight.detach().double().numpy()
    own = [literal.cosine(x[i].tolist(), weight[y[i]]) for i in range(len(x))]
    assert min(own) < math.cos((m - 1) * math.pi / m) and min(own) < math.cos(math.pi - 0.5)


# A7


def test_margin_zero_is_nsl_in_value_and_gradient():
    x, y = batch()
    x.requires_grad_()
    for name, hyper in (("lmcl", {"margin": 0.0}), ("arcface", {"margin": 0.0})):
        one, nsl = make(name, scale=30.0, **hyper).double()(x, y), make("nsl", scale=30.0).double()(x, y)
        assert one.item() == pytest.approx(nsl.item(), abs=1e-7)
        gradients = [torch.autograd.grad(loss, x)[0] for loss in (one, nsl)]
        torch.testing.assert_close(*gradients, rtol=0, atol=1e-7)


def test_the_loss_rises_with_the_margin_by_s_times_what_the_posterior_lacks():
    """dL/dm = s (1 - p_y) >= 0, p the posterior with the margin."""
    x, y = batch()
    criterion = make("lmcl", scale=9.0).double()
    criterion.margin = torch.tensor(0.35, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(criterion(x, y), criterion.margin)
    logits = torch.tensor(
        [literal.lmcl(x[i].numpy(), criterion.weight.detach().numpy(), int(y[i]), 9.0, 0.35) for i in range(len(x))],
        dtype=torch.float64,
    )
    lacking = 1 - logits.softmax(1).gather(1, y[:, None])
    assert slope.item() == pytest.approx(9.0 * lacking.mean().item(), abs=1e-10) and slope > 0


@pytest.mark.parametrize("name", [*COSINE, "asoftmax"])
@pytest.mark.parametrize("factor", [1e-3, 0.4, 50.0])
def test_the_length_of_an_embedding_does_not_matter(name, factor):
    x, y = batch()
    x.requires_grad_()
    criterion = make(name, **({"normalize_features": True} if name == "asoftmax" else {})).double().eval()
    loss = criterion(x, y)
    assert criterion(factor * x, y).item() == pytest.approx(loss.item(), abs=1e-9)
    (gradient,) = torch.autograd.grad(loss, x)
    assert (x * gradient).sum(1).abs().max() < 1e-11 and gradient.abs().max() > 1e-3


def test_without_normalised_features_scale_plays_no_part_and_length_does():
    x, y = batch()
    for name in ("lmcl", "asoftmax"):
        one, other = (make(name, normalize_features=False, scale=s).double() for s in (1.0, 64.0))
        assert one(x, y).item() == other(x, y).item()
        assert one(2 * x, y).item() != pytest.approx(one(x, y).item(), rel=1e-3)
        torch.testing.assert_close(one.logits(2 * x), 2 * one.logits(x))


# ArcFace and the combined margin


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5, 1.0, math.pi / 2])
def test_arcface_falls_all_the_way_and_steps_down_where_its_pieces_meet(margin):
    theta = torch.linspace(0, math.pi, 10_001, dtype=torch.float64)
    values = make("arcface", margin=margin).target(theta.cos())
    assert values.diff().max() <= 1e-12
    edge = torch.tensor([math.pi - margin - 1e-9, math.pi - margin + 1e-9], dtype=torch.float64)
    before, after = make("arcface", margin=margin).target(edge.cos()).tolist()
    assert before == pytest.approx(-1, abs=1e-6)
    if margin:
        assert after == pytest.approx(-math.cos(margin) - margin * math.sin(margin), abs=1e-6) and after <= before


@pytest.mark.parametrize("hyper", [(1.0, 0.5, 0.0), (1.35, 0.0, 0.2), (4.0, 0.3, 0.1), (0.9, 0.4, 0.15)])
def test_the_combined_margin_is_continuous_and_falls_all_the_way(hyper):
    names = ("angle_factor", "angle_margin", "cosine_margin")
    criterion = make("combined", **dict(zip(names, hyper, strict=True)))
    theta = torch.linspace(0, math.pi, 10_001, dtype=torch.float64)
    steps = criterion.target(theta.cos()).diff()
    assert steps.max() <= 1e-12 and steps.min() > -1.01 * hyper[0] * math.pi / 10_000


def test_the_combined_margin_holds_the_three_losses():
    x, y = batch()
    cosine = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    only = {"angle_margin": 0.0, "cosine_margin": 0.0}
    lmcl = make("combined", **only | {"cosine_margin": 0.35}).double()
    assert lmcl(x, y).item() == pytest.approx(make("lmcl").double()(x, y).item(), abs=1e-10)
    arcface = make("combined", **only | {"angle_margin": 0.5})
    range_ = cosine[cosine > math.cos(math.pi - 0.5)]
    torch.testing.assert_close(arcface.target(range_), make("arcface").target(range_), rtol=0, atol=1e-7)
    for m in (1, 2, 3, 4):
        sphere = make("combined", scale=9.0, angle_factor=float(m), **only).double()
        other = make("asoftmax", margin=m, normalize_features=True, scale=9.0, **PLAIN).double()
        assert sphere(x, y).item() == pytest.approx(other(x, y).item(), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        *[("arcface", {"margin": m}) for m in (0.0, 0.5, math.pi / 2)],
        *[("combined", {"angle_factor": f}) for f in (0.5, 1.0, 4.0)],
        *[("asoftmax", {"margin": m, "gradient_rescaling": r} | PLAIN) for m in (1, 2, 3, 4) for r in (False, True)],
        *[("lsoftmax", {"margin": m} | PLAIN) for m in (1, 4)],
    ],
)
def test_value_and_gradient_are_finite_at_cosine_plus_and_minus_one(name, hyper, dtype):
    criterion = make(name, **hyper)
    weight = criterion.weight.detach()
    x = torch.cat([weight, 3 * weight, -weight, torch.zeros(CLASSES, DIM)]).to(dtype).requires_grad_()
    loss = criterion(x, torch.arange(CLASSES).repeat(4))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(x.grad).all() and torch.isfinite(criterion.weight.grad).all()


@pytest.mark.parametrize(
    ("name", "full", "half"),
    [
        ("arcface", {"margin": 0.6}, {"margin": 0.3}),
        (
            "combined",
            {"angle_factor": 1.4, "angle_margin": 0.2, "cosine_margin": 0.3},
            {"angle_factor": 1.2, "angle_margin": 0.1, "cosine_margin": 0.15},
        ),
    ],
)
def test_the_margin_may_rise_over_the_first_steps(name, full, half):
    x, y = batch()
    warm = make(name, margin_warmup_steps=2, scale=9.0, **full).double()
    seen = [warm(x, y).item() for _ in range(3)]
    wanted = [make("nsl", scale=9.0), make(name, scale=9.0, **half), make(name, scale=9.0, **full)]
    assert seen == pytest.approx([criterion.double()(x, y).item() for criterion in wanted], abs=1e-9)
    assert warm.state_dict()["ramp.count"] == 3


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("lmcl", {"normalize_features": 1}, "normalize_features must be true or false, got 1"),
        ("arcface", {"margin": -0.1}, "margin must be between 0 and 1.57"),
        ("arcface", {"margin": 28.6}, "margin must be between 0 and 1.57.*, got 28.6"),
        ("arcface", {"scale": 0.0}, "scale must be > 0, got 0.0"),
        ("arcface", {"margin_warmup_steps": 1.5}, "margin_warmup_steps must be a whole number, got 1.5"),
        ("combined", {"angle_factor": 0.0}, "angle_factor must be > 0, got 0.0"),
        ("combined", {"angle_margin": 2.0}, "angle_margin must be between 0 and 1.57.*, got 2.0"),
        ("combined", {"cosine_margin": -0.2}, "cosine_margin must be >= 0, got -0.2"),
        ("asoftmax", {"margin": 2.5}, "margin must be a whole number, got 2.5"),
        ("asoftmax", {"margin": True}, "margin must be a whole number, got True"),
        ("asoftmax", {"margin": 5}, "margin must be between 1 and 4, got 5"),
        ("lsoftmax", {"margin": 0}, "margin must be between 1 and 4, got 0"),
        ("lsoftmax", {"margin": 4.0}, "margin must be a whole number, got 4.0"),
        ("asoftmax", {"scale": -1.0}, "scale must be > 0, got -1.0"),
        ("asoftmax", {"normalize_features": "no"}, "normalize_features must be true or false, got 'no'"),
        ("asoftmax", {"gradient_rescaling": 1}, "gradient_rescaling must be true or false, got 1"),
        *[
            (name, {f"annealing_{part}": -1.0}, f"annealing_{part} must be >= 0, got -1.0")
            for name in ("asoftmax", "lsoftmax")
            for part in ("base", "rate", "power", "floor")
        ],
    ],
)
def test_a_wrong_hyper_parameter_is_answered_in_one_sentence(name, hyper, message):
    with pytest.raises(ValueError, match=message) as answer:
        losses.create(name, CLASSES, DIM, **hyper)
    assert "\n" not in str(answer.value)
