"""MagFace: an angular margin that grows with the length of the embedding, and a pull on that length."""

import math

from torch import Tensor, nn

from losses import _checks
from losses._angular import added
from losses._classes import cross_entropy, own, with_own
from losses._margin import cosines
from losses._weights import class_weights

SPACE = {"scale": ("log", 8.0, 128.0), "margin_high": ("linear", 0.5, 1.0), "length_weight": ("log", 1.0, 100.0)}


class MagFace(nn.Module):
    """ArcFace whose margin depends on the embedding's length a = ||x||, which is regularised (Meng et al. 2021, eq. 2).

    L = 1/B sum_i [ -log( e^{s t_i} / ( e^{s t_i} + sum_{j != y} e^{s cos_j} ) ) + lambda_g g(a_i) ]
    t_i = cos(theta_y + m(a_i))
    m(a) = l_m + (u_m - l_m) (a - l_a) / (u_a - l_a),    g(a) = 1/a + a / u_a^2

    The gradient passes m and g to the length. m is linear as in the paper's experiments; a stands for the
    length clamped to [l_a, u_a], where the paper assumes it to be, as in the released code: shorter and longer
    embeddings feel no pull along their own direction. With l_m = u_m and lambda_g = 0 this is `ArcFace` with margin l_m.
    Departure: where theta + m exceeds pi, t is cos(theta) - m sin(m), as in `ArcFace` (the paper leaves it open; the
    released code's default leaves the margin out where cos(theta) <= 0, and its loss falls there as theta grows).

    Args:
        scale: s, fixed, not learned.
        margin_low: l_m in radians, from 0.
        margin_high: u_m, from l_m to pi/2.
        length_low: l_a > 0.
        length_high: u_a > l_a.
        length_weight: lambda_g. From s K u_a^2 l_a^2 / (u_a^2 - l_a^2) on, with K the slope of m (22.6 with the defaults),
            there is one best length for each cosine, and it rises with it. 35 is the paper's, 20 the released code's.
    """

    SHARDABLE = True

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        margin_low: float = 0.45,
        margin_high: float = 0.8,
        length_low: float = 10.0,
        length_high: float = 110.0,
        length_weight: float = 35.0,
    ):
        super().__init__()
        _checks.above("scale", scale, 0)
        _checks.within("margin_low", margin_low, 0, math.pi / 2)
        _checks.within("margin_high", margin_high, margin_low, math.pi / 2)
        _checks.above("length_low", length_low, 0)
        _checks.above("length_high", length_high, length_low)
        _checks.at_least("length_weight", length_weight, 0)
        self.scale = scale
        self.margins = (margin_low, margin_high)
        self.lengths = (length_low, length_high)
        self.length_weight = length_weight
        self.weight = class_weights(num_classes, embedding_dim)

    def margin(self, length: Tensor) -> Tensor:
        """m: lengths within l_a..u_a -> angles in radians."""
        (low, high), (short, long) = self.margins, self.lengths
        return low + (high - low) * (length - short) / (long - short)

    def regularizer(self, length: Tensor) -> Tensor:
        """g: convex, falling up to u_a, where it is lowest."""
        return 1 / length + length / self.lengths[1] ** 2

    def logits(self, embeddings: Tensor) -> Tensor:
        """(B, D) -> (B, C) scores of the classes, without the margin."""
        return self.scale * cosines(_checks.precise(embeddings), self.weight)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar, the mean over the batch."""
        x = _checks.batch(embeddings, labels, self.weight)
        length = x.norm(dim=1).clamp(*self.lengths)
        cosine = cosines(x, self.weight)
        target = added(own(cosine, labels), self.margin(length))
        loss = cross_entropy(self.scale * with_own(cosine, labels, target), labels)
        return loss + self.length_weight * self.regularizer(length).mean()
