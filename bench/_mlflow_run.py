"""A trial's run in MLflow: what it has, what it lacks."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import _mlflow_bundle
from bench._mlflow_data import training
from bench._mlflow_store import FILES, MODEL, name
from bench.plain import Progress
from bench.record import Record

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, Run, RunTag

STATUS = {"finished": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}
MOST, NAMED = 1000, 100  # entries of a batch that MLflow takes, and parameters or tags among them


@dataclass
class Shown:
    """What MLflow has of one trial.

    Attributes:
        run: its run.
        place: where the run's files go.
        sent: the (metric, step) pairs.
        status: the run's.
        described: the trial's parameters are there.
        whole: all was sent.
        record: the digest of the final record that was sent; "" where it was not kept.
        data: its datasets are there.
        model: what is there of its network: the model's id, or why there is none; "" where that is open.
    """

    run: str
    place: str
    sent: set[tuple[str, int]]
    status: str = "RUNNING"
    described: bool = False
    whole: bool = False
    record: str = ""
    data: bool = False
    model: str = ""

    @classmethod
    def of(cls, run: "Run", sent: set[tuple[str, int]]) -> "Shown":
        """What a run that is there says of itself."""
        info, tags = run.info, run.data.tags
        return cls(
            info.run_id,
            info.artifact_uri,
            sent,
            info.status,
            described=bool(run.data.params),
            whole=is_whole(run),
            record=tags.get("facebench.record", ""),
            data=bool(run.inputs and run.inputs.dataset_inputs),
            model=tags.get(MODEL, ""),
        )

    def is_up_to_date(self, known: Record) -> bool:
        """Whether the run shows the trial as it ended, and did not end otherwise since (a lost one is run again)."""
        same = self.record in ("", digest(known))
        return self.whole and self.status == STATUS.get(known.state) and same and not self.lacks_data(known)

    def lacks_data(self, known: Record) -> bool:
        """Whether its datasets are to be sent: those of a tuning trial are its study's, and a call for each would tell."""
        return not self.data and known.trial.stage != "tune" and bool(training(known))


def digest(known: Record) -> str:
    """Of the final record, as it stands on disk now."""
    path = known.folder / "record.json"
    return _mlflow_bundle.digest(path.read_bytes()) if path.exists() else ""


def how_far(run: "Run") -> tuple[bool, bool, str]:
    """Orders runs of one trial; the run's id settles the rest, for everybody alike."""
    return is_whole(run), bool(run.data.params), run.info.run_id


def is_whole(run: "Run") -> bool:
    """Whether all that there is of a trial's record was sent."""
    return run.data.tags.get("facebench.whole") == "true"


def missing(known: Record, sent: set[tuple[str, int]]) -> list["Metric"]:
    """The finite figures of a trial whose (metric, step) is not in `sent`; final figures stand at the last step."""
    from mlflow.entities import Metric

    steps = [(event.metrics | system(event), *moment(known, event)) for event in known.events]
    steps.append((known.metrics, *moment(known)))
    new: dict[tuple[str, int], Metric] = {}
    for metrics, step, time in steps:
        for key, value in metrics.items():
            place = (name(key), step)
            if math.isfinite(value) and place not in sent:
                new.setdefault(place, Metric(name(key), value, time, step))
    return list(new.values())


def system(event: Progress) -> dict[str, float]:
    """How busy the trial's machine was, under the names that MLflow's page of system metrics looks for."""
    return {f"system/{key}": value for key, value in event.machine.items()}


def moment(known: Record, event: Progress | None = None) -> tuple[int, int]:
    """Step and time (ms) of an event, by default of the last one: they follow from the record, whenever it is sent."""
    event = event or (known.events[-1] if known.events else Progress(0, 0, {}))
    begun = max(0.0, (known.folder / "trial.json").stat().st_mtime)  # MLflow takes no time before 1970
    return event.step, int(1000 * (begun + event.seconds))


def labels(known: Record) -> dict[str, str]:
    """The tags that a trial's run is made with, but for its parent's."""
    trial = known.trial
    label = f"{trial.backbone} {trial.arm} {trial.role} {trial.number} seed {trial.seed}"
    tags = {"mlflow.runName": label, "facebench.trial": trial.id, "label": trial.name}
    return tags | {
        key: str(getattr(trial, key)) for key in ("study", "stage", "role", "backbone", "loss", "seed", "search")
    }


def parameters(known: Record) -> list["Param"]:
    """The trial itself."""
    from mlflow.entities import Param

    return [Param(name(key), str(value)[:6000]) for key, value in flat(known.trial.plain()).items()]


def facts(known: Record, sent: str) -> list["RunTag"]:
    """Tags with how it ended and what made its figures; `sent` is its digest."""
    from mlflow.entities import RunTag

    found = flat({**known.provenance, "cost": known.cost, "state": known.state, "reason": known.reason})
    found["record"] = sent
    tags = [RunTag(name(f"facebench.{key}"), str(value)[:5000]) for key, value in found.items()]
    if commit := known.provenance.get("commit"):
        tags.append(RunTag("mlflow.source.git.commit", str(commit)))
    return tags


def batches(
    metrics: list["Metric"], params: list["Param"], tags: list["RunTag"]
) -> Iterator[tuple[list["Metric"], list["Param"], list["RunTag"]]]:
    """All of it, in as few parts as MLflow takes."""
    while metrics or params or tags:
        room = MOST - len(params[:NAMED]) - len(tags[:NAMED])
        yield metrics[:room], params[:NAMED], tags[:NAMED]
        metrics, params, tags = metrics[room:], params[NAMED:], tags[NAMED:]


def files(known: Record) -> list[Path]:
    """What is kept of a trial's record, as far as it is there."""
    names = FILES if known.state in STATUS else FILES[:1]
    return [path for path in (known.folder / name for name in names) if path.exists()]


def checkpoints(known: Record) -> list[Path]:
    """Those that are kept of a trial that has ended: of a tuning trial none, one that is there is about to be removed."""
    kept = known.state in STATUS and known.trial.stage != "tune"
    return sorted(known.folder.glob("checkpoint-*.pt")) if kept else []


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` -> `{"a.b": 1}`; lists become JSON."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = json.dumps(value) if isinstance(value, list | tuple) else value
    return found
