"""Center loss: softmax plus the distance of each embedding to the centre of its class."""

import torch
from torch import Tensor, nn

from losses import _checks
from losses._weights import xavier
from losses.softmax import Softmax

SPACE = {"center_weight": ("log", 1e-4, 1e-1), "center_rate": ("linear", 0.05, 1.0)}


class CenterLoss(nn.Module):
    """Softmax and center loss under joint supervision (Wen et al. 2016, eqs. 2-5 and Algorithm 1).

    L = L_S + lambda L_C,    L_C = 1/(2B) sum_i ||x_i - c_{y_i}||^2
    after each training call:  c_j <- c_j - alpha  sum_i [y_i = j] (c_j - x_i) / (1 + sum_i [y_i = j])

    The embeddings' gradient uses the centres as they were before the call. The centres are a buffer: no gradient,
    learning rate, momentum or decay reaches them. With lambda = 0 the network trains exactly as under `Softmax`.
    Departure: both terms are means over the batch where the paper writes sums, so lambda keeps the paper's meaning.

    Args:
        center_weight: lambda.
        center_rate: alpha in [0, 1].
        bias: as in `Softmax`.
    """

    centers: Tensor

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        center_weight: float = 0.003,
        center_rate: float = 0.5,
        bias: bool = True,
    ):
        super().__init__()
        _checks.at_least("center_weight", center_weight, 0)
        _checks.within("center_rate", center_rate, 0, 1)
        self.softmax = Softmax(num_classes, embedding_dim, bias=bias)
        self.center_weight = center_weight
        self.center_rate = center_rate
        # A generator of their own: all else draws the same numbers as without centres (lambda = 0 is softmax).
        own = torch.Generator().manual_seed(torch.initial_seed() % 2**63)
        self.register_buffer("centers", xavier(num_classes, embedding_dim, own))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar. While training, the centres move after the loss was computed."""
        x = _checks.batch(embeddings, labels, self.centers)
        apart = x - self.centers.to(x.dtype)[labels]
        loss = self.softmax(x, labels) + self.center_weight * apart.square().sum(1).mean() / 2
        if self.training:
            self._move(x.detach(), labels)
        return loss

    @torch.no_grad()
    def _move(self, embeddings: Tensor, labels: Tensor) -> None:
        """Eq. 4. Gather and scatter only: O(B D), never a B x C distance matrix."""
        apart = self.centers[labels] - embeddings.to(self.centers.dtype)  # c_j - x_i
        total = torch.zeros_like(self.centers).index_add_(0, labels, apart)
        count = torch.bincount(labels, minlength=len(self.centers)).to(total.dtype)
        self.centers -= self.center_rate * total / (1 + count)[:, None]
