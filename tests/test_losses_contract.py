"""What holds for every loss: this file runs over each one that is found, so a new loss arrives with these tests."""

import importlib
import math

import pytest
import torch
from made_up_batches import BATCH, CLASSES, DIM, batch, classifies, make, value_and_gradients

import losses

COMPOSED = ["lmcl+center", "arcface+center", "asoftmax+center", "deepid2+center"]
every_loss = pytest.mark.parametrize("name", [*losses.names(), *COMPOSED])
every_file = pytest.mark.parametrize("name", losses.names())

# Their scores are cosines, yet their margin depends on the length of the embedding: that is what they are for.
LENGTH_COUNTS = {"adaface", "magface"}


def detached(name):
    """Which quantities of a loss its gradient takes for constants, as the loss declares."""
    return getattr(importlib.import_module(f"losses.{name.partition('+')[0]}"), "DETACHED", ())


def same_state(first, second):
    return all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())


@every_loss
def test_gradients_are_those_of_the_loss(name):
    """At embeddings and parameters; what a loss detaches, its own tests compare with a literal gradient."""
    if detached(name):
        pytest.skip(f"{name} declares constants in its gradient: {detached(name)}")
    x, y = batch()
    criterion = make(name).double().eval()
    keys, values = zip(*criterion.named_parameters(), strict=True) if list(criterion.parameters()) else ((), ())

    def loss(embeddings, *parameters):
        return torch.func.functional_call(criterion, dict(zip(keys, parameters, strict=True)), (embeddings, y))

    assert loss(x, *values).item() > 0
    assert torch.autograd.gradcheck(loss, (x.requires_grad_(), *values))


@every_loss
def test_the_order_of_the_batch_does_not_matter(name):
    x, y = batch()
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(1))
    first, second = make(name).double(), make(name).double()
    assert first(x, y).item() == pytest.approx(second(x[order], y[order]).item(), abs=1e-10)
    for key, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[key], rtol=0, atol=1e-12)


