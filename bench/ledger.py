"""`runs/test_ledger.jsonl`: every scoring of a test protocol, so that a figure can say how often its test was looked at."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

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
    line = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "study": study,
        "trial": trial_id,
        "protocol": protocol,
        "hash": hash,
        "figure": figure,
    }
    path().parent.mkdir(parents=True, exist_ok=True)
    with path().open("a") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def entries() -> list[dict]:
    """All scorings, the oldest first; a last line cut short by a crash is dropped."""
    if not path().exists():
        return []
    whole = path().read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def count(hash: str, study: str | None = None) -> int:
    """How often a test protocol was scored here, by any study or by one."""
    return sum(entry["hash"] == hash and study in (None, entry["study"]) for entry in entries())
