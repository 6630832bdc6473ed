"""`runs/test_ledger.jsonl`: every scoring of a test protocol, so that a figure can say how often its test was looked at."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import places


def path() -> Path:
    """Where the ledger lies."""
    return places.runs() / "test_ledger.jsonl"


def append(study: str, trial_id: str, protocol: str, hash: str, figure: dict[str, float]) -> None:
    """Enter one scoring.

    Args:
        study, trial_id: who looked.
        protocol, hash: at which test; the hash is that of the protocol's specification.
        figure: what was seen, metric -> fraction.
    """
    entry = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "study": study,
        "trial": trial_id,
        "protocol": protocol,
        "hash": hash,
        "figure": figure,
    }
    _write([json.dumps(entry)], path())


def merge(new: Iterable[dict[str, Any]], file: Path) -> None:
    """Enter the scorings that `file` does not have yet: those of another machine."""
    missing = Counter(map(json.dumps, new)) - Counter(map(json.dumps, entries(file)))
    if missing:
        _write(missing.elements(), file)


def entries(file: Path | None = None) -> list[dict[str, Any]]:
    """All scorings, the oldest first; a line that a crash cut short is passed over.

    Args:
        file: the ledger; None: the one of this place.
    """
    file = file or path()
    found = []
    for line in file.read_text(errors="replace").split("\n") if file.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found


def count(hash: str, study: str | None = None) -> int:
    """How often a test protocol was scored here, by any study or by one."""
    return sum(entry.get("hash") == hash and study in (None, entry.get("study")) for entry in entries())


def _write(lines: Iterable[str], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # A crash may have cut the last line short: only that one is lost.
    torn = file.exists() and file.read_bytes()[-1:] not in (b"", b"\n")
    with file.open("a") as ledger:
        ledger.write("\n" * torn + "".join(f"{line}\n" for line in lines))
        ledger.flush()
        os.fsync(ledger.fileno())
