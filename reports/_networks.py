"""Two given networks on the same test (`facebench compare`): these two networks, not these two losses.

How two losses compare is another question (`reports.statistics`): a loss is more than one run of it.

Accuracies over person-disjoint folds are compared by a paired t over the folds, every other figure by a jackknife over the
identities (statistics.md). McNemar's exact test counts the pairs that one network decides rightly and the other wrongly; it
takes pairs for independent, which pairs that share people are not, so its p is somewhat too small.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.scores import cluster_variance
from reports import _figures
from reports.statistics import LEVEL


@dataclass(frozen=True)
class Network:
    """One network's answer on one protocol.

    Attributes:
        name: what messages call it.
        scores: the plain form of its scores (`bench.scoring.plain`).
        raw: `protocol/what` -> array, as a record keeps them.
    """

    name: str
    scores: Mapping[str, Any]
    raw: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Line:
    """One figure of both; `difference` is B - A, in fractions.

    Attributes:
        se: its standard error over the test identities; NaN where none can be said.
        low, high: the 95 % interval, not corrected for the number of figures.
        p: two-sided.
        over: what the test runs over: `10 folds`, `80 identities`.
        mark: why the figure must not be ranked, or "".
    """

    metric: str
    a: float
    b: float
    difference: float
    se: float
    low: float
    high: float
    p: float
    over: str
    mark: str = ""

    @property
    def verdict(self) -> str:
        """`better` or `worse`, said of B, or `tie`."""
        if not self.p < LEVEL:
            return "tie"
        return "better" if (self.difference > 0) == _figures.higher_is_better(self.metric) else "worse"


@dataclass(frozen=True)
class McNemar:
    """Pairs that one network alone decided rightly.

    Attributes:
        pairs: the set of pairs.
        only_a, only_b: how many each alone got right, of `count`.
        p: of the exact test, two-sided.
    """

    pairs: str
    only_a: int
    only_b: int
    count: int
    p: float


@dataclass(frozen=True)
class Comparison:
    """Two networks on one protocol; `lines` begins with the declared figure."""

    a: str
    b: str
    protocol: str
    lines: tuple[Line, ...]
    decisions: tuple[McNemar, ...]


def compare(a: Network, b: Network, metric: str | None = None) -> Comparison:
    """Every figure that both networks have, and McNemar's test wherever decisions over folds were kept.

    Args:
        metric: the declared figure; None: the protocol's own.

    Raises:
        RequestError: other lists or options of the protocol, no common figure, or not the declared one.
    """
    if a.scores["hash"] != b.scores["hash"]:
        raise RequestError(
            f"{a.name} and {b.name} were scored with different versions of the protocol ({a.scores['hash']} and "
            f"{b.scores['hash']}): score both with the same lists and options"
        )
    declared = metric or str(a.scores["primary"])
    shared = [key for key in a.scores["clusters"] if key in b.scores["clusters"]]
    if declared not in shared:
        there = ", ".join(shared) or "no figure with its spread"
        raise RequestError(
            f"{a.name} and {b.name} have no common figure {declared!r} with its spread; there is: {there}"
        )
    ordered = [declared, *(key for key in shared if key != declared)]
    lines = tuple(_line(key, a.scores, b.scores) for key in ordered)
    return Comparison(a.name, b.name, declared.partition("/")[0], lines, tuple(_decisions(a, b)))


def _line(metric: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Line:
    from scipy import stats

    first, second = a["clusters"][metric], b["clusters"][metric]
    parts = np.asarray(second["values"], float) - np.asarray(first["values"], float)
    if first["kind"] != second["kind"]:
        raise RequestError(
            f"the spreads of {metric} are of two kinds, {first['kind']} and {second['kind']}: score again"
        )
    values = float(a["metrics"][metric]), float(b["metrics"][metric])
    difference = values[1] - values[0]
    se = float(cluster_variance(parts, first["kind"])) ** 0.5 if len(parts) > 1 else float("nan")
    half = float(stats.t.ppf(1 - LEVEL / 2, len(parts) - 1)) * se
    p = float(2 * stats.t.sf(abs(difference) / se, len(parts) - 1)) if se > 0 else (1.0 if se == 0 else float("nan"))
    over = f"{len(parts)} {'folds' if first['kind'] == 'folds' else 'identities'}"
    mark = a.get("marks", {}).get(metric) or b.get("marks", {}).get(metric, "")
    return Line(metric, *values, difference, se, difference - half, difference + half, p, over, mark)


def _decisions(a: Network, b: Network) -> list[McNemar]:
    """McNemar's exact test on every set of pairs that has a threshold for each fold."""
    from scipy import stats

    found = []
    for key in a.raw:
        part, _, what = key.rpartition("/")
        if what != "thresholds" or key not in b.raw or f"{part}/folds" not in a.raw:
            continue
        if not np.array_equal(a.raw[f"{part}/same"], b.raw[f"{part}/same"]):
            raise RequestError(f"the pairs of {part} stand in another order in {b.name}: score both again")
        right, other = _right(a.raw, part), _right(b.raw, part)
        only_a, only_b = int((right & ~other).sum()), int((other & ~right).sum())
        p = float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
        found.append(McNemar(part, only_a, only_b, len(right), p))
    return found


def _right(raw: Mapping[str, np.ndarray], part: str) -> np.ndarray:
    """(n,) whether each pair was decided rightly, at the threshold of its fold."""
    place = np.unique(raw[f"{part}/folds"], return_inverse=True)[1]
    return (raw[f"{part}/scores"] > raw[f"{part}/thresholds"][place]) == raw[f"{part}/same"]
