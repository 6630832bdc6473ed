"""What an MLflow user looks for: the network as a model, its datasets, the study's description; in a real SQLite store."""

import json
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from made_up_tracking import TRIAL, _trained, begun, contents, rows, runs, sweep, template, trained  # noqa: F401 (fixtures)

from bench import _mlflow_model, _mlflow_network, device, record, tracking, trial_network
from bench._mlflow_export import Embedding, save
from bench._mlflow_store import Failed
from bench.errors import TrialFailed
from bench.networks.trials import said
from bench.plain import Progress, Result, Trial

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's and torch.export's own


@pytest.fixture
def here(monkeypatch):
    """Models are written in this process: one of its own takes seconds to start."""
    written = []

    def make(self, asked, hurried):
        if hurried():
            raise _mlflow_model.Hurried
        written.append(asked["model"])
        save(Path(asked.pop("folder")), Path(asked.pop("to")), **asked)
        return ""

    monkeypatch.setattr(_mlflow_model.Exporter, "make", make)
    return written


def shown():
    """The client, the runs of the parent and of the trial, and all models."""
    of = tracking.client(tracking.uri())
    study = of.get_experiment_by_name("study").experiment_id
    parent, child = sorted(of.search_runs([study]), key=lambda run: "mlflow.parentRunId" in run.data.tags)
    return of, parent, child, list(of.search_logged_models([study]))


def everything():
    tables = (
        "runs",
        "tags",
        "metrics",
        "inputs",
        "datasets",
        "logged_models",
        "logged_model_metrics",
        "logged_model_tags",
    )
    return {table: sorted(map(str, rows(f"select * from {table}"))) for table in tables}


@pytest.mark.parametrize("role", ["search", "finalist", "default", "tuned", "again", "untrained"])
def test_only_confirmed_networks_become_models(trained, role):
    (known,) = record.read_study(trained)
    stage = {"search": "tune", "finalist": "tune", "default": "default"}.get(role, "confirm")
    assert _mlflow_model.wanted(replace(known, trial=replace(known.trial, stage=stage, role=role))) == (
        role in ("tuned", "again")
    )


def test_a_confirmed_network_is_a_model_with_signature_run_and_figures_that_loads_without_pickle(
    trained, here, monkeypatch
):
    tracking.sync("study")
    _, _, child, (model,) = shown()
    assert (str(model.status), model.source_run_id) == ("READY", child.info.run_id)
    assert [output.model_id for output in child.outputs.model_outputs] == [model.model_id]
    assert child.data.tags["facebench.model"] == model.model_id
    (known,) = record.read_study(trained)
    on = {metric.key: (metric.value, metric.dataset_name, metric.dataset_digest) for metric in model.metrics}
    hashed = known.scores["heldout"]["hash"]
    assert on["heldout/auc"] == (known.metrics["heldout/auc"], "heldout", hashed)
    assert on["train/loss"] == (known.metrics["train/loss"], "digits", known.provenance["data"])

    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 32, 32)).astype(np.uint8)
    with torch.no_grad():
        wanted = Embedding(trial_network.trained(known))(torch.from_numpy(images)).numpy()
    plain = mlflow.pyfunc.load_model(model.artifact_location)
    assert np.array_equal(plain.predict(images), wanted)
    assert np.array_equal(mlflow.pytorch.load_model(model.artifact_location)(torch.from_numpy(images)).detach(), wanted)
    assert plain.metadata.signature.inputs.inputs[0].shape == (-1, 1, 32, 32)
    assert plain.metadata.signature.outputs.inputs[0].shape == (-1, 8)


def test_evaluate_knows_of_the_model_what_it_wants_of_images(trained, here):
    tracking.sync("study")
    _, _, _, (model,) = shown()
    found = _mlflow_network.opened(f"models:/{model.model_id}", {}).inputs
    assert found == replace(said(TRIAL), mean=(0.0,), std=(1.0,), origin=found.origin)  # normalised inside


def test_a_model_gets_its_images_where_its_weights_lie(trained, here, monkeypatch):
    tracking.sync("study")
    _, _, _, (model,) = shown()
    elsewhere = device.Device(torch.device("meta"), bf16=False)  # as an accelerator is: MLflow moves no program there
    monkeypatch.setattr(device, "choose", lambda precision: elsewhere)
    network = _mlflow_network.opened(f"models:/{model.model_id}", {})
    assert network.facts["device"] == "cpu" and network.embed(np.zeros((2, 32, 32, 1), np.uint8)).any()


