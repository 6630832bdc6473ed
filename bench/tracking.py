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

`_mlflow_store` opens a store, `_mlflow_trial` fills a trial's run, `_mlflow_run`, `_mlflow_data` and `_mlflow_model` know what
it shows, `_mlflow_note` describes the study, `_mlflow_registry` promotes a model, `_mlflow_back` reads records from a store,
`_mlflow_apart` has a mirror in another process; nothing else imports MLflow.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from bench import _mlflow_bundle, places, record
from bench._mlflow_apart import Agree, Apart
from bench._mlflow_back import MARK, fetch, records_from_mlflow
from bench._mlflow_note import description
from bench._mlflow_registry import Promoted, promote
from bench._mlflow_run import Shown, flat, how_far, is_whole, labels
from bench._mlflow_store import (
    KEPT,
    SHEETS,
    STUDY,
    Failed,
    answering,
    cause,
    client,
    experiment,
    name,
    prepare,
    runs,
    uri,
)
from bench._mlflow_trial import Filler
from bench.errors import RequestError, TrialFailed
from bench.locks import alone
from bench.record import Record

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = [
    "MARK",
    "Agree",
    "Apart",
    "Mirror",
    "Promoted",
    "cause",
    "client",
    "fetch",
    "flat",
    "name",
    "prepare",
    "promote",
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
        self._agree = agree
        self.folder = folder
        self.client = client(tracking)
        self.experiment = experiment(self.client, study, tracking)
        self.facts = json.loads((folder / STUDY).read_text())
        self._live = live
        self._status = "RUNNING"  # of the parent
        self.parent = self._agreed(self._parent(study))
        if live and self._status != "RUNNING":
            self.client.update_run(self.parent, status="RUNNING")
            self._status = "RUNNING"
        # Now, so that a study that is killed can be read back.
        self.client.log_artifact(self.parent, str(folder / STUDY))
        self._describe(self.facts["state"])
        self._fill = Filler(self.client, tracking, self.experiment, self.parent, folder, live)
        self._shown: dict[str, Shown] = {}
        self._find()

    def send(self, known: Record) -> bool:
        """Send what the store lacks of one trial; whether its network is to become a model, which takes seconds."""
        return self._fill.fill(known, self._shown.get(known.trial.id) or self._begin(known))

    def complete(self, known: Record) -> None:
        """Make the model of a trial that was sent.

        Raises:
            Failed: it cannot be made now.
        """
        self._fill.model(known, self._shown[known.trial.id])

    def _describe(self, state: str) -> None:
        """Say on the parent run what the study is, and what came of it."""
        self.client.set_tag(self.parent, "mlflow.note.content", description(self.facts, self.folder, state))

    def close(self, state: str) -> None:
        """Send the study's own files; runs whose trial has not ended become KILLED until it goes on.

        The states come first: this may be all that there is time for.
        """
        open_ = [trial for trial, shown in self._shown.items() if not shown.whole and self._owns(trial)]
        for trial in open_:
            self._fill.set_status(self._shown[trial], "KILLED")
        status = _ENDED.get(state, "KILLED")
        if self._status != status:
            self.client.set_terminated(self.parent, status)
            self._status = status
        self._describe(state)
        for trial in open_:
            self._fill.upload(self._shown[trial], [self.folder / trial / "events.jsonl"])
        self.client.log_artifact(self.parent, str(self.folder / STUDY))
        self._fill.log_ledger()
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
        own = (self.folder / trial / "trial.json").exists() and not (self.folder / trial / MARK).exists()
        return own or not self.facts.get("file", {}).get("storage")

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
            self._shown[trial] = Shown.of(run, set() if is_whole(run) else self._fill.present(run))
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


def sync(study: str, tracking: str | None = None) -> int:
    """Send to MLflow what it lacks of a study's records; the number of trials looked at. A second call changes nothing.

    Raises:
        RequestError: no records of that name, a sweep is at work on it (it sends them itself), or MLflow does not answer.
        TrialFailed: all was sent, but a network could not be made a model now.
    """
    folder = places.study_folder(study)
    if not (folder / STUDY).exists():
        raise RequestError(f"no study {study!r} in {places.runs()}")
    store = tracking or uri()
    with alone(folder):
        # What another driver sent is not sent over.
        known = [one for one in record.read_study(folder) if not (one.folder / MARK).exists()]
        with answering(store):
            mirror = Mirror(study, folder, store, live=False)
            later = [one for one in known if mirror.send(one)]
            mirror.close(mirror.facts["state"])
            wrong = [why for one in later if (why := _completed(mirror, one))]
    if wrong:
        raise TrialFailed(
            f"MLflow has all of study {study!r} but {len(wrong)} of its networks ({wrong[0]}): the same command tries again"
        )
    return len(known)


def _completed(mirror: Mirror, known: Record) -> str:
    """Why a trial's model cannot be made now, or ""."""
    try:
        mirror.complete(known)
    except Failed as error:
        return str(error)
    return ""
