"""MLflow as the window on the records: what stands on disk is shown there, idempotently.

The truth is `runs/<study>/<trial id>/`. `Mirror.send` compares a trial's record with what MLflow has and sends what is
missing, whether it is called after every epoch (`sweeps.window`) or once, a week later, by `sync`. A (metric, step) that
MLflow has is never sent again: it would store a second row.

One experiment per study, a parent run per start of the study, a nested run per trial.

Names: MLflow takes letters, digits, `_ - . space : /` in a name; any other character becomes `_` there (`lmcl+center` as a
tag's value stays as it is). Figures that are not finite stay in the record alone.

`_mlflow_store` opens a store, `_mlflow_back` reads records from it; nothing else imports MLflow.
"""

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import ledger, places, record
from bench._mlflow_back import MARK, fetch, records_from_mlflow
from bench._mlflow_store import FILES, LEDGER, SHEETS, STUDY, answering, cause, client, name, prepare, runs, uri
from bench.drivers import identity
from bench.errors import RequestError
from bench.locks import alone
from bench.record import Record

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

__all__ = [
    "MARK",
    "Mirror",
    "cause",
    "client",
    "fetch",
    "flat",
    "name",
    "prepare",
    "records_from_mlflow",
    "sync",
    "uri",
]

Agree = Callable[[str, str], str]

_STATUS = {"finished": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}
_ENDED = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


@dataclass
class _Shown:
    """What MLflow has of one trial.

    Attributes:
        run: its run.
        sent: the (metric, step) pairs.
        status: the run's.
        described: the trial's parameters are there.
        whole: all was sent.
    """

    run: str
    sent: set[tuple[str, int]]
    status: str = "RUNNING"
    described: bool = False
    whole: bool = False


