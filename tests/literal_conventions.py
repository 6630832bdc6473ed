"""The "LFW accuracies" of well-known code as that code counts them, by loops over thresholds and pairs."""

from fractions import Fraction

import numpy as np
from literal import literal_threshold


def literal_sphereface(rows, first, second, same, folds):
    """Per fold: centre on the other folds' sides, cosines, the mean of the best of 20,001 thresholds, strict decisions."""
    accuracies = []
    for fold in sorted(set(folds.tolist())):
        known = [i for i in range(len(folds)) if folds[i] != fold]
        sides = [rows[first[i]] for i in known] + [rows[second[i]] for i in known]
        mean = sum(sides) / len(sides)
        scores = []
        for i in range(len(folds)):
            a, b = rows[first[i]] - mean, rows[second[i]] - mean
            scores.append(round(float(a @ b / np.sqrt((a @ a) * (b @ b))), 12))
        scores, levels = np.array(scores), np.arange(-10_000, 10_001)[:, None]
        right = np.where(same, scores > levels / 10_000, scores < levels / 10_000)[:, known].sum(axis=1)
        best = levels[right == right.max(), 0].tolist()
        threshold = float(Fraction(sum(best), 10_000 * len(best)))
        test = [i for i in range(len(folds)) if folds[i] == fold]
        right = [(same[i] and scores[i] > threshold) or (not same[i] and scores[i] < threshold) for i in test]
        accuracies.append(sum(right) / len(right))
    return accuracies


def literal_insightface(rows, first, second, same, folds):
    """Per fold: the first of 400 thresholds of the squared distance with the most right decisions on the other folds."""
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    distances = np.array([np.sum((units[a] - units[b]) ** 2) for a, b in zip(first, second, strict=True)])
    accuracies = []
    for fold in sorted(set(folds.tolist())):
        known, test = folds != fold, folds == fold
        found = [np.mean((distances[known] < t) == same[known]) for t in np.arange(0, 4, 0.01)]
        threshold = np.arange(0, 4, 0.01)[int(np.argmax(found))]
        accuracies.append(np.mean((distances[test] < threshold) == same[test]))
    return accuracies


def literal_all_pairs(scores, same):
    """The share of right decisions at the threshold that is best for these very pairs."""
    threshold = literal_threshold(scores, same)
    return sum((s > threshold) == y for s, y in zip(scores, same, strict=True)) / len(same)
