"""The networks that `facebench compare` is given: a trial that was run here, or a file of anybody's embeddings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench import ledger, places, record, scoring, single
from bench.errors import RequestError
from bench.record import Record
from reports._networks import Comparison, Network, compare


def comparisons(
    a: str, b: str, spec: Mapping[str, Any] | None, metric: str | None = None, suffix: str | None = None
) -> list[Comparison]:
    """Two networks on the protocol `spec`; without one, on every protocol that both trials were scored on.

    Args:
        a, b: the id of a trial (or as much of it as is unique), a file of embeddings, or a folder of feature files.
        spec: the protocol that files are scored by, see `bench.scoring.open_protocol`; of trials their own scores are
            taken.
        metric: the declared figure; None: each protocol's own.

    Raises:
        RequestError: nothing of that name, or nothing that both were scored on.
    """
    first, second = _networks(a, spec, suffix), _networks(b, spec, suffix)
    shared = [name for name in first if name in second and (not metric or metric.partition("/")[0] == name)]
    if not shared:
        raise RequestError(
            f"{a} was scored on {', '.join(first) or 'nothing'} and {b} on {', '.join(second) or 'nothing'}: "
            f"there is nothing that both have{f' for {metric}' if metric else ''}"
        )
    return [compare(first[name], second[name], metric) for name in shared]


def _networks(given: str, spec: Mapping[str, Any] | None, suffix: str | None) -> dict[str, Network]:
    """Protocol -> the network's answer."""
    if not Path(given).exists():
        return _of_trial(_record(given))
    if spec is None:
        raise RequestError(f"{given} holds embeddings: say by --protocol (and --root) what they are scored by")
    protocol, answer = single.score(Path(given), spec, suffix)
    ledger.append("compare", Path(given).name, protocol.name, protocol.hash, answer.metrics)
    return {protocol.name: Network(given, scoring.plain(answer, protocol), scoring.raw(answer, protocol))}


def _of_trial(known: Record) -> dict[str, Network]:
    path = known.folder / "raw.npz"
    raw = dict(np.load(path)) if path.exists() else {}
    trial = known.trial
    name = f"{trial.name} {trial.role} {trial.number} ({trial.id[:8]})"
    return {
        protocol: Network(name, scores, {key: array for key, array in raw.items() if key.startswith(f"{protocol}/")})
        for protocol, scores in known.scores.items()
    }


def _record(wanted: str) -> Record:
    """The finished trial whose id begins so."""
    found = [path.parent for path in places.runs().glob(f"*/{wanted}*/record.json")] if wanted.isalnum() else []
    if len({folder.name for folder in found}) > 1:
        raise RequestError(f"{wanted!r} begins the ids of {len(found)} trials: give more of it")
    if not found:
        raise RequestError(
            f"{wanted!r} is neither a file nor the id of a trial that ended in {places.runs()}: "
            "`facebench status STUDY` shows the ids"
        )
    known = record.read(found[0])
    if known.state != "finished":
        raise RequestError(f"trial {wanted} is {known.state} ({known.reason}): it has no scores to compare")
    return known
