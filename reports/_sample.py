"""One figure of one leaderboard row: what every seed scored, and what it scored on each cluster of test identities."""

from dataclasses import dataclass

import numpy as np

from bench.scores import cluster_variance


@dataclass(frozen=True, eq=False)
class Sample:
    """One figure of one leaderboard row: k training seeds, each scored on the same G identity clusters.

    Attributes:
        name: the row, as messages call it.
        metric: the figure, `protocol/figure`.
        hash: the hash of the protocol it was scored with; empty where every run diverged.
        kind: `folds` (the figure on each person-disjoint fold) or `jackknife` (with one identity left out).
        values: (k,) the figure of each seed, a fraction.
        clusters: (k, G) the figure of each seed on each fold, or without each identity; (k, 0) where none were kept.
    """

    name: str
    metric: str
    hash: str
    kind: str
    values: np.ndarray
    clusters: np.ndarray

    @property
    def seeds(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def spread(self) -> float:
        """The standard deviation over seeds (ddof 1); NaN for one seed."""
        return float(np.std(self.values, ddof=1)) if self.seeds > 1 else float("nan")

    @property
    def within(self) -> float:
        """The standard error of one run that comes from the test identities: root mean square over seeds."""
        if self.clusters.shape[1] < 2:
            return float("nan")
        return float(np.sqrt(np.mean(cluster_variance(self.clusters, self.kind))))
