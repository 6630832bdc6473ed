"""The "LFW accuracies" of well-known code, each under its own name; `standard` is the data set's own rule.

    name         threshold                                                    a pair is right iff
    standard     chosen on the other folds (`bench.metrics.fold_accuracy`)    (score > t) == same
    sphereface   k / 10000, mean of the best, on the other folds              same: score > t; different: score < t
    insightface  0, .01 ... 3.99 of |a - b|^2, first of the best, likewise    (|a - b|^2 < t) == same
    all_pairs    chosen on the very pairs that are scored                     (score > t) == same

They differ by up to 0.1 points on good networks. `sphereface` besides scores other cosines: the mean feature of the other
folds is subtracted first, so that its scores are not those of any other figure.
"""

import numpy as np

from bench.errors import RequestError
from bench.metrics import FoldAccuracy, best_threshold
from bench.metrics.grid import grid_accuracy
from bench.metrics.similarity import DECIMALS, blocks, rounded
from bench.protocols import _pairs
from bench.scorers import COSINE, Scorer
from bench.scores import Clusters, Scores

CONVENTIONS = ("standard", "sphereface", "insightface", "all_pairs")
STEPS = 10_000  # of SphereFace's thresholds between 0 and 1


def check(convention: str, folds: int) -> None:
    """Whether pairs in so many folds can be scored by that convention.

    Raises:
        RequestError: an unknown convention, or one that needs folds where there are none.
    """
    if convention not in CONVENTIONS:
        raise RequestError(f"no convention {convention!r} in lfw; there is: {', '.join(CONVENTIONS)}")
    if folds < 2 and convention in ("sphereface", "insightface"):
        raise RequestError(
            f"the convention {convention} chooses its threshold on the other folds and these pairs have none: give pairs "
            "in folds (View 2's pairs.txt), or another convention"
        )


def accuracy(
    convention: str, name: str, embeddings: np.ndarray, pairs: _pairs.Pairs, scorer: Scorer | None = None
) -> Scores:
    """`accuracy` as that code counts it, and nothing else (other figures have no convention: see `lfw/...`).

    Args:
        embeddings: (N, D) finite.
        scorer: how two embeddings are compared; a convention that is defined on cosines takes no other.

    Raises:
        RequestError: another scorer than the cosine for `sphereface` or `insightface`.
    """
    scorer = scorer or COSINE
    if convention == "all_pairs":
        rows = scorer.prepare(embeddings)
        return _optimistic(name, rows.scores(pairs.first, rows, pairs.second), pairs)
    if scorer.name != "cosine":
        raise RequestError(f"{name} is defined on cosines, got the scorer {scorer.name}: score it by cosine")
    if convention == "sphereface":
        found = sphereface(embeddings if scorer.pca is None else scorer.pca(embeddings), pairs)
    else:
        rows = scorer.prepare(embeddings)
        found = grid_accuracy(rows.scores(pairs.first, rows, pairs.second), pairs.same, pairs.folds)
    answer = _pairs.folded(name, found, pairs)
    answer.metrics[f"{name}/accuracy_std"] = float(np.std(found.accuracies))
    return answer


def sphereface(embeddings: np.ndarray, pairs: _pairs.Pairs) -> FoldAccuracy:
    """SphereFace's rule (wy1iu/sphereface, test/code/evaluation.m).

    For each fold: mu = the mean of both sides of all pairs in the other folds; scores = cosines of x - mu; t = the mean of
    those of -1, -.9999 ... 1 with the most right decisions on the other folds; a pair is right iff its score is above t
    and it is genuine, or below t and it is not (a score of exactly t is wrong either way).
    """
    scale = float(np.abs(embeddings).max()) or 1.0  # the squares of very long rows would overflow
    labels = np.unique(pairs.folds)
    accuracies, thresholds = np.empty(len(labels)), np.empty(len(labels))
    for place, label in enumerate(labels):
        test = pairs.folds == label
        mean = _mean_side(embeddings, scale, pairs.first[~test], pairs.second[~test])
        scores = _centred_cosines(embeddings, scale, mean, pairs.first, pairs.second)
        thresholds[place] = mean_of_best(scores[~test], pairs.same[~test])
        right = np.where(pairs.same, scores > thresholds[place], scores < thresholds[place])
        accuracies[place] = np.mean(right[test])
    return FoldAccuracy(accuracies, thresholds)


def mean_of_best(scores: np.ndarray, same: np.ndarray) -> float:
    """The mean of the thresholds k / 10000, k = -10000 ... 10000, with the most right decisions (counted exactly)."""
    steps = np.arange(-STEPS, STEPS + 1)
    levels = steps / STEPS
    genuine, impostor = np.sort(scores[same]), np.sort(scores[~same])
    right = (
        len(genuine) - np.searchsorted(genuine, levels, side="right") + np.searchsorted(impostor, levels, side="left")
    )
    best = steps[right == right.max()]
    return int(best.sum()) / (STEPS * len(best))


def _mean_side(embeddings: np.ndarray, scale: float, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(D,) the mean of the rows, each as often as it stands on a side of a pair, over `scale`."""
    weights = np.bincount(np.concatenate([first, second]), minlength=len(embeddings)).astype(float)
    total = np.zeros(embeddings.shape[1])
    for part in blocks(*embeddings.shape):
        total += weights[part] @ (embeddings[part].astype(np.float64) / scale)
    return total / weights.sum()


def _centred_cosines(
    embeddings: np.ndarray, scale: float, mean: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """(n,) the cosines of rows over `scale`, less the mean; to 12 decimals, as all scores are."""
    dots, lengths = np.empty(len(first)), np.empty(len(first))
    for part in blocks(len(first), embeddings.shape[1]):
        a, b = (embeddings[side[part]].astype(np.float64) / scale for side in (first, second))
        (a, a_length), (b, b_length) = _centred(a, mean), _centred(b, mean)
        dots[part] = np.einsum("ij,ij->i", a, b)
        lengths[part] = a_length * b_length
    return rounded(dots, lengths)


def _centred(rows: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows less the mean, and their lengths; 0 where what is left is rounding error (a network that maps all to a point)."""
    before = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows = rows - mean
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    nothing = lengths <= 10.0**-DECIMALS * before
    return np.where(nothing[:, None], 0.0, rows), np.where(nothing, 0.0, lengths)


def _optimistic(name: str, scores: np.ndarray, pairs: _pairs.Pairs) -> Scores:
    """The best accuracy that any threshold reaches on these pairs, marked as what it is."""
    key = f"{name}/accuracy"
    answer = Scores(
        {key: _best(scores, pairs.same)}, undefined={f"{key}_se": "one threshold for all pairs has no folds"}
    )
    answer.marks[key] = "optimistic: its threshold is chosen on the very pairs that it is scored on"
    first, second = pairs.clusters
    labels = np.unique(np.concatenate([first, second]))
    kept = [(first != label) & (second != label) for label in labels]
    if len(labels) > 1 and all(keep.any() for keep in kept):
        values = tuple(_best(scores[keep], pairs.same[keep]) for keep in kept)
        answer.clusters[key] = Clusters("jackknife", values)
    return answer


def _best(scores: np.ndarray, same: np.ndarray) -> float:
    return float(np.mean((scores > best_threshold(scores, same)) == same))
