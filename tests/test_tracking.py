"""MLflow as the window on the records: a real store in a real SQLite file, filled while a sweep runs and afterwards."""

import math
import os
import shutil
from collections import Counter
from pathlib import Path

import fake_trial
import pytest
from made_up_tracking import _done, begun, contents, crash, done, rows, runs, sweep, template  # noqa: F401 (fixtures)

from bench import places, record, tracking
from bench.errors import RequestError
from bench.locks import alone
from bench.plain import Progress, Trial


def test_a_study_is_an_experiment_with_a_parent_run_and_a_nested_run_per_trial(done):
    of = tracking.client(tracking.uri())
    experiment = of.get_experiment_by_name("study")
    assert experiment.artifact_location == (places.runs() / "mlartifacts" / "study").as_uri()
    runs = of.search_runs([experiment.experiment_id])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    assert parent.data.tags["facebench.command"] == "facebench sweep x" and parent.info.status == "FINISHED"
    records = {r.trial.id: r for r in done}
    children = {run.data.tags["facebench.trial"]: run for run in runs if run is not parent}
    assert set(children) == set(records) and len(children) == len(done)
    for trial, run in children.items():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.status == "FINISHED"
        assert run.data.tags["facebench.state"] == records[trial].state


def test_a_run_shows_the_trials_parameters_tags_figures_and_files(done):
    shown = contents()
    tuned = next(r for r in done if (r.trial.role, r.trial.loss) == ("tuned", "lmcl"))
    _, params, tags, history, files = shown[tuned.trial.id]
    assert params["learning_rate"] == str(tuned.trial.learning_rate)
    assert params["loss_options.margin"] == str(tuned.trial.loss_options["margin"])
    wanted = {"loss": "lmcl", "backbone": "cnn4", "stage": "confirm", "role": "tuned", "seed": str(tuned.trial.seed)}
    wanted |= {"mlflow.source.git.commit": "c0ffee", "facebench.dirty": "False", "facebench.versions.torch": "2"}
    assert wanted.items() <= tags.items()
    assert history["train/loss"] == [(10, 1.0), (20, 0.5)]
    assert history["lfw/accuracy"] == [(20, tuned.metrics["lfw/accuracy"])]
    assert files == ["checkpoint-1.pt", "curves.json", "events.jsonl", "record.json", "trial.json"]
    for known in done:
        steps = [(event.step, event.metrics["train/loss"]) for event in known.events]
        assert shown[known.trial.id][3].get("train/loss", []) == steps


def test_sending_again_adds_nothing(done):
    before, count = contents(), rows("select count(*) from metrics")
    assert tracking.sync("study") == len(before)
    assert contents() == before and rows("select count(*) from metrics") == count
    assert not rows("select 1 from metrics group by run_uuid, key, step having count(*) > 1")


def test_an_interrupted_study_shows_killed_runs_and_goes_on_in_them(runs):
    with pytest.raises(KeyboardInterrupt):
        sweep(fake_trial.interrupted(5))
    states = Counter(status for (status,) in rows("select status from runs"))
    assert states["KILLED"] == 2 and states["RUNNING"] == 0  # the parent and the trial that was running
    sweep()
    assert Counter(status for (status,) in rows("select status from runs")) == {"FINISHED": len(contents()) + 1}
    assert not rows("select 1 from metrics group by run_uuid, key, step having count(*) > 1")