def test_weights_are_stored_once(trained, here):
    tracking.sync("study")
    of, _, child, (model,) = shown()
    assert not [file.path for file in of.list_artifacts(child.info.run_id) if file.path.endswith(".pt")]
    assert [file.path for file in of.list_logged_model_artifacts(model.model_id, "data")] == ["data/model.pt2"]


def test_a_second_sync_changes_nothing_and_makes_no_second_model(trained, here):
    tracking.sync("study")
    before = everything()
    tracking.sync("study")
    assert everything() == before and len(here) == 1


@pytest.mark.parametrize("call", ["log_model_artifacts", "log_outputs", "finalize_logged_model", "set_tag"])
def test_a_model_that_a_killed_driver_left_half_made_is_completed(trained, here, monkeypatch, call):
    def killed(*given, **named):
        if call != "set_tag" or "facebench.model" in given:
            raise KeyboardInterrupt
        return known(*given, **named)

    known = getattr(mlflow.MlflowClient, call)
    with monkeypatch.context() as patch:
        patch.setattr(f"mlflow.MlflowClient.{call}", killed)
        with pytest.raises(KeyboardInterrupt):
            tracking.sync("study")
    tracking.sync("study")
    _, _, child, (model,) = shown()
    assert str(model.status) == "READY" and child.data.tags["facebench.model"] == model.model_id
    assert [output.model_id for output in child.outputs.model_outputs] == [model.model_id]
    assert mlflow.pyfunc.load_model(model.artifact_location).metadata.model_id == model.model_id
    assert not rows("select 1 from metrics group by run_uuid, key, step having count(*) > 1")


def test_a_study_that_is_being_stopped_leaves_the_model_for_sync(trained, here):
    facts = json.loads((trained / "study.json").read_text())
    (trained / "study.json").write_text(json.dumps(facts | {"state": "stopped"}))
    mirror = tracking.Mirror("study", trained, tracking.uri())
    (known,) = record.read_study(trained)
    assert mirror.send(known)
    mirror.complete(known)
    _, _, child, models = shown()
    assert child.info.status == "FINISHED" and "facebench.model" not in child.data.tags and not here and not models
    tracking.sync("study")
    _, _, child, models = shown()
    assert [str(model.status) for model in models] == ["READY"]


def test_a_network_that_cannot_be_exported_costs_its_model_alone(trained, monkeypatch):
    monkeypatch.setattr(_mlflow_model.Exporter, "make", lambda *_: "ValueError: a loop over data")
    for _ in range(2):
        tracking.sync("study")
        of, _, child, models = shown()
        assert child.data.tags["facebench.model"] == "none: ValueError: a loop over data" and not models
        assert "checkpoint-1.pt" in {file.path for file in of.list_artifacts(child.info.run_id)}


def test_a_model_that_cannot_be_made_now_is_made_by_the_next_sync_and_all_else_is_sent(trained, here, monkeypatch):
    def full(*_):
        raise Failed("OSError: no space left")

    with monkeypatch.context() as patch:
        patch.setattr(_mlflow_model.Exporter, "make", full)
        with pytest.raises(
            TrialFailed, match=r"^MLflow has all of study 'study' but 1 of its networks \(OSError: no space"
        ):
            tracking.sync("study")
    of, parent, child, _ = shown()
    assert child.data.tags["facebench.whole"] == "true" and "facebench.model" not in child.data.tags
    assert "records.zip" in {file.path for file in of.list_artifacts(parent.info.run_id)}
    tracking.sync("study")
    _, _, _, models = shown()
    assert [str(model.status) for model in models] == ["READY"]


@pytest.mark.long
@pytest.mark.slow
def test_models_are_written_by_a_process_of_its_own(trained):
    tracking.sync("study")
    _, _, _, (model,) = shown()
    images = np.zeros((2, 1, 32, 32), np.uint8)
    assert mlflow.pyfunc.load_model(model.artifact_location).predict(images).shape == (2, 8)


@pytest.mark.long
@pytest.mark.slow
def test_models_are_made_where_mlflow_is_written_by_another_process_too(trained):
    mirror = tracking.Apart("study", trained, tracking.uri(), tracking.as_it_is)
    try:
        mirror.open(alone=True)
        (known,) = record.read_study(trained)
        assert mirror.send(known)
        mirror.close("finished")
        mirror.complete(known)
    finally:
        mirror.stop()
    _, _, _, (model,) = shown()
    assert str(model.status) == "READY"


