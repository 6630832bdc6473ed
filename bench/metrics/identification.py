"""Identification against distractors: rank-k, the cumulative match curve, and whose figure it is."""

from dataclasses import dataclass

import numpy as np

FEW_IDENTITIES = 30  # below so many effective identities a rank-k is marked and not ranked


@dataclass(frozen=True)
class Shares:
    """How the trials are spread over the identities.

    Attributes:
        largest: the share of the identity with the most trials.
        effective: (sum w)^2 / sum w^2, the number of equally large identities that would weigh the same.
    """

    largest: float
    effective: float

    @classmethod
    def of(cls, owners: np.ndarray) -> "Shares":
        """From the identity of each trial, (T,)."""
        weights = np.unique(owners, return_counts=True)[1].astype(float)
        return cls(float(weights.max() / weights.sum()), float(weights.sum() ** 2 / np.sum(weights**2)))

    def mark(self) -> str | None:
        """Why a rank-k over these identities must not be ranked; None where it may."""
        if self.effective >= FEW_IDENTITIES:
            return None
        return f"{self.effective:.1f} effective identities, the largest has {self.largest:.1%} of the trials"


def cmc(better: np.ndarray, depth: int) -> np.ndarray:
    """The share of hits at rank 1..depth.

    Args:
        better: (T,) how many distractors score at least as much as the trial's mate (ties lose): a hit at rank k iff
            fewer than k. Numbers of `depth` and more may be cut off there.
    """
    return np.cumsum(np.bincount(np.minimum(better, depth), minlength=depth + 1)[:depth]) / len(better)


def macro_average(hits: np.ndarray, owners: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean over identities of each identity's share of hits; and those shares, in the order of the identities."""
    place = np.unique(owners, return_inverse=True)[1]
    shares = np.bincount(place, weights=hits.astype(float)) / np.bincount(place)
    return float(shares.mean()), shares
