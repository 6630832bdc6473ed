"""One figure of one leaderboard row: what every unit scored, and what it scored on each cluster of test identities."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.scores import cluster_variance

LEAST = {"seed": 5, "search": 3}  # units that a verdict needs


def shared_unit(a: "Sample", b: "Sample") -> str:
    """What the units of a comparison are called: searches only where both sides have them."""
    return "search" if a.unit == b.unit == "search" else "seed"


@dataclass(frozen=True, eq=False)
class Sample:
    """One figure of one leaderboard row: k training seeds, each scored on the same G identity clusters.

    Of a row that was tuned by several independent searches the units are the searches, each with the mean over its seeds:
    seeds of one search share its hyper-parameters, so they are no repetitions of the tuned loss. "Seeds" below are the units.

    Attributes:
        name: the row, as messages call it.
        metric: the figure, `protocol/figure`.
        hash: the hash of the protocol it was scored with; empty where every run diverged.
        kind: `folds` (the figure on each person-disjoint fold) or `jackknife` (with one identity left out).
        values: (k,) the figure of each seed, a fraction.
        clusters: (k, G) the figure of each seed on each fold, or without each identity; (k, 0) where none were kept.
        searches: (k,) the number of each unit where the units are searches; empty where they are training seeds.
    """

    name: str
    metric: str
    hash: str
    kind: str
    values: np.ndarray
    clusters: np.ndarray
    searches: tuple[int, ...] = ()

    def by_search(self, searches: Sequence[int]) -> "Sample":
        """The sample whose units are searches; `searches` are those of its runs. Seeds are nested in them, so a search's
        mean holds what its seeds vary by too, and nothing more need be taken into account."""
        known = sorted(set(searches))
        of = [np.flatnonzero(np.asarray(searches) == number) for number in known]
        values = np.array([self.values[rows].mean() for rows in of])
        clusters = np.stack([self.clusters[rows].mean(axis=0) for rows in of])
        return replace(self, values=values, clusters=clusters, searches=tuple(known))

    def of(self, searches: Sequence[int]) -> "Sample":
        """Those of its units that are these searches."""
        rows = [self.searches.index(number) for number in searches]
        return replace(self, values=self.values[rows], clusters=self.clusters[rows], searches=tuple(searches))

    @property
    def unit(self) -> str:
        """What its units are called."""
        return "search" if self.searches else "seed"

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
