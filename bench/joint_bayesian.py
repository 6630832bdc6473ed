"""Joint Bayesian: a face is its identity plus noise, both Gaussian; a pair's score is its log-likelihood ratio.

    x = mean + mu + eps,    mu ~ N(0, S_mu) once an identity,    eps ~ N(0, S_eps) once an image

Chen et al., Bayesian Face Revisited, ECCV 2012; DeepID2's scorer. One basis V, with V'(S_mu + S_eps)V = I and
V' S_mu V = diag(rho), splits identities of any number of images into D independent directions: an iteration of EM needs one
eigen-decomposition (not one inverse for each number of images), and a pair's score is a sum over the directions.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bench.errors import RequestError

UPDATES = ("em", "paper")
FLOOR = 1e-6  # the smallest variance of the noise, as a share of the mean variance of an embedding's numbers


@dataclass(frozen=True, eq=False)
class JointBayesian:
    """A fitted model.

    Attributes:
        mean: (D,) of the training embeddings.
        identity: (D, D) S_mu, the covariance of identities.
        noise: (D, D) S_eps, the covariance of the images of one identity.
        log_likelihood: (iterations + 1,) of the training embeddings, in nats: at the start, and after each iteration.
    """

    mean: np.ndarray
    identity: np.ndarray
    noise: np.ndarray
    log_likelihood: np.ndarray = field(default_factory=lambda: np.empty(0))

    @cached_property
    def basis(self) -> "Basis":
        return Basis.of(self.identity, self.noise)

    @property
    def constant(self) -> float:
        """What the log-likelihood ratio adds to r/2: (log|Sigma_E| - log|Sigma_I|) / 2 >= 0."""
        return -0.5 * float(np.log1p(-(self.basis.share**2)).sum())

    def matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """The paper's A and G, (D, D) each (its eqs. 4-6): r(a, b) = a'A a + b'A b - 2 a'G b, the mean subtracted.

        A = (S_mu + S_eps)^-1 - (F + G),    F + G and G the blocks of the inverse of the covariance of a pair of images
        of one identity, [[S_mu + S_eps, S_mu], [S_mu, S_mu + S_eps]].
        """
        share, axes = self.basis.share, self.basis.axes
        both = 1 - share**2
        return -(axes * (share**2 / both)) @ axes.T, -(axes * (share / both)) @ axes.T

    @cached_property
    def projection(self) -> np.ndarray:
        """(D, D) W, to vectors u = W'(x - mean) whose dot product is the part of a score that both images share.

        log-likelihood ratio = <u, v> - (g(u) + g(v)) / 2 + constant,    g(u) = sum_k rho_k u_k^2,    rho: `basis.share`
        """
        share = self.basis.share
        return self.basis.axes * np.sqrt(share / (1 - share**2))

    def scores(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(n, D), (n, D) -> (n,) log-likelihood ratios of one identity against two, in nats.

        log p(a, b | one) - log p(a, b | two) = r(a, b) / 2 + constant: the true ratio; the paper ranks by r.
        """
        left, right = ((side - self.mean) @ self.projection for side in (first, second))
        own = (left**2 + right**2) @ self.basis.share
        return np.einsum("ij,ij->i", left, right) - own / 2 + self.constant


@dataclass(frozen=True, eq=False)
class Basis:
    """Independent directions of a model.

    Attributes:
        share: (D,) rho in [0, 1): the identity's share of the variance along each.
        axes: (D, D) V, a column each, in which all covariances are diagonal: S_mu = diag(rho), S_eps = diag(1 - rho).
        back: (D, D) V^-1: from these coordinates to those of the embeddings.
        volume: log|S_mu + S_eps|.
    """

    share: np.ndarray
    axes: np.ndarray
    back: np.ndarray
    volume: float

    @classmethod
    def of(cls, identity: np.ndarray, noise: np.ndarray) -> "Basis":
        from scipy.linalg import eigh

        total = identity + noise
        share, axes = eigh(identity, total)
        share = np.clip(np.where(share > 1e-12, share, 0.0), 0.0, 1 - 1e-12)  # beyond these is nothing but rounding
        return cls(share, axes, axes.T @ total, float(np.linalg.slogdet(total)[1]))

    def restored(self, covariance: np.ndarray) -> np.ndarray:
        """A covariance in these directions -> in those of the embeddings, exactly symmetric."""
        wide = self.back.T @ covariance @ self.back
        return (wide + wide.T) / 2


