"""MLflow as the window on the records: what stands on disk is shown there, idempotently. The only place that imports MLflow.

The truth is `runs/<study>/<trial id>/`. `Mirror.send` compares a trial's record with what MLflow has and sends what is
missing, whether it is called after every epoch (`sweeps.window`) or once, a week later, by `sync`. A (metric, step) that
MLflow has is never sent again: it would store a second row.

One experiment per study, a parent run per start of the study, a nested run per trial.

Names: MLflow takes letters, digits, `_ - . space : /` in a name; any other character becomes `_` there (`lmcl+center` as a
tag's value stays as it is). Figures that are not finite stay in the record alone.
"""

import contextlib
import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import places, record
from bench.errors import RequestError
from bench.record import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

FILES = ("trial.json", "events.jsonl", "record.json", "curves.json", "raw.npz")
SHEETS = "contact_sheets"
_STATUS = {"finished": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}
_ENDED = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


def uri() -> str:
    """The tracking store: `$MLFLOW_TRACKING_URI`, else `runs/mlflow.db`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{places.runs() / 'mlflow.db'}"


def name(text: str) -> str:
    """A name as MLflow takes it."""
    return re.sub(r"[^\w\-. :/]", "_", text, flags=re.ASCII)


@dataclass
class _Shown:
    """What MLflow has of one trial: its run, the (metric, step) pairs, the run's status, and whether all was sent."""

    run: str
    sent: set[tuple[str, int]]
    status: str = "RUNNING"
    whole: bool = False


class Mirror:
    """The copy of one study's records in an MLflow store. Every call sends only what the store lacks."""

    def __init__(self, study: str, folder: Path, tracking: str):
        self.folder = folder
        self.client = client(tracking)
        self.experiment = self._experiment(study, tracking)
        self.facts = json.loads((folder / "study.json").read_text())
        self.parent = self._parent(study)
        self._shown: dict[str, _Shown] = {}
        for run in _runs(self.client, self.experiment, f"tags.`mlflow.parentRunId` = '{self.parent}'"):
            tags = run.data.tags
            whole = tags.get("facebench.whole") == "true"
            sent = set() if whole else self._present(run)
            self._shown[tags["facebench.trial"]] = _Shown(run.info.run_id, sent, run.info.status, whole)

    def send(self, known: Record) -> None:
        """Send what the store lacks of one trial."""
        shown = self._shown.get(known.trial.id) or self._begin(known)
        if shown.whole:
            return
        if batch := _missing(known, shown.sent):
            for start in range(0, len(batch), 1000):  # MLflow's limit
                self.client.log_batch(shown.run, metrics=batch[start : start + 1000])
            shown.sent |= {(metric.key, metric.step) for metric in batch}
        if known.state in _STATUS:
            self._finish(shown, known)
        elif shown.status != "RUNNING":
            self.client.update_run(shown.run, status="RUNNING")
            shown.status = "RUNNING"

    def close(self, state: str) -> None:
        """Send the study's own files; runs whose trial has not ended become KILLED until it goes on."""
        for shown in self._shown.values():
            if not shown.whole:
                self.client.set_terminated(shown.run, "KILLED")
        self.client.log_artifact(self.parent, str(self.folder / "study.json"))
        if (self.folder / SHEETS).is_dir():
            self.client.log_artifacts(self.parent, str(self.folder / SHEETS), SHEETS)
        self.client.set_terminated(self.parent, _ENDED.get(state, "KILLED"))

    def _experiment(self, study: str, tracking: str) -> str:
        found = self.client.get_experiment_by_name(study)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return found.experiment_id
        # A server has a place of its own for artifacts; with a database they would go into the current folder.
        local = not tracking.startswith(("http://", "https://"))
        place = (places.runs() / "mlartifacts" / study).as_uri() if local else None
        return self.client.create_experiment(study, artifact_location=place)

    def _parent(self, study: str) -> str:
        """The run of this start of the study: a study that was deleted and begun anew has another."""
        begun = str(self.facts["created"])
        for run in _runs(self.client, self.experiment, f"tags.`facebench.begun` = '{begun}'"):
            self.client.update_run(run.info.run_id, status="RUNNING")
            return run.info.run_id
        tags = {"mlflow.runName": study, "facebench.study": study, "facebench.begun": begun}
        tags |= {f"facebench.{key}": str(self.facts[key]) for key in ("command", "hash")}
        return self.client.create_run(self.experiment, tags=tags).info.run_id

    def _begin(self, known: Record) -> _Shown:
        """A new run with its tags and parameters."""
        from mlflow.entities import Param

        trial = known.trial
        label = f"{trial.backbone} {trial.loss} {trial.role} {trial.number} seed {trial.seed}"
        tags = {"mlflow.parentRunId": self.parent, "mlflow.runName": label, "facebench.trial": trial.id}
        tags |= {key: str(getattr(trial, key)) for key in ("study", "stage", "role", "backbone", "loss", "seed")}
        run = self.client.create_run(self.experiment, tags=tags).info.run_id
        params = [Param(name(key), str(value)[:6000]) for key, value in flat(trial.plain()).items()]
        self.client.log_batch(run, params=params)
        self._shown[trial.id] = shown = _Shown(run, set())
        return shown

    def _present(self, run: "Run") -> set[tuple[str, int]]:
        history = (self.client.get_metric_history(run.info.run_id, key) for key in run.data.metrics)
        return {(metric.key, metric.step) for metrics in history for metric in metrics}

    def _finish(self, shown: _Shown, known: Record) -> None:
        """Tags with what made the figures, the files, the state."""
        from mlflow.entities import RunTag

        facts = flat({**known.provenance, "cost": known.cost, "state": known.state, "reason": known.reason})
        tags = [RunTag(name(f"facebench.{key}"), str(value)[:5000]) for key, value in facts.items()]
        if commit := known.provenance.get("commit"):
            tags.append(RunTag("mlflow.source.git.commit", str(commit)))
        self.client.log_batch(shown.run, tags=tags)
        # Of tuning trials no checkpoint is left, of the others the last.
        for path in (*(known.folder / file for file in FILES), *sorted(known.folder.glob("checkpoint-*.pt"))):
            if path.exists():
                self.client.log_artifact(shown.run, str(path))
        self.client.set_terminated(shown.run, _STATUS[known.state])
        # The last word: a run without it is completed by the next `send`.
        self.client.set_tag(shown.run, "facebench.whole", "true")
        shown.whole = True


