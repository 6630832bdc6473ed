"""Pictures as fields (B, H, W) of float32, and the few operations they are drawn with.

Only + - * /, sqrt, comparisons and rounding touch a pixel: these are exact to the last bit on any machine, in any
batch and on any number of threads; exp, pow, BLAS products and `sum` are not.
"""

import numpy as np

Field = np.ndarray  # (B, H, W) float32; parameters of an image are (B, 1, 1), colours (B, 3, 1, 1)


def cover(distance: Field, width: Field) -> Field:
    """How much of a pixel lies inside an edge: `distance` inside is positive; the edge is `width` wide."""
    return np.clip(distance / width + 0.5, 0, 1)


def bump(q: Field) -> Field:
    """(1 - q)^2 for q < 1, else 0: with q = r^2 a smooth hill of radius 1."""
    left = np.maximum(1 - q, 0)
    return left * left


def ramp(x: Field) -> Field:
    """0 below 0, 1 above 1, smooth (3x^2 - 2x^3) between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def wave(x: Field) -> Field:
    """A smooth wave of period 1 between -1 and 1 (parabolic arcs)."""
    x = x - np.floor(x)
    left = np.minimum(x, 1 - x)  # 0 .. 0.5
    late = np.maximum(left - 0.25, 0)
    return 1 - 16 * left * left + 32 * late * late


def speckle(x: Field, y: Field) -> Field:
    """Noise in -1 .. 1 that belongs to the place (x, y), one value for each unit square."""
    x, y = np.floor(x), np.floor(y)
    mixed = x * 0.7548777 + y * 0.5698403
    mixed = (mixed - np.floor(mixed)) * (x + 3 * y + 91) * 0.6180340
    return 2 * (mixed - np.floor(mixed)) - 1


def paint(canvas: Field, alpha: Field, colour: Field | float) -> None:
    """Lay `colour` (broadcasts to (B, 3, H, W)) over the canvas (B, 3, H, W), `alpha` (B, H, W) of it."""
    canvas += alpha[:, None] * (colour - canvas)


def darken(canvas: Field, alpha: Field) -> None:
    """Take the share `alpha` (B, H, W) of the light away."""
    canvas *= 1 - alpha[:, None]
