"""The figures as their definitions read, by loops in float64: what the fast code is compared with."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np


def literal_cosine(a, b):
    """Correctly rounded sums; to 12 decimals, as scores are; 0 where a length is 0."""
    lengths = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(x * x for x in b))
    return round(math.fsum(x * y for x, y in zip(a, b, strict=True)) / lengths, 12) if lengths else 0.0


def literal_threshold(scores, same):
    """Of all candidates with the most right decisions the lower median; accept iff score > t."""
    distinct = sorted(set(scores))
    middles = [(a + b) / 2 for a, b in pairwise(distinct)]
    candidates = [-math.inf, *middles, math.inf]
    right = [sum((s > t) == y for s, y in zip(scores, same, strict=True)) for t in candidates]
    best = [t for t, r in zip(candidates, right, strict=True) if r == max(right)]
    return best[(len(best) - 1) // 2]


def literal_accuracy(scores, same, folds):
    """Each fold's share of right decisions, its threshold chosen on all other folds."""
    pairs, found = list(zip(scores, same, folds, strict=True)), []
    for fold in sorted(set(folds)):
        known = [(s, y) for s, y, f in pairs if f != fold]
        threshold = literal_threshold(*zip(*known, strict=True))
        right = [(s > threshold) == y for s, y, f in pairs if f == fold]
        found.append(sum(right) / len(right))
    return found


def literal_tar(genuine, impostor, far):
    """The smallest threshold (among the scores, and infinity) whose FAR <= far, counted exactly."""
    genuine, impostor = np.array(genuine), np.array(impostor)
    for t in [*sorted({*genuine, *impostor}), math.inf]:
        if Fraction(int((impostor >= t).sum()), len(impostor)) <= Fraction(str(far)):
            return int((genuine >= t).sum()) / len(genuine)
    raise AssertionError("infinity accepts nobody")


def literal_auc(scores, same):
    """P(genuine > impostor) + P(tie) / 2, over all pairs of them."""
    genuine = [s for s, y in zip(scores, same, strict=True) if y]
    impostor = [s for s, y in zip(scores, same, strict=True) if not y]
    return sum((g > i) + 0.5 * (g == i) for g in genuine for i in impostor) / (len(genuine) * len(impostor))


def literal_eer(genuine, impostor):
    """Walk the exact points down from the highest threshold; cut the first segment that reaches FAR >= FRR."""
    before = (Fraction(0), Fraction(1))
    for t in sorted({*genuine, *impostor}, reverse=True):
        after = (
            Fraction(sum(s >= t for s in impostor), len(impostor)),
            Fraction(sum(s < t for s in genuine), len(genuine)),
        )
        if after[0] >= after[1]:
            share = (before[1] - before[0]) / ((before[1] - before[0]) + (after[0] - after[1]))
            return float(before[0] + share * (after[0] - before[0]))
        before = after
    raise AssertionError("the lowest threshold accepts everybody")
