"""insightface's fold accuracy, for comparison with figures made by it: thresholds on a grid, not between the scores."""

import numpy as np

from bench.metrics.folds import FoldAccuracy

GRID = np.arange(0, 4, 0.01)  # of squared distances of embeddings of length 1


def grid_accuracy(cosines: np.ndarray, same: np.ndarray, folds: np.ndarray) -> FoldAccuracy:
    """Accuracy fold by fold; a pair is accepted iff |a - b|^2 = 2 - 2 cos is below the threshold.

    The threshold is the lowest of the 400 (0, 0.01 ... 3.99) that are right most often on all other folds: `calculate_roc`
    of insightface, recognition/arcface_torch/eval/verification.py, 166d743. (It scores the sum of the embeddings of an image
    and its mirror image, which is for whoever makes the embeddings.)

    Args:
        cosines: (n,) higher = more alike.
        same: (n,) bool, one person or two.
        folds: (n,) any labels, at least two different ones.
    """
    distances, same = 2 - 2 * cosines, np.asarray(same, bool)
    labels = np.unique(folds)
    accuracies, thresholds = np.empty(len(labels)), np.empty(len(labels))
    for place, label in enumerate(labels):
        test = folds == label
        right = _right(distances[~test], same[~test])
        thresholds[place] = GRID[np.argmax(right)]
        accuracies[place] = np.mean((distances[test] < thresholds[place]) == same[test])
    return FoldAccuracy(accuracies, thresholds)


def _right(distances: np.ndarray, same: np.ndarray) -> np.ndarray:
    """(400,) how many decisions are right at each threshold of the grid."""
    accepted = [np.searchsorted(np.sort(distances[kind]), GRID, side="left") for kind in (same, ~same)]
    return accepted[0] + (~same).sum() - accepted[1]
