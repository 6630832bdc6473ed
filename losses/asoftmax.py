"""A-Softmax, the angular softmax loss (SphereFace)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses import _checks
from losses._angles import psi, psi_slope
from losses._annealing import Annealing
from losses._classes import cross_entropy, own, rows, with_own
from losses._weights import class_weights

SPACE = {"annealing_base": ("log", 10.0, 1000.0), "annealing_floor": ("log", 0.5, 50.0)}


class ASoftmax(nn.Module):
    """Softmax in which the target's angle is multiplied by a whole number (Liu et al. 2017, eq. 7).

    L = -1/B sum_i log( e^{f_i} / ( e^{f_i} + sum_{j != y_i} e^{||x_i|| cos_j} ) )
    f_i = ||x_i|| ( lambda cos_{y_i} + psi(theta_{y_i}) ) / ( 1 + lambda ),    psi = (-1)^k cos(m theta) - 2k
    lambda = max( floor, base (1 + gamma t)^-power ),    t: the number of the training call

    Weights are L2-normalised inside the graph, and there is no bias. m = 1 is the paper's "modified softmax". With the
    defaults (the released ones) lambda reaches its floor of 5 at t = 1659: the final loss is still 5/6 modified softmax.
    In eval lambda is that of the training calls so far. It is a true gradient unless `gradient_rescaling` is on.

    Args:
        margin: m, one of 1, 2, 3, 4.
        normalize_features: on, embeddings are first normalised to the length `scale` (A-Softmax-NormFea in Wang et al. 2018,
            Table 2, which prints no s); off, `scale` plays no part.
        scale: s, the length that embeddings are normalised to.
        annealing_base, annealing_rate, annealing_power, annealing_floor: lambda's base, gamma, power and lambda_min.
        gradient_rescaling: the released code's backward ("we did not strictly follow the equations"), see `_rescaled`.
    """

    SHARDABLE = True

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        margin: int = 4,
        normalize_features: bool = False,
        scale: float = 64.0,
        annealing_base: float = 1000.0,
        annealing_rate: float = 0.12,
        annealing_power: float = 1.0,
        annealing_floor: float = 5.0,
        gradient_rescaling: bool = False,
    ):
        super().__init__()
        _checks.number("margin", margin, int)
        _checks.within("margin", margin, 1, 4)
        _checks.flag("normalize_features", normalize_features)
        _checks.above("scale", scale, 0)
        _checks.flag("gradient_rescaling", gradient_rescaling)
        self.margin, self.scale = margin, scale
        self.normalize_features, self.gradient_rescaling = normalize_features, gradient_rescaling
        self.annealing = Annealing(annealing_base, annealing_rate, annealing_power, annealing_floor)
        self.weight = class_weights(num_classes, embedding_dim)

    def logits(self, embeddings: Tensor) -> Tensor:
        """(B, D) -> (B, C) scores of the classes, ||x|| cos, without the margin: what a prediction goes by."""
        x = self._sized(_checks.precise(embeddings))
        return F.linear(x, F.normalize(self.weight.to(x.dtype)))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar, the mean over the batch."""
        x = self._sized(_checks.batch(embeddings, labels, self.weight))
        weight = F.normalize(self.weight.to(x.dtype))
        plain = F.linear(x, weight)
        marked = (_rescaled if self.gradient_rescaling else _true)(x, rows(weight, labels), self.margin)
        target = self.annealing(own(plain, labels), marked)
        loss = cross_entropy(with_own(plain, labels, target), labels)
        if self.training:
            self.annealing.advance()
        return loss

    def _sized(self, x: Tensor) -> Tensor:
        return self.scale * F.normalize(x) if self.normalize_features else x


def _true(x: Tensor, weight: Tensor, margin: int) -> Tensor:
    """(B, D), (B, D) of length 1 -> (B,): ||x|| psi(theta) between each row and its weight."""
    return x.norm(dim=1) * psi(torch.cosine_similarity(x, weight), margin)


def _rescaled(x: Tensor, weight: Tensor, margin: int) -> Tensor:
    """As `_true`, with the gradient of the released code (wy1iu/sphereface, margin_inner_product_layer).

    To x: (a W + b x) / sqrt(a^2 + b^2), where a W + b x is the true one: a = psi', b = (psi - cos psi') / ||x||
    (psi' = d psi / d cos). To W: x, as if there were no margin. The share of lambda is not rescaled.
    """
    value = _true(x, weight.detach(), margin)
    with torch.no_grad():
        cosine = torch.cosine_similarity(x, weight)
        to_weight = psi_slope(cosine, margin)
        to_x = (psi(cosine, margin) - cosine * to_weight) / x.norm(dim=1).clamp(min=torch.finfo(x.dtype).tiny)
        norm = torch.hypot(to_weight, to_x)
    inner = (x.detach() * weight).sum(1)
    return value.detach() + (value - value.detach()) / norm + (inner - inner.detach())
