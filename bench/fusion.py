"""Several networks as one: their embeddings side by side, compared by one scorer (DeepID2's ensemble of patches)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench import provenance, scorers, scoring
from bench.errors import RequestError
from bench.plain import Options, Result, Trial
from bench.record import Record


def fused(trial: Trial, members: Sequence[Trial], label: str, scorer: str, options: Mapping[str, Any]) -> Trial:
    """The trial that stands for the ensemble of `members`: like `trial`, and trained nowhere."""
    patches = tuple(member.patch or (0.0, 0.0, 1.0) for member in members)
    return replace(
        trial,
        role="tuned",
        label=label,
        patch=None,
        patches=patches,
        scorer=scorer,
        scorer_options=Options(options),
        keep=(),
    )


def fuse(trial: Trial, members: Sequence[Record]) -> Result:
    """Score the concatenated embeddings of finished trials that kept them (`keep: [embeddings]`).

    Each network's embeddings are scaled to length 1 first, so that none counts for more because its features are longer
    (Sun et al. 2014 say nothing of it). The scorer, and its PCA, are fitted on the training images alone.

    Args:
        trial: what `fused` made of them.
        members: the records, in the order of `trial.patches`.

    Raises:
        RequestError: a member did not finish, kept no embeddings, or was trained on other images than the first.
    """
    arrays = [_embeddings(record) for record in members]
    labels = arrays[0]["train_labels"]
    for record, array in zip(members, arrays, strict=True):
        if set(array) != set(arrays[0]) or not np.array_equal(array["train_labels"], labels):
            raise RequestError(
                f"trial {record.trial.id} was trained or tested on other images than {members[0].trial.id}: "
                "an ensemble needs networks of one data set and the same protocols"
            )
    scorer = scorers.fit(trial.scorer, trial.scorer_options, _side_by_side(arrays, "train"), labels)
    metrics: dict[str, float] = {}
    scores: dict[str, Any] = {}
    raw: dict[str, np.ndarray] = {}
    for spec in trial.protocols:
        protocol, _ = scoring.open_protocol(spec)
        answer = protocol.score(_side_by_side(arrays, protocol.name), scorer)
        metrics |= answer.metrics
        overlap = members[0].scores[protocol.name].get("overlap")
        scores[protocol.name] = scoring.plain(answer, protocol, overlap, scorer)
        raw |= scoring.raw(answer, protocol)
    facts = members[0].provenance | provenance.environment()
    facts |= {"patches": len(members), "members": [record.trial.id for record in members]}
    return Result(metrics, scores, raw, _cost(members), facts)


def _side_by_side(arrays: Sequence[Mapping[str, np.ndarray]], what: str) -> np.ndarray:
    """(N, P * D): the embeddings of every network, each of length 1."""
    parts = [array[what].astype(np.float64) for array in arrays]
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    return np.concatenate([part / np.where(n > 0, n, 1.0) for part, n in zip(parts, lengths, strict=True)], axis=1)


def _embeddings(record: Record) -> dict[str, np.ndarray]:
    path = record.folder / "raw.npz"
    if record.state != "finished" or not path.exists():
        raise RequestError(f"trial {record.trial.id} of the ensemble is {record.state}: run the sweep again")
    with np.load(path) as kept:
        found = {name.partition("/")[2]: kept[name] for name in kept.files if name.startswith("embeddings/")}
    if "train" not in found:
        raise RequestError(f"trial {record.trial.id} kept no embeddings: an ensemble needs `keep: [embeddings]`")
    return found


def _cost(members: Sequence[Record]) -> dict[str, Any]:
    """What all networks took together; what cannot be added up is left out."""
    costs = [record.cost for record in members]
    summed = {key: sum(cost[key] for cost in costs) for key in ("train_seconds", "parameters", "epochs")}
    if all("energy_joules" in cost for cost in costs):
        summed |= {"energy_joules": sum(cost["energy_joules"] for cost in costs), "energy_of": costs[0]["energy_of"]}
    return summed | {"device": costs[0].get("device"), "precision": costs[0].get("precision")}
