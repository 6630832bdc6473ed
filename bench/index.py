"""The index of a study, `runs/<study>/index.jsonl`: of each ended trial what a list of trials needs, in one file.

A copy, never the truth. A line counts while the three files that it was made from are what they were (time and size); a trial
without such a line is read from its folder, and the index is written anew. It may be deleted at any time.

    index.enter(record.finish(...))     # the driver, when a trial has ended
    index.entries(study_folder)         # every trial of the study; 10,000 of them in a fraction of a second
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench import record
from bench.plain import arm
from bench.record import Record

NAME = "index.jsonl"
_FORM = 1  # of a line; those of another are not read
_ENDED = ("finished", "pruned", "failed")


@dataclass(frozen=True)
class Entry:
    """A trial and how it stands, in short.

    Attributes:
        id: the trial's, and its folder's name.
        backbone, loss, name, stage, role, number, seed: as in `bench.plain.Trial`.
        params: learning rate, weight decay and the loss's own hyper-parameters.
        tested, allow_overlap: whether it has test protocols, and leave to overlap with them.
        state, reason, kind, metrics: as in `bench.record.Record`.
        epochs, seconds: what was trained, and how long from the trial's start to the last epoch's end.
        last: the metrics of the last epoch, where there are no final ones.
        scored: whether a protocol was scored.
        search: as in `bench.plain.Trial`.
    """

    id: str
    backbone: str
    loss: str
    name: str
    stage: str
    role: str
    number: int
    seed: int
    params: dict[str, Any]
    tested: bool
    allow_overlap: bool
    state: str
    reason: str
    kind: str
    epochs: int
    seconds: float
    metrics: dict[str, float]
    last: dict[str, float]
    scored: bool
    search: int = 1

    @property
    def arm(self) -> str:
        """As in `bench.plain.Trial`."""
        return arm(self.name, self.search)

    @property
    def ended(self) -> bool:
        """Whether it has a final record."""
        return self.state in _ENDED


class _Line(NamedTuple):
    stamp: str
    text: str
    entry: Entry


def entry(known: Record) -> Entry:
    """A record in short."""
    trial = known.trial
    return Entry(
        known.folder.name,
        trial.backbone,
        trial.loss,
        trial.name,
        trial.stage,
        trial.role,
        trial.number,
        trial.seed,
        {"learning_rate": trial.learning_rate, "weight_decay": trial.weight_decay, **trial.loss_options},
        bool(trial.protocols),
        trial.allow_overlap,
        known.state,
        known.reason,
        known.kind,
        known.epochs,
        known.seconds,
        known.metrics,
        {} if known.metrics or not known.events else known.events[-1].metrics,
        bool(known.scores),
        trial.search,
    )


def enter(known: Record) -> None:
    """Note down a trial that has just ended. A line that is lost costs the next reader the reading of one folder."""
    with suppress(OSError), (known.folder.parent / NAME).open("ab") as file:
        file.write(_text(_stamp(str(known.folder)), entry(known)).encode())


def entries(study_folder: Path) -> list[Entry]:
    """All trials of a study, in the order of `record.read_study`."""
    lines = _lines(study_folder)
    found: list[Entry] = []
    kept: list[str] = []
    new = False
    for name in sorted(_folders(study_folder)):
        if not (stamp := _stamp(f"{study_folder}/{name}")):
            continue
        line = lines.get(name)
        if line is None or line.stamp != stamp:
            try:
                one = entry(record.read(study_folder / name))
            except FileNotFoundError:  # a driver has just thrown it away
                continue
            new |= one.ended
            line = _Line(stamp, _text(stamp, one) if one.ended else "", one)
        found.append(line.entry)
        kept.append(line.text)
    if new:
        _rewrite(study_folder / NAME, kept)
    return sorted(found, key=lambda one: (one.stage, one.backbone, one.name, one.role, one.search, one.number))


def _folders(study_folder: Path) -> list[str]:
    with os.scandir(study_folder) as items:
        return [item.name for item in items if item.is_dir()]


def _stamp(folder: str) -> str:
    """What changes when a record changes; "" where there is no trial."""
    parts = [str(_FORM)]
    for name in ("trial.json", "events.jsonl", "record.json"):
        try:
            seen = os.stat(f"{folder}/{name}")  # noqa: PTH116 (30,000 of them: a Path each would take as long again)
        except (FileNotFoundError, NotADirectoryError):
            if name == "trial.json":
                return ""
            parts.append("")
        else:
            if not seen.st_size and name == "trial.json":
                return ""
            parts.append(f"{seen.st_mtime_ns}.{seen.st_size}")
    return " ".join(parts)


def _text(stamp: str, one: Entry) -> str:
    return json.dumps({"stamp": stamp, **vars(one)}) + "\n"


def _lines(study_folder: Path) -> dict[str, _Line]:
    """Trial id -> its last line; what cannot be read (cut short by a crash, or of another form) is passed over."""
    try:
        texts = (study_folder / NAME).read_bytes().decode(errors="replace").split("\n")
    except FileNotFoundError:
        return {}
    found = {}
    for text in texts:
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            values = json.loads(text)
            stamp = values.pop("stamp")
            found[values["id"]] = _Line(stamp, f"{text}\n", Entry(**values))
    return found


def _rewrite(path: Path, lines: Iterable[str]) -> None:
    """Whole or not at all, by whoever reads; a driver that appends meanwhile loses a line, which is read again later."""
    part = path.with_name(f"{NAME}.{os.getpid()}.part")
    with suppress(OSError):  # a folder of somebody else's can be read without being written
        part.write_text("".join(lines))
        part.replace(path)
