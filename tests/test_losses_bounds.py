"""The bounds on scale and margin (acceptance A8), and the warning that uses them."""

import math
import warnings

import numpy as np
import pytest
import torch
from literal_margins import lmcl
from made_up_batches import batch, make

import losses
from losses._bounds import margin_upper_bound, scale_lower_bound, violation


def simplex(classes):
    """(C, C): C unit vectors at equal angles, in C - 1 dimensions."""
    rows = torch.eye(classes, dtype=torch.float64) - 1 / classes
    return torch.nn.functional.normalize(rows)


def circle(classes):
    """(C, 2): C unit vectors at equal angles."""
    angle = 2 * math.pi * torch.arange(classes, dtype=torch.float64) / classes
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def centre_posteriors(weight, scale, margin):
    """(..., C, D) -> (..., C): the posterior of its own class at each weight, the margin taken off."""
    weight = torch.nn.functional.normalize(weight, dim=-1)
    own = margin * torch.eye(weight.shape[-2], dtype=weight.dtype)
    return (scale * (weight @ weight.mT - own)).softmax(-1).diagonal(dim1=-2, dim2=-1)


def gaps(weight, features):
    """(..., C, D) twice -> (...): the least cos_y - max_j cos_j over one sample of each class."""
    weight, features = (torch.nn.functional.normalize(rows, dim=-1) for rows in (weight, features))
    cosines = features @ weight.mT
    others = cosines.masked_fill(torch.eye(cosines.shape[-1], dtype=torch.bool), -math.inf)
    return (cosines.diagonal(dim1=-2, dim2=-1) - others.amax(-1)).amin(-1)


SETTINGS = [(c, p, m) for c in (2, 3, 8, 40) for p in (0.6, 0.9, 0.99) for m in (0.0, 0.35, 0.9)]


@pytest.mark.parametrize(("classes", "posterior", "margin"), SETTINGS)
def test_a_simplex_reaches_the_posterior_at_the_bound_and_not_below(classes, posterior, margin):
    scale = scale_lower_bound(classes, posterior, margin)
    found = centre_posteriors(simplex(classes), scale, margin)
    assert found.min().item() == pytest.approx(posterior, abs=1e-9)
    assert found.max().item() == pytest.approx(posterior, abs=1e-9)
    assert centre_posteriors(simplex(classes), 0.999 * scale, margin).max() < posterior


def test_the_posterior_is_that_of_the_loss():
    """-log of the posterior at a weight is LMCL's loss there."""
    weight, scale = simplex(5), scale_lower_bound(5, 0.9, 0.35)
    criterion = losses.create("lmcl", 5, 5, scale=scale, margin=0.35).double()
    with torch.no_grad():
        criterion.weight.copy_(weight)
    assert math.exp(-criterion(weight, torch.arange(5)).item()) == pytest.approx(0.9, abs=1e-9)
    logits = np.exp(lmcl(weight[0].numpy(), weight.numpy(), 0, scale, 0.35))
    assert logits[0] / logits.sum() == pytest.approx(0.9, abs=1e-9)


@pytest.mark.parametrize(("classes", "posterior", "margin"), [s for s in SETTINGS if s[0] in (3, 8)])
def test_no_weights_beat_the_bound_on_the_scale(classes, posterior, margin):
    scale = scale_lower_bound(classes, posterior, margin)
    generator = torch.Generator().manual_seed(classes)
    weight = torch.randn(50, classes, classes + 2, dtype=torch.float64, generator=generator)
    assert centre_posteriors(weight, scale, margin).amin(-1).max() < posterior
    weight.requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=0.05)
    for _ in range(60):  # nor do weights that are searched for
        optimizer.zero_grad()
        (-centre_posteriors(weight, scale, margin).log().mean()).backward()
        optimizer.step()
    best = centre_posteriors(weight.detach(), scale, margin).amin(-1).max().item()
    assert 0.98 * posterior < best <= posterior + 1e-9


@pytest.mark.parametrize(
    ("classes", "posterior", "margin", "expected"),
    [
        (8, 0.9, 0.0, 3.625),
        (8, 0.99, 0.0, 5.723),
        (10, 0.9, 0.0, 3.955),
        (10, 0.99, 0.0, 6.113),
        (10575, 0.9, 0.0, 11.462),
        (10575, 0.99, 0.0, 13.860),
        (17189, 0.9, 0.0, 11.9485),
        (17189, 0.99, 0.0, 14.346),
        (10575, 0.9, 0.35, 17.63),
    ],
)
def test_golden_scales(classes, posterior, margin, expected):
    assert scale_lower_bound(classes, posterior, margin) == pytest.approx(expected, abs=6e-4 if margin == 0 else 6e-3)


def test_the_bound_without_margin_lets_the_posterior_fall_with_one():
    """s = 11.46 for 10,575 classes: with m = .35 the posterior is .14, not .9 (cos_j = -1/(C - 1))."""
    scale, others = scale_lower_bound(10575, 0.9), 10574
    own = math.exp(scale * (1 - 0.35))
    assert own / (own + others * math.exp(-scale / others)) == pytest.approx(0.14, abs=5e-3)


