"""The closed-set test: which images it keeps, and what it scores."""

import numpy as np
import pytest

from bench import material
from bench.closed import Closed
from bench.errors import RequestError
from bench.plain import Options, Trial
from bench.trial import Result, run

SMALL = {
    "data": Options(name="digits", classes=[0, 1, 2]),
    "channels": 1,
    "image_size": 16,
    "backbone_options": Options(widths=[4, 8, 8, 8]),
    "embedding_dim": 2,
    "epochs": 2,
    "batch_size": 32,
    "precision": "float32",
    "closed_every": 5,
}


def test_every_fifth_image_of_each_identity_is_kept_from_training():
    data = material.load(Trial(**SMALL))
    assert not set(data.train) & set(data.closed)
    for digit in range(3):
        whole = int((data.faces.labels == digit).sum())
        assert int((data.faces.labels[data.closed] == digit).sum()) == whole // 5
        assert int((data.train_labels == digit).sum()) == whole - whole // 5
    test = data.closed_test()
    assert len(test.labels) == len(data.closed) and test.names[0] == "digit-0/0005.png"
    assert len(material.load(Trial(**SMALL | {"closed_every": 0})).closed) == 0


def test_identities_held_out_for_development_have_no_part_in_it():
    data = material.load(Trial(**SMALL | {"data": Options(name="digits"), "holdout": 0.3}))
    assert len(data.closed) and len(data.develop)
    assert set(data.faces.labels[data.closed]) == set(data.faces.labels[data.train])
    test = data.closed_test()
    names = np.unique([data.faces.identities[label] for label in data.faces.labels[data.train]])
    assert [names[label] for label in test.labels] == [name.split("/")[0] for name in test.names]


def test_accuracies_are_counted_and_carry_their_folds():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 40)
    logits = random.normal(size=(40, 3))
    train, train_labels = random.normal(size=(25, 2)), random.integers(0, 3, 25)
    features = random.normal(size=(40, 2))
    answer = Closed([str(i) for i in range(40)], labels).score(features, train, train_labels, logits)
    right = [int(np.argmax(row)) == label for row, label in zip(logits, labels, strict=True)]
    nearest = [
        train_labels[min(range(25), key=lambda i: float(np.sum((train[i] - x) ** 2)))] == label
        for x, label in zip(features, labels, strict=True)
    ]
    assert answer.metrics == {"closed/accuracy": np.mean(right), "closed/nearest": np.mean(nearest)}
    folds = answer.clusters["closed/accuracy"]
    assert folds.kind == "folds" and folds.values[3] == pytest.approx(np.mean(right[3::10]))


def test_a_loss_without_class_scores_says_so():
    answer = Closed(["a", "b"], np.array([0, 1])).score(np.eye(2), np.eye(2), np.array([0, 1]), None)
    assert answer.undefined == {"closed/accuracy": "the loss has no class scores"}
    assert answer.metrics == {"closed/nearest": 1.0} and not answer.clusters  # two images have no ten folds


@pytest.mark.parametrize("loss", ["softmax", "center"])
def test_a_trial_scores_it_and_keeps_its_features(loss):
    result = list(run(Trial(**SMALL, loss=loss, keep=("features",))))[-1]
    assert isinstance(result, Result)
    raw = result.raw
    assert raw["features/train"].shape == (len(raw["features/train_labels"]), 2)
    assert raw["features/test"].shape == (len(raw["features/test_labels"]), 2)
    assert raw["features/weight"].shape == (3, 2) and raw["features/bias"].shape == (3,)
    assert ("features/centers" in raw) == (loss == "center")
    scores = raw["features/test"] @ raw["features/weight"].T + raw["features/bias"]
    assert result.metrics["closed/accuracy"] == np.mean(scores.argmax(1) == raw["features/test_labels"])
    assert result.scores["closed"]["hash"] and result.provenance["closed_test_images"] == len(raw["features/test"])


def test_tuning_never_sees_it():
    result = list(run(Trial(**SMALL | {"data": Options(name="digits")}, stage="tune", holdout=0.3)))[-1]
    assert isinstance(result, Result)
    assert "closed" not in result.scores and not result.raw


@pytest.mark.parametrize("every", [-1, 1])
def test_a_share_that_leaves_nothing_is_refused(every):
    with pytest.raises(RequestError, match="closed_every is 0"):
        list(run(Trial(**SMALL | {"closed_every": every})))


def test_only_what_there_is_can_be_kept():
    with pytest.raises(RequestError, match="keep takes features, embeddings, got 'gradients'"):
        list(run(Trial(**SMALL, keep=("gradients",))))