@every_loss
def test_rotating_embeddings_and_weights_together_changes_nothing(name):
    x, y = batch()
    random = torch.randn(DIM, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    rotation = torch.linalg.qr(random)[0]
    plain, turned = make(name).double(), make(name).double()
    with torch.no_grad():
        for value in turned.state_dict().values():
            if value.shape == (CLASSES, DIM):
                value.copy_(value @ rotation)
    assert plain(x, y).item() == pytest.approx(turned(x @ rotation, y).item(), rel=1e-12, abs=1e-11)


@pytest.mark.parametrize("name", [name for name in losses.names() if classifies(name)])
def test_where_the_scores_are_cosines_the_length_of_an_embedding_does_not_matter(name):
    x, y = batch()
    criterion = make(name).double().eval()
    cosine_based = torch.allclose(criterion.logits(7.5 * x), criterion.logits(x))
    loss, gradient, _ = value_and_gradients(criterion, x, y)
    radial = (x * gradient).sum(1).abs().max().item() / gradient.norm()
    if cosine_based and name not in LENGTH_COUNTS:
        assert criterion(7.5 * x, y).item() == pytest.approx(loss.item(), rel=1e-10)
        assert radial < 1e-12  # the gradient is tangential
    else:
        assert abs(criterion(7.5 * x, y) - loss) > 1e-3 * loss


@every_loss
def test_nothing_moves_in_eval(name):
    x, y = batch()
    criterion = make(name).double().eval()
    before = {key: value.clone() for key, value in criterion.state_dict().items()}
    criterion(x, y)
    assert all(torch.equal(before[key], value) for key, value in criterion.state_dict().items())


def training(criterion, embeddings, steps):
    """A few steps of SGD on the embeddings and the criterion's parameters; each step's loss."""
    values = []
    for step in steps:
        y = batch(seed=step)[1]
        loss = criterion(embeddings, y)
        parameters = [embeddings, *(p for p in criterion.parameters() if p.requires_grad)]
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= 0.01 * gradient
        values.append(loss.item())
    return values


@every_loss
def test_a_saved_criterion_continues_as_if_it_had_never_stopped(name):
    x = batch(torch.float32)[0].requires_grad_()
    first, second = make(name, seed=0), make(name, seed=9)
    training(first, x, range(3))
    again = x.detach().clone().requires_grad_()
    second.load_state_dict(first.state_dict())
    assert training(first, x, range(3, 7)) == training(second, again, range(3, 7))
    assert torch.equal(x, again) and same_state(first, second)


@every_loss
def test_precision_is_kept(name):
    x, y = batch()
    assert make(name)(x, y).dtype == torch.float64
    assert make(name)(x.bfloat16(), y).dtype == torch.float32
    assert make(name)(x.float(), y).item() == pytest.approx(make(name).double()(x, y).item(), rel=1e-5)


@every_loss
def test_a_classification_loss_has_weights_and_scores_and_another_has_neither(name):
    x, _ = batch()
    criterion = make(name)
    assert hasattr(criterion, "weight") == hasattr(criterion, "logits")
    assert hasattr(criterion, "centers") == (name == "center" or name.endswith("+center"))
    if hasattr(criterion, "weight"):
        assert criterion.weight.shape == (CLASSES, DIM)
        assert any(criterion.weight is parameter for parameter in criterion.parameters())
        assert criterion.logits(x).shape == (BATCH, CLASSES) and criterion.logits(x).dtype == torch.float64
        assert criterion.logits(x.bfloat16()).dtype == torch.float32
        torch.testing.assert_close(criterion.logits(x[:1]), criterion.logits(x)[:1])


def finite(criterion, x, y):
    loss, gradient, others = value_and_gradients(criterion, x, y)
    return all(torch.isfinite(value).all() for value in (loss, gradient, *others.values()) if value is not None)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("labels", [torch.arange(CLASSES).repeat(2), torch.zeros(2 * CLASSES, dtype=torch.int64)])
def test_value_and_gradients_are_finite_at_cosine_plus_and_minus_one(name, dtype, labels):
    """Each embedding is a class weight or its opposite, so there are equal and opposite embeddings too."""
    criterion = make(name)
    rows = torch.eye(CLASSES, DIM).index_fill_(0, torch.arange(DIM, CLASSES), 0.5)  # exact in bf16
    if hasattr(criterion, "weight"):
        with torch.no_grad():
            criterion.weight.copy_(rows)
    assert finite(criterion, torch.cat([rows, -rows]).to(dtype), labels)
    assert finite(criterion, rows[:1].repeat(2 * CLASSES, 1).to(dtype), labels)


@every_loss
@pytest.mark.parametrize(
    "labels",
    [[4] * BATCH, [0, 6] * (BATCH // 2), [3]],
    ids=["one class", "most classes are absent", "one image"],
)
def test_a_batch_need_not_hold_every_class(name, labels):
    x, _ = batch(torch.float32)
    criterion = make(name)
    for _ in range(2):
        assert finite(criterion, x[: len(labels)], torch.tensor(labels))
    assert all(torch.isfinite(value).all() for value in criterion.state_dict().values())


@every_loss
def test_the_search_space_names_hyper_parameters(name):
    known = losses.defaults(name)
    for key, (kind, low, high) in losses.space(name).items():
        assert key in known and kind in ("log", "linear") and low < high
        make(name, **{key: low}), make(name, **{key: high})
        if kind == "log":
            assert low > 0


@every_file
def test_defaults_lie_in_the_search_space(name):
    for key, (_, low, high) in losses.space(name).items():
        assert low <= losses.defaults(name)[key] <= high


@every_loss
def test_the_images_per_identity_are_a_whole_number(name):
    assert type(losses.images_per_identity(name)) is int and losses.images_per_identity(name) >= 1
    assert classifies(name) or losses.images_per_identity(name) >= 2  # pairs need two images of somebody


@every_loss
@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        (torch.zeros(3, DIM + 1), torch.zeros(3, dtype=torch.int64), rf"embeddings must be \(batch, {DIM}\)"),
        (torch.zeros(3, 1, DIM), torch.zeros(3, dtype=torch.int64), rf"embeddings must be \(batch, {DIM}\)"),
        (torch.zeros(3, DIM), torch.zeros(2, dtype=torch.int64), r"labels must be \(3,\) int64"),
        (torch.zeros(3, DIM), torch.zeros(3), r"labels must be \(3,\) int64"),
        (torch.zeros(0, DIM), torch.zeros(0, dtype=torch.int64), "at least one embedding"),
        (torch.zeros(3, DIM), torch.tensor([0, -1, 2]), f"labels must be from 0 to {CLASSES - 1}, got -1"),
        (torch.zeros(3, DIM), torch.tensor([0, CLASSES, 2]), f"labels must be from 0 to {CLASSES - 1}, got {CLASSES}"),
    ],
)
def test_a_wrong_batch_is_named_and_changes_nothing(name, embeddings, labels, message):
    criterion, fresh = make(name), make(name)
    with pytest.raises(ValueError, match=message):
        criterion(embeddings, labels)
    assert same_state(criterion, fresh)


@every_loss
def test_every_number_is_checked(name):
    """Whatever is a number in the defaults takes no word, and is nowhere silently NaN."""
    for key, value in losses.defaults(name).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            for wrong in ("wide", math.nan, True):
                with pytest.raises(ValueError, match=key):
                    make(name, **{key: wrong})


@every_loss
def test_no_number_may_be_infinite_or_none_at_all(name):
    for key, default in losses.defaults(name).items():
        if isinstance(default, float | int) and not isinstance(default, bool):
            for value in (math.inf, math.nan):
                with pytest.raises(ValueError, match=key):
                    make(name, **{key: value})
