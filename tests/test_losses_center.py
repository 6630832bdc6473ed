"""Center loss against its paper: eqs. 2-5 and Algorithm 1 by loops, golden values, lambda = 0, several processes."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from made_up_batches import BATCH, CLASSES, DIM, batch, make, value_and_gradients

import losses


def reference_center(x, y, centers):
    """Eq. 2, over the batch size."""
    return sum(0.5 * float(np.sum((x[i] - centers[y[i]]) ** 2)) for i in range(len(x))) / len(x)


def reference_move(x, y, centers, rate):
    """Eq. 4 and line 6 of Algorithm 1."""
    moved = centers.copy()
    for j in range(len(centers)):
        above, count = np.zeros(centers.shape[1]), 0
        for i in range(len(x)):
            if y[i] == j:
                above, count = above + (centers[j] - x[i]), count + 1
        moved[j] = centers[j] - rate * above / (1 + count)
    return moved


@pytest.mark.parametrize("softmax_weight", [1.0, 0.4, 0.0])
def test_center_equals_its_formula_and_moves_by_equation_4(softmax_weight):
    x, y = batch()
    criterion = make("center", center_weight=0.7, center_rate=0.3, softmax_weight=softmax_weight).double()
    before = criterion.centers.numpy().copy()
    softmax = softmax_weight * criterion.base(x, y).item()
    loss = criterion(x, y).item()
    assert loss == pytest.approx(softmax + 0.7 * reference_center(x.numpy(), y.numpy(), before), abs=1e-12)
    np.testing.assert_allclose(criterion.centers.numpy(), reference_move(x.numpy(), y.numpy(), before, 0.3), atol=1e-12)


def test_center_golden_values():
    x = torch.tensor([[1.0, 2], [3, 0], [-1, 1], [2, 2]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 0, 1, 0])
    criterion = losses.create("center", 3, 2, center_weight=1.0, center_rate=0.5, softmax_weight=0.0).double()
    criterion.centers.copy_(torch.tensor([[0.5, 0.5], [0, 0], [1, 1]]))
    old = criterion.centers.clone()
    loss = criterion(x, y)
    assert 4 * loss.item() == pytest.approx(7.75, abs=1e-12)
    (gradient,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(4 * gradient, (x - old[y]).detach())  # eq. 3, with the centres of before
    expected = torch.tensor([[1.0625, 0.8125], [-0.25, 0.25], [1, 1]], dtype=torch.float64)
    torch.testing.assert_close(criterion.centers, expected, rtol=0, atol=1e-12)
    assert torch.equal(criterion.centers[2], old[2])  # an absent class does not move by a bit


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_centers_decay_geometrically(dtype):
    """n fixed samples of a class: c - mean shrinks by 1 - alpha n / (1 + n) a call."""
    x = torch.tensor([[1.0, 2], [3, 0], [2, 2]], dtype=dtype)
    y = torch.zeros(3, dtype=torch.int64)
    criterion = losses.create("center", 2, 2, center_rate=0.4).to(dtype)
    start, absent = criterion.centers[0] - x.mean(0), criterion.centers[1].clone()
    for _ in range(6):
        criterion(x, y)
    torch.testing.assert_close(criterion.centers[0] - x.mean(0), start * (1 - 0.4 * 3 / 4) ** 6, rtol=0, atol=1e-6)
    assert torch.equal(criterion.centers[1], absent)


def test_a_lone_sample_moves_its_center_by_half_of_alpha():
    """What the 1 + of eq. 4 does besides preventing a division by zero."""
    x, y = batch()
    criterion = make("center", center_rate=1.0).double()
    before = criterion.centers[y[0]].clone()
    criterion(x[:1], y[:1])
    torch.testing.assert_close(criterion.centers[y[0]], (before + x[0]) / 2)


def train(name, **hyper):
    """A few steps of SGD with momentum and decay on a small network; its weights and the criterion."""
    torch.manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Linear(6, DIM), torch.nn.PReLU(), torch.nn.Linear(DIM, DIM))
    criterion = losses.create(name, CLASSES, DIM, **hyper)
    optimizer = torch.optim.SGD([*network.parameters(), *criterion.parameters()], 0.1, momentum=0.9, weight_decay=1e-2)
    generator = torch.Generator().manual_seed(5)
    for _ in range(8):
        x, y = torch.randn(16, 6, generator=generator), torch.randint(0, CLASSES, (16,), generator=generator)
        optimizer.zero_grad()
        criterion(network(x), y).backward()
        optimizer.step()
    return network.state_dict(), criterion


@pytest.mark.parametrize("variant", ["paper", "autograd"])
def test_lambda_zero_is_softmax_bit_for_bit(variant):
    joint, criterion = train("center", center_weight=0.0, variant=variant)
    plain, softmax = train("softmax")
    other, _ = train("center", center_weight=0.1, variant=variant)
    assert all(torch.equal(joint[key], plain[key]) for key in plain)
    assert torch.equal(criterion.weight, softmax.weight) and torch.equal(criterion.bias, softmax.bias)
    assert not all(torch.equal(other[key], plain[key]) for key in plain)


def test_alpha_zero_freezes_the_centers_against_optimiser_and_decay():
    torch.manual_seed(3)
    torch.nn.Sequential(torch.nn.Linear(6, DIM), torch.nn.PReLU(), torch.nn.Linear(DIM, DIM))  # as train draws
    start = losses.create("center", CLASSES, DIM).centers
    _, criterion = train("center", center_rate=0.0)
    assert torch.equal(criterion.centers, start)


def test_without_softmax_the_class_weights_get_no_gradient():
    x, y = batch()
    _, gradient, others = value_and_gradients(make("center", softmax_weight=0.0).double(), x, y)
    assert gradient.norm() > 0 and not any(value.any() for value in others.values())


def test_the_papers_centers_are_a_buffer_and_those_of_autograd_a_parameter():
    paper, autograd = make("center"), make("center", variant="autograd")
    assert "term.centers" in dict(paper.named_buffers()) and "term.centers" not in dict(paper.named_parameters())
    assert "term.centers" in dict(autograd.named_parameters()) and "term.centers" not in dict(autograd.named_buffers())
    assert torch.equal(paper.centers, autograd.centers)  # both start alike


def test_the_gradient_of_autograd_is_not_equation_4():
    """lambda n/B (c_j - mean): it has no 1/(1+n), and in one step of a plain optimiser it alone moves the centres."""
    x, y = batch()
    rate, weight = 0.5, 0.7
    criterion = make("center", center_weight=weight, variant="autograd").double()
    before = criterion.centers.detach().clone()
    gradient = value_and_gradients(criterion, x, y)[2]["term.centers"]
    assert torch.equal(criterion.centers, before)
    for j in range(CLASSES):
        own = x[y == j]
        expected = weight * (before[j] - own).sum(0) / BATCH
        torch.testing.assert_close(gradient[j], expected)
        if len(own):
            eq_4 = torch.from_numpy(reference_move(x.numpy(), y.numpy(), before.numpy(), rate))[j] - before[j]
            ratio = -rate * gradient[j] / eq_4
            torch.testing.assert_close(ratio, torch.full_like(ratio, weight * (1 + len(own)) / BATCH))


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("center", {"variant": "sgd"}, "variant must be one of paper, autograd, got 'sgd'"),
        ("center", {"softmax_weight": -1.0}, "softmax_weight must be >= 0, got -1.0"),
        ("lmcl+center", {"variant": "sgd"}, "variant must be one of paper, autograd, got 'sgd'"),
        ("lmcl+center", {"center_rate": -0.1}, "center_rate must be between 0 and 1, got -0.1"),
        ("lmcl+center", {"center_weight": -1.0}, "center_weight must be >= 0, got -1.0"),
    ],
)
def test_a_wrong_hyper_parameter_is_answered(name, hyper, message):
    with pytest.raises(ValueError, match=message):
        make(name, **hyper)


ONE_OF_TWO = """
import sys, torch, losses
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
group = losses.Group(rank, 2)
torch.manual_seed(0)
criterion = losses.create("center", 7, 5, center_rate=0.3).double()
for x, y in torch.load(f"{folder}/batches.pt"):
    share = slice(0, 5) if rank == 0 else slice(5, None)
    criterion(group.gather(x[share]), group.gather(y[share]))
torch.save(criterion.centers, f"{folder}/{rank}.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.long
@pytest.mark.slow
def test_centers_of_two_processes_are_those_of_one_with_the_joined_batch(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    batches = [batch(seed=seed) for seed in range(4)]
    torch.save(batches, tmp_path / "batches.pt")
    started = [subprocess.Popen([sys.executable, "-c", ONE_OF_TWO, str(rank), str(tmp_path)]) for rank in (0, 1)]
    try:
        assert [one.wait(timeout=60) for one in started] == [0, 0]
    finally:
        for one in started:
            one.kill()
            one.wait()
    alone = make("center", center_rate=0.3).double()
    for x, y in batches:
        alone(x, y)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert torch.equal(first, second)
    torch.testing.assert_close(first, alone.centers, rtol=0, atol=1e-6)
