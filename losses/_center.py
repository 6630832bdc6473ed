"""The centre term: how far each embedding is from the centre of its class, and how the centres follow."""

import torch
from torch import Tensor, nn

from losses import _checks
from losses._weights import xavier

VARIANTS = ("paper", "autograd")


class CenterTerm(nn.Module):
    """L_C, the mean squared distance to the centre of one's class (Wen et al. 2016, eqs. 2-4), not yet times lambda.

    L_C = 1/(2B) sum_i ||x_i - c_{y_i}||^2
    after each training call:  c_j <- c_j - alpha  sum_i [y_i = j] (c_j - x_i) / (1 + sum_i [y_i = j])

    The embeddings' gradient (eq. 3) uses the centres as they were before the call. A class that is absent stays as it is.
    In several processes each computes the term on the embeddings of all (`losses.Group`): centres that started equal stay so.

    Args:
        center_rate: alpha in [0, 1].
        variant: `paper`: the centres are a buffer that moves as above; no gradient, learning rate, momentum or decay
            reaches them. `autograd`: they are a parameter, which the optimiser moves with everything else, by the gradient
            of lambda L_C: lambda n/B (c_j - mean of its n x_i), with no 1/(1+n). That is not eq. 4, though many
            repositories do it; alpha plays no part, and the optimiser's momentum and weight decay act on the centres.
    """

    centers: Tensor

    def __init__(self, num_classes: int, embedding_dim: int, *, center_rate: float = 0.5, variant: str = "paper"):
        super().__init__()
        _checks.classes(num_classes, embedding_dim)
        _checks.within("center_rate", center_rate, 0, 1)
        _checks.one_of("variant", variant, VARIANTS)
        self.center_rate = center_rate
        self.variant = variant
        # A generator of their own: all else draws the same numbers as without centres (lambda = 0 is the bare loss).
        own = torch.Generator().manual_seed(torch.initial_seed() % 2**63)
        start = xavier(num_classes, embedding_dim, own)
        if variant == "paper":
            self.register_buffer("centers", start)
        else:
            self.centers = nn.Parameter(start)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar. While training, the paper's centres move after the term was computed."""
        x = _checks.batch(embeddings, labels, self.centers)
        term = (x - self.centers.to(x.dtype)[labels]).square().sum(1).mean() / 2
        if self.training and self.variant == "paper":
            self._move(x.detach(), labels)
        return term

    @torch.no_grad()
    def _move(self, embeddings: Tensor, labels: Tensor) -> None:
        """Eq. 4. Gather and scatter only: O(B D), never a B x C distance matrix."""
        apart = self.centers[labels] - embeddings.to(self.centers.dtype)  # c_j - x_i
        total = torch.zeros_like(self.centers).index_add_(0, labels, apart)
        count = torch.bincount(labels, minlength=len(self.centers)).to(total.dtype)
        self.centers -= self.center_rate * total / (1 + count)[:, None]
