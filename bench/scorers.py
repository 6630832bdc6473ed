"""How alike two embeddings are: `cosine`, `l2` or `joint_bayesian`, for any network and any protocol.

    scorers.check("joint_bayesian", {"pca": 180})     # before any training, as check_training(...)
    scorer = scorers.fit("joint_bayesian", {"pca": 180}, embeddings, labels)
    scores = protocol.score(test_embeddings, scorer)

What a scorer is fitted on are embeddings of the training images alone, never of a test. Higher = more alike, always.

    name              score                                              options
    cosine            <a, b> / (|a| |b|)                                 pca
    l2                -|a - b|^2                                         pca
    joint_bayesian    log p(a, b | one identity) / p(a, b | two)         pca, update, iterations, tolerance
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench import joint_bayesian
from bench.errors import RequestError
from bench.joint_bayesian import JointBayesian
from bench.metrics import cosine
from bench.metrics.quadratic import Quadratic
from bench.metrics.similarity import Rows

DEFAULTS: dict[str, dict[str, Any]] = {
    "cosine": {"pca": 0},
    "l2": {"pca": 0},
    "joint_bayesian": {"pca": 0, "update": "em", "iterations": 100, "tolerance": 1e-6},
}
_BLOCK = 256  # embeddings mapped at a time


@dataclass(frozen=True, eq=False)
class Linear:
    """(x - mean) W of (N, D) embeddings, in float64; mean (D,), weight W (D, K)."""

    mean: np.ndarray
    weight: np.ndarray

    def __call__(self, embeddings: np.ndarray) -> np.ndarray:
        """A matrix product of blocks of one shape: so equal rows stay equal, wherever they stand."""
        mapped = np.empty((len(embeddings), self.weight.shape[1]))
        block = np.zeros((_BLOCK, len(self.mean)))
        for start in range(0, len(embeddings), _BLOCK):
            part = embeddings[start : start + _BLOCK]
            block[: len(part)] = part
            mapped[start : start + _BLOCK] = ((block - self.mean) @ self.weight)[: len(part)]
        return mapped


@dataclass(frozen=True, eq=False)
class Scorer:
    """A similarity ready for use.

    Attributes:
        name: `cosine`, `l2` or `joint_bayesian`.
        options: all of its options.
        width: D of the embeddings that it was fitted on; None where it needed none.
        pca: the principal components, if there are any.
        model: the fitted model of `joint_bayesian`.
    """

    name: str = "cosine"
    options: Mapping[str, Any] = field(default_factory=lambda: dict(DEFAULTS["cosine"]))
    width: int | None = None
    pca: Linear | None = None
    model: JointBayesian | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """What decides its scores besides the training embeddings, as plain data for a record."""
        return {"name": self.name, **self.options}

    def prepare(self, embeddings: np.ndarray) -> Rows:
        """Rows that a protocol scores; row by row, so that a score depends on its two embeddings alone.

        Args:
            embeddings: (N, D) finite, of any floating type.

        Raises:
            RequestError: not the width that the scorer was fitted on, or too long to be scored (`l2`).
        """
        if self.width is not None and embeddings.shape[1] != self.width:
            raise RequestError(
                f"the scorer {self.name} was fitted on embeddings of {self.width} numbers, got {embeddings.shape[1]}: "
                "fit it on embeddings of the same network"
            )
        rows = embeddings if self.pca is None else self.pca(embeddings)
        if self.name == "cosine":
            return cosine.prepared(rows)
        if self.model is None:  # -|a - b|^2 = <u, v> - (|u|^2 + |v|^2) / 2 with u = sqrt(2) a
            return Quadratic.of(np.sqrt(2) * rows.astype(np.float64), np.ones(rows.shape[1]))
        projected = Linear(self.model.mean, self.model.projection)(rows)
        return Quadratic.of(projected, self.model.basis.share, self.model.constant / 2)


COSINE = Scorer()


def names() -> list[str]:
    """The names of all scorers."""
    return list(DEFAULTS)


def check(name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All options of the scorer `name`, defaults filled in.

    Raises:
        RequestError: an unknown name or option (the sentence lists the known ones), or a value that cannot be.
    """
    if name not in DEFAULTS:
        raise RequestError(f"no scorer {name!r}; there is: {', '.join(DEFAULTS)}")
    known = DEFAULTS[name]
    if unknown := sorted(set(options or {}) - set(known)):
        raise RequestError(f"the scorer {name} has no option {unknown[0]!r}; it has: {', '.join(known)}")
    made = {**known, **(options or {})}
    pca = made["pca"]
    if isinstance(pca, bool) or not isinstance(pca, int) or pca < 0:
        raise RequestError(f"pca is the number of principal components to keep (0: no PCA), got {pca!r}")
    if name == "joint_bayesian":
        joint_bayesian.check(**_own(made))
    return made


