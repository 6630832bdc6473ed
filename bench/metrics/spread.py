"""The identity part of a figure's variance: the figure again with one cluster of people left out."""

from collections.abc import Callable, Mapping

import numpy as np

from bench.metrics.verification import Roc, Sorted
from bench.scores import Clusters

MOST_CLUSTERS = 100


def person_clusters(weights: Mapping[int, float], at_most: int = MOST_CLUSTERS) -> dict[int, int]:
    """Person (number in the order of the names) -> cluster number, from each person's weight (say, number of images).

    A cluster is one person, or several whole people where there are more than `at_most`: dealt out in falling order of
    weight, then by number, which is deterministic and balanced. (A delete-a-group jackknife over 100 groups estimates
    the same variance as one over thousands of people, with 99 degrees of freedom.)
    """
    ranked = sorted(weights, key=lambda person: (-weights[person], person))
    return {person: place % at_most for place, person in enumerate(ranked)}


def jackknife_roc(
    pairs: Sorted, first: np.ndarray, second: np.ndarray, figures: Mapping[str, Callable[[Roc], float]]
) -> dict[str, Clusters]:
    """Each figure with one cluster left out: all pairs that touch it are removed, thresholds are recomputed.

    Args:
        pairs: the sorted pairs.
        first, second: (n,) the clusters of the two sides of each pair.
        figures: name -> function of the ROC of the pairs that remain.

    Returns:
        name -> clusters; nothing where a part without one cluster lacks genuine or impostor pairs.
    """
    values: dict[str, list[float]] = {name: [] for name in figures}
    labels = np.unique(np.concatenate([first, second]))
    if len(labels) < 2:
        return {}
    for label in labels:
        rest = pairs.roc((first != label) & (second != label))
        if not rest.impostors or not rest.genuine:
            return {}
        for name, figure in figures.items():
            values[name].append(figure(rest))
    return {name: Clusters("jackknife", tuple(figure)) for name, figure in values.items()}


def jackknife_mean(values: np.ndarray, owners: np.ndarray) -> Clusters | None:
    """The mean of `values` (n,) with one of their `owners` (n,) left out at a time; None where there is one owner."""
    labels, place = np.unique(owners, return_inverse=True)
    if len(labels) < 2:
        return None
    counts = np.bincount(place)
    sums = np.bincount(place, weights=values)
    left = (sums.sum() - sums) / (counts.sum() - counts)
    return Clusters("jackknife", tuple(left.tolist()))
