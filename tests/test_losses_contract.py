"""What holds for every loss: this file runs over each one that is found, so a new loss arrives with these tests."""

import pytest
import torch
from made_up_batches import BATCH, CLASSES, DIM, batch, make, weight_of

import losses

every_loss = pytest.mark.parametrize("name", losses.names())


@every_loss
def test_gradients_are_those_of_the_loss(name):
    x, y = batch()
    criterion = make(name).double().eval()
    assert torch.autograd.gradcheck(lambda e: criterion(e, y), x.requires_grad_())


@every_loss
def test_the_order_of_the_batch_does_not_matter(name):
    x, y = batch()
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(1))
    first, second = make(name).double(), make(name).double()
    assert first(x, y).item() == pytest.approx(second(x[order], y[order]).item(), abs=1e-12)
    for key, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[key], rtol=0, atol=1e-12)


@every_loss
def test_rotating_embeddings_and_weights_together_changes_nothing(name):
    x, y = batch()
    rotation = torch.linalg.qr(torch.randn(DIM, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))[
        0
    ]
    plain, turned = make(name).double(), make(name).double()
    with torch.no_grad():
        for value in turned.state_dict().values():
            if value.shape == (CLASSES, DIM):
                value.copy_(value @ rotation)
    assert plain(x, y).item() == pytest.approx(turned(x @ rotation, y).item(), abs=1e-11)


@every_loss
def test_nothing_moves_in_eval(name):
    x, y = batch()
    criterion = make(name).double().eval()
    before = {key: value.clone() for key, value in criterion.state_dict().items()}
    criterion(x, y)
    assert all(torch.equal(before[key], value) for key, value in criterion.state_dict().items())


@every_loss
def test_all_state_is_in_the_state_dict(name):
    x, y = batch(torch.float32)
    first, second = make(name, seed=0), make(name, seed=9)
    first(x, y)
    second.load_state_dict(first.state_dict())
    assert first(x, y).item() == second(x, y).item()


@every_loss
def test_class_weights_are_a_parameter_and_precision_is_kept(name):
    x, y = batch()
    criterion = make(name)
    assert weight_of(criterion).shape == (CLASSES, DIM)
    assert criterion(x, y).dtype == torch.float64
    assert criterion(x.bfloat16(), y).dtype == torch.float32
    assert make(name)(x.float(), y).item() == pytest.approx(make(name).double()(x, y).item(), rel=1e-5)


@every_loss
def test_finite_gradient_at_cosine_plus_and_minus_one(name):
    for dtype in (torch.float32, torch.bfloat16):
        criterion = make(name)
        x = torch.cat([weight_of(criterion), -weight_of(criterion)]).detach().to(dtype).requires_grad_()
        criterion(x, torch.arange(CLASSES).repeat(2)).backward()
        assert torch.isfinite(x.grad).all()


@every_loss
def test_the_search_space_names_hyper_parameters(name):
    known = losses.defaults(name)
    for key, (kind, low, high) in losses.space(name).items():
        assert key in known and kind in ("log", "linear") and low < high
        make(name, **{key: low}), make(name, **{key: high})
        if kind == "log":
            assert low > 0


@every_loss
@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        (torch.zeros(3, DIM + 1), torch.zeros(3, dtype=torch.int64), rf"embeddings must be \(batch, {DIM}\)"),
        (torch.zeros(3, DIM), torch.zeros(2, dtype=torch.int64), r"labels must be \(3,\) int64"),
        (torch.zeros(3, DIM), torch.zeros(3), r"labels must be \(3,\) int64"),
    ],
)
def test_a_wrong_shape_is_named(name, embeddings, labels, message):
    with pytest.raises(ValueError, match=message):
        make(name)(embeddings, labels)
