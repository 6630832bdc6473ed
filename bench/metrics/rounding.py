"""How far products of rounded numbers may lie from the scores, and which of them decide a comparison.

A float32 product decides all but what lies within its bound of a level; a float64 product decides all but what lies at the
middle between two decimals. What is left is scored pair by pair (`Rows.scores`), so no count depends on the products.
"""

import numpy as np

from bench.metrics.similarity import DECIMALS, on_grid

SMALLEST = 1e-30  # numbers so small that float32 may lose all of them


def error_bound(width: int) -> float:
    """How far a float32 dot product of `width` numbers can lie from the rounded float64 score, for scores of size 1.

    The classical bound (Higham, Accuracy and Stability of Numerical Algorithms, 3.1): width * u for the sum in any
    order, 3 u for rounding the vectors (see `Rows.single`); 5 u more cover the comparison in float32 and the float64 side.
    """
    return 1.01 * (width + 8) * 2.0**-24


def rounded_product(
    products: np.ndarray, width: int, limits: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Float64 products rounded as scores are, and whether that is certainly the score that `Rows.scores` gives.

    (It is unless the product lies so near to the middle between two decimals that its own rounding error matters.)

    Args:
        width: how many numbers each is a sum of.
        limits: what the scores cannot exceed; without it 1.
    """
    limits = np.ones_like(products) if limits is None else limits
    rounded = on_grid(products, limits)
    error = 2.02 * (width + 8) * 2.0**-53
    return rounded, np.abs(products - rounded) < (0.5 * 10.0**-DECIMALS - error) * limits
