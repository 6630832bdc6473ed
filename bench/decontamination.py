"""Test people who look, to the trained network, like somebody it was trained on: their figures are shown a second time
without them, wherever the names of the training's people are not known (see `bench.overlap`).

Two people are taken for one where the cosine of their mean embeddings reaches both what one in a million pairs of
different test people reaches (`bench.lookalikes`) and what 95 of 100 test people reach between one of their images and
the mean of their others. That depends on the network, so these figures rank nothing: they say what the raw ones may owe
to people that are in both sets. A weak network finds few: one of 84 % on LFW flagged 10 of its 4,281 people, 4 of them
among the 100 that its training set shared with LFW by name. Names and photographs (`facebench data overlap`) find more.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench import lookalikes
from bench.errors import RequestError
from bench.protocols import beside, renamed
from bench.scorers import Scorer
from bench.scores import Scores

SURE = 0.95  # share of people whose other images would be found again
MOST_IMAGES = 10  # of each training identity, which say enough of its mean


def sample(labels: np.ndarray, most: int = MOST_IMAGES) -> np.ndarray:
    """The rows of the first `most` images of each identity."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[place < most])


class Decontamination:
    """Finds the test people who look like training identities, and scores a protocol without them.

    Args:
        embeddings, labels: (n, D) and (n,) of the training images that stand for their identities.
    """

    def __init__(self, embeddings: np.ndarray, labels: np.ndarray):
        self._train = lookalikes.rows(embeddings, np.unique(labels, return_inverse=True)[1], "training")

    def enter(self, answer: Scores, protocol: Any, embeddings: np.ndarray, scorer: Scorer | None = None) -> None:
        """Put the figures without these people beside those of `protocol.score(embeddings, scorer)`."""
        try:
            self._enter(answer, protocol, embeddings, scorer)
        except RequestError as error:  # embeddings that point nowhere have no lookalikes; the raw figures stay
            answer.undefined[renamed(protocol.primary)] = f"decontaminated: {error}"

    def _enter(self, answer: Scores, protocol: Any, embeddings: np.ndarray, scorer: Scorer | None) -> None:
        people, owner = np.unique(np.array(protocol.people), return_inverse=True)
        test = lookalikes.rows(embeddings, owner, "test")
        strange = lookalikes.threshold(test, np.arange(len(people)))[0]
        limit = min(1.0, round(max(strange, _kept(embeddings, owner)), 12))
        seen = lookalikes.find(test, self._train, limit).row >= 0
        images = [name for name, who in zip(protocol.images, owner, strict=True) if seen[who]]
        answer.counts["left_out_people"] = int(seen.sum())
        what = "without the people who look like training identities to the network itself"
        beside(answer, protocol, embeddings, images, what, scorer)


def _kept(embeddings: np.ndarray, owner: np.ndarray) -> float:
    """What 95 of 100 people reach: the cosine of their first image and the mean of their others; -1 without such people."""
    order = np.argsort(owner, kind="stable")
    counts = np.bincount(owner)
    several = np.repeat(counts > 1, counts)  # in the order of the people
    if not several.any():
        return -1.0
    first = np.diff(owner[order], prepend=-1) > 0
    people = np.unique(owner[order][several], return_inverse=True)[1]
    one = lookalikes.rows(embeddings[order][several & first], np.arange(int((several & first).sum())), "test")
    rest = lookalikes.rows(embeddings[order][several & ~first], people[~first[several]], "test")
    return float(np.quantile(np.einsum("ij,ij->i", one, rest), 1 - SURE))


def prepared(embed: Callable[[np.ndarray], np.ndarray], labels: np.ndarray) -> Decontamination | None:
    """From the training images; None where the network gives no directions to compare.

    Args:
        embed: (n,) rows of the training images -> (n, D) their embeddings.
        labels: (N,) their identities.
    """
    rows = sample(labels)
    try:
        return Decontamination(embed(rows), labels[rows])
    except RequestError:
        return None  # a network that maps images to zero fails in its own figures
