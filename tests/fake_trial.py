"""A stand-in for `bench.trial.run`: a formula instead of a training, with the same manners (events, checkpoint, resume).

What it shall do wrong is said by the trial's `data`: `diverge` (names of losses), `request` (a sentence), `defect`, `kill`
(attempts that die at the second epoch), `oom` and `hungry` (attempts that find no GPU memory, or no memory, at the second
epoch), `stuck` (seconds in C), `nap` (seconds an epoch); `tell` names environment variables, `log: 1` adds a line to the file
`executed` for every epoch that is worked on (epoch, pid, CUDA_VISIBLE_DEVICES), `closed: 1` makes the data those of a
closed-set test.
"""

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from bench.errors import RequestError, TrialFailed
from bench.plain import Progress, Result, Trial


def figure(trial: Trial, epoch: int) -> float:
    """Peaks at learning rate 0.06 and margin 0.2, differs a little between seeds, rises with the epoch."""
    off = 0.05 * (math.log10(trial.learning_rate) + 1.2) ** 2 + 0.1 * abs(trial.loss_options.get("margin", 0.2) - 0.2)
    return (0.9 - off + 0.001 * (trial.seed % 7)) * (1 - math.exp(-epoch))


def run(trial: Trial, folder: str, processes: int = 1) -> Iterator[Progress | Result]:
    """Progress per epoch, then a result; goes on from `checkpoint-1.pt`."""
    wrong = trial.data
    if "request" in wrong:
        raise RequestError(wrong["request"])
    saved = Path(folder) / "checkpoint-1.pt"
    past = [Progress(**event) for event in json.loads(saved.read_text())] if saved.exists() else []
    yield from past
    for epoch in range(len(past) + 1, trial.epochs + 1):
        _misbehave(trial, folder, epoch)
        metrics = {"train/loss": 1 / epoch}
        if trial.holdout:
            metrics["dev/accuracy"] = figure(trial, epoch)
        past.append(Progress(10 * epoch, epoch, metrics, 0.5 * epoch))
        _write(saved, json.dumps([vars(event) for event in past]))
        yield past[-1]
    yield result(trial, past, processes)


def result(trial: Trial, past: list[Progress], processes: int = 1) -> Result:
    """What a trial with these epochs behind it gives."""
    metrics = dict(past[-1].metrics) if past else {}
    scores = {}
    for name in (*(spec["name"] for spec in trial.protocols), *["closed"] * trial.data.get("closed", 0)):
        primary = f"{name}/accuracy"
        metrics[primary] = 0.5 + figure(trial, trial.epochs) / 3
        curves = {"roc": {"far": [0.0, 1.0], "tar": [0.0, 1.0]}}
        scores[name] = {
            "metrics": {primary: metrics[primary]},
            "primary": primary,
            "hash": "fa" * 8,
            "curves": curves,
        }
    facts = {"commit": "c0ffee", "dirty": False, "versions": {"torch": "2"}}
    if "tell" in trial.data:
        facts["told"] = [os.environ.get(name) for name in trial.data["tell"]]
    return Result(metrics, scores, {}, {"train_seconds": 1.0, "processes": processes}, facts)


def _misbehave(trial: Trial, folder: str, epoch: int) -> None:
    wrong = trial.data
    if wrong.get("log"):
        with (Path(folder) / "executed").open("a") as file:
            file.write(f"{epoch} {os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
    time.sleep(wrong.get("nap", 0))
    if trial.loss in wrong.get("diverge", []):
        raise TrialFailed(f"the loss is nan at step {epoch}")
    if wrong.get("defect"):
        raise ZeroDivisionError("a defect")
    if epoch == 2 and _count(folder, "attempts") <= wrong.get("kill", 0):
        os.kill(os.getpid(), signal.SIGKILL)
    if epoch == 2 and "oom" in wrong and _count(folder, "oom") <= wrong["oom"]:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if epoch == 2 and "hungry" in wrong and _count(folder, "hungry") <= wrong["hungry"]:
        raise MemoryError("Unable to allocate 2.00 GiB")
    if "stuck" in wrong:
        sleep_in_c(wrong["stuck"])


def sleep_in_c(seconds: float) -> None:
    """A blocking call that no Python exception interrupts."""
    import ctypes

    until = time.monotonic() + seconds
    libc = ctypes.PyDLL(None)  # keeps the interpreter's lock, as a long kernel in C++ would
    while time.monotonic() < until:
        libc.usleep(900_000)


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a trial may be killed at any moment."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)


def _count(folder: str, name: str) -> int:
    """1, 2, ... over calls, kept in the folder so that it outlives the process."""
    path = Path(folder) / name
    count = int(path.read_text()) + 1 if path.exists() else 1
    path.write_text(str(count))
    return count


def interrupted(after: int, run=run):
    """`run`, but for one Ctrl-C after so many events: the checkpoint is written, the driver has not heard of it."""
    left = [after]

    def stopped(trial, folder):
        for event in run(trial, folder):
            if left[0] == 0:
                left[0] = -1
                raise KeyboardInterrupt
            left[0] -= 1
            yield event

    return stopped
