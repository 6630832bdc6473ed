"""Where studies and their trials stand, read from the records: no driver need run, none is asked.

What is left is reckoned from the epochs that were trained: each takes what those of its backbone and loss took so far, and
as many trials go on at once as do now. Clocks are not asked: an epoch's seconds are measured within its trial.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import index, locks, places
from bench.errors import RequestError, Unreachable
from bench.index import Entry
from bench.plain import arm
from sweeps.study import Study

PATIENCE = 60.0  # seconds that a driver gets to end
_FLIGHT = ("running", "waiting")  # a trial's folder is made when it is handed to a worker


def status(study: str | Path) -> dict[str, Any]:
    """`{"study", "state", "summary", "trials": [{"id", "backbone", "loss", "label", "stage", "role", "state", "seed",
    "search", "params", "metrics"}]}`.

    Args:
        study: its name, or its yaml file.

    Returns:
        `state` of the study is `running`, `finished`, `stopped` or `failed`; of a trial `waiting`, `running`, `finished`,
        `pruned` or `failed`. `label` is what the study calls its entry of `losses`: the loss, or a label of its own.
        `metrics` are the final ones, of a running trial those of its last epoch. `summary` is as in `studies`.

    Raises:
        RequestError: nothing of that name was run here (the sentence lists what was).
    """
    folder = _folder(study)
    facts, state = _facts(folder)
    known = index.entries(folder)
    summary = _summary(facts, state, known)
    return {"study": facts["name"], "state": state, "summary": summary, "trials": [_trial(one) for one in known]}


def studies() -> list[dict[str, Any]]:
    """All studies of the runs folder, by name: `[{"study", "state", "trials", "failed", "epochs", "planned_epochs",
    "left_seconds"}]`.

    `trials` counts them by state; `epochs` were trained; `planned_epochs` is None where the study cannot be read any more
    (one of an older facebench), `left_seconds` also before the first epoch. One whose `study.json` was spoiled has the
    state `unreadable`, and why as `trouble`; the others are told all the same.
    """
    return [_study(path.parent) for path in sorted(places.runs().glob("*/study.json"))]


def _study(folder: Path) -> dict[str, Any]:
    known = index.entries(folder)
    try:
        facts, state = _facts(folder)
    except RequestError as error:
        return {"study": folder.name, "state": "unreadable", **_summary({}, "", known), "trouble": str(error)}
    return {"study": facts["name"], "state": state, **_summary(facts, state, known)}


def stop(study: str | Path) -> locks.Owner:
    """Have the driver that runs a study on this machine end as after Ctrl-C, wait until it has; who it was.

    Raises:
        RequestError: the study does not run, or its driver is on another machine.
        Unreachable: it does not end.
    """
    import os
    import signal
    import socket

    folder = _folder(study)
    owner = locks.owner(folder)
    if not _driven(folder):
        raise RequestError(f"study {folder.name!r} is not running here: nothing to stop (see `facebench status`)")
    if owner is None or owner.host != socket.gethostname():
        where = f"on {owner.host}, as process {owner.pid}" if owner else "by a process that did not say which it is"
        raise RequestError(
            f"study {folder.name!r} is run {where}: stop it there, or a job with --address http://HOST:8265"
        )
    try:
        os.kill(owner.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has just ended
    except PermissionError:
        raise RequestError(
            f"process {owner.pid}, which runs study {folder.name!r}, is another user's: ask them"
        ) from None
    until = time.monotonic() + PATIENCE
    while _driven(folder):
        if time.monotonic() > until:
            raise Unreachable(f"process {owner.pid} was asked to stop and still runs after {PATIENCE:.0f} s")
        time.sleep(0.1)
    return owner


def _facts(folder: Path) -> tuple[dict[str, Any], str]:
    """What `study.json` says, and the study's state."""
    from sweeps import reading

    facts = reading.facts(folder)
    state = facts["state"]
    if state == "running" and not _driven(folder):
        state = "stopped"  # its driver was killed and could not say so
    return facts, state


def _summary(facts: Mapping[str, Any], state: str, known: Sequence[Entry]) -> dict[str, Any]:
    counts = Counter(one.state for one in known)
    epochs: Counter[str] = Counter()
    seconds: dict[str, float] = defaultdict(float)
    for one in known:
        cell = f"{one.backbone}/{one.arm}"
        epochs[cell] += one.epochs
        seconds[cell] += one.seconds
    planned = None if (study := _readable(facts)) is None else _planned(study, facts, epochs)
    left = None
    if state == "finished":
        left = 0.0
    elif planned is not None and epochs.total():
        usual = sum(seconds.values()) / epochs.total()
        took = {cell: seconds[cell] / epochs[cell] if epochs[cell] else usual for cell in planned}
        work = sum((planned[cell] - epochs[cell]) * took[cell] for cell in planned)
        left = work / max(1, sum(counts[one] for one in _FLIGHT))
    return {
        "trials": dict(sorted(counts.items())),
        "failed": counts["failed"],
        "epochs": epochs.total(),
        "planned_epochs": None if planned is None else sum(planned.values()),
        "left_seconds": left,
    }


def _planned(study: Study, facts: Mapping[str, Any], epochs: Mapping[str, int]) -> dict[str, int]:
    """Cell -> the epochs that it will have trained: what it has where it is done, or came to its end otherwise."""
    from sweeps.plan import places
    from sweeps.progress import planned

    found = {}
    for backbone, label, search in places(study):
        name = f"{backbone}/{arm(label, search)}"
        said = facts["cells"].get(name, {})
        over = said.get("stage") == "done" or said.get("trouble")
        to_come = planned(study, label, first=search == 1)
        found[name] = epochs.get(name, 0) if over else max(epochs.get(name, 0), to_come)
    return found


def _readable(facts: Mapping[str, Any]) -> Study | None:
    """The study as it was asked; None where today's facebench does not know its file."""
    from sweeps.mistake import Mistake
    from sweeps.study import validated

    try:
        return validated(facts.get("file", {}))
    except Mistake:
        return None


def _folder(study: str | Path) -> Path:
    name = str(study)
    if Path(name).is_file():
        from sweeps import reading

        name = reading.load(name).name
    folder = places.study_folder(name)
    if not (folder / "study.json").exists():
        known = sorted(path.parent.name for path in places.runs().glob("*/study.json"))
        raise RequestError(f"no study {name!r} in {places.runs()}; there is: {', '.join(known) or 'none yet'}")
    return folder


def _trial(one: Entry) -> dict[str, Any]:
    return {
        "id": one.id,
        "backbone": one.backbone,
        "loss": one.loss,
        "label": one.name,
        "stage": one.stage,
        "role": one.role,
        "state": one.state,
        "seed": one.seed,
        "search": one.search,
        "params": one.params,
        "metrics": one.metrics or one.last,
    }


def _driven(folder: Path) -> bool:
    """Whether a driver holds the study's lock. Only looked at: whose it is stands in the file."""
    import fcntl

    try:
        with (folder / ".lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
