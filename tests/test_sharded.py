"""Class weights shared out among processes, and a sample of the classes a step: equal to the plain loss in float64."""

import pytest
import torch
from made_up_batches import BATCH, CLASSES, DIM, batch, make
from ranks import ran

import losses

SHARDABLE = [name for name in losses.names() if losses.shardable(name)]
HYPER = {"lmcl": {"scale": 8.0}, "asoftmax": {"annealing_floor": 0.5, "annealing_base": 1.0}}
STEPS = 3
PLAIN = {(name, 1.0, STEPS): HYPER.get(name, {}) for name in SHARDABLE}
SAMPLED = {("lmcl", 0.5, 2 * STEPS): HYPER["lmcl"], ("softmax", 0.01, 2 * STEPS): {}}
ASKED = PLAIN | SAMPLED
BATCHES = [batch(seed=seed) for seed in range(2 * STEPS)]


@pytest.fixture(
    scope="module",
    params=[pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=[pytest.mark.slow, pytest.mark.long])],
)
def ranks(request, tmp_path_factory):
    """What each of 2 or 3 processes found; 7 classes are divided unequally by both."""
    size, folder = request.param, tmp_path_factory.mktemp("ranks")
    torch.save({"batches": BATCHES, "classes": CLASSES, "asked": ASKED}, folder / "batch.pt")
    return ran("ranks_sharded.py", size, folder)


