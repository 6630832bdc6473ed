"""Losses put together: the centre term on any classification loss, and several layers under one criterion each."""

import pytest
import torch
from made_up_batches import BATCH, CLASSES, DIM, batch, classifies, make, value_and_gradients

import losses

# One that holds the centre term already cannot take it twice.
every_bare = pytest.mark.parametrize("name", [n for n in losses.names() if classifies(n) and n != "center"])


@every_bare
def test_with_lambda_zero_the_bare_loss_trains_bit_for_bit(name):
    x, y = batch(torch.float32)
    bare = make(name)
    drawn = torch.get_rng_state()
    joint = make(f"{name}+center", center_weight=0.0)
    assert torch.equal(torch.get_rng_state(), drawn)
    for _ in range(3):
        first, second = value_and_gradients(bare, x, y), value_and_gradients(joint, x, y)
        assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
        for key, gradient in first[2].items():
            assert torch.equal(gradient, second[2][f"base.{key}"]), key
        x = x - 0.1 * first[1]
    assert torch.equal(bare.weight, joint.weight) and torch.equal(bare.logits(x), joint.logits(x))


@every_bare
def test_the_composed_loss_is_the_sum_of_both(name):
    x, y = batch()
    joint = make(f"{name}+center", center_weight=0.7, center_rate=0.3).double()
    bare, alone = make(name).double(), make("center", center_weight=0.7, center_rate=0.3, softmax_weight=0.0).double()
    assert torch.equal(joint.centers, alone.centers)
    for _ in range(2):
        assert joint(x, y).item() == pytest.approx(bare(x, y).item() + alone(x, y).item(), rel=1e-12)
    assert torch.equal(joint.centers, alone.centers)


def test_softmax_with_the_center_term_is_center_loss():
    assert losses.canonical("softmax+center") == "center"
    assert type(make("softmax+center")) is type(make("center"))
    assert losses.defaults("softmax+center") == losses.defaults("center")


def test_what_is_known_of_a_composed_loss():
    assert losses.canonical("cosface+center") == "lmcl+center"
    known = losses.defaults("lmcl+center")
    assert known == losses.defaults("lmcl") | {"center_weight": 0.003, "center_rate": 0.5, "variant": "paper"}
    assert losses.space("lmcl+center") == losses.space("lmcl") | losses.space("center")
    assert losses.images_per_identity("lmcl+center") == 1
    assert losses.images_per_identity("deepid2+center") == losses.images_per_identity("deepid2") == 2
    assert make("lmcl+center", margin=0.2, center_rate=0.1).base.margin == 0.2


@pytest.mark.parametrize("name", [name for name in losses.names() if not classifies(name)])
def test_a_metric_loss_takes_no_center_term(name):
    with pytest.raises(
        ValueError, match=rf"^'{name}\+center': '{name}' has no class weights, .* such as 'lmcl\+center'"
    ):
        losses.defaults(f"{name}+center")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("center+center", "'center' has the center term already; give it as 'center'"),
        ("lmcl+triplet", "no 'triplet' to add to a loss in 'lmcl\\+triplet'; there is: center"),
        ("lmcl+", "no '' to add to a loss in 'lmcl\\+'; there is: center"),
        ("lmcl+center+center", "no 'center\\+center' to add to a loss"),
        ("hinge+center", "no 'hinge' in losses; there is: "),
        ("+center", "no '' in losses; there is: "),
    ],
)
def test_what_cannot_be_put_together_is_answered(name, message):
    for ask in (losses.defaults, losses.space, losses.images_per_identity, make):
        with pytest.raises(ValueError, match=message):
            ask(name)


def test_a_wrong_hyper_parameter_of_a_composed_loss_is_answered():
    with pytest.raises(
        ValueError, match=r"loss 'nsl\+center' has no hyper-parameter 'margin'; it has: scale, center_weight"
    ):
        make("nsl+center", margin=0.1)


def layers(count, seed=0):
    """The embeddings of `count` layers side by side, (B, count * D), and the labels."""
    return torch.cat([batch(seed=seed + i)[0] for i in range(count)], dim=1), batch(seed=seed)[1]


def test_each_layer_goes_to_its_own_criterion_and_the_losses_are_summed():
    x, y = layers(3)
    apart = [make(name, seed).double() for seed, name in enumerate(("deepid2", "contrastive", "lmcl+center"))]
    together = losses.Layered([make(n, s).double() for s, n in enumerate(("deepid2", "contrastive", "lmcl+center"))])
    loss, gradient, _ = value_and_gradients(together, x, y)
    singly = [value_and_gradients(one, part, y) for one, part in zip(apart, x.split(DIM, dim=1), strict=True)]
    assert loss.item() == pytest.approx(sum(one[0].item() for one in singly), rel=1e-12)
    torch.testing.assert_close(gradient, torch.cat([one[1] for one in singly], dim=1))


def test_the_first_layer_is_the_final_embedding_and_its_criterion_classifies():
    x, _ = layers(1)
    final, inner = make("softmax", 1), make("lmcl", 2)
    together = losses.Layered([final, inner])
    assert together.weight is final.weight and together.bias is final.bias
    assert torch.equal(together.logits(x), final.logits(x)) and together.logits(x).shape == (BATCH, CLASSES)
    assert {id(p) for p in together.parameters()} == {id(p) for p in [*final.parameters(), *inner.parameters()]}
    assert not hasattr(losses.Layered([make("contrastive"), final]), "weight")
    assert not hasattr(losses.Layered([make("contrastive"), final]), "logits")


def test_layered_state_is_saved_and_moves_only_in_training():
    x, y = (value.float() if value.is_floating_point() else value for value in layers(2))
    first = losses.Layered([make("center", 0), make("lmcl+center", 1)])
    second = losses.Layered([make("center", 8), make("lmcl+center", 9)])
    first(x, y)
    second.load_state_dict(first.state_dict())
    assert first(x, y).item() == second(x, y).item()
    assert torch.equal(first.centers, second.centers)
    before = first.centers.clone()
    first.eval()(x, y)
    assert torch.equal(first.centers, before)


def test_a_width_that_cannot_be_split_is_refused():
    together = losses.Layered([make("softmax"), make("softmax")])
    y = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"embeddings must be \(batch, 2 x embedding_dim\), .* got \(3, 11\)"):
        together(torch.zeros(3, 11), y)
    with pytest.raises(ValueError, match=rf"embeddings must be \(batch, {DIM}\), got \(3, 6\)"):
        together(torch.zeros(3, 12), y)
    with pytest.raises(ValueError, match="at least one criterion"):
        losses.Layered([])
