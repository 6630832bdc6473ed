"""Who of a test set looks, to a network, like somebody of the training set: cosines of embeddings above a threshold."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.errors import RequestError
from bench.metrics.cosine import Vectors, prepared

LEVELS = ("identity", "image")
RATE = 1e-6
_BLOCK = 2048


@dataclass(frozen=True)
class Lookalikes:
    """Of each of T test identities (or images) the most similar one in training.

    Attributes:
        row: (T,) int64, the first of the most similar; -1 where none reaches the threshold.
        cosine: (T,) float64; nan where none does.
        count: (T,) int64, how many do.
        hit: (N,) bool, those of the training set that reach it with any.
        threshold: the cosine from which on two count as one.
        chance: how many of the T x N pairs are expected to reach it by accident, where the test set itself set the threshold.
    """

    row: np.ndarray
    cosine: np.ndarray
    count: np.ndarray
    hit: np.ndarray
    threshold: float
    chance: float | None


def rows(embeddings: np.ndarray, labels: np.ndarray, what: str, level: str = "identity") -> np.ndarray:
    """(G, D) float64 of length 1: the mean of each identity's embeddings of length 1, or each image's own.

    Args:
        embeddings: (N, D), one row an image.
        labels: (N,) whole numbers 0 to G - 1, each of them there.

    Raises:
        RequestError: not (N, D), a number that is not finite or a row of zeros (with the row), another level.
    """
    embeddings = np.asarray(embeddings)
    if level not in LEVELS:
        raise RequestError(f"embeddings are compared by {' or '.join(LEVELS)}, got {level!r}")
    if embeddings.ndim != 2 or len(embeddings) != len(labels) or not np.issubdtype(embeddings.dtype, np.floating):
        raise RequestError(
            f"the embeddings of the {what} images are {embeddings.shape} {embeddings.dtype}: expected ({len(labels)}, D) floats, "
            "one row an image in the set's order"
        )
    for start in range(0, len(embeddings), _BLOCK):
        block = embeddings[start : start + _BLOCK]
        wrong = ~np.isfinite(block).all(1) | ~block.any(1)
        if wrong.any():
            row = start + int(wrong.argmax())
            raise RequestError(f"row {row} of the {what} embeddings is zero or not finite: expected a direction")
    vectors = prepared(embeddings)
    if level == "image":
        return vectors.unit(slice(None))
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels))
    sorted_ = Vectors(vectors.rows[order], vectors.lengths[order])
    means = sorted_.means(list(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)))
    return means.unit(slice(None))


def threshold(units: np.ndarray, labels: np.ndarray, rate: float = RATE) -> tuple[float, float]:
    """The cosine that a share `rate` of the pairs of different people exceed, and the share that reaches it.

    With fewer than 1 / rate pairs that is the largest cosine of two different people. A set in which somebody goes by
    two names gives a higher one than it should.

    Args:
        units: (T, D) of length 1, from `rows`.
        labels: (T,) whose they are; pairs of one person are left out.

    Raises:
        RequestError: no two different people.
    """
    sizes = np.unique(labels, return_counts=True)[1]
    pairs = (len(labels) ** 2 - int((sizes.astype(np.int64) ** 2).sum())) // 2
    if not pairs:
        raise RequestError(
            "a threshold is set by pairs of different people of the test set, and there is none: give one"
        )
    keep = int(rate * pairs) + 1
    largest = np.empty(0)
    for top in range(0, len(units), _BLOCK):
        for left in range(top, len(units), _BLOCK):
            cosines = units[top : top + _BLOCK] @ units[left : left + _BLOCK].T
            other = labels[top : top + _BLOCK, None] != labels[None, left : left + _BLOCK]
            if left == top:
                other = np.triu(other, 1)
            found = np.concatenate([largest, cosines[other]])
            largest = np.partition(found, len(found) - keep)[-keep:] if len(found) > keep else found
    return float(np.round(largest.min(), 12)), keep / pairs


def find(
    test: np.ndarray,
    train: np.ndarray,
    limit: float,
    chance: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Lookalikes:
    """Of each row of `test` (T, D) the most similar of `train` (N, D), both of length 1, if its cosine reaches `limit`.

    Cosines are rounded to 12 decimals, so that the answer depends neither on blocks nor on threads.

    Args:
        chance: the share of pairs of different people that reach the limit.
        progress: called with (done, total) rows of `train`.

    Raises:
        RequestError: embeddings of different lengths, or a limit that is no cosine.
    """
    if test.shape[1] != train.shape[1]:
        raise RequestError(
            f"training embeddings have {train.shape[1]} numbers, the test's {test.shape[1]}: use one network"
        )
    if not -1 <= limit <= 1:
        raise RequestError(f"the threshold is a cosine from -1 to 1, got {limit}")
    row, cosine = np.full(len(test), -1), np.full(len(test), np.nan)
    count, hit, best = np.zeros(len(test), np.int64), np.zeros(len(train), bool), np.full(len(test), -np.inf)
    for left in range(0, len(train), _BLOCK):
        columns = slice(left, left + _BLOCK)
        for top in range(0, len(test), _BLOCK):
            cosines = test[top : top + _BLOCK] @ train[columns].T
            rows_ = np.flatnonzero(cosines.max(1) >= limit - 1e-9)
            found = np.round(cosines[rows_], 12)
            near = found >= limit
            hit[columns] |= near.any(0)
            count[top + rows_] += near.sum(1)
            place = found.argmax(1)
            value = found[np.arange(len(rows_)), place]
            better = (value >= limit) & (value > best[top + rows_])
            chosen = top + rows_[better]
            best[chosen] = cosine[chosen] = value[better]
            row[chosen] = left + place[better]
        if progress:
            progress(min(left + _BLOCK, len(train)), len(train))
    expected = None if chance is None else chance * len(test) * len(train)
    return Lookalikes(row, cosine, count, hit, limit, expected)