def check_training(name: str, options: Mapping[str, Any] | None, labels: np.ndarray, width: int) -> None:
    """What the training images decide, so that it can be asked before they are trained on.

    Args:
        labels: (N,) their identities.
        width: D, the numbers of an embedding as it is scored (twice the network's where a mirror image's is appended).

    Raises:
        RequestError: what `check` refuses, more principal components than N or D, or (joint_bayesian) no two identities,
            or none with two images.
    """
    made = check(name, options)
    _check_components(made["pca"], len(labels), width)
    if name == "joint_bayesian":
        joint_bayesian.check_labels(labels)


def needs_fit(name: str, options: Mapping[str, Any] | None = None) -> bool:
    """Whether `fit` needs training embeddings: for a model, or for principal components."""
    made = check(name, options)
    return name == "joint_bayesian" or bool(made["pca"])


def fit(
    name: str,
    options: Mapping[str, Any] | None = None,
    embeddings: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> Scorer:
    """The scorer `name`, fitted on training embeddings where `needs_fit`.

    Args:
        embeddings: (N, D) of the training images, made as the test's are (the same joining of mirror images).
        labels: (N,) their identities (`joint_bayesian` alone reads them).

    Raises:
        RequestError: what `check` refuses, no or bad training embeddings, or more principal components than N or D.
    """
    made = check(name, options)
    if not needs_fit(name, made):
        return Scorer(name, made)
    if embeddings is None or (labels is None and name == "joint_bayesian"):
        what = "embeddings and labels" if name == "joint_bayesian" else "embeddings"
        raise RequestError(f"the scorer {name} with {made} is fitted on training {what}, and none were given")
    rows = _checked(name, embeddings)
    pca = _principal(rows, made["pca"]) if made["pca"] else None
    model = None
    if name == "joint_bayesian" and labels is not None:
        model = joint_bayesian.fit(rows if pca is None else pca(rows), labels, **_own(made))
    return Scorer(name, made, rows.shape[1], pca, model)


def _own(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of joint_bayesian.fit."""
    return {key: value for key, value in options.items() if key != "pca"}


def _checked(name: str, embeddings: np.ndarray) -> np.ndarray:
    rows = np.asarray(embeddings)
    if rows.ndim != 2 or not rows.size or rows.dtype.kind not in "fiu":
        raise RequestError(
            f"the scorer {name} is fitted on (images, dimensions) training embeddings of real numbers, got an array of "
            f"shape {rows.shape} and type {rows.dtype}"
        )
    if not np.isfinite(rows).all():
        raise RequestError(f"the scorer {name} is fitted on finite training embeddings, and some hold nan or infinity")
    return rows


def _principal(rows: np.ndarray, count: int) -> Linear:
    """The first `count` principal components; not whitened."""
    from sklearn.decomposition import PCA

    _check_components(count, *rows.shape)
    solver = "covariance_eigh" if rows.shape[0] > rows.shape[1] else "full"  # both exact, without any random draw
    fitted = PCA(count, svd_solver=solver).fit(rows.astype(np.float64))
    return Linear(fitted.mean_, np.ascontiguousarray(fitted.components_.T))


def _check_components(count: int, images: int, width: int) -> None:
    if count > min(images, width):
        raise RequestError(
            f"pca={count} needs as many training images and dimensions, got {images:,} images of {width:,} dimensions: "
            f"the most is {min(images, width)}"
        )
