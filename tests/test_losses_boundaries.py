"""The decision margins of softmax, NSL, A-Softmax and LMCL between two classes (acceptance A11)."""

import math

import numpy as np
import pytest
import torch
from literal_margins import cosine
from made_up_batches import make

from losses import _boundaries
from losses._angles import psi

LEVELS = np.linspace(0, 1.2, 25)


def test_the_boundaries_are_where_the_losses_are_undecided():
    target = make("lmcl", margin=0.3).double().target
    points = torch.from_numpy(_boundaries.lmcl(0.3, LEVELS).first)
    torch.testing.assert_close(target(points[:, 0]), points[:, 1])
    for m in (1, 2, 3, 4):
        theta = torch.from_numpy(_boundaries.asoftmax(m, LEVELS).first)
        torch.testing.assert_close(psi(theta[:, 0].cos(), m), theta[:, 1].cos(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(theta.sum(1), LEVELS, atol=1e-12)
    np.testing.assert_allclose(points.sum(1), LEVELS, atol=1e-12)
    found = _boundaries.softmax(1.5, 0.5, LEVELS)
    np.testing.assert_allclose(found.first.sum(1), LEVELS, atol=1e-12)
    np.testing.assert_allclose(1.5 * found.first[:, 0], 0.5 * found.first[:, 1], atol=1e-12)  # class 1 the longer
    np.testing.assert_allclose(1.5 * found.second[:, 1], 0.5 * found.second[:, 0], atol=1e-12)  # class 2 the longer


@pytest.mark.parametrize(
    ("found", "accepts", "deeper"),
    [
        (_boundaries.softmax(2.0, 1.0, 0.8), lambda a, b: 2 * a >= b, 1),
        (_boundaries.softmax(1.0, 1.0, 0.8), lambda a, b: a >= b, 1),
        (_boundaries.nsl(0.8), lambda a, b: a >= b, 1),
        (_boundaries.lmcl(0.35, 0.8), lambda a, b: a - 0.35 >= b, 1),
        (_boundaries.asoftmax(4, 0.8), lambda a, b: np.cos(4 * a) >= np.cos(b), -1),
    ],
)
def test_the_margin_is_what_a_fine_grid_shows(found, accepts, deeper):
    """Walk across the diagonal at the level .8, and see where each class's samples begin."""
    walk = np.linspace(-0.8, 0.8, 160_001)  # the first coordinate minus the second: 0 on the diagonal
    a, b = (0.8 + walk) / 2, (0.8 - walk) / 2
    inside = (a >= 0) & (b >= 0)
    first, second = walk[inside & accepts(a, b)] * deeper, walk[inside & accepts(b, a)] * deeper
    assert found.margin.item() == pytest.approx((first.min() - second.max()) / math.sqrt(2), abs=2e-5)
    assert abs(found.margin.item()) == pytest.approx(np.linalg.norm(found.first - found.second), abs=1e-12)


def test_the_signed_margins_of_figure_2():
    some = LEVELS[1:]
    for norms in ((1.0, 3.0), (3.0, 1.0), (1.0, 1.01)):
        assert (_boundaries.softmax(*norms, some).margin < 0).all()
    np.testing.assert_allclose(_boundaries.softmax(2.0, 2.0, LEVELS).margin, 0, atol=1e-12)
    np.testing.assert_allclose(_boundaries.nsl(LEVELS).margin, 0, atol=1e-12)
    for m in (0.1, 0.35, 1.0):
        np.testing.assert_allclose(_boundaries.lmcl(m, LEVELS).margin, math.sqrt(2) * m, atol=1e-6)
    for m in (2, 3, 4):
        found = _boundaries.asoftmax(m, LEVELS)
        assert found.plane == "angle" and found.margin[0] == 0 and (np.diff(found.margin) > 0).all()
        assert _boundaries.asoftmax(m, 1e-6).margin.item() < 1e-6


@pytest.mark.parametrize("m", [2, 3, 4])
def test_asoftmax_leaves_the_papers_angle_between_two_classes(m):
    """Samples between weights 0.9 rad apart: the undecided angle of either class, found on the loss's own logits."""
    apart, theta = 0.9, np.linspace(0, 0.9, 90_001)
    first = theta[[math.cos(m * t) >= math.cos(apart - t) for t in theta]].max()
    margin = apart - 2 * first
    assert margin == pytest.approx((m - 1) / (m + 1) * apart, abs=5e-5)
    assert _boundaries.asoftmax(m, apart).margin.item() == pytest.approx(math.sqrt(2) * margin, abs=1e-4)
    sample, weight = [math.cos(first), math.sin(first)], [[1.0, 0.0], [math.cos(apart), math.sin(apart)]]
    assert math.acos(cosine(sample, weight[1])) == pytest.approx(apart - first, abs=1e-9)


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        (_boundaries.softmax, (0.0, 1.0, 1.0), "the lengths of the weights must be > 0, got 0.0 and 1.0"),
        (_boundaries.lmcl, (-0.1, 1.0), "margin must be >= 0, got -0.1"),
        (_boundaries.asoftmax, (1.5, 1.0), "margin must be a whole number >= 1, got 1.5"),
        (_boundaries.nsl, ([0.1, -0.1],), "levels must be one list of numbers >= 0"),
        (_boundaries.nsl, ([[0.1]],), "levels must be one list of numbers >= 0"),
    ],
)
def test_boundaries_of_nonsense_are_refused(function, given, message):
    with pytest.raises(ValueError, match=message):
        function(*given)
