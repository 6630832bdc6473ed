"""The record of a trial on disk: `runs/<study>/<trial id>/`, written by the driver alone, read by reports.

trial.json     the trial, written when it is asked for
events.jsonl   its events, appended one by one (the truth that MLflow is filled from)
record.json    written once, at the end: state, metrics, scores, cost, provenance
curves.json    what plots need, per protocol
raw.npz        per-pair and per-probe scores
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.credentials import hidden
from bench.plain import Progress, Result, Trial

VERSION = 1


@dataclass(frozen=True)
class Record:
    """A trial as it stands on disk.

    `state` is `waiting`, `running`, `finished`, `pruned` or `failed`. `kind` says of a failed one whether its training
    `diverged`, which is a finding, or an `error` of the machine or the request ended it, which says nothing of the loss.
    """

    trial: Trial
    folder: Path
    state: str
    reason: str = ""
    kind: str = ""
    events: tuple[Progress, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def curves(self) -> dict[str, dict[str, dict[str, list[float]]]]:
        """Protocol -> curve name -> columns; empty where the trial scored no protocol."""
        path = self.folder / "curves.json"
        return json.loads(path.read_text()) if path.exists() else {}


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def start(trial: Trial, study_folder: Path) -> Path:
    """Make the trial's folder and write `trial.json`; an existing one is left as it is."""
    folder = study_folder / trial.id
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "trial.json").exists():
        write_text(folder / "trial.json", json.dumps(trial.plain(), indent=1, sort_keys=True))
    return folder


def append(folder: Path, event: Progress) -> bool:
    """Append an event unless its step is there already; True when it was new."""
    if any(event.step == known.step for known in events(folder)):
        return False
    with (folder / "events.jsonl").open("ab") as file:
        file.truncate(_whole(folder))  # a crash may have cut the last line short
        file.write(json.dumps(asdict(event)).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def events(folder: Path) -> list[Progress]:
    """The events of a trial so far; a last line cut short by a crash is dropped."""
    path = folder / "events.jsonl"
    if not path.exists():
        return []
    return [Progress(**json.loads(line)) for line in path.read_bytes()[: _whole(folder)].splitlines()]


def _whole(folder: Path) -> int:
    """How many bytes of the events are whole lines."""
    return (folder / "events.jsonl").read_bytes().rfind(b"\n") + 1


def finish(folder: Path, state: str, reason: str = "", result: Result | None = None, kind: str = "") -> None:
    """Write the final record; `result` is None for a pruned or failed trial, `kind` says how one failed."""
    import numpy as np

    body: dict[str, Any] = {"version": VERSION, "state": state, "reason": hidden(reason)}
    if state == "failed":
        body["kind"] = kind or "diverged"
    if result is not None:
        scores = {name: {k: v for k, v in score.items() if k != "curves"} for name, score in result.scores.items()}
        curves = {name: score.get("curves", {}) for name, score in result.scores.items()}
        body |= {"metrics": result.metrics, "scores": scores, "cost": result.cost, "provenance": result.provenance}
        write_text(folder / "curves.json", json.dumps(curves))
        if result.raw:
            np.savez_compressed(folder / "raw.part.npz", **result.raw)
            (folder / "raw.part.npz").replace(folder / "raw.npz")
    write_text(folder / "record.json", json.dumps(body, indent=1, sort_keys=True))


def read(folder: Path) -> Record:
    """The record in one trial's folder."""
    trial = Trial.from_plain(json.loads((folder / "trial.json").read_text()))
    path = folder / "record.json"
    seen = tuple(events(folder))
    if not path.exists():
        return Record(trial, folder, "running" if seen else "waiting", events=seen)
    body = json.loads(path.read_text())
    body.pop("version")
    if body["state"] == "failed":
        body.setdefault("kind", "diverged")  # records of before there were kinds
    return Record(trial, folder, events=seen, **body)


def read_study(study_folder: Path) -> list[Record]:
    """All records of a study, ordered by stage, backbone, name, role and number."""
    found = [read(path.parent) for path in sorted(study_folder.glob("*/trial.json"))]
    return sorted(found, key=lambda r: (r.trial.stage, r.trial.backbone, r.trial.name, r.trial.role, r.trial.number))
