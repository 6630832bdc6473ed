"""What is measured on 2-D features, against loops over the definitions; and how features are read from records."""

import math
from dataclasses import replace

import made_up_toys
import numpy as np
import pytest
from made_up_toys import circle, rays

import reports
from bench import record
from reports import _toy

DRAW = np.random.default_rng(5)
LABELS = np.repeat(np.arange(4), [9, 7, 12, 5])
POINTS = DRAW.normal(0, 1, (33, 2)) + 1.5 * circle(1.5 * LABELS)


@pytest.fixture(scope="module")
def centers(tmp_path_factory):
    """A study of center losses over ten classes."""
    folder = made_up_toys.make(tmp_path_factory.mktemp("toys"), made_up_toys.CENTER, images=400, seeds=3)
    return reports.read(folder)


def test_scatter_is_its_definition():
    within = between = total = 0.0
    middle = POINTS.mean(axis=0)
    for point, label in zip(POINTS, LABELS, strict=True):
        own = sum(q for q, other in zip(POINTS, LABELS, strict=True) if other == label) / (label == LABELS).sum()
        within += math.dist(point, own) ** 2 / len(POINTS)
        between += math.dist(own, middle) ** 2 / len(POINTS)
        total += math.dist(point, middle) ** 2 / len(POINTS)
    found = _toy.scatter(POINTS, LABELS)
    assert found == pytest.approx((within, between), rel=1e-12)
    assert found.total == pytest.approx(total, rel=1e-12) and found.ratio == pytest.approx(within / between, rel=1e-12)


def test_scatter_of_what_collapsed_has_no_ratio():
    assert math.isnan(_toy.scatter(np.ones((6, 2)), np.repeat([0, 1], 3)).ratio)
    assert all(math.isnan(part) for part in _toy.scatter(np.zeros((0, 2)), np.zeros(0, int)))


def literal_confusion(distance):
    """P(a distance within a class > one between classes), over all pairs of pairs."""
    intra, inter = [], []
    for i in range(len(POINTS)):
        for j in range(i):
            (intra if LABELS[i] == LABELS[j] else inter).append(distance(POINTS[i], POINTS[j]))
    return sum(a > b for a in intra for b in inter) / (len(intra) * len(inter))


def test_confusion_is_its_definition():
    def cosine(a, b):
        return 1 - (a @ b) / (math.hypot(*a) * math.hypot(*b))

    assert _toy.confusion(POINTS, LABELS) == pytest.approx(literal_confusion(math.dist), abs=1e-12)
    assert _toy.confusion(POINTS, LABELS, "cosine") == pytest.approx(literal_confusion(cosine), abs=1e-12)
    with pytest.raises(ValueError, match="metric 'angle' is not known, expected l2 or cosine"):
        _toy.confusion(POINTS, LABELS, "angle")


def test_drawn_pairs_estimate_the_confusion_of_all_pairs():
    points, labels = np.tile(POINTS, (20, 1)) + DRAW.normal(0, 0.1, (660, 2)), np.tile(LABELS, 20)
    every, drawn = _toy.confusion(points, labels, pairs=10**6), _toy.confusion(points, labels, pairs=100_000)
    assert every != drawn and drawn == pytest.approx(every, abs=0.01)
    assert _toy.confusion(points, labels, pairs=100_000) == drawn, "the same pairs each time"


def test_confusion_without_two_kinds_of_pairs_or_spread():
    assert math.isnan(_toy.confusion(POINTS, np.zeros(33, int))) and math.isnan(_toy.confusion(POINTS[:1], LABELS[:1]))
    assert _toy.confusion(np.zeros((33, 2)), LABELS, "cosine") == 0, "equal distances are not confused"


@pytest.mark.parametrize("turn", [0.0, 1.0, math.pi, 5.0])
def test_arcs_turn_with_the_features(turn):
    """Three classes of known extent, one across the cut of the angle at +-pi; share 0 takes all of each."""
    middle, half = np.array([0.2, 2.2, 3.2]), np.array([0.1, 0.3, 0.2])
    spread = np.linspace(-1, 1, 21)
    angle = (middle[:, None] + half[:, None] * spread + turn).ravel()
    labels = np.repeat([0, 1, 2], 21)
    found = _toy.arcs(circle(angle) * DRAW.uniform(0.5, 9, (63, 1)), labels, share=0)
    np.testing.assert_allclose(circle(found.middle), circle(middle + turn), atol=1e-9)
    np.testing.assert_allclose([-found.low, found.high], [half, half], atol=1e-9)
    empty = [2.0 - 0.4, 1.0 - 0.5, 2 * math.pi - 3.0 - 0.3]
    assert sorted(_toy.empty_arcs(found)) == pytest.approx(sorted(empty), abs=1e-9)


def test_empty_and_filled_arcs_make_the_circle():
    found = _toy.arcs(POINTS, LABELS)
    assert sum(_toy.empty_arcs(found)) + sum(found.high - found.low) == pytest.approx(2 * math.pi)
    assert min(_toy.empty_arcs(found)) < 0, "classes that overlap"
    alone = _toy.arcs(POINTS[LABELS == 1], LABELS[LABELS == 1])
    assert _toy.empty_arcs(alone) == pytest.approx(2 * math.pi - (alone.high - alone.low))