@pytest.mark.parametrize(
    ("classes", "dim", "expected"),
    [
        (2, 2, 2.0),
        (3, 2, 1.5),
        (4, 2, 1.0),
        (8, 2, 0.2929),
        (10, 2, 0.1910),
        (2, 1, 2.0),
        (3, 1, 0.0),
        (2, 512, 2.0),
        (8, 7, 8 / 7),
        (8, 8, 8 / 7),
        (9, 7, 1.0),
        (10575, 512, 1.0),
    ],
)
def test_golden_margins(classes, dim, expected):
    assert margin_upper_bound(classes, dim) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    ("weight", "dim"),
    [
        *[(circle(c), 2) for c in (2, 3, 4, 5, 8, 10)],
        *[(simplex(c), c - 1) for c in (3, 4, 8)],
        *[(torch.cat([torch.eye(4), -torch.eye(4)]).double()[:c], 4) for c in (6, 7, 8)],
    ],
)
def test_the_bound_on_the_margin_is_attained(weight, dim):
    assert gaps(weight, weight).item() == pytest.approx(margin_upper_bound(len(weight), dim), abs=1e-12)


@pytest.mark.parametrize(("classes", "dim"), [(3, 2), (4, 2), (5, 2), (8, 2), (5, 3), (6, 3), (9, 3)])
def test_no_weights_and_features_beat_the_bound_on_the_margin(classes, dim):
    generator = torch.Generator().manual_seed(classes)
    both = torch.randn(2, 60, classes, dim, dtype=torch.float64, generator=generator).requires_grad_()
    optimizer, best = torch.optim.Adam([both], lr=0.05), []
    for _ in range(250):
        optimizer.zero_grad()
        found = gaps(*both)
        best.append(found.max().item())
        (-found.sum()).backward()
        optimizer.step()
    bound = margin_upper_bound(classes, dim)
    assert max(best) <= bound + 1e-12
    if classes < 9:
        assert max(best) > 0.9 * bound  # the search is no straw man


def test_one_minus_the_largest_cosine_of_given_weights_is_no_bound():
    """Weights at 0, .6 rad, 180 and 270 degrees: 1 - max cos is .175, but features off their weights reach .418."""
    angles = torch.tensor([0, 0.6, math.pi, 1.5 * math.pi], dtype=torch.float64)
    weight = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert gaps(weight, weight).item() == pytest.approx(0.175, abs=5e-4)
    grid = torch.linspace(0, 2 * math.pi, 20_001, dtype=torch.float64)
    cosines = torch.stack([grid.cos(), grid.sin()], dim=1) @ weight.T
    each = [(cosines[:, i] - cosines[:, [j for j in range(4) if j != i]].amax(1)).max() for i in range(4)]
    assert min(each).item() == pytest.approx(0.418, abs=5e-4) and min(each) < margin_upper_bound(4, 2)


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        (scale_lower_bound, (1, 0.9), "num_classes must be a whole number >= 2, got 1"),
        (scale_lower_bound, (8.0, 0.9), "num_classes must be a whole number >= 2, got 8.0"),
        (scale_lower_bound, (8, 0.125), "posterior must be between 1/num_classes = 0.125 and 1, got 0.125"),
        (scale_lower_bound, (8, 1.0), "posterior must be between .* and 1, got 1.0"),
        (scale_lower_bound, (8, math.nan), "posterior must be between .* and 1, got nan"),
        (scale_lower_bound, (8, 0.9, -0.1), "margin must be >= 0 and < num_classes / .* = 1.14286, got -0.1"),
        (scale_lower_bound, (8, 0.9, 8 / 7), "margin must be >= 0 and < num_classes / .* = 1.14286, got 1.142857"),
        (margin_upper_bound, (1, 2), "num_classes must be a whole number >= 2, got 1"),
        (margin_upper_bound, (True, 2), "num_classes must be a whole number >= 2, got True"),
        (margin_upper_bound, (8, 0), "embedding_dim must be a whole number >= 1, got 0"),
    ],
)
def test_a_bound_of_nonsense_is_refused(function, given, message):
    with pytest.raises(ValueError, match=message):
        function(*given)


# LMCL's warning


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"margin": 1.01}, "lmcl: margin 1.01 is above 1, the largest that 7 classes in 5 dimensions can satisfy"),
        ({"margin": 1.01, "normalize_features": False}, "lmcl: margin 1.01 is above 1"),
        ({"scale": 4.0}, "lmcl: scale 4 is below 4.884: with 7 classes and margin 0.35 .* posterior 0.9"),
    ],
)
def test_a_setting_beyond_its_bound_warns_once_and_only_in_training(hyper, message):
    x, y = batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        criterion = make("lmcl", **hyper).double()  # a criterion made to check its hyper-parameters says nothing
        criterion.eval()(x, y)
    criterion.train()
    with pytest.warns(UserWarning, match=message) as said:
        for _ in range(3):
            criterion(x, y)
    assert len(said) == 1


def test_an_ordinary_setting_does_not_warn():
    x, y = batch()
    for hyper in ({}, {"margin": 1.0}, {"scale": 4.89}, {"scale": 0.1, "normalize_features": False}):
        make("lmcl", **hyper).double()(x, y)  # warnings are errors in these tests
    for classes, dim in ((2, 2), (10, 64), (540, 128), (10575, 512), (93431, 512)):
        assert not violation(classes, dim, 0.35, 64.0)
    assert "above 0.2929" in violation(8, 2, 0.4, 64.0)  # acceptance A10's setting
    assert not violation(2, 2, 2.0, 64.0)  # the bound itself is not beyond it
