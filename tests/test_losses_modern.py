"""SphereFace2, MagFace, AdaFace, CurricularFace and circle loss against their papers: literal loops, limits, what moves."""

import importlib
import itertools
import math

import literal_modern
import numpy as np
import pytest
import torch
from literal_modern import placed
from made_up_batches import CLASSES, DIM, batch, make

import losses

MODERN = ("adaface", "circle", "curricularface", "magface", "sphereface2")


MAGFACE = {"margin_low": 0.2, "margin_high": 0.7, "length_low": 1.5, "length_high": 2.5}
SPHEREFACE2 = {"scale": 6.0, "margin": 0.3, "positive_weight": 0.6, "loss_weight": 5.0}
CASES = {  # name: loss, hyper-parameters, what its state is set to, and what the reference takes besides
    "circle": ("circle", {"scale": 9.0, "margin": 0.25}, {}, {}),
    "circle, wide": ("circle", {"scale": 3.0, "margin": 0.8}, {}, {}),
    "adaface": (
        "adaface",
        {"scale": 7.0, "margin": 0.4, "concentration": 0.333},
        {"mean": 2.0, "deviation": 0.2},
        {"mean": 2.0, "deviation": 0.2},
    ),
    "magface": ("magface", {"scale": 7.0, "length_weight": 3.0, **MAGFACE}, {}, {}),
    "curricularface, early": (
        "curricularface",
        {"scale": 7.0, "margin": 0.5},
        {"curriculum": 0.0},
        {"curriculum": 0.0},
    ),
    "curricularface, late": ("curricularface", {"scale": 7.0, "margin": 0.5}, {"curriculum": 0.8}, {"curriculum": 0.8}),
    "sphereface2": (
        "sphereface2",
        {"adjustment": 3.0, **SPHEREFACE2},
        {"shared_bias": 0.4},
        {"bias": 0.4, "straight": False},
    ),
    "sphereface2, as released": (
        "sphereface2",
        {"adjustment": 2.5, "straight_through": True, **SPHEREFACE2},
        {"shared_bias": -0.3},
        {"bias": -0.3, "straight": True},
    ),
}


def hard_batch(criterion):
    """The usual batch, but one embedding lies opposite to its class (theta + m > pi), and one almost on it."""
    x, y = batch()
    with torch.no_grad():
        weight = criterion.weight[y]
        x[0] = -2 * weight[0] + 0.1 * x[0]
        x[1] = 3 * weight[1] + 0.05 * x[1]
    return x, y


def slopes(function, values, step=1e-6):
    """Central finite differences by each entry of an array."""
    found = np.zeros_like(values)
    for place in np.ndindex(values.shape):
        above, below = values.copy(), values.copy()
        above[place] += step
        below[place] -= step
        found[place] = (function(above) - function(below)) / (2 * step)
    return found


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradients_are_those_of_the_literal_formula(case):
    name, hyper, state, more = CASES[case]
    criterion = placed(make(name, **hyper), state)
    x, y = hard_batch(criterion)
    at_x, at_w, labels = x.numpy().copy(), criterion.weight.detach().numpy().copy(), y.tolist()
    given = {key: value for key, value in hyper.items() if key != "straight_through"} | more

    def literal(x, w):
        return sum(
            getattr(literal_modern, name)(x[i], labels[i], w, at_x[i], at_w, **given) for i in range(len(x))
        ) / len(x)

    loss = criterion(x.requires_grad_(), y)
    assert loss.item() == pytest.approx(literal(at_x, at_w), abs=1e-12)
    loss.backward()
    np.testing.assert_allclose(x.grad, slopes(lambda v: literal(v, at_w), at_x), rtol=0, atol=1e-7)
    np.testing.assert_allclose(criterion.weight.grad, slopes(lambda v: literal(at_x, v), at_w), rtol=0, atol=1e-7)


def test_the_cases_reach_all_pieces_of_the_formulas():
    x, y = hard_batch(make("circle").double())
    lengths = x.norm(dim=1)
    assert (lengths < 1.5).any() and (lengths > 2.5).any() and ((lengths > 1.5) & (lengths < 2.5)).any()
    quality = placed(make("adaface"), {"mean": 2.0, "deviation": 0.2}).quality(lengths)
    assert (quality == -1).any() and (quality == 1).any() and (quality.abs() < 1).any()
    target = torch.cosine_similarity(x, make("circle").double().weight[y])
    assert (target.acos() < 0.4 * quality).any()  # AdaFace clips the angle at 0
    assert target.min() < -math.cos(0.5) and target.max() > math.cos(0.1)


