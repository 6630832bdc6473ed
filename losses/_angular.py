"""An angular margin on a cosine, as ArcFace and those that build on it have it."""

import torch
from torch import Tensor

from losses._angles import sine


def added(cosine: Tensor, margin: Tensor | float) -> Tensor:
    """(B,) cos(theta), a margin m in radians (one, or (B,)), 0 to pi/2 -> (B,) cos(theta + m), falling over all of 0..pi.

    Where theta + m exceeds pi, cos(theta) - m sin(m) stands in (ArcFace's released code). The gradient is finite at
    cos = +-1 by the clamp of `sine`.
    """
    margin = torch.as_tensor(margin, dtype=cosine.dtype)
    shifted = cosine * margin.cos() - sine(cosine) * margin.sin()
    return torch.where(cosine > -margin.cos(), shifted, cosine - margin * margin.sin())
