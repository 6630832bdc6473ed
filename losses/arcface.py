"""Additive angular margin loss (ArcFace)."""

import math

import torch
from torch import Tensor

from losses import _checks
from losses._angular import added
from losses._margin import MarginSoftmax, Ramp

SPACE = {"scale": ("log", 8.0, 128.0), "margin": ("linear", 0.0, 0.6)}


class ArcFace(MarginSoftmax):
    """Softmax over scaled cosines, the target's angle widened by a margin (Deng et al. 2019, eq. 3).

    L = -1/B sum_i log( e^{s t_i} / ( e^{s t_i} + sum_{j != y_i} e^{s cos_j} ) ),    with theta = theta_{y_i} and
    t_i = cos(theta + m)           where theta < pi - m
    t_i = cos(theta) - m sin(m)    elsewhere, where cos(theta + m) would rise again (the authors' released code)

    t falls as theta grows, all the way to pi; at theta = pi - m it steps down, from -1 to -cos(m) - m sin(m)
    (-1.117 at m = 0.5). cos(theta + m) is computed as cos cos(m) - sin sin(m), whose gradient is infinite at cos = +-1:
    the sine is clamped (`losses/_angles.py`), so that there t is cos(m) - 0.00035 sin(m) in float32.
    Departure (off by default): the margin may rise linearly over the first steps of training, as in `LMCL`.

    Args:
        scale: s, fixed, not learned.
        margin: m in radians, 0 to pi/2 (beyond that the second piece would not lie below the first).
        margin_warmup_steps: training calls over which the margin rises from 0 to m.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        margin_warmup_steps: int = 0,
    ):
        super().__init__(num_classes, embedding_dim, scale)
        _checks.within("margin", margin, 0, math.pi / 2)
        self.margin = margin
        self.ramp = Ramp(margin_warmup_steps)

    def target(self, cosine: Tensor) -> Tensor:
        return added(cosine, torch.as_tensor(self.margin * self.ramp(), dtype=torch.float64))

    def advance(self) -> None:
        self.ramp.advance()