@pytest.mark.parametrize("name", MODERN)
def test_a_detached_quantity_is_declared_and_nothing_else_is(name):
    """`DETACHED` names what the gradient takes as a constant: exactly then it is not that of finite differences."""
    x, y = batch()
    criterion = make(name).double().eval()
    declared = bool(getattr(importlib.import_module(f"losses.{name}"), "DETACHED", ()))
    agrees = torch.autograd.gradcheck(lambda e: criterion(e, y), x.requires_grad_(), raise_exception=False)
    assert agrees is not declared


@pytest.mark.parametrize("name", MODERN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_embedding_of_length_zero_and_a_batch_of_one_leave_all_finite(name, dtype):
    criterion = make(name)
    for x in (torch.zeros(1, DIM, dtype=dtype), torch.ones(1, DIM, dtype=dtype)):
        x.requires_grad_()
        loss = criterion(x, torch.tensor([2]))
        loss.backward()
        assert loss.isfinite() and x.grad.isfinite().all() and criterion.weight.grad.isfinite().all()
    assert all(value.isfinite().all() for value in criterion.state_dict().values())


@pytest.mark.parametrize("name", MODERN)
def test_logits_are_the_scores_without_margin(name):
    x, _ = batch()
    criterion = make(name).double()
    logits = criterion.logits(x)
    assert logits.shape == (len(x), CLASSES) and criterion.logits(x.bfloat16()).dtype == torch.float32
    expected = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(criterion.weight).T
    assert torch.equal(logits.argsort(1), expected.argsort(1))


def test_circle_of_two_classes_is_log_2_on_its_circle():
    """Eq. 8: cos_j^2 + (cos_y - 1)^2 = 2 m^2 is the decision boundary."""
    criterion = losses.create("circle", 2, 3, scale=50.0, margin=0.25).double()
    with torch.no_grad():
        criterion.weight.copy_(torch.eye(2, 3))
    for turn in (0.0, 0.7, 1.2):
        other, own = 0.25 * math.sqrt(2) * math.sin(turn), 1 - 0.25 * math.sqrt(2) * math.cos(turn)
        values = []
        for cos_y in (own - 0.01, own, own + 0.01):
            x = torch.tensor([[cos_y, other, math.sqrt(1 - cos_y**2 - other**2)]], dtype=torch.float64)
            values.append(criterion(x, torch.tensor([0])).item())
        assert values[1] == pytest.approx(math.log(2), abs=1e-12) and values[0] > values[1] > values[2]


@pytest.mark.parametrize("length", [0.5, 2.0, 30.0])
def test_magface_of_one_margin_is_arcface(length):
    x, y = batch()
    x = length * x
    magface = make("magface", scale=20.0, margin_low=0.4, margin_high=0.4, length_weight=0.0).double()
    assert magface(x, y).item() == pytest.approx(
        make("arcface", scale=20.0, margin=0.4).double()(x, y).item(), abs=1e-12
    )


def test_magface_wants_longer_embeddings_where_the_cosine_is_higher():
    """With lambda_g above its bound there is one best length, and it rises as theta falls; g is lowest at u_a."""
    criterion = losses.create("magface", 2, 2).double()
    with torch.no_grad():
        criterion.weight.copy_(torch.eye(2))
    lengths = torch.arange(10, 110.1, 0.5, dtype=torch.float64)
    best = []
    for theta in (0.9, 0.6, 0.5, 0.4, 0.3, 0.2):
        direction = torch.tensor([[math.cos(theta), math.sin(theta)]], dtype=torch.float64)
        values = [criterion(a * direction, torch.tensor([0])).item() for a in lengths]
        falling = [low < high for high, low in itertools.pairwise(values)]
        assert falling == sorted(falling, reverse=True)  # falls, then rises: one minimum
        best.append(float(lengths[int(np.argmin(values))]))
    assert best == sorted(best) and best[0] < best[-1]
    assert int(criterion.regularizer(lengths).argmin()) == int((lengths - 110).abs().argmin())


def test_magface_does_not_pull_at_lengths_outside_its_range():
    x, y = batch()
    x = (x / x.norm(dim=1, keepdim=True) * torch.tensor([5.0, 50, 200]).repeat(4)[:, None]).requires_grad_()
    make("magface").double()(x, y).backward()
    radial = (x * x.grad).sum(1).abs()
    assert radial[0::3].max() < 1e-12 and radial[2::3].max() < 1e-12 and radial[1::3].min() > 1e-6


@pytest.mark.parametrize(("length", "name"), [(0.01, "arcface"), (20.0, "lmcl")])
def test_adaface_is_arcface_for_the_poorest_and_lmcl_for_mean_images(length, name):
    x, y = batch()
    x = torch.nn.functional.normalize(x) * length
    adaface = placed(make("adaface", scale=20.0, margin=0.4), {"mean": 20.0, "deviation": 1.0})
    assert adaface(x, y).item() == pytest.approx(make(name, scale=20.0, margin=0.4).double()(x, y).item(), abs=1e-12)


def test_curricularface_without_hard_negatives_is_arcface():
    """...whatever t is; with them, a higher t raises the loss."""
    x, y = batch()
    arcface = make("arcface", scale=20.0, margin=0.1).double()
    easy = 3 * arcface.weight.detach()
    labels = torch.arange(CLASSES)
    expected = arcface(easy, labels).item()
    values = []
    for t in (0.0, 0.5, 1.0):
        criterion = placed(make("curricularface", scale=20.0, margin=0.1), {"curriculum": t}).eval()
        assert criterion(easy, labels).item() == pytest.approx(expected, abs=1e-12)
        values.append(criterion(x, y).item())
    assert values[0] < values[1] < values[2]


def test_sphereface2_without_adjustment_and_margin_is_a_logistic_loss_per_class():
    x, y = batch()
    criterion = make("sphereface2", margin=0.0, adjustment=1.0, positive_weight=0.5, loss_weight=1.0).double()
    logistic = torch.nn.functional.binary_cross_entropy_with_logits(
        criterion.logits(x), torch.nn.functional.one_hot(y, CLASSES).double(), reduction="sum"
    )
    assert criterion(x, y).item() == pytest.approx(logistic.item() / len(x) / 40 / 2, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 100, 20_000])
