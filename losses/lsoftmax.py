"""L-Softmax, the large-margin softmax loss."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses import _checks
from losses._angles import psi
from losses._annealing import Annealing
from losses._classes import cross_entropy, own, rows, with_own
from losses._weights import class_weights

SPACE = {"annealing_base": ("log", 1.0, 1000.0), "annealing_rate": ("log", 2.5e-5, 2.5e-3)}


class LSoftmax(nn.Module):
    """Softmax in which the target's angle is multiplied by a whole number, weights free (Liu et al. 2016, eqs. 4 to 6).

    L = -1/B sum_i log( e^{f_i} / ( e^{f_i} + sum_{j != y_i} e^{||W_j|| ||x_i|| cos_j} ) )
    f_i = ||W_{y_i}|| ||x_i|| ( lambda cos_{y_i} + psi(theta_{y_i}) ) / ( 1 + lambda ),    psi = (-1)^k cos(m theta) - 2k
    lambda = max( floor, base (1 + gamma t)^-power ),    t: the number of the training call

    There is no bias; m = 1 is softmax without bias. The annealing's defaults are those of the authors' MNIST example: lambda
    falls below 1 at t = 8,728, so a shorter training needs a larger `annealing_rate`, or a smaller base, to see the margin.
    In eval lambda is that of the training calls so far.

    Args:
        margin: m, one of 1, 2, 3, 4.
        annealing_base, annealing_rate, annealing_power, annealing_floor: lambda's base, gamma, power and lambda_min.
    """

    SHARDABLE = True

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        margin: int = 4,
        annealing_base: float = 1000.0,
        annealing_rate: float = 2.5e-5,
        annealing_power: float = 35.0,
        annealing_floor: float = 0.0,
    ):
        super().__init__()
        _checks.number("margin", margin, int)
        _checks.within("margin", margin, 1, 4)
        self.margin = margin
        self.annealing = Annealing(annealing_base, annealing_rate, annealing_power, annealing_floor)
        self.weight = class_weights(num_classes, embedding_dim)

    def logits(self, embeddings: Tensor) -> Tensor:
        """(B, D) -> (B, C) scores of the classes, without the margin: what a prediction goes by."""
        x = _checks.precise(embeddings)
        return F.linear(x, self.weight.to(x.dtype))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar, the mean over the batch."""
        x = _checks.batch(embeddings, labels, self.weight)
        plain, weight = self.logits(x), rows(self.weight.to(x.dtype), labels)
        lengths = weight.norm(dim=1) * x.norm(dim=1)
        marked = lengths * psi(torch.cosine_similarity(x, weight), self.margin)
        target = self.annealing(own(plain, labels), marked)
        loss = cross_entropy(with_own(plain, labels, target), labels)
        if self.training:
            self.annealing.advance()
        return loss
