"""What a protocol answers: figures with their spread, what could not be said, and the raw scores behind them."""

from dataclasses import dataclass, field

import numpy as np

from bench.errors import RequestError


@dataclass(frozen=True)
class Clusters:
    """The identity part of a figure's variance, kept so that any test can be redone without a GPU (statistics.md).

    Attributes:
        kind: `folds` (the metric on each person-disjoint fold) or `jackknife` (the metric with one identity left out).
        values: (G,) one figure per fold or left-out identity.
    """

    kind: str
    values: tuple[float, ...]

    @property
    def standard_error(self) -> float:
        """Of the figure, over identities alone: from the spread of the folds, or of the jackknife's parts."""
        return float(cluster_variance(np.array(self.values), self.kind)) ** 0.5


def cluster_variance(clusters: np.ndarray, kind: str) -> np.ndarray:
    """The identity part of the variance of a figure.

    `folds`: variance / G of the figure on G person-disjoint folds. `jackknife`: (G - 1) / G times the sum of squares
    of the figures with one identity left out around their mean.

    Args:
        clusters: (..., G), G >= 2.

    Returns:
        (...) variances.
    """
    count = clusters.shape[-1]
    if kind == "folds":
        return np.var(clusters, axis=-1, ddof=1) / count
    if kind == "jackknife":
        return np.var(clusters, axis=-1) * (count - 1)
    raise RequestError(f"unknown kind of identity clusters {kind!r}; known: folds, jackknife")


@dataclass(frozen=True)
class Scores:
    """The answer of `protocol.score(embeddings)`.

    Attributes:
        metrics: flat, `protocol/figure` -> fraction (never percent).
        undefined: figures that these data cannot carry, with the reason in words.
        marks: figures that hang on a handful of events and must not be ranked, with the reason in words.
        counts: what was counted (pairs, probes, distractors, effective identities ...).
        curves: what plots need, e.g. `roc` -> {`far`: [...], `tar`: [...]}, `cmc` -> {`rank`, `rate`},
            `distractors` -> {`distractors`, `rank1`}.
        clusters: per metric that may be compared, its identity clusters.
        raw: the scores themselves (per pair, per probe), as arrays.
    """

    metrics: dict[str, float]
    undefined: dict[str, str] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    clusters: dict[str, Clusters] = field(default_factory=dict)
    raw: dict[str, np.ndarray] = field(default_factory=dict)

    def pair_sets(self, name: str) -> dict[str, dict[str, np.ndarray]]:
        """The raw arrays of each set of scored pairs: of the protocol `name` itself, or of each of its parts by name.

        A set holds at least `scores` and `same` (n,) and the rows of images `first` and `second` (n,) that were compared.
        """
        found: dict[str, dict[str, np.ndarray]] = {}
        for key, array in self.raw.items():
            part, _, what = key.rpartition("/")
            found.setdefault(part or name, {})[what] = array
        return {part: raw for part, raw in found.items() if {"scores", "same", "first", "second"} <= set(raw)}