def _missing(known: Record, sent: set[tuple[str, int]]) -> list["Metric"]:
    """The finite figures of a trial whose (metric, step) is not in `sent`; final figures stand at the last step."""
    from mlflow.entities import Metric

    steps = [(event.metrics, event.step, event.seconds) for event in known.events]
    last = steps[-1][1:] if steps else (0, 0.0)
    steps.append((known.metrics, *last))
    begun = (known.folder / "trial.json").stat().st_mtime
    new: dict[tuple[str, int], Metric] = {}
    for metrics, step, seconds in steps:
        for key, value in metrics.items():
            place = (name(key), step)
            if math.isfinite(value) and place not in sent:
                new.setdefault(place, Metric(name(key), value, int(1000 * (begun + seconds)), step))
    return list(new.values())


def sync(study: str, tracking: str | None = None) -> int:
    """Send to MLflow what it lacks of a study's records; the number of trials looked at.

    Raises:
        RequestError: no records of that name, or MLflow does not answer.
    """
    folder = places.study_folder(study)
    if not (folder / "study.json").exists():
        raise RequestError(f"no study {study!r} in {places.runs()}")
    store = tracking or uri()
    known = record.read_study(folder)
    try:
        mirror = Mirror(study, folder, store)
        for one in known:
            mirror.send(one)
        mirror.close(mirror.facts["state"])
    except Exception as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(f"MLflow at {store} does not answer ({cause(error)}): check $MLFLOW_TRACKING_URI") from error
    return len(known)


def records_from_mlflow(study: str, tracking: str | None, folder: Path) -> Path:
    """Download a study's records from MLflow alone into `folder`, as `runs/<study>/` would hold them.

    Raises:
        RequestError: MLflow has no such study.
    """
    store = tracking or uri()
    of = client(store)
    experiment = of.get_experiment_by_name(study)
    if experiment is None:
        known = ", ".join(sorted(e.name for e in of.search_experiments() if e.name != "Default")) or "none"
        raise RequestError(f"MLflow at {store} has no study {study!r}; it has: {known}")
    parents = list(_runs(of, experiment.experiment_id, "tags.`facebench.begun` != ''"))
    if not parents:
        raise RequestError(f"experiment {study!r} of MLflow at {store} was not written by facebench")
    parent = max(parents, key=lambda run: run.info.start_time).info.run_id
    folder.mkdir(parents=True, exist_ok=True)
    of.download_artifacts(parent, "study.json", str(folder))
    if of.list_artifacts(parent, SHEETS):
        of.download_artifacts(parent, SHEETS, str(folder))
    for run in _runs(of, experiment.experiment_id, f"tags.`mlflow.parentRunId` = '{parent}'"):
        if run.data.tags.get("facebench.whole") == "true":
            place = folder / run.data.tags["facebench.trial"]
            place.mkdir(exist_ok=True)
            for file in of.list_artifacts(run.info.run_id):
                if file.path in FILES:
                    of.download_artifacts(run.info.run_id, file.path, str(place))
    return folder


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` -> `{"a.b": 1}`; lists become JSON."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = json.dumps(value) if isinstance(value, list | tuple) else value
    return found


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


def _runs(of: "MlflowClient", experiment: str, wanted: str) -> Iterable["Run"]:
    page = None
    while True:
        found = of.search_runs([experiment], wanted, page_token=page)
        yield from found
        if not (page := found.token):
            return


def cause(error: Exception) -> str:
    """An error in one line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
