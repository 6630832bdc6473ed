"""MLflow as the window on the records: a real store in a real SQLite file, filled while a sweep runs and afterwards."""

import io
import json
import math
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import fake_trial
import pytest

import reports
import sweeps
from bench import ledger, places, record, tracking
from bench.errors import RequestError
from bench.locks import alone
from bench.plain import Progress, Trial
from sweeps.study import Study

STUDY = {
    "name": "study",
    "data": {"name": "digits"},
    "backbones": ["cnn4"],
    "losses": ["softmax", "lmcl"],
    "tune": {"trials": 4, "epochs": 2, "finalists": 1, "finalist_seeds": 1},
    "confirm": {"seeds": 1, "epochs": 2},
    "protocols": [{"name": "lfw"}],
}


def sweep(run=fake_trial.run, **changes) -> str:
    """Run the study; what it printed."""
    stream = io.StringIO()
    sweeps.sweep(
        Study.model_validate(STUDY | changes), address="inline", run=run, stream=stream, command="facebench sweep x"
    )
    return stream.getvalue()


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """An empty store: making one takes MLflow seconds."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    tracking.client(f"sqlite:///{path}")
    return path


@pytest.fixture
def runs(tmp_path, monkeypatch, template):
    """A place of its own, with an empty store."""
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(template, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture(scope="module")
def _done(tmp_path_factory, template):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEBENCH_RUNS", str(tmp_path_factory.mktemp("done")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        shutil.copy(template, places.runs() / "mlflow.db")
        assert "MLflow" not in sweep()
        return record.read_study(places.study_folder("study"))


@pytest.fixture
def done(_done, monkeypatch):
    """The records of one finished sweep that several tests look at (and do not change)."""
    monkeypatch.setenv("FACEBENCH_RUNS", str(_done[0].folder.parent.parent))
    return _done


@pytest.fixture
def begun(runs):
    """The folder of a study that has no trial yet, and a store that knows nothing of it."""
    folder = places.study_folder("study")
    folder.mkdir()
    facts = {"name": "study", "created": "2026-11-22T18:00:00+00:00", "command": "facebench sweep x", "hash": "h"}
    (folder / "study.json").write_text(json.dumps(facts | {"state": "running"}))
    return folder


def crash(*_, **__):
    raise KeyboardInterrupt


def states(folder) -> dict[int, str]:
    return {known.trial.seed: known.state for known in record.read_study(folder)}


def rows(query: str) -> list[tuple]:
    with closing(sqlite3.connect(places.runs() / "mlflow.db")) as base:
        return base.execute(query).fetchall()


def contents() -> dict[str, tuple]:
    """Everything that MLflow shows of each trial, without run ids and times."""
    of = tracking.client(tracking.uri())
    shown = {}
    for run in of.search_runs([of.get_experiment_by_name("study").experiment_id]):
        if trial := run.data.tags.get("facebench.trial"):
            history = {
                k: [(m.step, m.value) for m in of.get_metric_history(run.info.run_id, k)] for k in run.data.metrics
            }
            files = sorted(file.path for file in of.list_artifacts(run.info.run_id))
            ours = {k: v for k, v in run.data.tags.items() if k != "mlflow.parentRunId"}
            shown[trial] = (run.info.status, run.data.params, ours, history, files)
    return shown


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
    calls = Counter()

    def interrupted(trial, folder):
        for event in fake_trial.run(trial, folder):
            calls["events"] += 1
            if calls["events"] == 6:
                raise KeyboardInterrupt
            yield event

    with pytest.raises(KeyboardInterrupt):
        sweep(interrupted)
    states = Counter(status for (status,) in rows("select status from runs"))
    assert states["KILLED"] == 2 and states["RUNNING"] == 0  # the parent and the trial that was running
    sweep()
    assert Counter(status for (status,) in rows("select status from runs")) == {"FINISHED": len(contents()) + 1}
    assert not rows("select 1 from metrics group by run_uuid, key, step having count(*) > 1")


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
    from mlflow import MlflowClient

    def log(self, run, path, *rest):
        if path.endswith(".pt"):
            tried.append(path)
            Path(path).unlink()
        return send(self, run, path, *rest)

    tried = []
    send = MlflowClient.log_artifact
    monkeypatch.setattr(MlflowClient, "log_artifact", log)
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
    record.append(folder, Progress(1, 1, {"train/loss": 0.5}))
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


def test_records_come_back_from_mlflow_alone(done, tmp_path):
    sheet = places.study_folder("study") / "contact_sheets" / "training.png"
    sheet.parent.mkdir()
    sheet.write_bytes(b"a picture")
    tracking.sync("study")
    folder = tracking.records_from_mlflow("study", None, tmp_path / "back")
    back = record.read_study(folder)
    assert [(r.trial, r.state, r.metrics, r.scores, r.events, r.curves()) for r in back] == [
        (r.trial, r.state, r.metrics, r.scores, r.events, r.curves()) for r in done
    ]
    facts = json.loads((folder / "study.json").read_text())
    assert facts["name"] == "study" and facts["state"] == "finished"
    assert (folder / "contact_sheets" / "training.png").read_bytes() == b"a picture"


def test_the_looks_at_a_test_come_back_once(done, tmp_path):
    ledger.append("other", "trial", "lfw", "fa" * 8, {})
    tracking.sync("study")
    here = reports.read(places.study_folder("study"))
    for _ in range(2):
        back = reports.read(tracking.records_from_mlflow("study", None, tmp_path / "study"))
        own, _ = here.scorings("lfw", "fa" * 8)
        assert back.scorings("lfw", "fa" * 8) == (own, own) and own == sum("lfw" in r.scores for r in done)


def test_a_study_that_was_killed_comes_back_unfinished(begun, tmp_path):
    waiting, running, ended = (record.start(Trial(study="study", seed=seed), begun) for seed in range(3))
    record.append(running, Progress(1, 1, {"train/loss": 0.5}))
    record.finish(ended, "failed", "of a made-up reason")
    mirror = tracking.Mirror("study", begun, tracking.uri())
    for folder in (waiting, running, ended):
        mirror.send(record.read(folder))
    killed = states(tracking.records_from_mlflow("study", None, tmp_path / "killed"))
    assert killed == {0: "waiting", 1: "waiting", 2: "failed"}
    mirror.close("stopped")
    stopped = tracking.records_from_mlflow("study", None, tmp_path / "stopped")
    assert states(stopped) == {0: "waiting", 1: "running", 2: "failed"}
    assert json.loads((stopped / "study.json").read_text())["name"] == "study"


def test_records_of_this_place_are_not_written_over(done):
    folder = places.study_folder("study")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(RequestError, match=r"^study 'study' is here already, in .*: leave out --from-mlflow$"):
        tracking.records_from_mlflow("study", None, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_server_that_is_down_is_a_request_error_on_the_way_back_too(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RequestError, match=r"^MLflow at http://127.0.0.1:9 does not answer"):
        tracking.records_from_mlflow("study", "http://127.0.0.1:9", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_study_begun_anew_has_a_parent_of_its_own_and_reports_read_the_newest(runs, tmp_path):
    sweep(tune={"trials": 2, "epochs": 1})
    path = places.study_folder("study") / "study.json"
    path.write_text(path.read_text().replace('"created": "20', '"created": "19'))  # as if begun long ago
    tracking.sync("study")
    shutil.rmtree(places.study_folder("study"))
    sweep(tune={"trials": 1, "epochs": 1})
    parents = rows("select count(*) from tags where key = 'facebench.begun'")
    assert parents == [(3,)]
    newest = record.read_study(tracking.records_from_mlflow("study", None, tmp_path / "back"))
    assert {r.trial.id for r in newest} == {r.trial.id for r in record.read_study(places.study_folder("study"))}


def test_names_that_mlflow_refuses_are_mapped_and_figures_that_are_not_finite_left_out(runs):
    assert tracking.name("lfw/tar@far=1e-3 (x)") == "lfw/tar_far_1e-3 _x_"
    sweep(tune={"trials": 1, "epochs": 1})
    odd = record.start(Trial(study="study", seed=99), places.study_folder("study"))
    record.append(odd, Progress(1, 1, {"tar@far=1e-3": 0.5, "bad": math.nan, "train/loss": math.inf}))
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
