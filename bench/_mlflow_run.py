"""A trial's run in MLflow: what it has, what it lacks."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench._mlflow_store import FILES, name
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
    """

    run: str
    place: str
    sent: set[tuple[str, int]]
    status: str = "RUNNING"
    described: bool = False
    whole: bool = False
    record: str = ""

    def is_up_to_date(self, known: Record) -> bool:
        """Whether the run shows the trial as it ended, and did not end otherwise since (a lost one is run again)."""
        same = self.record in ("", digest(known))
        return self.whole and self.status == STATUS.get(known.state) and same


def digest(known: Record) -> str:
    """Of the final record, as it stands on disk now."""
    path = known.folder / "record.json"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else ""


def how_far(run: "Run") -> tuple[bool, bool, str]:
    """Orders runs of one trial; the run's id settles the rest, for everybody alike."""
    return run.data.tags.get("facebench.whole") == "true", bool(run.data.params), run.info.run_id


def missing(known: Record, sent: set[tuple[str, int]]) -> list["Metric"]:
    """The finite figures of a trial whose (metric, step) is not in `sent`; final figures stand at the last step."""
    from mlflow.entities import Metric

    steps = [(event.metrics, event.step, event.seconds) for event in known.events]
    last = steps[-1][1:] if steps else (0, 0.0)
    steps.append((known.metrics, *last))
    begun = max(0.0, (known.folder / "trial.json").stat().st_mtime)  # MLflow takes no time before 1970
    new: dict[tuple[str, int], Metric] = {}
    for metrics, step, seconds in steps:
        for key, value in metrics.items():
            place = (name(key), step)
            if math.isfinite(value) and place not in sent:
                new.setdefault(place, Metric(name(key), value, int(1000 * (begun + seconds)), step))
    return list(new.values())


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
    """What is kept of a trial, as far as it is there."""
    if known.state not in STATUS:
        return [known.folder / FILES[0]]
    # Of a tuning trial no checkpoint is kept: one that is there is about to be removed.
    checkpoints = [] if known.trial.stage == "tune" else sorted(known.folder.glob("checkpoint-*.pt"))
    return [path for path in (*(known.folder / file for file in FILES), *checkpoints) if path.exists()]


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` -> `{"a.b": 1}`; lists become JSON."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = json.dumps(value) if isinstance(value, list | tuple) else value
    return found
