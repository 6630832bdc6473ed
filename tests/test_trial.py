"""A whole trial: events in, figures out; resuming, overlap, unreadable images, wrong requests."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bench import record
from bench.errors import RequestError, TrialFailed
from bench.images import Faces
from bench.material import load
from bench.overlap import compare
from bench.train import Fit
from bench.trial import Options, Progress, Result, Trial, loss_options, run

SMALL = {
    "data": Options(name="digits"),
    "holdout": 0.3,
    "channels": 1,
    "image_size": 16,
    "backbone_options": Options(widths=[4, 8, 8, 8]),
    "embedding_dim": 8,
    "epochs": 3,
    "batch_size": 64,
    "precision": "float32",
    "protocols": (Options(name="heldout", data={"name": "digits"}),),
}


def timeless(events):
    """What must be equal in two runs of one trial."""
    steps = [(e.step, e.epoch, e.metrics) for e in events if isinstance(e, Progress)]
    (result,) = [e for e in events if isinstance(e, Result)]
    return steps, result.metrics, json.dumps(result.scores, sort_keys=True)


def test_a_trial_is_hashable_data_and_its_id_a_hash_of_it():
    trial = Trial(**SMALL, loss="center", loss_options=Options(center_weight=0.01))
    again = Trial.from_plain(json.loads(json.dumps(trial.plain())))
    assert again == trial and hash(again) == hash(trial) and again.id == trial.id and len(trial.id) == 16
    assert Trial(**SMALL, seed=1).id != Trial(**SMALL, seed=2).id
    assert Options(b=1, a=2) == Options(a=2, b=1) and hash(Options(b=1, a=2)) == hash(Options(a=2, b=1))


def test_fields_that_came_later_leave_the_ids_of_old_records_alone():
    assert Trial().id == "83b3484a697b9c69" and Trial(loss="center", seed=3).id == "76538cf9453985e1"
    later = {"label": "a", "closed_every": 5, "patch": (0.0, 0.0, 0.5), "images_per_identity": 1, "scorer": "l2"}
    later |= {"supervise": ("stages",), "scorer_options": Options(pca=3), "keep": ("features",)}
    later |= {"shard_classes": True, "sample_classes": 0.1}
    trials = [Trial(), *(Trial(**{name: value}) for name, value in later.items())]
    assert len({trial.id for trial in trials}) == len(trials)
    assert all(Trial.from_plain(json.loads(json.dumps(trial.plain()))) == trial for trial in trials)


def test_a_loss_gets_the_batches_that_it_asks_for(monkeypatch):
    seen = []
    step = Fit._one_step
    monkeypatch.setattr(Fit, "_one_step", lambda work, x, y, rate: seen.append(y) or step(work, x, y, rate))
    list(run(Trial(**SMALL | {"batch_size": 16}, loss="triplet")))
    assert seen and all(np.unique(y, return_counts=True)[1].tolist() == [4] * 4 for y in seen)
    seen.clear()
    list(run(Trial(**SMALL | {"batch_size": 16}, loss="triplet", images_per_identity=8)))
    assert seen and all(np.unique(y, return_counts=True)[1].tolist() == [8] * 2 for y in seen)
    with pytest.raises(RequestError, match="16 identities with 4 images each, and only 5 of 5"):
        list(run(Trial(**SMALL, loss="triplet")))


def test_a_patch_is_what_the_network_sees():
    whole, part = load(Trial(**SMALL)), load(Trial(**SMALL, patch=(0.25, 0.25, 0.5)))
    assert part.pixels.array.shape == whole.pixels.array.shape and part.key != whole.key
    assert part.exams[0].pixels.key != whole.exams[0].pixels.key


def test_several_layers_are_supervised_in_training_only():
    plain, deep = Trial(**SMALL, loss="softmax"), Trial(**SMALL, loss="softmax", supervise=("stages.1", "stages.2"))
    (*_, first), (*_, second) = run(plain), run(deep)
    assert second.cost["parameters"] > first.cost["parameters"]  # a linear layer for each stage
    assert set(second.metrics) == set(first.metrics) and second.metrics != first.metrics


def test_a_trial_is_events_and_then_one_result():
    events = list(run(Trial(**SMALL, loss="lmcl", loss_options=Options(scale=16.0, margin=0.1))))
    *progress, result = events
    assert [e.epoch for e in progress] == [1, 2, 3] and isinstance(result, Result)
    assert all("train/loss" in e.metrics and "dev/auc" in e.metrics for e in progress)
    assert all(0 <= e.machine["cpu_utilization_percentage"] <= 100 for e in progress)
    assert all(e.machine["system_memory_usage_megabytes"] > 0 for e in progress)
    assert {"dev/auc", "heldout/auc", "train/loss"} <= set(result.metrics)
    assert result.scores["heldout"]["metrics"]["heldout/auc"] == result.metrics["heldout/auc"]
    assert result.cost["epochs"] == 3 and result.cost["parameters"] > 1000 and result.cost["images_per_second"] > 0
    facts = result.provenance
    assert facts["train_identities"] == 5 and facts["identities"] == 7 and facts["versions"]["torch"]
    assert facts["train_images"] + facts["development_images"] == facts["images"]


def test_the_same_trial_gives_the_same_numbers_to_the_last_digit():
    trial = Trial(**SMALL, loss="center")
    assert timeless(list(run(trial))) == timeless(list(run(trial)))


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_a_stopped_trial_goes_on_as_if_it_had_never_stopped(stopped_after, tmp_path):
    trial = Trial(**SMALL, loss="center")
    whole = list(run(trial, str(tmp_path / "whole")))
    events = run(trial, str(tmp_path / "cut"))
    seen = [next(events) for _ in range(stopped_after)]
    events.close()
    resumed = list(run(trial, str(tmp_path / "cut")))
    assert [vars(e) for e in resumed[:stopped_after]] == [vars(e) for e in seen]  # stored events first, timings and all
    assert timeless(resumed) == timeless(whole)


def test_a_checkpoint_of_other_data_is_refused(tree, tmp_path):
    """The same trial on another folder of the same name: its checkpoint must not pass for a model of these data."""
    trial = Trial(**SMALL | {"data": Options(name="folder", paths=[str(tree)]), "protocols": (), "batch_size": 4})
    trial = replace(trial, holdout=0.0)
    list(run(trial, str(tmp_path / "run")))
    (tree / "Ann" / "0.png").write_bytes((tree / "Bob" / "0.png").read_bytes())
    with pytest.raises(RequestError, match="were trained on other images"):
        list(run(trial, str(tmp_path / "run")))


def test_weights_that_break_in_the_last_step_fail_the_trial():
    """One step an epoch: its loss is finite, what it leaves is not. That is a failed training, not a wrong request."""
    broken = SMALL | {"batch_size": 2000, "learning_rate": 1e30, "warmup": 0.0, "protocols": ()}
    with pytest.raises(TrialFailed, match="not finite.*: the training diverged"):
        list(run(Trial(**broken)))


def test_a_wrong_flip_is_answered_before_the_training(monkeypatch):
    monkeypatch.setattr("bench.train.Fit.run_epoch", lambda *_: pytest.fail("trained"))
    with pytest.raises(RequestError, match="flip must be one of"):
        list(run(Trial(**SMALL | {"flip": "twice", "holdout": 0.0})))


def test_an_untrained_network_is_scored_too():
    (result,) = run(Trial(**SMALL | {"epochs": 0}))
    assert 0.3 < result.metrics["heldout/auc"] < 1 and result.cost["epochs"] == 0


def test_a_share_of_the_run_reaches_the_loss_in_steps():
    trial = Trial(loss_options=Options(margin=0.3, margin_warmup_fraction=0.25))
    assert loss_options(trial, total_steps=82) == {"margin": 0.3, "margin_warmup_steps": 20}


def test_development_identities_are_the_same_for_every_seed_and_loss_and_never_trained_on():
    first, second = load(Trial(**SMALL)), load(Trial(**SMALL, seed=5, loss="lmcl"))
    assert np.array_equal(first.develop, second.develop)
    trained, held = first.faces.labels[first.train], first.faces.labels[first.develop]
    assert not set(trained) & set(held) and len(set(held)) == 2
    other = load(Trial(**SMALL, holdout_seed=3))
    assert set(other.faces.labels[other.develop]) != set(held)


# --- training and test must not share people or images ----------------------------------------------


def faces(people):
    return Faces(("a/1", "b/1"), np.array([0, 1]), ("a", "b"), None, people)


def test_shared_people_are_found_however_they_are_written():
    everyone = faces({"a": "Adam Sandler", "b": "Bo"})
    with pytest.raises(
        RequestError, match=r"share 1 people \(the first is Adam_Sandler\) and 0 images.*--allow-overlap"
    ):
        compare(everyone, [b"1", b"2"], "lfw", ["Adam_Sandler", "Cy"], [b"3"], allow=False)
    allowed = compare(everyone, [b"1", b"2"], "lfw", ["Adam_Sandler"], [b"2"], allow=True)
    assert allowed == {
        "verdict": "allowed",
        "detail": "training and lfw share 1 people (the first is Adam_Sandler) and 1 images",
    }


def test_shared_images_are_found_by_their_pixels():
    with pytest.raises(RequestError, match="share 0 people and 1 images"):
        compare(faces({"a": "Ann", "b": "Bo"}), [b"1", b"2"], "lfw", ["Cy"], [b"2", b"9"], allow=False)


def test_what_has_no_name_cannot_be_cleared():
    verdict = compare(faces({"a": "Ann"}), [b"1"], "lfw", ["Cy"], [b"2"], allow=False)
    assert verdict["verdict"] == "unknown" and "1 of 2 training identities have no name" in verdict["detail"]
    assert compare(faces({"a": "Ann", "b": "Bo"}), [b"1"], "lfw", ["Cy"], [b"2"], False)["verdict"] == "none"
    verdict = compare(faces({"a": "Ann", "b": "Lfw 0"}), [b"1"], "lfw-bin", ["Cy", "?lfw/0"], [b"2"], allow=False)
    assert verdict["verdict"] == "unknown" and verdict["detail"].startswith(
        "the people of lfw-bin have none; no shared"
    )


def test_a_trial_that_trains_on_its_test_is_refused_before_it_trains(monkeypatch):
    trained = []
    monkeypatch.setattr("bench.train.Fit.run_epoch", lambda *a: trained.append(1))
    shared = SMALL | {"data": Options(name="digits", classes=[0, 1, 2, 7])}
    with pytest.raises(RequestError, match="training and heldout share 1 people"):
        list(run(Trial(**shared | {"holdout": 0.0})))
    assert not trained


# --- unreadable images ----------------------------------------------------------------------------------


def spoil(tree):
    (tree / "Bob" / "1.png").write_bytes(b"no picture")


def test_an_unreadable_training_image_is_counted_named_and_skipped(tree):
    spoil(tree)
    trial = Trial(**SMALL | {"data": Options(name="folder", paths=[str(tree)]), "protocols": (), "batch_size": 4})
    trial = replace(trial, holdout=0.5)
    *_, result = run(trial)
    facts = result.provenance
    assert facts["skipped_images"] == 1 and facts["first_skipped"][0].startswith("Bob/1.png: ")
    assert facts["train_images"] + facts["development_images"] == 11


def test_an_unreadable_test_image_is_an_error(tree):
    spoil(tree)
    listing = sorted(p.relative_to(tree).as_posix() for p in tree.rglob("*.png") if p.parent.name != "deep")
    (tree / "images.txt").write_text("\n".join(listing))
    spec = Options(name="heldout", root=str(tree))
    with pytest.raises(RequestError, match=r"1 of 8 images of heldout cannot be read, the first is Bob/1.png"):
        list(run(Trial(**SMALL | {"protocols": (spec,)})))


# --- wrong requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "cosin"}, "no 'cosin' in losses; there is: adaface, .*center"),
        ({"loss": "lmcl", "loss_options": Options(m=0.2)}, "has no hyper-parameter 'm'; it has: scale, margin"),
        ({"backbone": "resnt18"}, "no 'resnt18' in backbones; closest: .*resnet18"),
        ({"backbone_options": Options(width=3)}, "backbone 'cnn4' does not take these options"),
        ({"image_size": 8}, "needs at least 16x16, got 8x8"),
        ({"data": Options(name="digits", classes=[0, 1]), "holdout": 0.5}, "at least 2 of each are needed"),
        ({"holdout": 1.5}, "0 <= holdout < 1, .* got 1.5 and 0"),
        ({"data": Options(name="fases")}, "no 'fases' in datasets"),
        ({"protocols": (Options(name="lfv"),)}, "no 'lfv' in protocols|no data folder"),
        ({"protocols": (Options(data={"name": "digits"}),)}, "a protocol needs a name"),
        ({"augment": Options(blur=0.5)}, "augment has no 'blur'"),
        ({"precision": "int8"}, "precision must be one of"),
        ({"crop": -3}, "a crop of at least 1"),
        ({"embedding_dim": 0}, "embedding_dim are at least 1, got 16 and 0"),
        ({"learning_rate": float("nan")}, "a finite learning_rate > 0"),
        ({"weight_decay": -1.0}, "a finite weight_decay >= 0"),
        ({"seed": -1}, "0 <= seed"),
        ({"loss": "lmcl", "loss_options": Options(margin="wide")}, "margin must be a number, got 'wide'"),
        ({"loss": "lmcl", "loss_options": Options(margin_warmup_fraction=1.5)}, "a share of the run between 0 and 1"),
        ({"loss_options": Options(bias="yes")}, "bias must be true or false, got 'yes'"),
        ({"loss": "triplet", "batch_size": 6}, "a batch of 6 cannot hold 2 identities with 4 images each"),
        ({"images_per_identity": 0}, "images_per_identity must be at least 1, got 0"),
        ({"supervise": ("stage.9",)}, "stage.9"),
        ({"scorer": "cosin"}, "scorer .*cosin"),
        ({"patch": (0.5, 0.5, 0.8)}, "a patch is"),
        ({"flip": "twice"}, "flip must be one of concat, add, none, got 'twice'"),
    ],
)
def test_a_wrong_trial_is_answered(changes, message):
    with pytest.raises(RequestError, match=message):
        list(run(Trial(**SMALL | changes)))


# --- the record on disk --------------------------------------------------------------------------------


def test_a_record_is_read_back_as_it_was_written(tmp_path):
    trial = Trial(**SMALL, loss="lmcl")
    folder = record.start(trial, tmp_path)
    assert record.read(folder).state == "waiting"
    events = list(run(trial))
    for event in events[:-1]:
        assert record.Journal(folder).append(event)
        assert not record.Journal(folder).append(event)  # a step is there once, however often it arrives
    assert record.read(folder).state == "running"
    record.finish(folder, "finished", result=events[-1])
    read = record.read(folder)
    assert (read.trial, read.state, list(read.events)) == (trial, "finished", events[:-1])
    assert read.metrics == events[-1].metrics and read.cost == events[-1].cost
    assert set(read.curves()) == {"heldout"} and (folder / "raw.npz").exists()
    assert record.read_study(tmp_path) == [read]


def test_a_line_cut_short_by_a_crash_is_dropped(tmp_path):
    folder = record.start(Trial(), tmp_path)
    record.Journal(folder).append(Progress(1, 1, {"a": 1.0}))
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"step": 2, "ep')
    assert [e.step for e in record.events(folder)] == [1]
    record.Journal(folder).append(Progress(2, 2, {"a": 2.0}))
    assert [e.step for e in record.events(folder)] == [1, 2]
