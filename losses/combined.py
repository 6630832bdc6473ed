"""The three margins of SphereFace, ArcFace and CosFace in one loss."""

import math

import torch
from torch import Tensor

from losses import _checks
from losses._angles import angle
from losses._margin import MarginSoftmax, Ramp

SPACE = {
    "scale": ("log", 8.0, 128.0),
    "angle_factor": ("linear", 0.9, 1.2),
    "angle_margin": ("linear", 0.0, 0.5),
    "cosine_margin": ("linear", 0.0, 0.4),
}


class Combined(MarginSoftmax):
    """Softmax over scaled cosines, the target's with three margins (Deng et al. 2019, eq. 4).

    L = -1/B sum_i log( e^{s t_i} / ( e^{s t_i} + sum_{j != y_i} e^{s cos_j} ) )
    t_i = (-1)^k cos(phi) - 2k - m3,    phi = m1 theta_{y_i} + m2,    k = floor(phi / pi)

    Where phi <= pi that is the paper's cos(m1 theta + m2) - m3. Beyond pi the cosine would rise again, and the paper says
    nothing: here it is folded on as in SphereFace's psi (continuous, falling all the way). So m1 = 1, m2 = 0 is `LMCL`;
    m1 = 1, m3 = 0 is `ArcFace` up to theta = pi - m2; a whole m1 with m2 = m3 = 0 is A-Softmax without annealing.
    theta is taken with the clamp of `losses/_angles.py`: never below 0.00035 in float32, with a finite gradient at cos = +-1.
    Departure (off by default): the margins may rise linearly over the first steps of training, as in `LMCL`.

    Args:
        scale: s, fixed, not learned.
        angle_factor: m1 > 0, a factor of the angle.
        angle_margin: m2 in radians, 0 to pi/2.
        cosine_margin: m3, in units of the cosine.
        margin_warmup_steps: training calls over which m1 goes from 1, m2 and m3 from 0, to their values.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        angle_factor: float = 1.0,
        angle_margin: float = 0.3,
        cosine_margin: float = 0.2,
        margin_warmup_steps: int = 0,
    ):
        super().__init__(num_classes, embedding_dim, scale)
        _checks.above("angle_factor", angle_factor, 0)
        _checks.within("angle_margin", angle_margin, 0, math.pi / 2)
        _checks.at_least("cosine_margin", cosine_margin, 0)
        self.angle_factor, self.angle_margin, self.cosine_margin = angle_factor, angle_margin, cosine_margin
        self.ramp = Ramp(margin_warmup_steps)

    def target(self, cosine: Tensor) -> Tensor:
        share = self.ramp()
        phi = (1 + (self.angle_factor - 1) * share) * angle(cosine) + self.angle_margin * share
        fold = torch.floor(phi.detach() / math.pi)
        return (1 - 2 * (fold % 2)) * phi.cos() - 2 * fold - self.cosine_margin * share

    def advance(self) -> None:
        self.ramp.advance()
