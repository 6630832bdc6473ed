"""The closed-set test: unseen images of the identities that were trained on (the papers' toy experiments).

    closed/accuracy   the class of the highest class score (`criterion.logits`)
    closed/nearest    the class of the nearest training feature, by Euclidean distance

It says how a classifier does, and nothing of how a network does on people it never saw: those are the other protocols.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.scores import Clusters, Scores

FOLDS = 10


@dataclass(frozen=True, eq=False)
class Closed:
    """The test images of a data set; `labels` are (n,) int64, `names` the images' names."""

    names: Sequence[str]
    labels: np.ndarray
    name: str = "closed"
    primary: str = "closed/accuracy"

    @property
    def spec(self) -> dict[str, Any]:
        rows = "\n".join(f"{name}\t{label}" for name, label in zip(self.names, self.labels, strict=True))
        return {"protocol": "closed", "version": 1, "images": hashlib.sha256(rows.encode()).hexdigest()}

    @property
    def hash(self) -> str:
        return hashlib.sha256(json.dumps(self.spec, sort_keys=True).encode()).hexdigest()[:16]

    def score(
        self, features: np.ndarray, train: np.ndarray, train_labels: np.ndarray, logits: np.ndarray | None
    ) -> Scores:
        """Both accuracies, each with its spread over ten folds of the test images.

        Args:
            features: (n, D) of the test images.
            train: (N, D) of the training images.
            train_labels: (N,) int64.
            logits: (n, C) class scores of the test images; None where the loss has none.
        """
        answer = Scores({}, counts={"images": len(self.labels), "identities": len(np.unique(train_labels))})
        if logits is None:
            answer.undefined["closed/accuracy"] = "the loss has no class scores"
        else:
            self._enter(answer, "closed/accuracy", logits.argmax(1) == self.labels)
        self._enter(answer, "closed/nearest", _nearest(features, train, train_labels) == self.labels)
        return answer

    def _enter(self, answer: Scores, figure: str, right: np.ndarray) -> None:
        answer.metrics[figure] = float(right.mean())
        answer.raw[figure.removeprefix("closed/") + "_right"] = right
        if len(right) >= 2 * FOLDS:
            folds = [float(right[start::FOLDS].mean()) for start in range(FOLDS)]
            answer.clusters[figure] = Clusters("folds", tuple(folds))


def _nearest(features: np.ndarray, train: np.ndarray, train_labels: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=1).fit(train, train_labels).predict(features)