def test_the_process_is_ended_when_there_is_no_time(trained):
    def hurried() -> bool:
        processes.append(exporter._process)
        return True

    processes, exporter = [], _mlflow_model.Exporter()
    with pytest.raises(_mlflow_model.Hurried):
        exporter.make({"folder": "", "to": "", "run": "", "model": "", "place": ""}, hurried)
    (process,) = processes
    assert process.poll() is not None


def test_a_run_has_its_datasets_and_the_study_each_training_set_once(trained, here):
    told = {"data": "fa" * 16, "train_images": 7}
    for seed in range(3):
        folder = record.start(Trial(study="study", stage="tune", seed=seed), trained)
        record.Journal(folder).append(Progress(1, 1, {"train/loss": 0.5}))
        record.finish(folder, "finished", result=Result({"train/loss": 0.5}, provenance=told))
    tracking.sync("study")
    of = tracking.client(tracking.uri())
    found = {}
    for one in of.search_runs([of.get_experiment_by_name("study").experiment_id]):
        given = [(use.dataset.name, use.dataset.digest, use.tags[0].value) for use in one.inputs.dataset_inputs]
        found[one.data.tags.get("stage", "parent"), one.data.tags.get("seed")] = sorted(given)
    (known,) = (one for one in record.read_study(trained) if one.trial.stage == "confirm")
    own = ("digits", known.provenance["data"], "training")
    assert found["confirm", "0"] == [own, ("heldout", known.scores["heldout"]["hash"], "test")]
    assert found["parent", None] == sorted([own, ("digits", "fa" * 16, "training")])
    assert found["tune", "0"] == [] == found["tune", "2"]


def test_how_busy_the_machine_was_stands_under_the_names_of_mlflows_system_metrics(begun):
    folder = record.start(Trial(study="study"), begun)
    busy = {"cpu_utilization_percentage": 50.0, "gpu_0_memory_usage_megabytes": 7.5}
    for step in (1, 2):
        record.Journal(folder).append(Progress(step, step, {"train/loss": 0.5}, 1.0 * step, busy))
    assert record.read(folder).events[0].machine == busy
    tracking.sync("study")
    ((*_, history, _),) = contents().values()
    assert history["system/cpu_utilization_percentage"] == [(1, 50.0), (2, 50.0)]
    assert history["system/gpu_0_memory_usage_megabytes"] == [(1, 7.5), (2, 7.5)]


def test_the_description_says_what_is_asked_and_ends_with_the_summary(runs):
    def summary(folder):
        (folder / "report").mkdir()
        (folder / "report" / "leaderboard.md").write_text("# study\n\nlmcl is tied with softmax.\n")

    sweep(describe=summary)
    parent = shown_parent()
    assert parent.startswith("**study**: which of softmax, lmcl is better")
    assert "- State: finished" in parent and '- Data: `{"name": "digits"}`' in parent
    assert "- Tuned: 4 trials a loss of 2 epochs" in parent and "- Command: `facebench sweep x`" in parent
    assert parent.endswith("lmcl is tied with softmax.\n")
    before = everything()
    tracking.sync("study")
    assert everything() == before


def test_a_summary_that_fails_costs_a_line(runs):
    assert "has no leaderboard (ZeroDivisionError: " in sweep(describe=lambda folder: 1 / 0)
    assert "- State: finished" in shown_parent()


def test_a_long_description_is_cut_between_lines(begun):
    (begun / "report").mkdir()
    (begun / "report" / "leaderboard.md").write_text("# study\n\n" + "| a row of the leaderboard |\n" * 500)
    tracking.sync("study")
    assert len(shown_parent()) < 8000 and shown_parent().endswith("leaderboard |\n\n(The rest is in the report.)")


def shown_parent():
    of = tracking.client(tracking.uri())
    study = of.get_experiment_by_name("study").experiment_id
    (parent,) = (run for run in of.search_runs([study]) if "facebench.begun" in run.data.tags)
    return parent.data.tags["mlflow.note.content"]


def test_studies_lie_under_model_training_in_the_ui(begun):
    tracking.sync("study")
    tags = tracking.client(tracking.uri()).get_experiment_by_name("study").tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
