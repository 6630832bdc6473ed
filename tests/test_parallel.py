"""One trial in several processes: the numbers of one, any number goes on from a checkpoint, and nobody is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from bench import augment
from bench.checkpoint import Checkpoints
from bench.errors import ProcessLost, RequestError, TrialFailed
from bench.plain import Options, Progress, Trial
from bench.processes import ChildTraceback
from bench.record import read
from bench.trial import run
from bench.whole_batch import Part, _drawn

SMALL = Trial(
    data=Options(name="digits"),
    holdout=0.3,
    channels=1,
    image_size=16,
    backbone_options=Options(widths=[4, 8, 8, 8]),
    embedding_dim=8,
    epochs=2,
    batch_size=63,  # 31 and 32 images for two processes
    learning_rate=0.02,
    precision="float32",
    protocols=(Options(name="heldout", data={"name": "digits"}),),
)
GENTLE = Options(scale=8.0, margin=0.1)
# Relative. In float32 rounding alone tells runs apart, at last by per cents (a tie in a max pooling falls the other way);
# `test_parallel_exact.py` has the equality, in float64.
SHARED = {"loss": "nsl", "loss_options": Options(scale=8.0), "shard_classes": True, "sample_classes": 0.5}
AT_START, LATER = 1e-5, 0.05


def children():
    return psutil.Process().children(recursive=True)


def gone(processes, within=20):
    """Wait until none of them is there any more."""
    _, alive = psutil.wait_procs(processes, timeout=within)
    return not alive


def alike(found, expected):
    *progress, result = found
    *known, final = expected
    assert [(e.step, e.epoch) for e in progress] == [(e.step, e.epoch) for e in known]
    for one, other in zip(progress, known, strict=True):
        assert one.metrics.keys() == other.metrics.keys()
        assert one.metrics["train/loss"] == pytest.approx(other.metrics["train/loss"], rel=LATER)
    start = "train/loss_at_start"
    assert progress[0].metrics[start] == pytest.approx(known[0].metrics[start], rel=AT_START)
    assert result.metrics.keys() == final.metrics.keys()
    for name in ("dev/auc", "heldout/auc"):
        assert result.metrics[name] == pytest.approx(final.metrics[name], abs=0.1)


# --- what is drawn, and what is left of it for a process ---------------------------------------------------------------


def test_a_part_of_a_batch_is_changed_as_in_the_whole():
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 12, 3), np.uint8)
    options = augment.check(dict.fromkeys(augment.DEFAULTS, 0.5))
    whole = augment.augmented(images, options, np.random.default_rng(1))
    for first, last in ((0, 3), (3, 7), (2, 2)):
        random = np.random.default_rng(1)
        part = augment.augmented(images[first:last], options, random, 7, first)
        assert torch.equal(part, whole[first:last])
    after = np.random.default_rng(1)
    augment.augmented(images, options, after)
    assert random.integers(2**60) == after.integers(2**60)  # the next batch is drawn alike too


@pytest.mark.parametrize(
    ("module", "shape"), [(nn.Dropout(0.4), (7, 5)), (nn.Dropout2d(0.4), (7, 3, 4, 4)), (nn.Dropout(0.4), (7, 3, 4, 4))]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dropout_of_a_part_is_that_of_the_whole(module, shape, layout):
    x = torch.randn(shape)
    x = x.contiguous(memory_format=layout) if x.ndim == 4 else x
    torch.manual_seed(0)
    whole = module(x)
    for first, last in ((0, 3), (3, 7)):
        torch.manual_seed(0)
        own = x[first:last].contiguous(memory_format=layout) if x.ndim == 4 else x[first:last]
        torch.testing.assert_close(_drawn(module, module, Part(first, last, 7), own), whole[first:last])


# --- whole trials ----------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one():
    trial = replace(SMALL, loss="softmax")
    before = children()
    found = list(run(trial, processes=2))
    alike(found, list(run(trial)))
    assert found[-1].cost["processes"] == 2
    assert set(children()) <= set(before)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "changes"),
    [
        ("adaface", {"loss_options": GENTLE}),
        # The hardest pairs of nearly equal distances: rounding soon picks others.
        ("triplet", {"batch_size": 18, "learning_rate": 2e-4, "epochs": 1}),
        ("deepid2", {"batch_size": 9}),
        ("lmcl", {"loss_options": GENTLE, "shard_classes": True}),
        ("softmax", {"shard_classes": True, "sample_classes": 0.5, "closed_every": 3, "keep": ("features",)}),
    ],
)
def test_losses_with_a_state_give_the_numbers_of_one_process(loss, changes):
    trial = replace(SMALL, loss=loss, **changes)
    found, expected = list(run(trial, processes=2)), list(run(trial))
    alike(found, expected)
    for name, array in expected[-1].raw.items():
        assert found[-1].raw[name].shape == array.shape


@pytest.mark.long
@pytest.mark.slow
def test_three_processes_give_the_numbers_of_one():
    trial = replace(SMALL, loss="center", optimizer="adamw", learning_rate=1e-3)
    alike(list(run(trial, processes=3)), list(run(trial)))


@pytest.mark.long
@pytest.mark.slow
def test_nets_of_timm_with_their_own_batch_norm_and_stochastic_depth():
    options = Options(drop_path_rate=0.2, drop_rate=0.1)
    trial = replace(
        SMALL, loss="softmax", backbone="efficientnet_b0", backbone_options=options, image_size=32, epochs=1
    )
    alike(list(run(trial, processes=2)), list(run(trial)))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "first", "then"), [({"loss": "center"}, 1, 2), (SHARED, 2, 1), (SHARED, 2, 3)], ids=str
)
def test_any_number_of_processes_goes_on_from_a_checkpoint(changes, first, then, tmp_path):
    trial = replace(SMALL, **changes)
    expected = list(run(trial))
    events = run(trial, str(tmp_path), processes=first)
    begun = next(events)
    events.close()
    found = list(run(trial, str(tmp_path), processes=then))
    assert found[0] == begun
    alike(found, expected)
    state, past = Checkpoints(str(tmp_path)).latest()
    assert len(past) == 2 and state["step"] == found[-2].step
    assert all(len(value) == 5 for name, value in state["criterion"].items() if name.endswith("weight"))


# --- ends --------------------------------------------------------------------------------------------------------------


def started(trial, **options):
    """The events after the first one, and the processes that are at work on it."""
    before = set(children())
    events = run(trial, **options)
    first = next(events)
    return events, first, [one for one in children() if one not in before]


@pytest.mark.slow
def test_a_killed_process_ends_the_trial_and_the_others():
    events, _, workers = started(replace(SMALL, loss="softmax", epochs=200), processes=2)
    assert len(workers) == 2
    workers[1].send_signal(signal.SIGKILL)
    begun = time.monotonic()
    with pytest.raises(ProcessLost, match="of the 2 of this trial was killed by signal SIGKILL"):
        list(events)
    assert time.monotonic() - begun < 60 and gone(workers)


@pytest.mark.long
@pytest.mark.slow
def test_a_trial_that_is_dropped_leaves_no_process():
    events, _, workers = started(replace(SMALL, loss="softmax", epochs=200), processes=2)
    events.close()
    assert workers and gone(workers)
    events, _, workers = started(replace(SMALL, loss="softmax", epochs=200), processes=2)
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt)
    assert workers and gone(workers)


@pytest.mark.slow
def test_a_process_that_fails_ends_the_trial_with_its_error_and_traceback():
    trial = replace(SMALL, loss="softmax", learning_rate=1e30, warmup=0.0)
    before = set(children())
    with pytest.raises(TrialFailed, match="the training diverged") as raised:
        list(run(trial, processes=2))
    assert isinstance(raised.value.__cause__, ChildTraceback) and "in _one_step" in str(raised.value.__cause__)
    assert set(children()) <= before


PARENT = """
from bench.plain import Options
from bench.record import read
from bench.trial import run
from test_parallel import SMALL
from dataclasses import replace
from pathlib import Path
for event in run(replace(SMALL, loss="softmax", epochs=10_000), processes=2):
    print(event.epoch, flush=True)
