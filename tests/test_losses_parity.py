"""Our losses against pytorch-metric-learning's: equal where the formula is the same, and by how much where it is not."""

import math

import pytest
import torch
from made_up_batches import CLASSES, DIM, batch, make

pytest.importorskip(
    "pytorch_metric_learning", reason="parity wants pytorch-metric-learning (uv sync installs it with the dev group)"
)

from pytorch_metric_learning import distances, miners, reducers
from pytorch_metric_learning import losses as peer

pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")  # theirs, from NumPy 2
SQUARED = {"distance": distances.LpDistance(power=2)}  # of unit vectors
MEAN = {"reducer": reducers.MeanReducer()}


def pair_of(name, theirs, **hyper):
    """Ours and theirs (not yet made), in float64 and with the same class weights."""
    ours = make(name, **hyper).double()
    theirs.W.data = ours.weight.detach().T.clone()
    return ours, theirs


def hard_batch(weight):
    """The usual batch, with one embedding almost opposite to its class and one almost on it."""
    x, y = batch()
    x[0] = -2 * weight[y[0]].detach() + 0.1 * x[0]
    x[1] = 2 * weight[y[1]].detach() + 0.05 * x[1]
    return x, y


def value_and_gradients(criterion, x, *more):
    """The loss, and its gradient by the embeddings and by the class weights as (C, D), if there are any."""
    x = x.clone().requires_grad_()
    loss = criterion(x, *more)
    loss.backward()
    weights = [p.grad for p in criterion.parameters()]
    return loss.detach(), x.grad, *(w.T if len(w) == DIM else w for w in weights)


def assert_equal(found, expected, tolerance=1e-6):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


SAME = {
    "lmcl": ("lmcl", {"scale": 16.0, "margin": 0.35}, peer.CosFaceLoss, {"scale": 16, "margin": 0.35}),
    "nsl": ("nsl", {"scale": 16.0}, peer.NormalizedSoftmaxLoss, {"temperature": 1 / 16}),
    "arcface, margin in degrees": (
        "arcface",
        {"scale": 16.0, "margin": 0.5},
        peer.ArcFaceLoss,
        {"scale": 16, "margin": math.degrees(0.5)},
    ),
} | {
    f"{name}, m = {m}, without annealing": (
        name,
        {"margin": m, "annealing_base": 0.0, "annealing_floor": 0.0},
        theirs,
        {"margin": m, "scale": 1},
    )
    for name, theirs in (("lsoftmax", peer.LargeMarginSoftmaxLoss), ("asoftmax", peer.SphereFaceLoss))
    for m in (1, 2, 3, 4)
}


@pytest.mark.parametrize("case", SAME)
def test_the_same_formula_gives_the_same_value_and_gradients(case):
    name, hyper, theirs, their_hyper = SAME[case]
    ours, theirs = pair_of(name, theirs(CLASSES, DIM, **their_hyper), **hyper)
    x, y = hard_batch(ours.weight)
    assert_equal(value_and_gradients(ours, x, y), value_and_gradients(theirs, x, y))
    torch.testing.assert_close(ours.logits(x), theirs.get_logits(x), rtol=0, atol=1e-12)


def test_arcface_agrees_at_cosine_plus_and_minus_one():
    """There ours clamps the sine, and theirs the cosine."""
    ours, theirs = pair_of("arcface", peer.ArcFaceLoss(CLASSES, DIM, scale=16, margin=math.degrees(0.5)), scale=16.0)
    x = torch.cat([ours.weight.detach(), -ours.weight.detach()])
    y = torch.arange(CLASSES).repeat(2)
    assert_equal(value_and_gradients(ours, x, y), value_and_gradients(theirs, x, y))


@pytest.mark.parametrize(
    ("name", "theirs"), [("asoftmax", peer.SphereFaceLoss), ("lsoftmax", peer.LargeMarginSoftmaxLoss)]
)
def test_annealing_is_ours_alone(name, theirs):
    """At the first training call the margin's share is 1 / (1 + lambda); theirs has all of it from the start."""
    ours, theirs = pair_of(name, theirs(CLASSES, DIM, margin=4, scale=1))
    plain, _ = pair_of(name, theirs, margin=1)
    x, y = batch()
    whole, first, none = theirs(x, y).item(), ours(x, y).item(), plain(x, y).item()
    assert none < first < whole and (first - none) / (whole - none) < 0.01


def test_circle_is_theirs_with_the_class_weights_as_references():
    """Theirs knows pairs only: one positive and C - 1 negatives for each embedding make it ours (Sun et al., eq. 2)."""
    ours = make("circle", scale=40.0, margin=0.25).double()
    theirs = peer.CircleLoss(m=0.25, gamma=40, **MEAN)
    x, y = hard_batch(ours.weight)
    weight = ours.weight.detach().clone().requires_grad_()
    loss, *gradients = value_and_gradients(ours, x, y)
    x.requires_grad_()
    expected = theirs(x, y, ref_emb=weight, ref_labels=torch.arange(CLASSES))
    assert_equal([loss, *gradients], [expected.detach(), *torch.autograd.grad(expected, [x, weight])])


