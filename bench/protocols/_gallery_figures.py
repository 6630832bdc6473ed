"""The figures of probes against galleries of distractors, of one draw of distractors or of several together."""

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from bench.metrics import (
    Search,
    Shares,
    cmc,
    far_name,
    jackknife_mean,
    macro_average,
    rate_at_far,
)
from bench.protocols import _pairs
from bench.scores import Clusters, Scores

RANKS = (1, 5, 10)
DEPTH = 100
_POINTS = 500  # of a CMC beyond rank `DEPTH`


def identification(name: str, parts: Sequence[Search], owner: np.ndarray, depth: int) -> Scores:
    """Rank-k over M(M-1) trials per identity, against distractors alone.

    Args:
        name: stands before each figure.
        parts: searches with the same probes; together they hold all galleries, the last one the largest.
        owner: (P,) the number of each probe's person.
        depth: the CMC's last rank.
    """
    found, owners = parts[-1], owner[parts[-1].probe]
    better = {size: counts for part in parts for size, counts in part.better.items()}
    above = {size: counts for part in parts for size, counts in part.above.items()}
    *smaller, largest = sorted(better)
    answer = Scores({}, raw={"better": better[largest], "mate_scores": found.mate_scores, "identity": owners})
    answer.raw["probe"] = found.probe
    ranks = [(f"rank{k}", k, largest) for k in RANKS] + [(f"rank1_at_{size}", 1, size) for size in smaller]
    mark = Shares.of(owners).mark()
    for figure, k, size in ranks:
        key, hits = f"{name}/{figure}", better[size] < k
        if size == largest:
            answer.raw[figure] = hits
        answer.metrics[key] = float(hits.mean())
        _spread(answer, key, jackknife_mean(hits, owners), mark)
        optimistic = float((above[size] < k).mean())
        if optimistic != answer.metrics[key]:
            answer.metrics[f"{key}_optimistic"] = optimistic
            answer.marks[f"{key}_optimistic"] = "ties count as hits"
    key = f"{name}/rank1_macro"
    answer.metrics[key], shares = macro_average(better[largest] < 1, owners)
    _spread(answer, key, jackknife_mean(shares, np.arange(len(shares))), mark)
    at = _shown(depth)
    curve = cmc(better[largest], depth)[at - 1]
    answer.curves["cmc"] = {"rank": at.tolist(), "rate": curve.tolist()}
    rates = [float((better[size] < 1).mean()) for size in sorted(better)]
    answer.curves["distractors"] = {"distractors": sorted(better), "rank1": rates}
    return answer


def verification(name: str, found: Search, fars: Sequence[float]) -> Scores:
    """TAR at each FAR over probe x distractor of the largest gallery, with its jackknife over people."""
    roc = found.roc()
    answer = Scores({}, curves={"roc": roc.curve()})
    parts = [found.roc(without=cluster) for cluster in range(len(found.impostors))]
    for far in fars:
        key = f"{name}/tar_at_far_{far_name(far)}"
        known = _pairs.enter(answer, key, rate_at_far(roc, far))
        if known and len(parts) > 1 and all(part.genuine for part in parts):
            answer.clusters[key] = Clusters("jackknife", tuple(part.tar_at_far(far) for part in parts))
    return answer


def counts(found: Search, owner: np.ndarray, images: int, distractors: int) -> dict[str, float]:
    """How many there are of what.

    Args:
        found: the search of the largest gallery, of `distractors`.
    """
    shares = Shares.of(owner[found.probe])
    return {
        "images": images,
        "probes": len(owner),
        "probe_identities": int(owner.max()) + 1,
        "distractors": distractors,
        "trials": len(found.probe),
        "largest_identity_share": shares.largest,
        "effective_identities": shares.effective,
        "genuine": found.genuine_pairs,
        "impostor": int(found.impostors.sum()),
    }


def together(parts: Mapping[str, Scores]) -> Scores:
    """Figures of several draws of distractors (label -> figures): of each its mean, `FIGURE_sd` and `FIGURE_setLABEL`.

    The standard deviation is that of the draws (n - 1). A curve or raw array is the first draw's under its own name and
    another's under `NAME_setLABEL`.
    """
    first, *others = parts
    answer = Scores({}, counts=dict(parts[first].counts))
    for key in dict.fromkeys(key for part in parts.values() for key in part.metrics):
        _average(answer, key, parts)
    for part in parts.values():
        answer.undefined.update(part.undefined)
    for label, part in parts.items():
        after = "" if label == first else f"_set{label}"
        answer.curves.update({f"{key}{after}": curve for key, curve in part.curves.items()})
        answer.raw.update({f"{key}{after}": array for key, array in part.raw.items()})
    for figure in (f"rank{k}" for k in RANKS):  # each trial's mean, of which the figure is the mean
        hits = {f"{figure}_set{label}": part.raw[figure] for label, part in parts.items()}
        answer.raw.update({figure: np.mean(list(hits.values()), axis=0), **hits})
    answer.counts["sets"] = 1 + len(others)
    return answer


def _average(answer: Scores, key: str, parts: Mapping[str, Scores]) -> None:
    """One figure's mean and spread; where ties matter in some draws only, the others' figure is the optimistic one too."""
    figure, tied = key.removesuffix("_optimistic"), key.endswith("_optimistic")
    values = {label: part.metrics.get(key, part.metrics.get(figure)) for label, part in parts.items()}
    known = {label: value for label, value in values.items() if value is not None}
    if len(known) < len(parts):
        answer.undefined[key] = f"undefined in {len(parts) - len(known)} of {len(parts)} sets of distractors"
        return
    made = {key: math.fsum(known.values()) / len(known)}
    marks = {label: part.marks[key] for label, part in parts.items() if key in part.marks}
    if marks:
        answer.marks[key] = "; ".join(dict.fromkeys(marks.values()))
    for label, value in known.items():
        name = f"{figure}_set{label}{'_optimistic' if tied else ''}"
        made[name] = value
        if label in marks:
            answer.marks[name] = marks[label]
    if not tied:
        made[f"{figure}_sd"] = statistics.stdev(known.values())
        spread = {label: part.clusters[key] for label, part in parts.items() if key in part.clusters}
        answer.clusters.update({f"{figure}_set{label}": clusters for label, clusters in spread.items()})
        if len(spread) == len(parts):
            columns = zip(*(clusters.values for clusters in spread.values()), strict=True)
            means = tuple(math.fsum(column) / len(column) for column in columns)
            answer.clusters[key] = Clusters("jackknife", means)
    answer.metrics.update(made)


def _shown(depth: int) -> np.ndarray:
    """The ranks of a CMC: all up to 100, then evenly in their logarithm up to the last."""
    ranks = np.arange(1, min(depth, DEPTH) + 1)
    if depth <= DEPTH:
        return ranks
    further = np.geomspace(DEPTH, depth, _POINTS).round().astype(np.int64)
    return np.union1d(ranks, further)


def _spread(answer: Scores, key: str, clusters: Clusters | None, mark: str | None) -> None:
    if clusters:
        answer.clusters[key] = clusters
    if mark:
        answer.marks[key] = mark
