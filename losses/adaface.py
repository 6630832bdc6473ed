"""AdaFace: a margin that depends on the image's quality, for which the embedding's length stands."""

import math

import torch
from torch import Tensor, nn

from losses import _checks
from losses._angles import angle
from losses._classes import cross_entropy, own, with_own
from losses._margin import cosines
from losses._moments import follow, moments
from losses._weights import class_weights

SPACE = {"scale": ("log", 8.0, 128.0), "margin": ("linear", 0.0, 0.8), "concentration": ("linear", 0.0, 1.0)}
DETACHED = ("lengths",)


class AdaFace(nn.Module):
    """Softmax whose angular and additive margin depend on the embedding's length (Kim et al. 2022, eqs. 13-16).

    L = -1/B sum_i log( e^{s f_i} / ( e^{s f_i} + sum_{j != y} e^{s cos_j} ) )
    f_i = cos(theta_y - m q_i) - (m q_i + m),    q_i = clip( (||x_i|| - mu) h / sigma, -1, 1 )
    after each training call:  mu <- (1 - rate) mu + rate mean_i ||x_i||,  sigma likewise with the standard deviation

    q = -1 (poor images) is `ArcFace`, q = 0 `LMCL`, q = 1 a negative angular with twice the additive margin. Lengths are
    clamped to [0.001, 100] and, as in the paper, constants in the gradient (`DETACHED`); theta - m q is clipped to
    [0, pi]. mu and sigma are buffers that start at 20 and 100, as in the released code, and the loss uses them as they
    were before the call. A batch of one leaves sigma as it is.
    Departures: rate 0.01 as in the released training (`t_alpha`), where the paper names a momentum of 0.99. The
    released code moves mu and sigma before it computes the loss, holds all cosines within +-0.999 and angles 0.001 off
    0 and pi (here only the clamp of `losses/_angles.py` on the own class), and a batch of one makes its sigma NaN.

    Args:
        scale: s, fixed, not learned.
        margin: m, 0 to pi/2: both an angle in radians and a distance of cosines.
        concentration: h >= 0: how far a deviation of one sigma moves q.
        statistics_rate: the share of the new batch in mu and sigma, in [0, 1].
    """

    SHARDABLE = True

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        margin: float = 0.4,
        concentration: float = 0.333,
        statistics_rate: float = 0.01,
    ):
        super().__init__()
        _checks.above("scale", scale, 0)
        _checks.within("margin", margin, 0, math.pi / 2)
        _checks.at_least("concentration", concentration, 0)
        _checks.within("statistics_rate", statistics_rate, 0, 1)
        self.scale = scale
        self.margin = margin
        self.concentration = concentration
        self.statistics_rate = statistics_rate
        self.weight = class_weights(num_classes, embedding_dim)
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("deviation", torch.tensor(100.0))

    def logits(self, embeddings: Tensor) -> Tensor:
        """(B, D) -> (B, C) scores of the classes, without the margin."""
        return self.scale * cosines(_checks.precise(embeddings), self.weight)

    def quality(self, lengths: Tensor) -> Tensor:
        """q: (B,) lengths -> (B,) in -1..1, by the statistics of the batches before."""
        apart = lengths - self.mean.to(lengths.dtype)
        # 0.001 as in the released code: a batch of equal lengths has no deviation.
        return (self.concentration * apart / (self.deviation.to(lengths.dtype) + 1e-3)).clamp(-1, 1)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar, the mean over the batch. While training, mu and sigma move afterwards."""
        x = _checks.batch(embeddings, labels, self.weight)
        lengths = x.detach().norm(dim=1).clamp(1e-3, 100)
        cosine = cosines(x, self.weight)
        shift = self.margin * self.quality(lengths)
        target = (angle(own(cosine, labels)) - shift).clamp(0, math.pi).cos() - shift - self.margin
        loss = cross_entropy(self.scale * with_own(cosine, labels, target), labels)
        if self.training:
            mean, deviation = moments(lengths)
            follow(self.mean, mean, self.statistics_rate)
            follow(self.deviation, deviation, self.statistics_rate)
        return loss
