"""The training loop: determinism, resuming, schedules, failures."""

import math

import numpy as np
import pytest
import torch

import backbones
import losses
from bench import augment
from bench.batches import steps_per_epoch
from bench.checkpoint import Checkpoints
from bench.device import Device, choose
from bench.embed import embed
from bench.errors import RequestError, TrialFailed
from bench.plain import Progress
from bench.train import Fit, Settings, fit, learning_rate

CPU = Device(torch.device("cpu"), bf16=False)
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), np.uint8)
LABELS = np.arange(40) % 4


def settings(**changes):
    plain = {"epochs": 4, "batch_size": 8, "optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 1e-3}
    rest = {"momentum": 0.9, "schedule": "cosine", "warmup": 0.1, "augment": augment.check({}), "seed": 7}
    return Settings(**plain | rest | changes)


def start(loss="center", device=CPU, **changes):
    torch.manual_seed(0)
    network = backbones.create("cnn4", 8, 1, (16, 16), widths=(4, 4, 8, 8))
    return Fit(network, losses.create(loss, 4, 8), settings(**changes), device)


def trained(run):
    """The events and final weights of a run."""
    events = list(fit(run, IMAGES, LABELS, lambda network: {}))
    return events, run.network.state_dict() | run.criterion.state_dict()


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first) and first.keys() == second.keys()


@pytest.mark.parametrize(("optimizer", "stopped_after"), [("sgd", 1), ("adamw", 3)])
@pytest.mark.parametrize("loss", losses.names())
def test_an_interrupted_run_ends_as_if_it_had_not_been(loss, optimizer, stopped_after, tmp_path):
    whole, weights = trained(start(loss, optimizer=optimizer))

    interrupted = start(loss, optimizer=optimizer)
    saved = Checkpoints(tmp_path)
    events = fit(interrupted, IMAGES, LABELS, lambda network: {})
    first = [next(events) for _ in range(stopped_after)]
    saved.save(interrupted.state(), [Progress(*event) for event in first])
    torch.rand(3)  # whatever else the process draws

    resumed = start(loss, optimizer=optimizer)
    torch.manual_seed(99)
    state, past = Checkpoints(tmp_path).latest()
    resumed.restore(state)
    rest, again = trained(resumed)
    assert [(e.step, e.epoch, e.metrics) for e in past] + rest == whole
    assert same(weights, again)


def test_training_leaves_the_callers_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(2)
    run = start()
    torch.manual_seed(5)
    run.run_epoch(IMAGES, LABELS)
    assert torch.equal(torch.rand(2), expected)


def test_another_seed_is_another_run_and_the_same_seed_the_same():
    (first, weights), (second, others) = trained(start()), trained(start())
    assert first == second and same(weights, others)
    assert trained(start(seed=8))[0] != first


