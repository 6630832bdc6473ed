"""A trial's run in MLflow: what it has, what it lacks."""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench._mlflow_store import name
from bench.record import Record

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

STATUS = {"finished": "FINISHED", "pruned": "FINISHED", "failed": "FAILED"}


@dataclass
class Shown:
    """What MLflow has of one trial.

    Attributes:
        run: its run.
        sent: the (metric, step) pairs.
        status: the run's.
        described: the trial's parameters are there.
        whole: all was sent.
        record: the digest of the final record that was sent; "" where it was not kept.
    """

    run: str
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


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` -> `{"a.b": 1}`; lists become JSON."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = json.dumps(value) if isinstance(value, list | tuple) else value
    return found
