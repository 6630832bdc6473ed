"""CurricularFace: ArcFace that weighs its hard negatives more, the further training has come."""

import math

import torch
from torch import Tensor, nn

from losses import _checks
from losses._angular import added
from losses._classes import cross_entropy, own, with_own
from losses._margin import cosines
from losses._moments import follow, moments
from losses._weights import class_weights

SPACE = {"scale": ("log", 8.0, 128.0), "margin": ("linear", 0.0, 0.8)}


class CurricularFace(nn.Module):
    """ArcFace whose hard negatives are modulated by t, the mean cosine to the own class so far (Huang et al. 2020).

    L = -1/B sum_i log( e^{s T(cos_y)} / ( e^{s T(cos_y)} + sum_{j != y} e^{s N(t, cos_j)} ) )    (eq. 10)
    T(cos_y) = cos(theta_y + m)
    N(t, cos_j) = cos_j if T(cos_y) >= cos_j, else cos_j (t + cos_j)
    after each training call:  t <- (1 - rate) t + rate mean_i cos_{y_i},  from t = 0

    t is a buffer: no gradient reaches it, and the loss uses it as it was before the call. Where
    theta + m exceeds pi, T is cos(theta) - m sin(m), as in `ArcFace`.
    Departure from the paper: its formula gives the new batch the weight alpha = 0.99, the released code 0.01, which is
    the default here. Departures from the released code: it moves t before it computes the loss, and it tells hard
    negatives by cos(theta + m) even where T is something else.

    Args:
        scale: s, fixed, not learned.
        margin: m in radians, 0 to pi/2.
        curriculum_rate: the share of the new batch in t, in [0, 1].
    """

    SHARDABLE = True

    curriculum: Tensor

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        curriculum_rate: float = 0.01,
    ):
        super().__init__()
        _checks.above("scale", scale, 0)
        _checks.within("margin", margin, 0, math.pi / 2)
        _checks.within("curriculum_rate", curriculum_rate, 0, 1)
        self.scale = scale
        self.margin = margin
        self.curriculum_rate = curriculum_rate
        self.weight = class_weights(num_classes, embedding_dim)
        self.register_buffer("curriculum", torch.zeros(()))

    def logits(self, embeddings: Tensor) -> Tensor:
        """(B, D) -> (B, C) scores of the classes, without margin and modulation."""
        return self.scale * cosines(_checks.precise(embeddings), self.weight)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar, the mean over the batch. While training, t moves afterwards."""
        cosine = cosines(_checks.batch(embeddings, labels, self.weight), self.weight)
        within = own(cosine, labels)
        target = added(within, self.margin)
        hard = cosine * (self.curriculum.to(cosine.dtype) + cosine)
        others = torch.where(cosine > target[:, None], hard, cosine)
        loss = cross_entropy(self.scale * with_own(others, labels, target), labels)
        if self.training:
            follow(self.curriculum, moments(within)[0], self.curriculum_rate)
        return loss