"""


@pytest.mark.long
@pytest.mark.slow
def test_a_killed_parent_leaves_no_orphan(tmp_path):
    path = os.pathsep.join(sys.path)
    environment = os.environ | {"PYTHONPATH": path, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environment)
    try:
        assert parent.stdout.readline()
        workers = psutil.Process(parent.pid).children(recursive=True)
        assert len(workers) == 2
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert gone(workers)


# --- requests --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "processes", "message"),
    [
        ({}, 0, "a trial takes at least 1 process, got 0"),
        ({"batch_size": 4}, 5, "a batch of 4 cannot be shared by 5 processes"),
        ({"loss": "triplet", "shard_classes": True}, 1, "take a loss of .*softmax, got 'triplet'"),
        ({"loss": "lmcl+center", "sample_classes": 0.5}, 1, "take a loss of adaface, .*got 'lmcl\\+center'"),
        ({"loss": "lmcl", "sample_classes": 0.0}, 1, "0 < sample_classes <= 1, got 0.0"),
        ({"loss": "lmcl", "sample_classes": 0.5, "supervise": ("stages.1",)}, 1, "do not go with supervise"),
    ],
)
def test_a_wrong_request_is_answered_before_anything_starts(changes, processes, message):
    with pytest.raises(RequestError, match=message):
        list(run(replace(SMALL, **changes), processes=processes))


def test_sampled_classes_are_another_trial_and_repeat():
    trial = replace(SMALL, loss="softmax", sample_classes=0.4, epochs=1)
    (first, _), (again, _), (plain, _) = (
        list(run(trial)),
        list(run(trial)),
        list(run(replace(trial, sample_classes=1.0))),
    )
    assert isinstance(first, Progress) and first.metrics == again.metrics
    assert first.metrics["train/loss"] != plain.metrics["train/loss"]
    assert trial.id != replace(trial, sample_classes=1.0).id


@pytest.mark.long
@pytest.mark.slow
def test_the_command_line_trains_in_two_processes(facebench):
    size = ["--set", "channels=1", "--set", "image_size=16", "--set", "backbone_options.widths=[4, 4, 4, 4]"]
    classes = ["--set", "shard_classes=true", "--set", "sample_classes=0.5"]
    code, out, err = facebench(
        "train", "nsl", "--dataset", "digits", "--epochs", 1, *size, *classes, "--processes", 2, "--json"
    )
    assert code == 0, err
    record = read(Path(json.loads(out)["folder"]))
    assert record.cost["processes"] == 2 and record.trial.sample_classes == 0.5
