"""A study whose database and MLflow want passwords: they are nowhere but in memory."""

import io
import sys

import fake_trial
import pytest
from made_up_sweep import make
from servers import _mlflow, database, mlflow_server, postgres  # noqa: F401 (fixtures)

import sweeps
from bench import places, record
from sweeps import session

TOLD = "mlflow-hu5h"  # the password in MLflow's URL; its server wants none, and takes it


@pytest.fixture
def secrets(postgres, mlflow_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url.replace("//", f"//me:{TOLD}@"))
    return postgres.password, TOLD


def assert_nowhere(secrets, *folders, said=""):
    """No file below the folders, and no line that was said, holds a secret."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    for secret in secrets:
        assert secret not in said
        assert [path for path in files if secret.encode() in path.read_bytes()] == []


def unlucky(database):
    """A trial that fails with the text of a library that says too much."""

    def run(trial, folder):
        if trial.role == "search" and trial.number == 1:
            raise ConnectionError(f"could not connect to {database}")
        yield from fake_trial.run(trial, folder)

    return run


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("by", ["file", "environment"])
def test_passwords_stand_in_no_file_no_line_no_tag_and_no_report(
    secrets, database, mlflow_server, facebench, monkeypatch, by
):
    name = f"secret-{by}"
    study = make(name=name, tune={"trials": 3, "epochs": 2}, storage=database if by == "file" else None)
    if by == "environment":
        monkeypatch.setenv("FACEBENCH_STORAGE", database)
    lines = io.StringIO()
    command = f"facebench sweep {name}.yaml --storage {database}"

    def stopped(trial, folder):
        for event in unlucky(database)(trial, folder):
            yield event
            if trial.stage == "confirm":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweeps.sweep(study, address="inline", run=stopped, stream=lines, command=command)
    folder = sweeps.sweep(study, address="inline", run=unlucky(database), stream=lines, command=command)
    known = record.read_study(folder)
    assert [r.reason.partition(" (")[0] for r in known if r.state == "failed"] == [
        f"ConnectionError: could not connect to postgresql://***@{database.partition('@')[2]}"
    ] * 2
    said = lines.getvalue()
    for words in (["sync", name], ["report", name], ["status", name], ["status", name, "--json"]):
        code, out, err = facebench(*words)
        assert code == 0, err
        said += out + err
    assert "sent to http://***@127.0.0.1" in said
    assert (folder / "report" / "report.html").exists()
    assert_nowhere(secrets, places.runs(), mlflow_server.folder, said=said)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_goes_wrong_is_said_without_the_password(secrets, database, mlflow_server, facebench, monkeypatch):
    lines = io.StringIO()
    wrong = make(name="wrong", storage=database.replace("/db_", "/no_db_"))
    with pytest.raises(ValueError) as error:
        sweeps.sweep(wrong, address="inline", run=fake_trial.run, stream=lines)
    study = make(name="away", tune={"trials": 1, "epochs": 1}, storage=database)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    mlflow_server.kill()
    sweeps.sweep(study, address="inline", run=fake_trial.run, stream=lines)
    said = str(error.value) + lines.getvalue() + "".join(facebench("sync", "away")[1:])
    assert "MLflow at http://***@127.0.0.1" in lines.getvalue()
    for secret in secrets:
        assert secret not in said


def test_a_defect_is_shown_without_secrets(facebench, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("of postgresql://me:hu5h@host/db")

    monkeypatch.setattr("sweeps.status", broken)
    (places.runs() / "x").mkdir(parents=True)
    code, _, err = facebench("status", "x")
    assert code == 1 and "ZeroDivisionError: of postgresql://***@host/db" in err and "hu5h" not in err
    assert "Traceback" in err and "test_stores_secrets.py" in err


def test_the_storage_may_stand_in_the_environment(monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(session.tuner, "storage", lambda url: opened.append(url) or sys.exit(3))
    monkeypatch.setenv("FACEBENCH_STORAGE", "sqlite:///somewhere.db")
    for study in (make(), make(storage="sqlite:///else.db")):
        with pytest.raises(SystemExit):
            sweeps.sweep(study, address="inline", run=fake_trial.run, stream=io.StringIO())
    assert opened == ["$FACEBENCH_STORAGE"] * 2
