"""Open-set identification: is the person known, and who is it? DIR@FAR, counted exactly.

A probe whose person is in the gallery is right iff its mate scores highest (ties lose) and above the threshold; a probe
whose person is not there is a false alarm iff its highest score is above the threshold (Phillips et al., Handbook of Face
Recognition, 21.2; Liao et al., IJCB 2014, Sec. 3.2). The threshold is the highest score whose exceeding lets in at most
the share FAR of these.
"""

from fractions import Fraction

import numpy as np

from bench.metrics.verification import FEW_FALSE_ACCEPTS, Rate, allowed_false_accepts


def to_exceed(scores: np.ndarray, allowed: int) -> float:
    """The lowest level that at most `allowed` of the scores exceed: the `allowed + 1`-th highest, -inf beyond the last."""
    if allowed >= len(scores):
        return -np.inf
    return float(np.partition(scores, len(scores) - 1 - allowed)[len(scores) - 1 - allowed])


def dir_at_far(mates: np.ndarray, hits: np.ndarray, strangers: np.ndarray, far: float) -> float:
    """The detection and identification rate at a FAR.

    Args:
        mates: (P,) the score of each probe with its mate.
        hits: (P,) bool, whether no other score of the probe is as high.
        strangers: (Q,) the highest score of each probe that has no mate in the gallery.
        far: the share of strangers that may be let in.
    """
    return float(np.mean(hits & (mates > to_exceed(strangers, allowed_false_accepts(far, len(strangers))))))


def carried(far: float, negatives: int, what: str) -> Rate:
    """Whether so many negatives (`what`: impostor pairs, ...) carry a rate at this FAR, as `rate_at_far` judges it.

    Returns:
        a `Rate` with the value 0 if they do, with its mark where it hangs on a handful.
    """
    allowed = allowed_false_accepts(far, negatives)
    if allowed < 1:
        return Rate(None, undefined=f"FAR {far:.0e} is undefined on {negatives:,} {what}")
    if Fraction(repr(float(far))) * negatives >= FEW_FALSE_ACCEPTS:
        return Rate(0.0)
    count = f"{allowed} false accept{'s' if allowed > 1 else ''}"
    return Rate(0.0, mark=f"hangs on {count} (FAR {far:.0e} of {negatives:,} {what})")