@dataclass(frozen=True, eq=False)
class _Training:
    """What EM needs to know of the training embeddings; the images themselves it never visits again.

    Attributes:
        counts: (n,) images of each identity.
        means: (n, D) of each identity, the mean of all embeddings subtracted.
        scatter: (D, D) the sum over all images of (x - mean of its identity)(...)'.
        floor: the smallest variance that the noise may have in any direction.
    """

    counts: np.ndarray
    means: np.ndarray
    scatter: np.ndarray
    floor: float

    @classmethod
    def of(cls, centred: np.ndarray, labels: np.ndarray, size: float) -> "_Training":
        """`size` is the mean square of the embeddings' numbers before their mean was subtracted."""
        own, counts = np.unique(labels, return_inverse=True, return_counts=True)[1:]
        order = np.argsort(own, kind="stable")
        means = np.add.reduceat(centred[order], np.cumsum(counts) - counts) / counts[:, None]
        within = centred - means[own]
        # float32 embeddings are known to 1e-7 of their size: below the square of that is nothing but rounding
        floor = FLOOR * float(np.mean(centred**2)) + 1e-12 * size or 1.0
        return cls(counts, means, within.T @ within, floor)

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        """The covariance of the identities' means, and the mean scatter about them."""
        return self.means.T @ self.means / len(self.counts), self.bounded(self.scatter / self.counts.sum())

    def bounded(self, noise: np.ndarray) -> np.ndarray:
        """The noise with no eigenvalue below the floor.

        Of all covariances so bounded this one has the largest likelihood: EM's step stays exact, and where images are
        too few (N <= D) the noise stays invertible. Where they are not, nothing is changed.
        """
        values, vectors = np.linalg.eigh(noise)
        return noise if values[0] >= self.floor else (vectors * np.maximum(values, self.floor)) @ vectors.T

    def log_likelihood(self, basis: Basis) -> float:
        """Of all images, in nats: along each direction an identity's mean and the scatter about it are independent."""
        share, images = basis.share, int(self.counts.sum())
        noise = 1 - share
        own = noise + self.counts[:, None] * share  # m times the variance of the mean of m images
        scatter = np.einsum("ij,ij->j", basis.axes, self.scatter @ basis.axes)
        means = self.counts[:, None] * (self.means @ basis.axes) ** 2 / own
        volume = images * basis.volume + (images - len(self.counts)) * np.log(noise).sum() + np.log(own).sum()
        return -0.5 * float(images * len(share) * np.log(2 * np.pi) + volume + (scatter / noise).sum() + means.sum())

    def updated(self, basis: Basis, update: str) -> tuple[np.ndarray, np.ndarray]:
        """One E-step and M-step -> S_mu, S_eps.

        E: mu_i = S_mu (F + m G_m) sum_j x_ij = m rho / (1 - rho + m rho) x the identity's mean, along each direction;
           eps_ij = x_ij - mu_i;  covariance of both, given the images:  rho (1 - rho) / (1 - rho + m rho).
        M: S_mu = mean_i mu_i mu_i',  S_eps = mean_ij eps_ij eps_ij', plus (`em`) the means of that covariance.
        """
        share, images = basis.share, self.counts.sum()
        own = (1 - share) + self.counts[:, None] * share
        means = self.means @ basis.axes
        latent = self.counts[:, None] * share / own * means
        rest = means - latent
        identity = latent.T @ latent / len(self.counts)
        noise = (basis.axes.T @ self.scatter @ basis.axes + (rest * self.counts[:, None]).T @ rest) / images
        if update == "em":
            unknown = share * (1 - share) / own
            identity += np.diag(unknown.mean(axis=0))
            noise += np.diag(self.counts @ unknown / images)
        return basis.restored(identity), self.bounded(basis.restored(noise))


def fit(
    embeddings: np.ndarray,
    labels: np.ndarray,
    *,
    update: str = "em",
    iterations: int = 100,
    tolerance: float = 1e-6,
) -> JointBayesian:
    """The model of some people's embeddings.

    Departures: the default is exact EM, whose likelihood never falls; the paper's EM-like update leaves the posterior
    covariances out, and its likelihood may fall. The start is the covariances between and within identities (the
    paper: any). The variance of the noise is at least 1e-6 of the mean variance (see `FLOOR`), which matters only where
    the images are too few for D dimensions. Embeddings without any spread give a model that scores 0 always.

    Args:
        embeddings: (N, D) finite.
        labels: (N,) whole numbers, the identity of each.
        update: `em`, or `paper` (Chen et al. 2012, Sec. 3.2).
        iterations: at most so many.
        tolerance: stop when the log-likelihood changes by less, in nats an image.

    Raises:
        RequestError: arrays of other shapes, fewer than two identities, or no identity with two images (identity and
            noise cannot be told apart then).
    """
    check(update=update, iterations=iterations, tolerance=tolerance)
    rows, labels = _checked(embeddings, labels)
    mean = rows.mean(axis=0)
    training = _Training.of(rows - mean, labels, float(np.mean(rows**2)))
    identity, noise = training.start()
    likelihood: list[float] = []
    while True:
        basis = Basis.of(identity, noise)
        likelihood.append(training.log_likelihood(basis))
        settled = len(likelihood) > 1 and abs(likelihood[-1] - likelihood[-2]) < tolerance * len(rows)
        if settled or len(likelihood) > iterations:
            break
        identity, noise = training.updated(basis, update)
    return JointBayesian(mean, identity, noise, np.array(likelihood))


def check(*, update: str = "em", iterations: int = 100, tolerance: float = 1e-6) -> None:
    """Raise a RequestError for an option that `fit` does not take."""
    if update not in UPDATES:
        raise RequestError(f"joint_bayesian's update must be one of {', '.join(UPDATES)}, got {update!r}")
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
        raise RequestError(f"joint_bayesian's iterations must be a whole number from 1 on, got {iterations!r}")
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < np.inf:
        raise RequestError(f"joint_bayesian's tolerance must be a number from 0 on, got {tolerance!r}")


def check_labels(labels: np.ndarray) -> None:
    """Raise a RequestError for (N,) labels of training images that cannot tell identity and noise apart."""
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.max() < 2:
        raise RequestError(
            "joint_bayesian needs training images of at least 2 identities, one of them with 2 images or more, got "
            f"{len(labels)} images of {len(counts)} identities: train on more people, or score by cosine"
        )


def _checked(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, labels = np.asarray(embeddings), np.asarray(labels)
    if rows.ndim != 2 or not rows.size or labels.shape != rows.shape[:1] or labels.dtype.kind not in "iu":
        raise RequestError(
            "joint_bayesian needs (images, dimensions) embeddings and a whole number for the identity of each image, "
            f"got arrays of shapes {rows.shape} and {labels.shape} (labels of type {labels.dtype})"
        )
    if rows.dtype.kind not in "fiu" or not np.isfinite(rows).all():
        raise RequestError("joint_bayesian needs embeddings of finite real numbers, and some are not")
    check_labels(labels)
    return rows.astype(np.float64), labels
