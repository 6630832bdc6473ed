"""The MLflow store: where it is, how it is opened, what its names and its errors look like here."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench import places
from bench.credentials import hidden
from bench.errors import RequestError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

STUDY = "study.json"
LEDGER = "test_ledger.jsonl"
SHEETS = "contact_sheets"
KIND = {"mlflow.experimentKind": "custom_model_development"}  # else the UI shows what it shows of chat models
MODEL = "facebench.model"  # of a trial's run: its model's id, or why it has none
KEPT = "facebench.kept"  # marks a parent run whose maker had MLflow's answer
FILES = ("trial.json", "events.jsonl", "record.json", "curves.json", "raw.npz")


class Failed(Exception):
    """What another process said of an error in it."""


def uri() -> str:
    """The tracking store: `$MLFLOW_TRACKING_URI`, else `runs/mlflow.db`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{places.runs() / 'mlflow.db'}"


def name(text: str) -> str:
    """A name as MLflow takes it."""
    return re.sub(r"[^\w\-. :/]", "_", text, flags=re.ASCII)


def client(tracking: str) -> "MlflowClient":
    """A client of a store; a new database gets its tables here."""
    prepare()
    from mlflow import MlflowClient

    file = tracking.removeprefix("sqlite:///")
    if file != tracking and not Path(file).exists():
        _make_database(Path(file))
    return MlflowClient(tracking_uri=tracking)


def _make_database(file: Path) -> None:
    """A new database, whole or not at all: MLflow takes seconds to make its tables, and cannot mend half of them."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    store = SqlAlchemyStore(f"sqlite:///{part}", (file.parent / "mlartifacts").as_uri())
    with (
        store.engine.connect() as connection
    ):  # a change then costs one flush of the disk and not four; the file keeps it
        connection.exec_driver_sql("pragma journal_mode = wal")
    store.engine.dispose()
    with contextlib.suppress(FileExistsError):  # another process was quicker
        os.link(part, file)
    part.unlink()


def prepare() -> None:
    """Import MLflow, quiet and impatient."""
    # Two tries of 5 s: with MLflow's defaults a server that is gone holds a call for 4 minutes, one that hangs for 20.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import logging

    import mlflow  # noqa: F401

    for chatty in ("alembic", "mlflow"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of every try


def runs(of: "MlflowClient", experiment: str, wanted: str) -> Iterator["Run"]:
    """All runs of an experiment that a filter finds."""
    page = None
    while True:
        found = of.search_runs([experiment], wanted, page_token=page)
        yield from found
        if not (page := found.token):
            return


def experiment(of: "MlflowClient", study: str, tracking: str) -> str:
    """The experiment of a study, made where there is none."""
    found = of.get_experiment_by_name(study)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            of.restore_experiment(found.experiment_id)
        return found.experiment_id
    # A server has a place of its own for artifacts; with a database they would go into the current folder.
    local = not tracking.startswith(("http://", "https://"))
    place = (places.runs() / "mlartifacts" / study).as_uri() if local else None
    return of.create_experiment(study, artifact_location=place, tags=KIND)


def upload(place: str, tracking: str, paths: list[Path]) -> None:
    """Send files to where a run keeps its own; the driver may remove a checkpoint just now."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    # Not by the client: it would look the run up first.
    files = get_artifact_repository(place, tracking_uri=tracking)
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            files.log_artifact(str(path))


@contextlib.contextmanager
def answering(store: str) -> Iterator[None]:
    """What goes wrong with MLflow, of whatever type, is a `RequestError` that names the store."""
    try:
        yield
    except RequestError:
        raise
    except Exception as error:
        where = hidden(store)
        raise RequestError(f"MLflow at {where} does not answer ({cause(error)}): check $MLFLOW_TRACKING_URI") from error


def cause(error: Exception) -> str:
    """An error in one line, without the secrets of a URL in it."""
    if isinstance(error, Failed):
        return str(error)
    text = hidden(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
