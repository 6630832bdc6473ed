"""Accuracy with the threshold of each fold chosen on the other folds (the rule of LFW's View 2), exactly."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FoldAccuracy:
    """Accuracy fold by fold.

    Attributes:
        accuracies, thresholds: (F,) per fold.
        mean: the mean of the accuracies.
        standard_error: their standard deviation (ddof 1) / sqrt(F).
    """

    accuracies: np.ndarray
    thresholds: np.ndarray

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def standard_error(self) -> float:
        return float(np.std(self.accuracies, ddof=1) / np.sqrt(len(self.accuracies)))


def fold_accuracy(scores: np.ndarray, same: np.ndarray, folds: np.ndarray) -> FoldAccuracy:
    """The share of right decisions in each fold, its threshold chosen on all other folds (`best_threshold`).

    Args:
        scores: (n,) higher = more alike.
        same: (n,) bool, one person or two.
        folds: (n,) any labels, at least two different ones.
    """
    labels = np.unique(folds)
    if len(labels) < 2:
        raise ValueError(f"a threshold chosen on the other folds needs at least 2 folds, got {len(labels)}")
    order = np.argsort(scores, kind="stable")
    rising, genuine, fold = scores[order], np.asarray(same, bool)[order], folds[order]
    accuracies, thresholds = np.empty(len(labels)), np.empty(len(labels))
    for place, label in enumerate(labels):
        test = fold == label
        thresholds[place] = _threshold(rising[~test], genuine[~test])
        accuracies[place] = np.mean((rising[test] > thresholds[place]) == genuine[test])
    return FoldAccuracy(accuracies, thresholds)


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """The threshold t with the most right decisions, where a pair is accepted iff score > t.

    The candidates are the midpoints of consecutive distinct scores and +-infinity; of the maximisers the lower median.
    """
    order = np.argsort(scores, kind="stable")
    return _threshold(scores[order], np.asarray(same, bool)[order])


def _threshold(rising: np.ndarray, genuine: np.ndarray) -> float:
    """`best_threshold` of scores that are sorted already: one sweep."""
    starts = np.flatnonzero(np.concatenate([[True], rising[1:] != rising[:-1]]))
    below_genuine = np.concatenate([[0], np.cumsum(genuine)])  # at i: genuine among the i lowest
    cuts = np.concatenate([starts, [len(rising)]])  # candidate c rejects the lowest cuts[c] pairs
    wrong_rejects = below_genuine[cuts]
    right = (cuts - wrong_rejects) + (below_genuine[-1] - wrong_rejects)
    best = np.flatnonzero(right == right.max())
    chosen = int(best[(len(best) - 1) // 2])
    if chosen == 0:
        return -np.inf
    if chosen == len(starts):
        return np.inf
    low, high = rising[starts[chosen - 1]], rising[starts[chosen]]
    middle = low + (high - low) / 2
    return float(middle if middle < high else low)  # neighbouring floats have no number between them