def test_an_arc_leaves_out_one_percent_at_either_end():
    angle = np.append(np.linspace(-0.5, 0.5, 1001), [2.0, -2.0])
    found = _toy.arcs(circle(angle), np.zeros(1003, int))
    assert (found.low[0], found.high[0]) == pytest.approx((-0.491, 0.491), abs=2e-3)


@pytest.mark.parametrize(
    ("margin", "degrees"), [(0.0, 0.0), (0.1, 15.02), (0.2, 30.30), (1 - math.cos(math.pi / 4), 45.0)]
)
def test_the_gap_of_eight_classes(margin, degrees):
    assert math.degrees(_toy.gap(margin, 8)) == pytest.approx(degrees, abs=0.005)


def test_features_at_the_edge_of_a_margin_leave_its_gap():
    """phi with 2 sin(pi/C) sin(pi/C - phi) = m is the farthest offset that keeps m; then the empty arc is g(m)."""
    for classes, margin in ((8, 0.1), (8, 0.2), (10, 0.15), (3, 1.2)):
        side = math.pi / classes
        phi = side - math.asin(margin / (2 * math.sin(side)))
        weight = circle(2 * side * np.arange(classes))
        angle = 2 * side * np.repeat(np.arange(classes), 2) + np.tile([-phi, phi], classes)
        labels = np.repeat(np.arange(classes), 2)
        assert _toy.margins(circle(angle), labels, weight) == pytest.approx(margin, abs=1e-12)
        assert _toy.empty_arcs(_toy.arcs(circle(angle), labels, share=0)) == pytest.approx(_toy.gap(margin, classes))


def test_no_gap_beyond_the_bound():
    assert math.isnan(_toy.gap(0.2929 + 1e-3, 8)) and math.isnan(_toy.gap(0.2, 10))


def test_satisfied_is_its_definition():
    weight = np.vstack([circle(1.5 * np.arange(4)), circle(np.array([5.6]))]) * DRAW.uniform(0.5, 3, (5, 1))
    kept = []
    for point, label in zip(POINTS, LABELS, strict=True):
        cosines = [point @ w / (math.hypot(*point) * math.hypot(*w)) for w in weight]
        kept.append(cosines.pop(label) - max(cosines) >= 0.1)
    share, each = _toy.satisfied(POINTS, LABELS, weight, 0.1)
    assert 0 < share < 1 and share == pytest.approx(np.mean(kept))
    assert each[:4] == pytest.approx([np.mean(np.array(kept)[label == LABELS]) for label in range(4)])
    assert math.isnan(each[4]), "a class without a point"


def test_features_are_read_as_they_were_kept(centers):
    arms = dict((row.label, kept) for row, kept in _toy.arms(centers))
    assert list(arms) == list(made_up_toys.CENTER), "in the order of the study file"
    assert [one.trial.seed for one in arms["center .1"]] == [1, 2, 3]
    one = arms["center .1"][0]
    assert one.train.dtype == np.float64 and one.train.shape == (400, 2) and one.centers.shape == (10, 2)
    assert (one.classes, one.dimension, len(one.split("test")[0])) == (10, 2, 200)
    assert arms["softmax"][0].centers is None and arms["softmax"][0].bias is None
    assert _toy.arms(centers, 3) == [] and len(_toy.arms(centers, None)) == 5


def test_a_run_that_kept_nothing_has_no_features(tmp_path):
    folder = made_up_toys.make(tmp_path, {"softmax": made_up_toys.CENTER["softmax"]}, seeds=2)
    one, other = reports.read(folder)
    (one.folder / "raw.npz").unlink()
    np.savez_compressed(other.folder / "raw.npz", **{"lfw/scores": np.ones(3)})
    assert _toy.features(one) is None and _toy.features(other) is None


@pytest.mark.parametrize(
    ("loss", "options", "margin"),
    [
        ("nsl", {}, 0.0),
        ("lmcl", {"margin": 0.2}, 0.2),
        ("cosface", {}, 0.35),
        ("lmcl+center", {"margin": 0.1}, 0.1),
        ("softmax", {}, None),
        ("arcface", {"margin": 0.5}, None),
    ],
)
def test_which_losses_have_a_cosine_margin(tmp_path, loss, options, margin):
    study = reports.read(made_up_toys.make(tmp_path, {loss: (loss, options, rays())}, seeds=1, images=50))
    ((row, _),) = _toy.arms(study)
    assert _toy.cosine_margin(row) == margin


def test_a_waiting_run_is_shown_by_those_that_ended(tmp_path):
    folder = made_up_toys.make(tmp_path, {"nsl": made_up_toys.LMCL["nsl"]}, seeds=2, images=50, classes=8)
    record.start(replace(reports.read(folder)[0].trial, seed=9, number=9), folder)
    ((_, kept),) = _toy.arms(reports.read(folder))
    assert len(kept) == 2
