"""Models through a real MLflow server: made, promoted, loaded; and a server that hangs while one is made."""

import json

import mlflow
import numpy as np
import pytest
from made_up_tracking import TRIAL, _trained, begun, runs, template, trained  # noqa: F401 (fixtures)
from servers import _mlflow, mlflow_server  # noqa: F401 (fixtures)

from bench import record, tracking
from bench.errors import RequestError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(900),  # a loaded machine starts an MLflow server in minutes
    pytest.mark.filterwarnings("ignore"),  # MLflow's own
]


@pytest.fixture
def server(trained, mlflow_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    return mlflow_server


def models(server):
    of = tracking.client(server.url)
    study = of.get_experiment_by_name("study")
    return of, list(of.search_logged_models([study.experiment_id])) if study else []


def test_a_network_is_promoted_through_a_server_and_loaded_by_its_alias(server):
    tracking.sync("study")
    said = ("study", TRIAL.id, "faces", "champion", "**why**", {"facebench.trial": TRIAL.id})
    assert tracking.promote(*said) == tracking.Promoted("faces", "1", "champion", True)
    assert tracking.promote(*said) == tracking.Promoted("faces", "1", "champion", False)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(server.url)
    try:
        loaded = mlflow.pyfunc.load_model("models:/faces@champion")
        assert loaded.predict(np.zeros((2, 1, 32, 32), np.uint8)).shape == (2, 8)
        assert mlflow.pytorch.load_model("models:/faces@champion") is not None
    finally:
        mlflow.set_tracking_uri(before)
    of, (model,) = models(server)
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "faces", "version": 1}]
    version = of.get_model_version("faces", "1")
    tracking.sync("study")
    assert of.get_model_version("faces", "1") == version and len(models(server)[1]) == 1


def test_a_server_that_dies_while_a_model_is_made_has_it_once_after_sync(server, trained, monkeypatch):
    facts = json.loads((trained / "study.json").read_text()) | {"created": "2026-11-23T18:00:00+00:00"}
    (trained / "study.json").write_text(json.dumps(facts))
    known = len(models(server)[1])
    upload = mlflow.MlflowClient.log_model_artifacts

    def die(self, *given):
        server.kill()
        upload(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.log_model_artifacts", die)
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(RequestError, match="does not answer"):
            tracking.sync("study")
    server.start()
    tracking.sync("study")
    _, found = models(server)
    assert len(found) == known + 1 and {str(model.status) for model in found} == {"READY"}
    assert record.read_study(trained)[0].state == "finished"
