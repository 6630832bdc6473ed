"""The embedding of an image and that of its mirror image, joined as a test protocol wants them."""

import numpy as np

from bench.errors import RequestError

FLIPS = ("concat", "add", "none")


def check(flip: str) -> str:
    """`flip` as it came.

    Raises:
        RequestError: it is none of `FLIPS`.
    """
    if flip not in FLIPS:
        raise RequestError(f"flip must be one of {', '.join(FLIPS)}, got {flip!r}")
    return flip


def joined(own: np.ndarray, mirror: np.ndarray, flip: str) -> np.ndarray:
    """(B, D) of the images and of their mirror images -> (B, 2 D) side by side (`concat`), or (B, D) (`add`)."""
    return np.concatenate([own, mirror], 1) if flip == "concat" else own + mirror