def test_circle_departs_where_their_reducer_leaves_out_samples_of_loss_zero():
    ours = make("circle", scale=2e4).double()
    ours.weight.data = torch.eye(CLASSES, DIM, dtype=torch.float64)
    x, y = hard_batch(ours.weight)
    x[2:4] = ours.weight.detach()[y[2:4]]
    found, each = (
        peer.CircleLoss(m=0.25, gamma=2e4, reducer=reducer)(
            x, y, ref_emb=ours.weight.detach(), ref_labels=torch.arange(CLASSES)
        )
        for reducer in (None, reducers.DoNothingReducer())
    )
    kept = int((each["loss"]["losses"] > 0).sum())
    assert 0 < kept < len(x)
    assert kept * found.item() == pytest.approx(len(x) * ours(x, y).item(), rel=1e-9)


def test_contrastive_is_theirs_once_unnormalised_squared_halved_and_averaged_over_all_pairs():
    """Theirs by default: unit vectors, hinge not squared, a mean over the pairs whose loss is not 0."""
    ours = make("contrastive", margin=2.5).double()
    x, y = batch()
    each = peer.ContrastiveLoss(
        neg_margin=2.5,
        distance=distances.LpDistance(normalize_embeddings=False),
        reducer=reducers.DoNothingReducer(),
    )

    def corrected(embeddings, labels):
        found = each(embeddings, labels)
        return sum(found[kind]["losses"].square().mean() / 2 for kind in ("pos_loss", "neg_loss")) / 2

    corrected.parameters = list
    assert_equal(value_and_gradients(ours, x, y), value_and_gradients(corrected, x, y))


def test_contrastive_departs_from_their_defaults():
    x, y = batch()
    unit = torch.nn.functional.normalize(x)
    distance, same = torch.cdist(unit, unit), y[:, None] == y
    together = distance[same & ~torch.eye(len(y), dtype=torch.bool)]
    apart = (1 - distance[~same]).clamp(min=0)
    theirs = peer.ContrastiveLoss()(x, y).item()
    assert theirs == pytest.approx((together.mean() + apart[apart > 0].mean()).item(), abs=1e-9)
    ours = make("contrastive").double()(unit, y).item()
    assert ours == pytest.approx((together.square().mean() + apart.square().mean()).item() / 4, abs=1e-9)
    assert theirs > 2 * ours


def test_triplet_of_all_triplets_is_theirs_with_squared_distances_and_a_plain_mean():
    ours = make("triplet", margin=0.2, mining="all").double()
    theirs = peer.TripletMarginLoss(margin=0.2, **SQUARED, **MEAN)
    x, y = batch()
    assert_equal(value_and_gradients(ours, x, y), value_and_gradients(theirs, x, y))


def test_triplet_semi_hard_is_theirs_on_the_nearest_of_their_semi_hard_negatives():
    """Theirs takes every semi-hard negative of an anchor and a positive, FaceNet the one that is nearest."""
    ours = make("triplet", margin=0.2).double()
    x, y = batch(seed=3)
    chosen = ours.triplets(x, y)
    mined = torch.stack(miners.TripletMarginMiner(0.2, "semihard", **SQUARED)(x, y), dim=1)
    apart = torch.cdist(*2 * [torch.nn.functional.normalize(x)])
    nearest = {}
    for a, p, n in mined.tolist():
        nearest[a, p] = min(nearest.get((a, p), n), n, key=lambda other, a=a: apart[a, other].item())
    assert {(a, p): n for a, p, n in chosen.tolist()} == nearest and 0 < len(chosen) < len(mined)
    theirs = peer.TripletMarginLoss(margin=0.2, **SQUARED, **MEAN)
    assert_equal(value_and_gradients(ours, x, y), value_and_gradients(theirs, x, y, tuple(chosen.T)))


def test_triplet_departs_from_their_defaults():
    """Theirs: margin 0.05 of the distance itself, and a mean over the triplets that violate it."""
    x, y = batch()
    unit = torch.nn.functional.normalize(x)
    violations = []
    for a, p, n in make("triplet", mining="all").double().triplets(x, y).tolist():
        violations.append(max(0.0, ((unit[a] - unit[p]).norm() - (unit[a] - unit[n]).norm()).item() + 0.05))
    theirs = peer.TripletMarginLoss()(x, y).item()
    violated = [v for v in violations if v > 0]
    assert theirs == pytest.approx(sum(violated) / len(violated), abs=1e-9)
    assert 0 < len(violated) < len(violations)
    assert abs(theirs - make("triplet", margin=0.05, mining="all").double()(x, y).item()) > 0.01


@pytest.mark.parametrize(
    "absent", ["CenterLoss", "SphereFace2Loss", "MagFaceLoss", "AdaFaceLoss", "CurricularFaceLoss", "DeepID2Loss"]
)
def test_nothing_to_compare_with(absent):
    """They have none of these; once they do, it belongs among the parities above."""
    assert not hasattr(peer, absent)
