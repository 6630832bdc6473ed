"""Thresholds that development data set once and for all, and what they come to on a test.

    lfw/far_at_dev_1e-2   the share of the test's impostor pairs that are accepted at the threshold that was chosen for a
                          FAR of 1e-2 on development people
    lfw/frr_at_dev_1e-2   the share of its genuine pairs that are rejected there

Whoever deploys a network fixes its threshold before he meets the people: these figures say what that costs, where
accuracy and TAR at a FAR choose the threshold anew on the test's own pairs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.metrics import Sorted, far_name, jackknife_pairs, pair_clusters, rate_at_far
from bench.protocols import lacks
from bench.scores import Scores

FARS = (1e-2, 1e-3)


@dataclass(frozen=True)
class Frozen:
    """The thresholds (accept iff score >= threshold).

    Attributes:
        source: what they were set on: a name and the hash of its specification, or of its scores.
        thresholds: `1e-2` -> the smallest score whose FAR is at most that, on the development pairs.
        undefined, marks: `1e-2` -> why there is no threshold, or why it hangs on a handful of pairs.
    """

    source: str
    thresholds: dict[str, float]
    undefined: dict[str, str]
    marks: dict[str, str]

    @property
    def plain(self) -> dict[str, Any]:
        """As it stands in a record, beside the figures that hang on it (null: no score is so strict)."""
        finite = {name: value if np.isfinite(value) else None for name, value in self.thresholds.items()}
        return {**asdict(self), "thresholds": finite}


def freeze(scores: np.ndarray, same: np.ndarray, source: str) -> Frozen:
    """The thresholds for FAR 1e-2 and 1e-3 on scored development pairs.

    Args:
        scores: (n,) higher = more alike, by the scorer that the test is scored by.
        same: (n,) bool, one person or two.
    """
    roc = Sorted.of(scores, same).roc()
    frozen = Frozen(source, {}, {}, {})
    for far in FARS:
        name, rate = far_name(far), rate_at_far(roc, far) if roc.genuine else None
        if rate is None or rate.value is None:
            frozen.undefined[name] = f"development: {rate.undefined if rate else 'there are no genuine pairs'}"
            continue
        frozen.thresholds[name] = roc.threshold_at_far(far)
        if rate.mark:
            frozen.marks[name] = f"the development threshold {rate.mark}"
    return frozen


def enter(answer: Scores, protocol: Any, frozen: Frozen) -> bool:
    """Put the realised FAR and FRR among the figures of a protocol on pairs; whether it is one.

    Args:
        answer: of `protocol.score`; its raw scores must be of the scorer that `frozen` was set by.
    """
    sets = answer.pair_sets(protocol.name)
    owner = np.unique(np.array(protocol.people), return_inverse=True)[1]
    for part, raw in sets.items():
        _enter(answer, part, raw, owner, frozen, lacks(protocol))
    return bool(sets)


def _enter(
    answer: Scores, name: str, raw: Mapping[str, np.ndarray], owner: np.ndarray, frozen: Frozen, partial: str | None
) -> None:
    """The figures of one set of pairs; `owner` (N,) is the number of the person on each image."""
    same, clusters = raw["same"], pair_clusters(owner[raw["first"]], owner[raw["second"]])
    for level in map(far_name, FARS):
        threshold = frozen.thresholds.get(level)
        for figure, kind in (("far", ~same), ("frr", same)):
            key = f"{name}/{figure}_at_dev_{level}"
            if threshold is None or not kind.any():
                answer.undefined[key] = frozen.undefined.get(level, "there are no pairs of this kind")
                continue
            wrong = (raw["scores"] >= threshold) != same
            answer.metrics[key] = float(wrong[kind].mean())
            if left := jackknife_pairs(wrong[kind], clusters[0][kind], clusters[1][kind]):
                answer.clusters[key] = left
            if marks := [mark for mark in (partial, frozen.marks.get(level)) if mark]:
                answer.marks[key] = "; ".join(marks)


def said(frozen: Frozen | None) -> Mapping[str, Any]:
    """What a record says of it; nothing where there is none."""
    return {"development": frozen.plain} if frozen else {}
