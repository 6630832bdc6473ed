"""SphereFace2: one binary classification per class instead of a softmax over all."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses import _checks
from losses._classes import own, with_own
from losses._margin import cosines
from losses._weights import class_weights

SPACE = {"scale": ("log", 8.0, 128.0), "margin": ("linear", 0.0, 0.6), "positive_weight": ("linear", 0.5, 0.95)}


class SphereFace2(nn.Module):
    """Binary logistic losses on adjusted cosines with one bias for all classes (Wen et al. 2022, eqs. 5 and 6; "-C").

    L = w/(s B) sum_i [ lambda h(-s (g(cos_y) - m) - b) + (1 - lambda) sum_{j != y} h(s (g(cos_j) + m) + b) ]
    h(z) = log(1 + e^z),    g(z) = 2 ((z + 1) / 2)^t - 1

    The margin is the additive cosine margin of SphereFace2-C, on both kinds of pairs. b starts where the loss is
    stationary in it if all cosines are 0: otherwise the C - 1 negatives of each sample drown the one positive.
    Departures from the paper: w, which is 1 there and 50 in the released code (OpenSphere), whose default is kept, as
    without it the gradients are smaller than those of the softmax losses by about s. From the released code: weights
    are normalised inside the graph (there: rewritten in place before each call, so that their gradient is not
    tangential), and g has its own derivative; there g and margin are added under `no_grad`, as if g were the
    identity, which `straight_through` does here. The angular margins (-A, -M) are not offered.

    Args:
        scale: s (the paper's r), fixed, not learned; the product of scale and margin is at most 700.
        margin: m in [0, 1], in units of the adjusted cosine.
        positive_weight: lambda in (0, 1): the weight of the own class.
        adjustment: t >= 1 of the similarity adjustment g; 1 leaves cosines as they are.
        loss_weight: w.
        learn_bias: whether b is learned; if not, it stays where it started.
        straight_through: whether the gradient passes g as if it were the identity, as the released code does.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 40.0,
        margin: float = 0.4,
        positive_weight: float = 0.7,
        adjustment: float = 3.0,
        loss_weight: float = 50.0,
        learn_bias: bool = True,
        straight_through: bool = False,
    ):
        super().__init__()
        _checks.above("scale", scale, 0)
        _checks.within("margin", margin, 0, 1)
        _checks.within("scale * margin", scale * margin, 0, 700)
        _checks.within("positive_weight", positive_weight, 1e-6, 1 - 1e-6)
        _checks.at_least("adjustment", adjustment, 1)
        _checks.above("loss_weight", loss_weight, 0)
        _checks.flag("learn_bias", learn_bias)
        _checks.flag("straight_through", straight_through)
        self.scale = scale
        self.margin = margin
        self.positive_weight = positive_weight
        self.adjustment = adjustment
        self.loss_weight = loss_weight
        self.straight_through = straight_through
        self.weight = class_weights(num_classes, embedding_dim)
        self.shared_bias = nn.Parameter(torch.tensor(self._start(num_classes)), requires_grad=learn_bias)

    def logits(self, embeddings: Tensor) -> Tensor:
        """(B, D) -> (B, C) scores of the classes, without the margin: above 0 where the two are held to be the same."""
        adjusted = self._adjusted(cosines(_checks.precise(embeddings), self.weight))
        return self.scale * adjusted + self.shared_bias.to(adjusted.dtype)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar, the mean over the batch of the sums over the classes."""
        x = _checks.batch(embeddings, labels, self.weight)
        scores = self.logits(x)
        shift = self.scale * self.margin
        positive = self.positive_weight * F.softplus(shift - own(scores, labels))
        negative = (1 - self.positive_weight) * F.softplus(scores + shift)
        return self.loss_weight / self.scale * with_own(negative, labels, positive).sum(1).mean()

    def _adjusted(self, cosine: Tensor) -> Tensor:
        """g; a cosine below -1 by rounding counts as -1, because a broken power of a negative number is none."""
        adjusted = 2 * ((cosine + 1) / 2).clamp(min=0) ** self.adjustment - 1
        return cosine + (adjusted - cosine).detach() if self.straight_through else adjusted

    def _start(self, num_classes: int) -> float:
        """The b that solves lambda sigma(-(s (g(0) - m) + b)) = (1 - lambda) (C - 1) sigma(s (g(0) + m) + b)."""
        ratio = self.positive_weight / ((1 - self.positive_weight) * (num_classes - 1))
        middle = math.asinh((ratio - 1) / (2 * math.sqrt(ratio)) * math.exp(self.scale * self.margin))
        return math.log(ratio) / 2 + middle - self.scale * (2 * 0.5**self.adjustment - 1)