def test_it_learns():
    """Four classes told apart by brightness: the loss must fall below half of chance, ln 4, dropout and all."""
    bright = np.clip(IMAGES // 4 + 60 * LABELS[:, None, None, None], 0, 255).astype(np.uint8)
    run = start("softmax", epochs=12, augment=augment.check(dict.fromkeys(augment.DEFAULTS, 0.0)))
    events = list(fit(run, bright, LABELS, lambda network: {}))
    assert events[0][2]["train/loss"] > 1 and events[-1][2]["train/loss"] < math.log(4) / 2


def test_development_figures_stand_in_every_event():
    run = start(epochs=2)
    seen = list(fit(run, IMAGES, LABELS, lambda network: {"dev/accuracy": float(network is run.network)}))
    assert [(step, epoch) for step, epoch, _ in seen] == [(5, 1), (10, 2)]
    assert all(metrics["dev/accuracy"] == 1.0 for *_, metrics in seen)


def test_a_diverging_run_fails_with_step_and_cause():
    run = start("softmax", learning_rate=1e30, warmup=0.0, schedule="constant")
    with pytest.raises(TrialFailed, match=r"the loss is (nan|inf) at step \d+ \(epoch 1, learning rate 1e\+30\)"):
        trained(run)


def test_bf16_stays_close_to_float32():
    one_step = {"batch_size": len(IMAGES), "epochs": 1}
    devices = (CPU, Device(torch.device("cpu"), bf16=True))
    exact, rough = (trained(start("softmax", d, **one_step))[0][0][2]["train/loss"] for d in devices)
    assert rough == pytest.approx(exact, rel=0.02) and rough != exact


def test_vectors_do_not_decay():
    run = start("softmax")
    decaying, plain = run.optimizer.param_groups
    assert decaying["weight_decay"] == 1e-3 and all(p.ndim > 1 for p in decaying["params"])
    assert plain["weight_decay"] == 0 and all(p.ndim <= 1 for p in plain["params"])
    own = [*run.network.parameters(), *run.criterion.parameters()]
    assert len(decaying["params"]) + len(plain["params"]) == len(own)


# --- the learning rate -------------------------------------------------------------------------------


def test_warm_up_is_linear_and_cosine_ends_at_nothing():
    rates = [learning_rate(settings(warmup=0.2), step, 100) for step in range(100)]
    np.testing.assert_allclose(rates[:20], 0.05 * np.arange(1, 21) / 20)
    expected = [0.05 * (1 + math.cos(math.pi * k / 80)) / 2 for k in range(80)]
    np.testing.assert_allclose(rates[20:], expected)


def test_the_step_schedule_drops_where_the_papers_drop():
    chosen = settings(schedule="step", warmup=0.0)
    rates = [learning_rate(chosen, step, 28_000) for step in (0, 15_999, 16_000, 23_999, 24_000, 27_999)]
    np.testing.assert_allclose(rates, [0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005])
    assert learning_rate(settings(schedule="constant", warmup=0.0), 27, 28) == 0.05


def test_only_full_batches_are_trained_on():
    assert [steps_per_epoch(count, 8) for count in (40, 47, 8, 5)] == [5, 5, 1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adam"}, "optimizer must be one of sgd, adamw .*got 'adam'"),
        ({"schedule": "linear"}, "schedule one of cosine, step, constant, got 'sgd' and 'linear'"),
        ({"learning_rate": 0.0}, "learning_rate > 0, got 4, 8, 0.1 and 0.0"),
        ({"batch_size": 1}, "batch_size >= 2"),
        ({"warmup": 1.0}, "0 <= warmup < 1"),
    ],
)
def test_wrong_settings_are_answered(changes, message):
    with pytest.raises(RequestError, match=message):
        settings(**changes)


def test_an_unknown_precision_is_answered():
    with pytest.raises(RequestError, match="precision must be one of auto, bf16, float32, got 'half'"):
        choose("half")


# --- checkpoints ---------------------------------------------------------------------------------------


def test_the_furthest_checkpoint_counts_and_a_broken_one_does_not(tmp_path):
    first = Checkpoints(tmp_path)
    assert first.latest() is None
    first.save({"epoch": 2}, [Progress(1, 1, {"a": 0.5}), Progress(2, 2, {"a": 0.25})])
    second = Checkpoints(tmp_path)
    assert (first.attempt, second.attempt) == (1, 2)
    second.save({"epoch": 3}, [])
    first.save({"epoch": 2}, [])  # a worker that outlived its driver writes on, into its own file
    assert second.latest()[0] == {"epoch": 3}
    path = tmp_path / "checkpoint-2.pt"
    for damaged in (path.read_bytes()[:100], b"\0" * 5000, b"garbage" * 100, b""):
        path.write_bytes(damaged)
        assert second.latest()[0] == {"epoch": 2}


def test_checkpoints_lie_under_any_fsspec_url(tmp_path):
    saved = Checkpoints("memory://trial")
    saved.save({"epoch": 1, "weights": torch.ones(2)}, [Progress(1, 1, {"a": 0.5}, 2.0)])
    state, events = Checkpoints("memory://trial").latest()
    assert torch.equal(state["weights"], torch.ones(2)) and events == [Progress(1, 1, {"a": 0.5}, 2.0)]


# --- embeddings ------------------------------------------------------------------------------------------


def test_the_flip_joins_image_and_mirror_image():
    run = start()
    plain = embed(run.network, IMAGES, CPU, "none", batch=16)
    mirror = embed(run.network, IMAGES[:, :, ::-1], CPU, "none")
    np.testing.assert_allclose(embed(run.network, IMAGES, CPU, "concat"), np.hstack([plain, mirror]), atol=1e-5)
    np.testing.assert_allclose(embed(run.network, IMAGES, CPU, "add"), plain + mirror, atol=1e-5)
    assert run.network.training  # as it was
    with pytest.raises(RequestError, match="flip must be one of concat, add, none, got 'both'"):
        embed(run.network, IMAGES, CPU, "both")
