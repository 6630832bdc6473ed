"""A study that asks for shared or sampled classes: its trials say so, and a loss that cannot is refused."""

import pytest
from test_study import GOOD

from bench.errors import RequestError
from sweeps import plan, reading

RIGHT = GOOD.replace("  center: {search: {center_weight: [1e-4, 0.01]}}\n", "")


def asked(text):
    return reading.parse(RIGHT.replace("learning_rate: 0.05", f"learning_rate: 0.05, {text}"), "tiny.yaml")


def test_the_trials_of_a_study_carry_what_it_asks_of_the_classes():
    plain = plan.fixed(asked("momentum: 0.9"), "cnn4", "lmcl")
    trial = plan.fixed(asked("shard_classes: true, sample_classes: 0.1"), "cnn4", "lmcl")
    assert (trial.shard_classes, trial.sample_classes) == (True, 0.1)
    assert (plain.shard_classes, plain.sample_classes) == (False, 1.0) and plain.id != trial.id


def test_a_share_is_above_0_and_at_most_1():
    for share in ("0.0", "1.5"):
        with pytest.raises(RequestError, match="'train.sample_classes'"):
            asked(f"sample_classes: {share}")


def test_a_loss_that_cannot_be_sampled_is_named():
    text = GOOD.replace("learning_rate: 0.05", "learning_rate: 0.05, sample_classes: 0.5")
    with pytest.raises(RequestError, match="'losses.center'.*'center' cannot do; these can: adaface, .*softmax"):
        reading.parse(text, "tiny.yaml")
