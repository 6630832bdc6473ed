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
    allow_overlap: bool = False,
) -> list[Comparison]:
    """Two networks on the protocol `spec`; without one, on every protocol that both trials were scored on.

    Args:
        a, b: the id of a trial (or as much of it as is unique), a file of embeddings, a folder of feature files, or a model
            as `bench.any_network` spells it.
        spec: the protocol that files are scored by, see `bench.scoring.open_protocol`; of trials their own scores are
            taken, unless something is asked of their networks.
        metric: the declared figure; None: each protocol's own.
        inputs: what is asked of the networks, see `bench.any_network.opened`.
        allow_overlap: see `bench.any_network.evaluate`.

    Raises:
        RequestError: nothing of that name, nothing that both were scored on, or an option that nothing here takes.
    """
    given = list(zip((a, b), inputs, strict=True))
    now = [_is_scored_now(one, spec, asked) for one, asked in given]  # of both, before either is scored
    if allow_overlap and not any(now):
        raise RequestError(
            f"--allow-overlap is of a network that is scored now, and neither {a} nor {b} is one: leave it out"
        )
    if suffix is not None and not any(
        Path(one).is_dir() for one, is_now in zip((a, b), now, strict=True) if not is_now
    ):
        raise RequestError(
            f"--suffix is of a folder's feature files, and neither {a} nor {b} is such a folder: leave it out"
        )
    first, second = (
        _scored_now(one, spec, asked, allow_overlap) if is_now else _at_hand(one, spec, suffix)
        for (one, asked), is_now in zip(given, now, strict=True)
    )
    shared = [name for name in first if name in second and (not metric or metric.partition("/")[0] == name)]
    if not shared:
        raise RequestError(
            f"{a} was scored on {', '.join(first) or 'nothing'} and {b} on {', '.join(second) or 'nothing'}: "
            f"there is nothing that both have{f' for {metric}' if metric else ''}"
        )
    return [compare(first[name], second[name], metric) for name in shared]


def _is_scored_now(given: str, spec: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> bool:
    """Whether it is a network that sees the images now: a model, or a trial's that was not scored by this or not like this.

    Raises:
        RequestError: there is nothing of that name, or something is asked of embeddings.
    """
    if any_network.names_one(given):
        return True
    if not Path(given).exists():
        known = record.finished(given)
        return bool(asked) or (spec is not None and scoring.create(spec).name not in known.scores)
    if asked:
        raise RequestError(
            f"--input is of a network, and {given} holds embeddings: leave it out, or say whose it is by --input "
            "a.KEY=VALUE or b.KEY=VALUE"
        )
    return False


def _scored_now(
    given: str, spec: Mapping[str, Any] | None, asked: Mapping[str, Any], allow_overlap: bool
) -> dict[str, Network]:
    """Protocol -> the network's answer."""
    wanted = _needed(given, "is a network that is scored now", spec)
    network = any_network.opened(given, asked)
    found = any_network.score(network, wanted, allow_overlap)
    protocol, raw = found.protocol, scoring.raw(found.answer, found.protocol)
    ledger.append("compare", network.name, protocol.name, protocol.hash, found.answer.metrics)
    return {protocol.name: Network(network.name, _marked(any_network.plain(network, found)), raw)}


def _at_hand(given: str, spec: Mapping[str, Any] | None, suffix: str | None) -> dict[str, Network]:
    """Protocol -> the answer of embeddings that are there, or what a trial's record says."""
    if not Path(given).exists():
        return _of_record(record.finished(given))
    protocol, answer = single.score(Path(given), _needed(given, "holds embeddings", spec), suffix)
    ledger.append("compare", Path(given).name, protocol.name, protocol.hash, answer.metrics)
    return {protocol.name: Network(given, scoring.plain(answer, protocol), scoring.raw(answer, protocol))}


def _needed(given: str, what: str, spec: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if spec is None:
        raise RequestError(f"{given} {what}: say by --protocol (and --root) what it is scored by")
    return spec


def _of_record(known: Record) -> dict[str, Network]:
    path = known.folder / "raw.npz"
    raw = dict(np.load(path)) if path.exists() else {}
    trial = known.trial
    name = f"{trial.name} {trial.role} {trial.number} ({trial.id[:8]})"
    return {
        protocol: Network(
            name, _marked(scores), {key: array for key, array in raw.items() if key.startswith(f"{protocol}/")}
        )
        for protocol, scores in known.scores.items()
    }


def _marked(scores: Mapping[str, Any]) -> Mapping[str, Any]:
    """Scores of which every figure says that training and test overlap, where that was allowed."""
    overlap = scores.get("overlap", {})
    if overlap.get("verdict") != "allowed":
        return scores
    return {**scores, "marks": {**scores.get("marks", {}), **dict.fromkeys(scores["metrics"], overlap["detail"])}}
