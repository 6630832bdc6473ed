"""Records that come back from MLflow alone."""

import json
import shutil

import pytest
from made_up_tracking import _done, begun, done, rows, runs, states, sweep, template  # noqa: F401 (fixtures)

import reports
from bench import ledger, places, record, tracking
from bench.errors import RequestError
from bench.plain import Progress, Trial


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
    record.Journal(running).append(Progress(1, 1, {"train/loss": 0.5}))
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