class Mirror:
    """The copy of one study's records in an MLflow store. Every call sends only what the store lacks.

    Args:
        study: its name. folder: its folder. tracking: the store.
        agree: of a study that several drivers share, the parent run that all take, given the one that this driver would
            take and one that is named and lost, or "".
    """

    def __init__(self, study: str, folder: Path, tracking: str, agree: Agree = lambda run, lost: run):
        self._agree = agree
        self.folder = folder
        self.client = client(tracking)
        self.experiment = self._experiment(study, tracking)
        self.facts = json.loads((folder / STUDY).read_text())
        self.parent = self._agreed(self._parent(study))
        # Now, so that a study that is killed can be read back.
        self.client.log_artifact(self.parent, str(folder / STUDY))
        self._shown: dict[str, _Shown] = {}
        self._find()

    def send(self, known: Record) -> None:
        """Send what the store lacks of one trial."""
        shown = self._shown.get(known.trial.id) or self._begin(known)
        if not shown.described:
            self._describe(shown, known)
        if shown.whole:
            if shown.status == _STATUS.get(known.state):
                return
            # A run that the machine lost was sent as failed, and is run again.
            shown.whole = False
            shown.sent = self._present(self.client.get_run(shown.run))
            self.client.set_tag(shown.run, "facebench.whole", "false")
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
        for trial, shown in self._shown.items():
            if not shown.whole and self._owns(trial):
                self._log(shown, self.folder / trial / "events.jsonl")
                self.client.set_terminated(shown.run, "KILLED")
        self.client.log_artifact(self.parent, str(self.folder / STUDY))
        self._log_ledger()
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
        for run in runs(self.client, self.experiment, f"tags.`facebench.begun` = '{begun}'"):
            self.client.update_run(run.info.run_id, status="RUNNING")
            return run.info.run_id
        tags = {"mlflow.runName": study, "facebench.study": study, "facebench.begun": begun}
        tags |= {f"facebench.{key}": str(self.facts[key]) for key in ("command", "hash")}
        return self.client.create_run(self.experiment, tags=tags).info.run_id

    def _agreed(self, mine: str) -> str:
        """The parent that all drivers of the study write into, where several have made one."""
        run = self._agree(mine, "")
        begun = f"tags.`facebench.begun` = '{self.facts['created']}'"
        if run != mine and run not in {one.info.run_id for one in runs(self.client, self.experiment, begun)}:
            run = self._agree(mine, run)  # it was made in a store that is no more
        if run != mine:
            self.client.update_run(run, status="RUNNING")
            if not any(runs(self.client, self.experiment, f"tags.`mlflow.parentRunId` = '{mine}'")):
                self.client.delete_run(mine)
        return run

    def _owns(self, trial: str) -> bool:
        """Whether this driver writes a trial's run: of a study that several share, others write theirs."""
        return not identity(self.folder) or (self.folder / trial / "trial.json").exists()

    def _find(self, more: str = "") -> None:
        """Learn what this start of the study has in the store."""
        for run in runs(self.client, self.experiment, f"tags.`mlflow.parentRunId` = '{self.parent}'{more}"):
            tags = run.data.tags
            whole = tags.get("facebench.whole") == "true"
            sent = set() if whole else self._present(run)
            found = _Shown(run.info.run_id, sent, run.info.status, bool(run.data.params), whole)
            self._shown[tags["facebench.trial"]] = found

    def _begin(self, known: Record) -> _Shown:
        """The trial's run: a new one with its tags, unless it has one by now."""
        trial = known.trial
        self._find(f" and tags.`facebench.trial` = '{trial.id}'")
        if trial.id in self._shown:
            return self._shown[trial.id]
        label = f"{trial.backbone} {trial.name} {trial.role} {trial.number} seed {trial.seed}"
        tags = {"mlflow.parentRunId": self.parent, "mlflow.runName": label, "facebench.trial": trial.id}
        tags |= {key: str(getattr(trial, key)) for key in ("study", "stage", "role", "backbone", "loss", "seed")}
        tags["label"] = trial.name
        shown = _Shown(self.client.create_run(self.experiment, tags=tags).info.run_id, set())
        self._shown[trial.id] = shown
        return shown

    def _describe(self, shown: _Shown, known: Record) -> None:
        """The trial itself, as a file and as parameters; these last: they say that it was done."""
        from mlflow.entities import Param

        self._log(shown, known.folder / "trial.json")
        params = [Param(name(key), str(value)[:6000]) for key, value in flat(known.trial.plain()).items()]
        self.client.log_batch(shown.run, params=params)
        shown.described = True

    def _log(self, shown: _Shown, path: Path) -> None:
        """Send a file if it is there; the driver may remove a checkpoint just now."""
        with contextlib.suppress(FileNotFoundError):
            if path.exists():
                self.client.log_artifact(shown.run, str(path))

    def _log_ledger(self) -> None:
        """Every look at a test that this study took."""
        own = [entry for entry in ledger.entries() if entry.get("study") == self.facts["name"]]
        if own:
            driver = identity(self.folder)  # each of several has a file of its own
            file = f"{Path(LEDGER).stem}-{driver}.jsonl" if driver else LEDGER
            self.client.log_text(self.parent, "".join(f"{json.dumps(entry)}\n" for entry in own), file)

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
        # Of a tuning trial no checkpoint is kept: one that is there is about to be removed.
        checkpoints = [] if known.trial.stage == "tune" else sorted(known.folder.glob("checkpoint-*.pt"))
        for path in (*(known.folder / file for file in FILES), *checkpoints):
            self._log(shown, path)
        if known.scores:
            self._log_ledger()
        self.client.set_terminated(shown.run, _STATUS[known.state])
        # The last word: a run without it is completed by the next `send`.
        self.client.set_tag(shown.run, "facebench.whole", "true")
        shown.whole, shown.status = True, _STATUS[known.state]


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
        RequestError: no records of that name, a sweep is at work on it (it sends them itself), or MLflow does not answer.
    """
    folder = places.study_folder(study)
    if not (folder / STUDY).exists():
        raise RequestError(f"no study {study!r} in {places.runs()}")
    store = tracking or uri()
    with alone(folder):
        known = record.read_study(folder)
        with answering(store):
            mirror = Mirror(study, folder, store)
            for one in known:
                mirror.send(one)
            mirror.close(mirror.facts["state"])
    return len(known)


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` -> `{"a.b": 1}`; lists become JSON."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = json.dumps(value) if isinstance(value, list | tuple) else value
    return found
