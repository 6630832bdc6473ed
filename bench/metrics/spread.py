"""The identity part of a figure's variance: the figure again with one cluster of people left out."""

from collections.abc import Mapping

import numpy as np

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


def pair_clusters(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) and (n,) the cluster on either side of each comparison, from the numbers of the people there.

    A person's weight is the number of sides that it stands on.
    """
    weight = dict(enumerate(np.bincount(np.concatenate([first, second])).tolist()))
    cluster = person_clusters({person: count for person, count in weight.items() if count})
    number = np.array([cluster.get(person, -1) for person in weight])
    return number[first], number[second]


def jackknife_pairs(values: np.ndarray, first: np.ndarray, second: np.ndarray) -> Clusters | None:
    """The mean of `values` (n,) of comparisons with one cluster left out: all comparisons that touch it are removed.

    Args:
        first, second: (n,) the clusters of the two sides of each comparison.

    Returns:
        None where there is one cluster, or where without one of them no comparison is left.
    """
    labels, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    a, b = place[: len(first)], place[len(first) :]
    crossing = (a != b).astype(float)  # a comparison within one cluster leaves once, not twice
    counts = np.bincount(a, minlength=len(labels)) + np.bincount(b, crossing, len(labels))
    sums = np.bincount(a, values, len(labels)) + np.bincount(b, values * crossing, len(labels))
    rest = len(values) - counts
    if len(labels) < 2 or (rest < 0.5).any():
        return None
    return Clusters("jackknife", tuple(np.clip((np.sum(values) - sums) / rest, 0, 1).tolist()))


def jackknife_mean(values: np.ndarray, owners: np.ndarray) -> Clusters | None:
    """The mean of `values` (n,) with one of their `owners` (n,) left out at a time; None where there is one owner."""
    labels, place = np.unique(owners, return_inverse=True)
    if len(labels) < 2:
        return None
    counts = np.bincount(place)
    sums = np.bincount(place, weights=values)
    left = (sums.sum() - sums) / (counts.sum() - counts)
    return Clusters("jackknife", tuple(left.tolist()))
