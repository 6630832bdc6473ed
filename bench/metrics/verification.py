"""Verification: are two images of one person? Exact counts over scored pairs, never a grid of thresholds.

Higher score = more alike. Undefined figures and figures that hang on a handful of events: DESIGN.md's statistics page,
"Figures that carry themselves".
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

FEW_FALSE_ACCEPTS = 30  # a TAR whose threshold lies on fewer impostor pairs than this is marked and not ranked


@dataclass(frozen=True)
class Roc:
    """The exact ROC of scored pairs: what is accepted at each threshold (accept iff score >= threshold).

    Attributes:
        thresholds: (U,) distinct scores, falling.
        false_accepts, true_accepts: (U,) impostor and genuine pairs that score at least that much.
        impostors, genuine: how many pairs there are.
    """

    thresholds: np.ndarray
    false_accepts: np.ndarray
    true_accepts: np.ndarray
    impostors: int
    genuine: int

    def auc(self) -> float:
        """The area under the ROC = P(genuine > impostor) + P(tie) / 2, exactly."""
        steps = np.diff(self.false_accepts, prepend=0)
        before = np.concatenate([[0], self.true_accepts[:-1]])
        doubled = int(np.sum(steps * (before + self.true_accepts)))
        return doubled / (2 * self.impostors * self.genuine)

    def eer(self) -> float:
        """The equal error rate: where FAR = FRR on the straight line between the two neighbouring exact points.

        (The points are those at the distinct scores, before them FAR 0, FRR 1; one step may hold tied pairs of both
        kinds.)
        """
        far = np.concatenate([[0.0], self.false_accepts / self.impostors])
        frr = np.concatenate([[1.0], 1 - self.true_accepts / self.genuine])
        after = int(np.argmax(far >= frr))  # the last point has FAR 1, FRR 0; the first has FAR 0, FRR 1
        gap_before, gap_after = frr[after - 1] - far[after - 1], far[after] - frr[after]
        share = gap_before / (gap_before + gap_after)
        return float(far[after - 1] + share * (far[after] - far[after - 1]))

    def tar_at_far(self, far: float) -> float:
        """The share of genuine pairs accepted at the smallest threshold whose FAR is at most `far`, counted exactly."""
        last = self._point_at_far(far)
        return int(self.true_accepts[last]) / self.genuine if last >= 0 else 0.0

    def threshold_at_far(self, far: float) -> float:
        """The smallest score whose FAR, as a threshold, is at most `far`; infinity where no score is so strict."""
        last = self._point_at_far(far)
        return float(self.thresholds[last]) if last >= 0 else math.inf

    def _point_at_far(self, far: float) -> int:
        allowed = allowed_false_accepts(far, self.impostors)
        return int(np.searchsorted(self.false_accepts, allowed, side="right")) - 1

    def curve(self, at_most: int = 500) -> dict[str, list[float]]:
        """Columns `far`, `tar` and `threshold`: exact points, thinned evenly in log FAR and in TAR, rising in both."""
        points = len(self.thresholds)
        keep = np.arange(points)
        if points > at_most:
            each = at_most // 2
            far_levels = np.geomspace(1, self.impostors, each)
            tar_levels = np.linspace(0, self.genuine, each)
            places = [
                np.searchsorted(self.false_accepts, far_levels, side="right") - 1,
                np.searchsorted(self.true_accepts, tar_levels, side="left"),
            ]
            keep = np.unique(np.clip(np.concatenate(places), 0, points - 1))
        return {
            "far": (self.false_accepts[keep] / self.impostors).tolist(),
            "tar": (self.true_accepts[keep] / self.genuine).tolist(),
            "threshold": self.thresholds[keep].tolist(),
        }


@dataclass(frozen=True)
class Sorted:
    """Scored pairs in falling order of score, so that the ROC of any part of them costs one sweep.

    Attributes:
        order: (n,) the pairs' numbers in that order.
        same: (n,) whether they are genuine, in that order.
        ends: (U,) where each run of tied scores ends.
        thresholds: (U,) the distinct scores, falling.
    """

    order: np.ndarray
    same: np.ndarray
    ends: np.ndarray
    thresholds: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, same: np.ndarray) -> "Sorted":
        """Sort `scores` (n,), with `same` (n,) bool: genuine or impostor."""
        order = np.argsort(-scores, kind="stable")
        falling = scores[order]
        ends = np.flatnonzero(np.concatenate([falling[1:] != falling[:-1], [True]])) if len(order) else order
        return cls(order, np.asarray(same, bool)[order], ends, falling[ends])

    def roc(self, keep: np.ndarray | None = None) -> Roc:
        """The ROC of all pairs, or of those with `keep` (n,) true (in the pairs' own order, not the sorted one)."""
        kept = np.ones(len(self.order), bool) if keep is None else keep[self.order]
        impostor = np.cumsum(kept & ~self.same)
        genuine = np.cumsum(kept & self.same)
        last = [int(counts[-1]) if len(counts) else 0 for counts in (impostor, genuine)]
        return Roc(self.thresholds, impostor[self.ends], genuine[self.ends], last[0], last[1])


def allowed_false_accepts(far: float, impostors: int) -> int:
    """The largest number of false accepts whose share of `impostors` is at most `far`, exact in decimals."""
    return math.floor(Fraction(repr(float(far))) * impostors)


def far_name(far: float) -> str:
    """0.001 -> `1e-3`, as it stands in the names of metrics."""
    digits, _, exponent = f"{far:e}".partition("e")
    return f"{float(digits):g}e{int(exponent)}"


@dataclass(frozen=True)
class Rate:
    """A TAR at a FAR as it may be shown.

    Attributes:
        value: the rate; None where it is undefined.
        undefined: why there is none.
        mark: why it must not be ranked (it hangs on a handful of false accepts).
    """

    value: float | None
    undefined: str | None = None
    mark: str | None = None


def rate_at_far(roc: Roc, far: float) -> Rate:
    """`Roc.tar_at_far`, refused below one impostor pair and marked below 30 (in exact arithmetic)."""
    allowed = allowed_false_accepts(far, roc.impostors)
    if allowed < 1:
        return Rate(None, undefined=f"FAR {far:.0e} is undefined on {roc.impostors:,} impostor pairs")
    if Fraction(repr(float(far))) * roc.impostors >= FEW_FALSE_ACCEPTS:
        return Rate(roc.tar_at_far(far))
    count = f"{allowed} false accept{'s' if allowed > 1 else ''}"
    return Rate(roc.tar_at_far(far), mark=f"hangs on {count} (FAR {far:.0e} of {roc.impostors:,} impostor pairs)")


def tar_at_far(genuine: np.ndarray, impostor: np.ndarray, far: float) -> Rate:
    """The share of `genuine` >= t, t the smallest threshold that at most the share `far` of `impostor` reaches."""
    same = np.arange(len(genuine) + len(impostor)) < len(genuine)
    return rate_at_far(Sorted.of(np.concatenate([genuine, impostor]), same).roc(), far)
