"""Functions of the angle between an embedding and its class, from the cosine, with a finite gradient everywhere."""

import math

import torch
from torch import Tensor


def sine(cosine: Tensor) -> Tensor:
    """sqrt(1 - cos^2) >= 0.

    1 - cos^2 is clamped from below at the precision's rounding error: at cos = +-1 the derivative is infinite, and a cosine
    may come out as 1.0000001. So in float32 the sine is never below 0.00035, and its derivative never beyond 2,900.
    """
    return (1 - cosine.square()).clamp(min=torch.finfo(cosine.dtype).eps).sqrt()


def angle(cosine: Tensor) -> Tensor:
    """The angle in radians, in (0, pi): as acos, but with the clamp of `sine`."""
    return torch.atan2(sine(cosine), cosine)


def psi(cosine: Tensor, margin: int) -> Tensor:
    """SphereFace's psi, cos(m theta) made to fall all the way to theta = pi (Liu et al. 2017, eq. 7).

    psi(theta) = (-1)^k cos(m theta) - 2k,    theta in [k pi/m, (k + 1) pi/m],    k in 0..m-1

    cos(m theta) is Chebyshev's polynomial T_m of the cosine: no acos, hence a finite gradient everywhere.

    Args:
        cosine: any shape.
        margin: m, a whole number; with m = 1 psi is the cosine itself.
    """
    fold = _fold(cosine, margin)
    return (1 - 2 * (fold % 2)) * _chebyshev(cosine, cosine, margin) - 2 * fold


def psi_slope(cosine: Tensor, margin: int) -> Tensor:
    """d psi / d cos = (-1)^k m U_{m-1}(cos), Chebyshev's polynomial of the second kind."""
    return (1 - 2 * (_fold(cosine, margin) % 2)) * margin * _chebyshev(cosine, 2 * cosine, margin - 1)


def _fold(cosine: Tensor, margin: int) -> Tensor:
    """k: in which of the m pieces of [0, pi] the angle lies, from 0."""
    fold = torch.zeros_like(cosine)
    for piece in range(1, margin):
        fold = fold + (cosine <= math.cos(piece * math.pi / margin))
    return fold


def _chebyshev(cosine: Tensor, first: Tensor, degree: int) -> Tensor:
    """P_degree of the recurrence P_0 = 1, P_1 = first, P_n = 2 cos P_{n-1} - P_{n-2}."""
    before, value = torch.ones_like(cosine), first
    for _ in range(degree - 1):
        before, value = value, 2 * cosine * value - before
    return value if degree else before
