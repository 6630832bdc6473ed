"""The decision margins of softmax, NSL, A-Softmax and LMCL between two classes (Wang et al. 2018, Fig. 2). numpy only.

A sample of class 1 has the angles (theta_1, theta_2) to the two weights; its loss asks more of it than to lie on its own
side, and that is the boundary of class 1; class 2's is the same with the classes exchanged. A-Softmax's boundaries are
straight in the plane of the angles, the others' in the plane of the cosines. Both are met by lines across the diagonal, on
which the coordinates' sum (the `level`) is fixed; the margin is the distance between the boundaries on such a line.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Boundaries(NamedTuple):
    """The boundaries of both classes, and the signed margin between them, one row for each level."""

    plane: str  # "cosine" or "angle" (radians)
    first: np.ndarray  # (n, 2): where class 1's ends
    second: np.ndarray  # (n, 2): where class 2's ends
    margin: np.ndarray  # (n,): the distance from class 2's to class 1's, in the plane's units; < 0: the classes overlap


def softmax(first_norm: float, second_norm: float, level: ArrayLike) -> Boundaries:
    """||W_1|| cos_1 = ||W_2|| cos_2. Margin: -sqrt(2) level (r - 1) / (r + 1), r the longer over the shorter weight.

    The longer weight claims samples that are nearer, by their angle, to the other class. Scores compare angles and do not
    know which class that is, so both boundaries are drawn as of the longer weight (the paper's "overlapping decision area").

    Args:
        first_norm, second_norm: ||W_1||, ||W_2||.
        level: cos_1 + cos_2, >= 0.
    """
    if not (first_norm > 0 and second_norm > 0):
        raise ValueError(f"the lengths of the weights must be > 0, got {first_norm} and {second_norm}")
    ratio = max(first_norm, second_norm) / min(first_norm, second_norm)
    levels = _levels(level)
    return _mirrored("cosine", levels / (1 + ratio), ratio * levels / (1 + ratio), own_side=1)


def nsl(level: ArrayLike) -> Boundaries:
    """cos_1 = cos_2 for both classes. Margin: 0.

    Args:
        level: cos_1 + cos_2, >= 0.
    """
    return lmcl(0.0, level)


def lmcl(margin: float, level: ArrayLike) -> Boundaries:
    """cos_1 = cos_2 + m for class 1. Margin: sqrt(2) m at every level.

    Args:
        margin: m >= 0, in units of the cosine.
        level: cos_1 + cos_2, >= 0.
    """
    if not margin >= 0:
        raise ValueError(f"margin must be >= 0, got {margin}")
    levels = _levels(level)
    return _mirrored("cosine", (levels + margin) / 2, (levels - margin) / 2, own_side=1)


def asoftmax(margin: int, level: ArrayLike) -> Boundaries:
    """m theta_1 = theta_2 for class 1 (psi(theta_1) = cos theta_2 where theta_1 <= pi/m).

    Margin: sqrt(2) level (m - 1) / (m + 1), which vanishes with the angle between the classes. (It is the paper's angular
    margin (m - 1) / (m + 1) theta_12 for a sample between its weights, theta_1 + theta_2 = theta_12.)

    Args:
        margin: m, a whole number >= 1.
        level: theta_1 + theta_2 in radians, >= 0.
    """
    if isinstance(margin, bool) or not isinstance(margin, int) or margin < 1:
        raise ValueError(f"margin must be a whole number >= 1, got {margin!r}")
    levels = _levels(level)
    return _mirrored("angle", levels / (1 + margin), margin * levels / (1 + margin), own_side=-1)


def _levels(level: ArrayLike) -> np.ndarray:
    levels = np.atleast_1d(np.asarray(level, np.float64))
    if levels.ndim != 1 or not (levels >= 0).all():
        raise ValueError(f"levels must be one list of numbers >= 0, got {level!r}")
    return levels


def _mirrored(plane: str, mine: np.ndarray, other: np.ndarray, own_side: int) -> Boundaries:
    """Class 1's boundary at (mine, other), class 2's at (other, mine).

    Args:
        own_side: 1 where a sample lies the deeper in its class the larger its first coordinate (cosines), -1 for angles.
    """
    first, second = np.stack([mine, other], axis=1), np.stack([other, mine], axis=1)
    return Boundaries(plane, first, second, own_side * np.sqrt(2) * (mine - other))