def alone(name, share, steps, hyper, wrapped=True):
    """The same in this process: by `Sharded` of one, or by the plain loss."""
    criterion = make(name, **hyper).double()
    if wrapped:
        criterion = losses.Sharded(criterion, CLASSES, share=share, seed=3)
    optimizer = torch.optim.SGD(criterion.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    seen = []
    for embeddings, labels in BATCHES[:steps]:
        x = embeddings.clone().requires_grad_()
        optimizer.zero_grad()
        loss = criterion(x, labels)
        loss.backward()
        gradients = {name.removeprefix("base."): value.grad for name, value in criterion.named_parameters()}
        seen.append({"loss": loss.detach(), "x": x.grad, "gradients": gradients})
        if wrapped:
            seen[-1]["drawn"] = criterion.drawn
            criterion.step(optimizer)
        else:
            optimizer.step()
    base = criterion.base if wrapped else criterion
    return seen, dict(base.named_parameters()), dict(base.named_buffers())


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_what_can_be_sharded():
    assert {"softmax", "nsl", "lmcl", "arcface", "combined", "asoftmax", "lsoftmax", "adaface"} <= set(SHARDABLE)
    assert not {"center", "contrastive", "triplet", "deepid2", "sphereface2"} & set(SHARDABLE)
    assert not losses.shardable("lmcl+center") and losses.shardable("cosface")
    with pytest.raises(ValueError, match="TripletLoss is no softmax over class weights"):
        losses.Sharded(make("triplet"), CLASSES)
    with pytest.raises(ValueError, match="7 classes cannot be shared out among 8 processes"):
        losses.Sharded(make("nsl"), CLASSES, losses.Group(0, 8))
    with pytest.raises(ValueError, match="share must be between 0 and 1, got 1.5"):
        losses.Sharded(make("nsl"), CLASSES, share=1.5)


@pytest.mark.parametrize("asked", PLAIN, ids=lambda asked: asked[0])
def test_the_sharded_loss_and_its_gradients_are_those_of_the_plain_one(ranks, asked):
    """Values, gradients of embeddings and weights, the optimizer's steps and the loss's running state, over three steps."""
    expected, weights, state = alone(*asked, ASKED[asked], wrapped=False)
    for step, plain in enumerate(expected):
        found = [rank[asked]["seen"][step] for rank in ranks]
        for one in found:
            close(one["loss"], plain["loss"])
        close(torch.cat([one["x"] for one in found]), plain["x"])
        for name, gradient in plain["gradients"].items():
            close(torch.cat([one["gradients"][f"base.{name}"] for one in found]), gradient)
    for name, weight in weights.items():
        parts = [rank[asked]["weights"][f"base.{name}"] for rank in ranks]
        assert all(len(part) < CLASSES for part in parts)
        close(torch.cat(parts), weight)
    for name, value in state.items():
        for rank in ranks:
            close(rank[asked]["state"][name], value)


@pytest.mark.parametrize("asked", SAMPLED, ids=lambda asked: f"{asked[0]} {asked[1]}")
def test_sampling_does_not_depend_on_the_number_of_processes(ranks, asked):
    expected, weights, _ = alone(*asked, ASKED[asked])
    for step, plain in enumerate(expected):
        found = [rank[asked]["seen"][step] for rank in ranks]
        starts = [losses.Group(rank, len(ranks)).share(CLASSES).start for rank in range(len(ranks))]
        rows = torch.cat([one["drawn"] + start for one, start in zip(found, starts, strict=True)])
        assert torch.equal(rows, plain["drawn"])
        close(torch.cat([one["x"] for one in found]), plain["x"])
    for name, weight in weights.items():
        close(torch.cat([rank[asked]["weights"][f"base.{name}"] for rank in ranks]), weight)


@pytest.mark.parametrize("name", SHARDABLE)
def test_in_one_process_it_is_the_plain_loss(name):
    (found, weights, state), (expected, plain, kept) = (
        alone(name, 1.0, STEPS, HYPER.get(name, {}), wrapped=wrapped) for wrapped in (True, False)
    )
    for one, other in zip(found, expected, strict=True):
        close(one["loss"], other["loss"])
        close(one["x"], other["x"])
    close(weights, plain)
    close(state, kept)


# --- a sample of the classes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9)])
def test_rows_that_are_not_drawn_do_not_move_and_neither_do_their_momenta(optimizer):
    criterion = losses.Sharded(make("arcface"), CLASSES, share=0.5, seed=1)
    work = optimizer(criterion.parameters(), lr=0.1)
    moved = set()
    for _ in range(12):
        x, labels = torch.randn(2, DIM), torch.tensor([0, 1])
        before = criterion.weight.detach().clone()
        kept = {k: v.clone() for k, v in work.state.get(criterion.weight, {}).items()}
        criterion(x, labels).backward()
        drawn = criterion.drawn
        assert {0, 1} <= set(drawn.tolist()) and len(drawn) == round(0.5 * CLASSES)
        assert criterion.weight.grad is None
        criterion.step(work)
        others = [row for row in range(CLASSES) if row not in drawn]
        assert torch.equal(criterion.weight[others], before[others])
        assert not torch.equal(criterion.weight[drawn], before[drawn])
        for key, value in kept.items():
            if value.ndim:
                assert torch.equal(work.state[criterion.weight][key][others], value[others])
        moved |= set(drawn.tolist())
    assert moved == set(range(CLASSES))  # each had its turn
    assert work.param_groups[0]["params"][0] is criterion.weight


def test_the_sample_of_one_step_is_what_plain_training_of_those_classes_alone_would_do():
    criterion = losses.Sharded(make("nsl").double(), CLASSES, share=0.6, seed=2)
    start = criterion.weight.detach().clone()
    x, labels = BATCHES[0][0], torch.zeros(BATCH, dtype=torch.int64)
    loss = criterion(x, labels)
    rows = criterion.drawn
    small = losses.create("nsl", len(rows), DIM).double()
    small.weight.data = start[rows]
    close(loss, small(x, torch.searchsorted(rows, labels)))


def test_the_sample_follows_from_seed_and_step_alone():
    def samples(seed, calls=0):
        criterion = losses.Sharded(make("nsl"), CLASSES, share=0.4, seed=seed)
        criterion.load_state_dict(criterion.state_dict() | {"calls": torch.tensor(calls)})
        found = []
        for _ in range(6 - calls):
            torch.rand(3)  # whatever else is drawn
            criterion(torch.randn(1, DIM), torch.tensor([2]))
            found.append(tuple(criterion.drawn.tolist()))
        return found

    assert samples(5) == samples(5) and samples(5)[2:] == samples(5, calls=2)
    assert samples(5) != samples(6) and len(set(samples(5))) > 1


def test_all_classes_of_the_batch_are_taken_though_they_be_more_than_the_share():
    criterion = losses.Sharded(make("nsl"), CLASSES, share=0.01)
    criterion(torch.randn(CLASSES - 1, DIM), torch.arange(CLASSES - 1))
    assert criterion.drawn.tolist() == list(range(CLASSES - 1))


def test_in_eval_all_classes_count():
    criterion, plain = losses.Sharded(make("nsl"), CLASSES, share=0.3).eval(), make("nsl").eval()
    x, labels = torch.randn(4, DIM), torch.arange(4)
    torch.testing.assert_close(criterion(x, labels), plain(x, labels))
    assert int(criterion.calls) == 0 and criterion.drawn is None