@pytest.mark.slow
def test_a_server_that_is_down_costs_a_warning_and_sync_sends_everything(done, template, tmp_path, monkeypatch):
    direct = contents()
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path))
    shutil.copy(template, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    printed = sweep()
    assert "MLflow at http://127.0.0.1:9 did not take everything" in printed
    assert "`facebench sync study` sends what is missing" in printed
    with pytest.raises(RequestError, match=r"^MLflow at http://127.0.0.1:9 does not answer"):
        tracking.sync("study")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.sync("study") == len(done)
    assert contents() == direct


@pytest.mark.parametrize("stage", ["tune", "confirm"])
def test_the_driver_may_remove_checkpoints_while_mlflow_is_written(runs, begun, monkeypatch, stage):
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    def log(self, path, *rest):
        if path.endswith(".pt"):
            tried.append(path)
            Path(path).unlink()
        return send(self, path, *rest)

    tried = []
    send = LocalArtifactRepository.log_artifact
    monkeypatch.setattr(LocalArtifactRepository, "log_artifact", log)
    folder = record.start(Trial(study="study", stage=stage), begun)
    (folder / "checkpoint-1.pt").write_bytes(b"a state")
    record.finish(folder, "failed", "of a made-up reason")
    tracking.sync("study")
    ((status, *_, files),) = contents().values()
    assert status == "FAILED" and files == ["record.json", "trial.json"]
    assert len(tried) == (stage == "confirm"), "the driver keeps no checkpoint of a tuning trial"


def test_sync_keeps_away_from_a_study_that_is_being_run(begun):
    with alone(begun), pytest.raises(RequestError, match=r"^study 'study' is being run by another process: wait"):
        tracking.sync("study")
    assert not rows("select 1 from runs")
    assert tracking.sync("study") == 0


def test_two_mirrors_of_one_study_share_its_runs(begun):
    one, other = (tracking.Mirror("study", begun, tracking.uri()) for _ in range(2))
    folder = record.start(Trial(study="study"), begun)
    record.Journal(folder).append(Progress(1, 1, {"train/loss": 0.5}))
    for mirror in (one, other):
        mirror.send(record.read(folder))
    assert rows("select count(*) from runs") == [(2,)]  # the parent and the trial
    assert rows("select count(*) from metrics") == [(1,)]


def test_parameters_that_a_crash_left_out_are_sent(begun, monkeypatch):
    known = record.read(record.start(Trial(study="study"), begun))
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.log_batch", crash)
        with pytest.raises(KeyboardInterrupt):
            tracking.Mirror("study", begun, tracking.uri()).send(known)
    assert contents()[known.trial.id][1] == {}
    tracking.sync("study")
    assert contents()[known.trial.id][1]["loss"] == known.trial.loss
    assert rows("select count(*) from runs") == [(2,)]


def test_names_that_mlflow_refuses_are_mapped_and_figures_that_are_not_finite_left_out(runs):
    assert tracking.name("lfw/tar@far=1e-3 (x)") == "lfw/tar_far_1e-3 _x_"
    sweep(tune={"trials": 1, "epochs": 1})
    odd = record.start(Trial(study="study", seed=99), places.study_folder("study"))
    record.Journal(odd).append(Progress(1, 1, {"tar@far=1e-3": 0.5, "bad": math.nan, "train/loss": math.inf}))
    tracking.sync("study")
    _, _, _, history, _ = contents()[Trial(study="study", seed=99).id]
    assert history == {"tar_far_1e-3": [(1, 0.5)]}


def test_what_is_not_there_is_named(done, tmp_path):
    with pytest.raises(RequestError, match=r"no study 'other' in"):
        tracking.sync("other")
    with pytest.raises(RequestError, match=r"MLflow at .* has no study 'other'; it has: study"):
        tracking.records_from_mlflow("other", None, tmp_path / "back")


def test_a_crash_while_the_store_is_made_leaves_none_behind(tmp_path, monkeypatch):
    from mlflow.store.db import utils

    monkeypatch.setattr(utils, "_initialize_tables", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tracking.client(f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}")
    assert not (tmp_path / "new" / "mlflow.db").exists()


def test_a_store_that_another_process_makes_meanwhile_is_taken(tmp_path, template, monkeypatch):
    file, link = tmp_path / "new" / "mlflow.db", os.link

    def slower(part, to):
        shutil.copy(template, to)
        link(part, to)

    monkeypatch.setattr(os, "link", slower)
    assert len(tracking.client(f"sqlite:///{file}").search_experiments()) == 1
    assert file.read_bytes()[:100] == template.read_bytes()[:100] and not list(file.parent.glob("*.part"))


def test_a_server_that_is_gone_is_not_waited_for_as_long_as_mlflow_would(monkeypatch):
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    tracking.prepare()
    from mlflow import environment_variables as asked

    assert asked.MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 2 and asked.MLFLOW_HTTP_REQUEST_TIMEOUT.get() == 5
