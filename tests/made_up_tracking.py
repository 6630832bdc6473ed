"""A made-up study with a real MLflow store, and the fixtures that the tests of tracking share."""

import io
import json
import os
import shutil
import sqlite3
from contextlib import closing

import fake_trial
import pytest

import sweeps
from bench import places, record, tracking
from bench.plain import Options, Result, Trial
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


TRIAL = Trial(
    study="study",
    data=Options(name="digits"),
    channels=1,
    embedding_dim=8,
    epochs=1,
    backbone_options=Options(widths=[4, 4, 4, 8], blocks=[0, 0, 0, 0]),
    protocols=(Options(name="heldout", data={"name": "digits"}),),
)


def sweep(run=fake_trial.run, describe=None, **changes) -> str:
    """Run the study; what it printed."""
    stream = io.StringIO()
    study = Study.model_validate(STUDY | changes)
    sweeps.sweep(study, address="inline", run=run, stream=stream, command="facebench sweep x", describe=describe)
    return stream.getvalue()


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """An empty store, one for all workers: making one takes MLflow seconds."""
    own = tmp_path_factory.getbasetemp()
    path = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "mlflow.db"
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
        assert "facebench sync" not in sweep()
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


@pytest.fixture(scope="module")
def _trained(tmp_path_factory):
    """The folder of a study with one trial that was really trained."""
    from bench.trial import run  # brings torch

    study = tmp_path_factory.mktemp("trained")
    folder = record.start(TRIAL, study)
    journal = record.Journal(folder)
    for event in run(TRIAL, str(folder)):
        if isinstance(event, Result):
            record.finish(folder, "finished", result=event)
        else:
            journal.append(event)
    return study


@pytest.fixture
def trained(_trained, begun):
    """The study's folder, in which that trial lies."""
    return shutil.copytree(_trained, begun, dirs_exist_ok=True)


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
