"""Where the trials of a study stand, as `facebench status --json` answers."""

import json
from pathlib import Path
from typing import Any

from bench import index, places
from bench.errors import RequestError
from bench.index import Entry
from bench.locks import alone


def status(study: str | Path) -> dict[str, Any]:
    """`{"study", "state", "trials": [{"id", "backbone", "loss", "label", "stage", "role", "state", "seed", "params",
    "metrics"}]}`.

    Args:
        study: its name, or its yaml file.

    Returns:
        `state` of the study is `running`, `finished`, `stopped` or `failed`; of a trial `waiting`, `running`, `finished`,
        `pruned` or `failed`. `label` is what the study calls its entry of `losses`: the loss, or a label of its own.
        `metrics` are the final ones, of a running trial those of its last epoch.

    Raises:
        RequestError: nothing of that name was run here (the sentence lists what was).
    """
    folder = _folder(study)
    facts = json.loads((folder / "study.json").read_text())
    state = facts["state"]
    if state == "running" and not _driven(folder):
        state = "stopped"  # its driver was killed and could not say so
    return {"study": facts["name"], "state": state, "trials": [_trial(one) for one in index.entries(folder)]}


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
        "params": one.params,
        "metrics": one.metrics or one.last,
    }


def _driven(folder: Path) -> bool:
    """Whether a driver holds the study's lock."""
    try:
        with alone(folder):
            return False
    except RequestError:
        return True
