"""The way back: a study's records from MLflow alone, as `runs/<study>/` would hold them."""

import json
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import _mlflow_bundle, ledger
from bench._mlflow_run import is_whole
from bench._mlflow_store import FILES, LEDGER, SHEETS, STUDY, answering, client, runs, uri
from bench.credentials import hidden
from bench.drivers import identity
from bench.errors import RequestError
from bench.locks import alone

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MARK = ".from_mlflow"  # lies in a folder that was downloaded, and may be again


def records_from_mlflow(study: str, tracking: str | None, folder: Path) -> Path:
    """Download a study's records into `folder`, and its scorings into the ledger beside it.

    Where the folder is that of one of several drivers, what the others have ended is added to it.

    A trial that MLflow has not whole comes back without its record: as waiting or running.

    Raises:
        RequestError: the folder holds a study that was run here, MLflow does not answer, or has no such study.
    """
    if identity(folder):
        with alone(folder):
            fetch(study, folder, None, 0.0)
        return folder
    if (folder / STUDY).exists() and not (folder / MARK).exists():
        raise RequestError(f"study {study!r} is here already, in {folder}: leave out --from-mlflow")
    store = tracking or uri()
    with answering(store):
        of = client(store)
        parent = _newest(of, study, store)
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            (folder / MARK).write_text(f"{hidden(store)}\n")
            _study(of, parent.info.run_id, folder)
            own = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
            _trials(of, parent.info.run_id, list(runs(of, parent.info.experiment_id, own)), folder)
    return folder


def _newest(of: "MlflowClient", study: str, store: str) -> "Run":
    """The parent run of the study's last start."""
    experiment, store = of.get_experiment_by_name(study), hidden(store)
    if experiment is None:
        known = ", ".join(sorted(e.name for e in of.search_experiments() if e.name != "Default")) or "none"
        raise RequestError(f"MLflow at {store} has no study {study!r}; it has: {known}")
    parents = list(runs(of, experiment.experiment_id, "tags.`facebench.begun` != ''"))
    if not parents:
        raise RequestError(f"experiment {study!r} of MLflow at {store} was not written by facebench")
    parent = max(parents, key=lambda run: run.info.start_time)
    if STUDY not in {file.path for file in of.list_artifacts(parent.info.run_id)}:
        raise RequestError(
            f"MLflow at {store} has no {STUDY} of study {study!r}: run `facebench sync {study}` where it was run"
        )
    return parent


def _study(of: "MlflowClient", run: str, folder: Path) -> None:
    """The study's own files; its scorings go into the ledger, each once."""
    there = {file.path for file in of.list_artifacts(run)}
    for path in there & {STUDY, SHEETS}:
        of.download_artifacts(run, path, str(folder))
    _scorings(of, run, folder)


def _scorings(of: "MlflowClient", run: str, folder: Path) -> None:
    """What the study's drivers have seen of tests; each has a file of its own there."""
    stem = Path(LEDGER).stem
    for path in sorted(file.path for file in of.list_artifacts(run) if file.path.startswith(stem)):
        own = Path(of.download_artifacts(run, path, str(folder)))
        ledger.merge(ledger.entries(own), folder.parent / LEDGER)
        own.unlink()


def _id(run: "Run") -> str:
    """The trial of a run: the name of a folder, and whoever can write to the server can write anything there.

    Raises:
        RequestError: it is no trial's id.
    """
    said = run.data.tags.get("facebench.trial", "")
    if not re.fullmatch(r"\w[\w-]*", said):
        raise RequestError(
            f"MLflow's run {run.info.run_id} is of a trial {said!r}, which is no trial's id: delete that run"
        )
    return said


def _trials(of: "MlflowClient", parent: str, found: list["Run"], folder: Path) -> None:
    """The records of the trials of these runs: from the bundle, and from the run of each that is not in it."""
    ended = {_id(run): run.data.tags.get("facebench.record", "") for run in found if is_whole(run)}
    there = _mlflow_bundle.fetch(of, parent, folder, ended)
    for run in found:
        if _id(run) not in there:
            _trial(of, run, folder)


def _trial(of: "MlflowClient", run: "Run", folder: Path) -> None:
    # Of a trial that was not sent whole the final files may be there in part.
    wanted = FILES if is_whole(run) else FILES[:2]
    there = {file.path for file in of.list_artifacts(run.info.run_id)}
    if "trial.json" in there:
        place = folder / _id(run)
        place.mkdir(exist_ok=True)
        for path in sorted(there.intersection(wanted)):
            of.download_artifacts(run.info.run_id, path, str(place))


def fetch(study: str, folder: Path, wanted: set[str] | None, patience: float) -> set[str]:
    """Download the records of trials that other drivers of the study have ended, and what they have seen of tests.

    Args:
        study: its name.
        folder: its folder here, in which this driver has records of its own.
        wanted: ids of trials; None: all that have no final record here.
        patience: seconds to wait, after the last one that came, for those that MLflow has not whole yet.

    Returns:
        The ids that did not come.

    Raises:
        RequestError: MLflow does not answer.
    """
    begun = json.loads((folder / STUDY).read_text())["created"]
    until = time.monotonic() + patience
    missing = set(wanted or ())
    with answering(uri()):
        of = client(uri())
        experiment = of.get_experiment_by_name(study)
        while experiment:
            for parent in runs(of, experiment.experiment_id, f"tags.`facebench.begun` = '{begun}'"):
                own = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' and tags.`facebench.whole` = 'true'"
                for run in runs(of, experiment.experiment_id, own):
                    trial = _id(run)
                    if trial in missing or (wanted is None and not (folder / trial / "record.json").exists()):
                        missing -= {_replace(of, run, folder)}
                        until = time.monotonic() + patience
                _scorings(of, parent.info.run_id, folder)
            if not missing or time.monotonic() > until:
                break
            time.sleep(1.0)
    return missing


def _replace(of: "MlflowClient", run: "Run", folder: Path) -> str:
    """A trial's folder as it was where it was run, whole or not at all; the trial's id."""
    trial = _id(run)
    with tempfile.TemporaryDirectory(dir=folder) as part:
        _trial(of, run, Path(part))
        (Path(part) / trial / MARK).touch()
        shutil.rmtree(folder / trial, ignore_errors=True)
        (Path(part) / trial).rename(folder / trial)
    return trial
