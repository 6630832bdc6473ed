"""MLflow as the window on the records: what stands on disk is shown there, idempotently.

The truth is `runs/<study>/<trial id>/`. `Mirror.send` compares a trial's record with what MLflow has and sends what is
missing, whether it is called after every epoch (`sweeps.window`) or once, a week later, by `sync`. A (metric, step) that
MLflow has is never sent again: it would store a second row.

One experiment per study, a parent run per start of the study, a nested run per trial.

A call that failed may have been heard: a server that hung does late what it was asked, three times over. Figures are safe,
for their times follow from the record and MLflow takes an equal row once; of runs that were made twice the one that was gone
on with stays and the others are deleted; a status that came late is set right at the end.

Names: MLflow takes letters, digits, `_ - . space : /` in a name; any other character becomes `_` there (`lmcl+center` as a
tag's value stays as it is). Figures that are not finite stay in the record alone.

`_mlflow_store` opens a store, `_mlflow_run` knows what a run shows, `_mlflow_back` reads records from it, `_mlflow_apart` has a
mirror in another process; nothing else imports MLflow.
"""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from bench import _mlflow_bundle, ledger, places, record
from bench._mlflow_apart import Agree, Apart
from bench._mlflow_back import MARK, fetch, records_from_mlflow
from bench._mlflow_run import STATUS, Shown, batches, digest, facts, files, flat, how_far, labels, missing, parameters
from bench._mlflow_store import KEPT, LEDGER, SHEETS, STUDY, answering, cause, client, name, prepare, runs, uri
from bench.drivers import identity
from bench.errors import RequestError
from bench.locks import alone
from bench.record import Record

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = [
    "MARK",
    "Agree",
    "Apart",
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

_ENDED = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


def as_it_is(run: str, lost: str) -> str:
    """The parent run of a driver that has its study to itself."""
    return run


class Mirror:
    """The copy of one study's records in an MLflow store. Every call sends only what the store lacks.

    Args:
        study: its name.
        folder: its folder.
        tracking: the store.
        live: whether the study is running; else its state there stays as it is.
        agree: of a study that several drivers share, the parent run that all take, given the one that this driver would
            take and one that is named and lost, or "".
        alone: whether nobody else makes runs of the study's trials, neither another driver nor a call of an earlier mirror
            that is still on its way: else one is looked for before it is made.
    """

    def __init__(
        self,
        study: str,
        folder: Path,
        tracking: str,
        live: bool = True,
        agree: Agree = as_it_is,
        alone: bool = False,
    ):
        self._alone = alone
        self._tracking = tracking
        self._agree = agree
        self.folder = folder
        self.client = client(tracking)
        self.experiment = self._experiment(study, tracking)
        self.facts = json.loads((folder / STUDY).read_text())
        self._live = live
        self._status = "RUNNING"  # of the parent
        self.parent = self._agreed(self._parent(study))
        if live and self._status != "RUNNING":
            self.client.update_run(self.parent, status="RUNNING")
            self._status = "RUNNING"
        # Now, so that a study that is killed can be read back.
        self.client.log_artifact(self.parent, str(folder / STUDY))
        self._shown: dict[str, Shown] = {}
        self._find()

    def send(self, known: Record) -> None:
        """Send what the store lacks of one trial."""
        shown = self._shown.get(known.trial.id) or self._begin(known)
        if shown.is_up_to_date(known):
            return
        if shown.whole:
            # A run that the machine lost was sent as failed, and is run again.
            shown.whole = False
            shown.sent = self._present(self.client.get_run(shown.run))
            self.client.set_tag(shown.run, "facebench.whole", "false")
        ended, record_ = known.state in STATUS, digest(known)
        if ended or not shown.described:
            self._log(shown, files(known))  # before the parameters: they say that trial.json is there
        figures = missing(known, shown.sent)
        new = [] if shown.described else parameters(known)
        for batch in batches(figures, new, facts(known, record_) if ended else []):
            self.client.log_batch(shown.run, *batch)
        shown.described = True
        shown.sent |= {(metric.key, metric.step) for metric in figures}
        if ended and known.scores:
            self._log_ledger()
        self._set_status(shown, STATUS.get(known.state, "RUNNING" if self._live else shown.status))
        if ended:
            # The last word: a run without it is completed by the next `send`.
            self.client.set_tag(shown.run, "facebench.whole", "true")
            shown.whole, shown.record, shown.sent = True, record_, set()

    def close(self, state: str) -> None:
        """Send the study's own files; runs whose trial has not ended become KILLED until it goes on.

        The states come first: this may be all that there is time for.
        """
        open_ = [trial for trial, shown in self._shown.items() if not shown.whole and self._owns(trial)]
        for trial in open_:
            self._set_status(self._shown[trial], "KILLED")
        wanted = _ENDED.get(state, "KILLED")
        if self._status != wanted:
            self.client.set_terminated(self.parent, wanted)
            self._status = wanted
        for trial in open_:
            self._log(self._shown[trial], [self.folder / trial / "events.jsonl"])
        self.client.log_artifact(self.parent, str(self.folder / STUDY))
        self._log_ledger()
        if (self.folder / SHEETS).is_dir():
            self.client.log_artifacts(self.parent, str(self.folder / SHEETS), SHEETS)
        self._set_right()
        if state == "finished" or not self._live:  # one that is stopped has no time for it
            ended = {trial: shown.record for trial, shown in self._shown.items() if shown.whole and self._owns(trial)}
            _mlflow_bundle.send(self.client, self.parent, self.folder, ended)

    def _set_right(self) -> None:
        """What a server that hung did late: runs made twice are deleted, runs that it set going again are ended."""
        for run in runs(self.client, self.experiment, "attributes.status = 'RUNNING'"):
            tags = run.data.tags
            trial = tags.get("facebench.trial", "")
            shown = self._shown.get(trial)
            if run.info.run_id == self.parent:
                self.client.set_terminated(self.parent, self._status)
            elif tags.get("facebench.begun") == self.facts["created"] and KEPT not in tags:
                self.client.delete_run(run.info.run_id)
            elif tags.get("mlflow.parentRunId") != self.parent or not self._owns(trial):
                continue
            elif shown is None or shown.run != run.info.run_id:
                self.client.delete_run(run.info.run_id)
            else:
                self.client.set_terminated(shown.run, shown.status)

    def _owns(self, trial: str) -> bool:
        """Whether the trial is this driver's: of a study in a shared database others write theirs."""
        return not self.facts.get("file", {}).get("storage") or (self.folder / trial / "trial.json").exists()

    def _set_status(self, shown: Shown, status: str) -> None:
        if shown.status == status:
            return
        if status == "RUNNING":
            self.client.update_run(shown.run, status=status)
        else:
            self.client.set_terminated(shown.run, status)
        shown.status = status

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
        if found := list(runs(self.client, self.experiment, f"tags.`facebench.begun` = '{begun}'")):
            # One without the mark was made by a call whose answer was lost.
            run = min(found, key=lambda run: (KEPT not in run.data.tags, run.info.run_id))
            self._status = run.info.status
            if KEPT not in run.data.tags:
                self.client.set_tag(run.info.run_id, KEPT, "true")
            return run.info.run_id
        tags = {"mlflow.runName": study, "facebench.study": study, "facebench.begun": begun}
        tags |= {f"facebench.{key}": str(self.facts[key]) for key in ("command", "hash")}
        made = self.client.create_run(self.experiment, tags=tags).info.run_id
        self.client.set_tag(made, KEPT, "true")
        return made

    def _agreed(self, mine: str) -> str:
        """The parent that all drivers of the study write into, where several have made one."""
        run = self._agree(mine, "")
        begun = f"tags.`facebench.begun` = '{self.facts['created']}'"
        if run != mine and run not in {one.info.run_id for one in runs(self.client, self.experiment, begun)}:
            run = self._agree(mine, run)  # it was made in a store that is no more
        if run != mine:
            self._status = ""  # whatever it is
            if not any(runs(self.client, self.experiment, f"tags.`mlflow.parentRunId` = '{mine}'")):
                self.client.delete_run(mine)
        return run

    def _find(self, more: str = "") -> None:
        """Learn what this start of the study has in the store; of runs made twice one stays."""
        twins: dict[str, list[Run]] = {}
        for run in runs(self.client, self.experiment, f"tags.`mlflow.parentRunId` = '{self.parent}'{more}"):
            twins.setdefault(run.data.tags["facebench.trial"], []).append(run)
        for trial, found in twins.items():
            run, *others = sorted(found, key=how_far, reverse=True)
            tags = run.data.tags
            whole = tags.get("facebench.whole") == "true"
            sent = set() if whole else self._present(run)
            described = bool(run.data.params)
            self._shown[trial] = Shown(
                run.info.run_id,
                run.info.artifact_uri,
                sent,
                run.info.status,
                described,
                whole,
                tags.get("facebench.record", ""),
            )
            for other in others if self._owns(trial) else ():
                self.client.delete_run(other.info.run_id)

    def _begin(self, known: Record) -> Shown:
        """The trial's run: a new one with its tags, unless it has one by now."""
        trial = known.trial.id
        if not self._alone:
            self._find(f" and tags.`facebench.trial` = '{trial}'")
        if trial not in self._shown:
            tags = {"mlflow.parentRunId": self.parent, **labels(known)}
            made = self.client.create_run(self.experiment, tags=tags).info
            self._shown[trial] = Shown(made.run_id, made.artifact_uri, set())
        return self._shown[trial]

    def _log(self, shown: Shown, paths: list[Path]) -> None:
        """Send files; the driver may remove a checkpoint just now."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        # Not by the client: it would look the run up first.
        place = get_artifact_repository(shown.place, tracking_uri=self._tracking)
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                place.log_artifact(str(path))

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


def sync(study: str, tracking: str | None = None) -> int:
    """Send to MLflow what it lacks of a study's records; the number of trials looked at. A second call changes nothing.

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
            mirror = Mirror(study, folder, store, live=False)
            for one in known:
                mirror.send(one)
            mirror.close(mirror.facts["state"])
    return len(known)
