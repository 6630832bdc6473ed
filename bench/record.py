"""The record of a trial on disk: `runs/<study>/<trial id>/`, written by the driver alone, read by reports.

trial.json     the trial, written when it is asked for
events.jsonl   its events, appended one by one (the truth that MLflow is filled from)
record.json    written once, at the end: state, metrics, scores, cost, provenance
curves.json    what plots need, per protocol; none where no protocol was scored
raw.npz        per-pair and per-probe scores

An event, and the record at the end with its curves, are on the disk (fsync) before anybody hears of them, so that neither a
kill nor a power cut takes back what the tuner and MLflow were told. A trial.json that a power cut left empty is written anew
when the trial is asked for again. `bench.index` holds a copy of what a list of trials needs.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import places
from bench.credentials import hidden
from bench.errors import RequestError
from bench.plain import Progress, Result, Trial

VERSION = 1

Begun = tuple[Trial, tuple[Progress, ...]]  # a trial and its events so far


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

    @property
    def epochs(self) -> int:
        """How many epochs were trained."""
        return len(self.events)

    @property
    def seconds(self) -> float:
        """What they took, from the start of the trial."""
        return max((event.seconds for event in self.events), default=0.0)

    def curves(self) -> dict[str, dict[str, dict[str, list[float]]]]:
        """Protocol -> curve name -> columns; empty where the trial scored no protocol."""
        path = self.folder / "curves.json"
        return json.loads(path.read_text()) if path.exists() else {}


class Journal:
    """The events of one trial, for the one who writes them: the file is read once, not again for each event."""

    def __init__(self, folder: Path):
        self._path = folder / "events.jsonl"
        whole = _whole(self._path)
        self._events = {event.step: event for event in _parsed(whole)}
        self._size = len(whole)

    @property
    def events(self) -> tuple[Progress, ...]:
        """Those that are written down."""
        return tuple(self._events.values())

    def append(self, event: Progress) -> bool:
        """Append an event unless its step is there already; True when it was new, and then it is on the disk."""
        if event.step in self._events:
            return False
        line = json.dumps(vars(event)).encode() + b"\n"
        with self._path.open("ab") as file:
            if file.tell() != self._size:
                file.truncate(self._size)  # a crash or a full disk cut the last line short
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._size += len(line)
        self._events[event.step] = event
        return True


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Write a file whole or not at all; `durable`: and not before it is on the disk."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)


def start(trial: Trial, study_folder: Path) -> Path:
    """Make the trial's folder and write `trial.json`; an existing one is left as it is."""
    folder = study_folder / trial.id
    if not is_trial(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "trial.json", json.dumps(trial.plain(), indent=1, sort_keys=True))
    return folder


def is_trial(folder: Path) -> bool:
    """Whether a folder holds a trial: one whose trial.json a power cut left empty is none yet."""
    try:
        return (folder / "trial.json").stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False


def events(folder: Path) -> list[Progress]:
    """The events of a trial so far; a last line cut short by a crash is dropped."""
    return _parsed(_whole(folder / "events.jsonl"))


def _parsed(lines: bytes) -> list[Progress]:
    return [Progress(**json.loads(line)) for line in lines.splitlines()]


def _whole(path: Path) -> bytes:
    """The whole lines of a file that may not exist yet."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return b""
    return text[: text.rfind(b"\n") + 1]


def finish(
    folder: Path,
    state: str,
    reason: str = "",
    result: Result | None = None,
    kind: str = "",
    begun: Begun | None = None,
) -> Record:
    """Write the final record and return it.

    Args:
        result: None for a pruned or failed trial.
        kind: how one failed.
        begun: the trial and its events, by who has them at hand; else they are read.
    """
    body: dict[str, Any] = {"version": VERSION, "state": state, "reason": hidden(reason)}
    if state == "failed":
        body["kind"] = kind or "diverged"
    if result is not None:
        scores = {name: {k: v for k, v in score.items() if k != "curves"} for name, score in result.scores.items()}
        curves = {name: score.get("curves", {}) for name, score in result.scores.items()}
        body |= {"metrics": result.metrics, "scores": scores, "cost": result.cost, "provenance": result.provenance}
        if curves:
            write_text(folder / "curves.json", json.dumps(curves), durable=True)
        if result.raw:
            _write_arrays(folder / "raw.npz", result.raw)
    text = json.dumps(body, indent=1, sort_keys=True)
    write_text(folder / "record.json", text, durable=True)
    return _final(folder, json.loads(text), begun)  # as whoever reads it finds it


def _write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    import numpy as np

    part = path.with_name("raw.part.npz")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read(folder: Path) -> Record:
    """The record in one trial's folder."""
    try:
        body = json.loads((folder / "record.json").read_bytes())
    except FileNotFoundError:
        trial, seen = _begun(folder)
        return Record(trial, folder, "running" if seen else "waiting", events=seen)
    return _final(folder, body)


def _begun(folder: Path) -> Begun:
    return Trial.from_plain(json.loads((folder / "trial.json").read_bytes())), tuple(events(folder))


def _final(folder: Path, body: dict[str, Any], begun: Begun | None = None) -> Record:
    """The record with this text in its record.json."""
    trial, seen = begun or _begun(folder)
    body.pop("version")
    if body["state"] == "failed":
        body.setdefault("kind", "diverged")  # records of before there were kinds
    return Record(trial, folder, events=seen, **body)


def finished(wanted: str) -> Record:
    """The finished trial whose id begins so, of whatever study.

    Raises:
        RequestError: there is none, or several begin so.
    """
    found = [path.parent for path in places.runs().glob(f"*/{wanted}*/record.json")] if wanted.isalnum() else []
    if len({folder.name for folder in found}) > 1:
        raise RequestError(f"{wanted!r} begins the ids of {len(found)} trials: give more of it")
    if not found:
        raise RequestError(
            f"{wanted!r} is neither a file nor the id of a trial that ended in {places.runs()}: "
            "`facebench status STUDY` shows the ids"
        )
    known = read(found[0])
    if known.state != "finished":
        raise RequestError(f"trial {wanted} is {known.state} ({known.reason}): it has no scores and no network to show")
    return known


def read_study(study_folder: Path) -> list[Record]:
    """All records of a study, ordered by stage, backbone, name, role, search and number."""
    found = [read(path.parent) for path in sorted(study_folder.glob("*/trial.json")) if is_trial(path.parent)]
    return sorted(found, key=lambda r: _place(r.trial))


def _place(trial: Trial) -> tuple[str, str, str, str, int, int]:
    return trial.stage, trial.backbone, trial.name, trial.role, trial.search, trial.number