def test_sphereface2_starts_with_the_bias_that_is_best_if_all_cosines_are_zero(classes):
    criterion = losses.create("sphereface2", classes, 2, loss_weight=1.0)
    with torch.no_grad():
        criterion.weight.copy_(torch.tensor([0.0, 1.0]))
    x = torch.tensor([[1.0, 0.0]])
    criterion(x, torch.tensor([0])).backward()
    assert abs(criterion.shared_bias.grad.item()) < 1e-6
    with torch.no_grad():
        least = criterion(x, torch.tensor([0])).item()
        for step in (-1, 1):
            criterion.shared_bias += step
            assert criterion(x, torch.tensor([0])).item() > least
            criterion.shared_bias -= step


def test_sphereface2_takes_a_cosine_below_minus_one_for_minus_one():
    """By rounding, cosines leave [-1, 1]; a broken power of a negative number would be none."""
    criterion = make("sphereface2", adjustment=2.5)
    below = criterion._adjusted(torch.tensor([-1.0000001, -1.0]))
    assert torch.equal(below, torch.tensor([-1.0, -1.0]))


def test_sphereface2_may_keep_its_bias():
    x, y = batch(torch.float32)
    criterion = make("sphereface2", learn_bias=False)
    criterion(x, y).backward()
    assert criterion.shared_bias.grad is None and "shared_bias" in criterion.state_dict()


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("sphereface2", {"margin": -0.1}, "margin must be between 0 and 1, got -0.1"),
        ("sphereface2", {"positive_weight": 1.0}, "positive_weight must be between 1e-06 and 0.999999, got 1.0"),
        ("sphereface2", {"adjustment": 0.5}, "adjustment must be >= 1, got 0.5"),
        ("sphereface2", {"scale": 5000.0}, "scale * margin must be between 0 and 700, got 2000.0"),
        ("sphereface2", {"learn_bias": 1}, "learn_bias must be true or false, got 1"),
        ("magface", {"margin_high": 0.3}, "margin_high must be between 0.45 and 1.57"),
        ("magface", {"length_high": 10.0}, "length_high must be > 10.0, got 10.0"),
        ("magface", {"length_weight": -1}, "length_weight must be >= 0, got -1"),
        ("adaface", {"margin": 2.0}, "margin must be between 0 and 1.57"),
        ("adaface", {"concentration": float("nan")}, "concentration must be >= 0, got nan"),
        ("adaface", {"statistics_rate": 1.5}, "statistics_rate must be between 0 and 1, got 1.5"),
        ("curricularface", {"margin": -0.5}, "margin must be between 0 and 1.57"),
        ("curricularface", {"curriculum_rate": -0.01}, "curriculum_rate must be between 0 and 1, got -0.01"),
        ("circle", {"margin": 1.5}, "margin must be between 0 and 1, got 1.5"),
        ("circle", {"scale": 0}, "scale must be > 0, got 0"),
    ],
)
def test_a_wrong_hyper_parameter_is_named_with_its_range(name, hyper, message):
    with pytest.raises(ValueError) as error:
        make(name, **hyper)
    assert message in str(error.value)
