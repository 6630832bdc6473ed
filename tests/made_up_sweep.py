"""A sweep of made-up trials, its records, and the fixtures that the tests of sweeps share."""

import io
from typing import NamedTuple

import fake_trial
import pytest

import sweeps
from bench import ledger, record
from sweeps import session
from sweeps.study import Study

BUDGET = 8 * 4


class NoWindow:
    """Stands where MLflow would (test_tracking.py has the real one): remembers what it was told."""

    def __init__(self, study, folder, **more):
        NoWindow.sent = []
        NoWindow.closed = ""

    def send(self, folder):
        NoWindow.sent.append(folder.name)

    def close(self, state, patience=None):
        NoWindow.closed = state
        return ""


@pytest.fixture(autouse=True)
def no_mlflow(monkeypatch):
    monkeypatch.setattr(session, "MlflowWindow", NoWindow)


def make(name="study", data=None, **changes) -> Study:
    """A study of two losses; `tune=None` for one that tunes nothing."""
    body = {
        "name": name,
        "data": {"name": "digits"} | (data or {}),
        "backbones": ["cnn4"],
        "losses": {"softmax": None, "lmcl": {"fixed": {"margin_warmup_fraction": 0.25}}},
        "tune": {"trials": 8, "epochs": 4},
        "confirm": {"seeds": 3, "epochs": 2},
        "protocols": [{"name": "lfw"}],
    }
    return Study.model_validate(body | changes)


def sweep(study, run=fake_trial.run, **options):
    stream = io.StringIO()
    folder = sweeps.sweep(study, address="inline", run=run, stream=stream, **options)
    return record.read_study(folder), stream.getvalue()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One whole sweep that many tests look at: its records, the lines it printed, its ledger and its status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEBENCH_RUNS", str(tmp_path_factory.mktemp("done")))
        patch.setattr(session, "MlflowWindow", NoWindow)
        records, lines = sweep(make())
        yield Done(records, lines, ledger.entries(), sweeps.status("study"), set(NoWindow.sent), NoWindow.closed)


class Done(NamedTuple):
    records: list
    lines: str
    ledger: list
    status: dict
    sent: set
    closed: str


def of(records, role, loss="lmcl"):
    return [r for r in records if (r.trial.role, r.trial.name) == (role, loss)]


def numbers(records):
    """All that must be equal between two runs of a study."""
    return {r.trial.id: (r.state, r.reason, r.metrics, [(e.step, e.metrics) for e in r.events]) for r in records}
