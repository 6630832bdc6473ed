"""How a trial ended: what becomes of its last event."""

import math
import traceback
from pathlib import Path
from typing import Any

from bench import ledger, record
from bench.credentials import hidden
from bench.errors import RequestError, TrialFailed
from bench.plain import Result, Trial
from bench.record import Begun, Record
from sweeps.work import WorkerLost


def write(folder: Path, event: Result | Exception, begun: Begun) -> Record:
    """The final record; a trial that failed otherwise than by a wrong request leaves its traceback in `error.txt`."""
    if isinstance(event, Result):
        return record.finish(folder, "finished", result=event, begun=begun)
    if isinstance(event, RequestError | WorkerLost):
        return record.finish(folder, "failed", str(event), kind="error", begun=begun)
    (folder / "error.txt").write_text(hidden("".join(traceback.format_exception(event))))
    if isinstance(event, TrialFailed):
        return record.finish(folder, "failed", str(event), kind="diverged", begun=begun)
    # Not a trial that went wrong but a defect.
    reason = f"{type(event).__name__}: {event} (traceback in {folder.name}/error.txt)"
    return record.finish(folder, "failed", reason, kind="error", begun=begun)


def enter(trial: Trial, result: Result) -> None:
    """Every look at a test goes into the ledger, before the record: one too many is better than one too few."""
    for name, scores in result.scores.items():
        primary = str(scores.get("primary"))
        metrics: dict[str, Any] = scores.get("metrics", {})
        figure = {primary: metrics[primary]} if primary in metrics else metrics
        ledger.append(trial.study, trial.id, name, scores.get("hash", ""), figure)


def with_objective(trial: Trial, result: Result, objective: str) -> Result | RequestError:
    """A tuning trial without the figure that it is tuned by is no result."""
    if trial.stage != "tune" or math.isfinite(result.metrics.get(objective, math.nan)):
        return result
    given = sorted(key for key in result.metrics if key.startswith("dev/")) or ["no dev/ figure at all"]
    return RequestError(
        f"these development data give no {objective!r} to tune by: choose another `objective` or `holdout`; "
        f"there is: {', '.join(given)}"
    )


def check_sealed(trial: Trial) -> None:
    """Refuse a tuning trial that could see a test protocol.

    Raises:
        ValueError: it carries protocols.
    """
    if trial.stage == "tune" and trial.protocols:
        names = ", ".join(str(spec.get("name")) for spec in trial.protocols)
        raise ValueError(f"tuning trial {trial.id} carries the test protocols {names}: tuning never sees the test")


def tidy(trial: Trial, folder: Path) -> None:
    """Of a tuning trial no checkpoint is kept, of the others the newest: all of them would fill a disk."""
    # By the attempt's number: the clock may have jumped between two of them.
    files = sorted(folder.glob("checkpoint-*.pt"), key=lambda path: int(path.stem.rpartition("-")[2]))
    keep = 0 if trial.stage == "tune" else 1
    for path in files[: len(files) - keep]:
        path.unlink(missing_ok=True)
