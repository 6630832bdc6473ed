"""The networks that `facebench compare` is given: a trial that was run here, or a file of anybody's embeddings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench import any_network, ledger, record, scoring, single
from bench.errors import RequestError
from bench.record import Record
from reports._networks import Comparison, Network, compare


def comparisons(
    a: str,
    b: str,
    spec: Mapping[str, Any] | None,
    metric: str | None = None,
    suffix: str | None = None,
    inputs: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
) -> list[Comparison]:
    """Two networks on the protocol `spec`; without one, on every protocol that both trials were scored on.

    Args:
        a, b: the id of a trial (or as much of it as is unique), a file of embeddings, a folder of feature files, or a model
            as `bench.any_network` spells it.
        spec: the protocol that files are scored by, see `bench.scoring.open_protocol`; of trials their own scores are
            taken.
        metric: the declared figure; None: each protocol's own.
        inputs: what is asked of the models, see `bench.any_network.opened`.

    Raises:
        RequestError: nothing of that name, or nothing that both were scored on.
    """
    first, second = _networks(a, spec, suffix, inputs[0]), _networks(b, spec, suffix, inputs[1])
    shared = [name for name in first if name in second and (not metric or metric.partition("/")[0] == name)]
    if not shared:
        raise RequestError(
            f"{a} was scored on {', '.join(first) or 'nothing'} and {b} on {', '.join(second) or 'nothing'}: "
            f"there is nothing that both have{f' for {metric}' if metric else ''}"
        )
    return [compare(first[name], second[name], metric) for name in shared]


def _networks(
    given: str, spec: Mapping[str, Any] | None, suffix: str | None, asked: Mapping[str, Any]
) -> dict[str, Network]:
    """Protocol -> the network's answer."""
    if any_network.names_one(given):
        return _of_model(given, _needed(given, "is a model", spec), asked)
    if not Path(given).exists():
        return _of_trial(record.finished(given), spec)
    protocol, answer = single.score(Path(given), _needed(given, "holds embeddings", spec), suffix)
    ledger.append("compare", Path(given).name, protocol.name, protocol.hash, answer.metrics)
    return {protocol.name: Network(given, scoring.plain(answer, protocol), scoring.raw(answer, protocol))}


def _needed(given: str, what: str, spec: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if spec is None:
        raise RequestError(f"{given} {what}: say by --protocol (and --root) what it is scored by")
    return spec


def _of_model(given: str, spec: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Network]:
    """A network that is scored here and now."""
    network = any_network.opened(given, asked)
    found = any_network.score(network, spec)
    protocol, raw = found.protocol, scoring.raw(found.answer, found.protocol)
    ledger.append("compare", network.name, protocol.name, protocol.hash, found.answer.metrics)
    return {protocol.name: Network(network.name, any_network.plain(network, found), raw)}


def _of_trial(known: Record, spec: Mapping[str, Any] | None) -> dict[str, Network]:
    """What the trial's record says; by a protocol that it was not scored on, its network is scored now."""
    if spec is not None and scoring.create(spec).name not in known.scores:
        return _of_model(known.trial.id, spec, {})
    path = known.folder / "raw.npz"
    raw = dict(np.load(path)) if path.exists() else {}
    trial = known.trial
    name = f"{trial.name} {trial.role} {trial.number} ({trial.id[:8]})"
    return {
        protocol: Network(name, scores, {key: array for key, array in raw.items() if key.startswith(f"{protocol}/")})
        for protocol, scores in known.scores.items()
    }
