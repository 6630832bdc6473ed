"""Triplet loss: an anchor nearer to its own identity than to another one, by a margin."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses import _checks

SPACE = {"margin": ("linear", 0.05, 1.0)}
IMAGES_PER_IDENTITY = 4
MININGS = ("semihard", "all", "hard")


class TripletLoss(nn.Module):
    """FaceNet's loss on triplets found within the batch (Schroff et al. 2015, eqs. 1-4).

    L = mean over the chosen (a, p, n) of max(0, ||f_a - f_p||^2 - ||f_a - f_n||^2 + alpha),    ||f|| = 1

    Embeddings are L2-normalised inside the graph. Every ordered pair (a, p) of one identity meets n of other identities:

    - `semihard`: the nearest n with ||f_a - f_p||^2 < ||f_a - f_n||^2 < ||f_a - f_p||^2 + alpha; none, no triplet (Sec. 3.2),
    - `all`: each n,
    - `hard`: the nearest n, which may make all embeddings collapse to one point (Sec. 3.2).

    A batch without a triplet has loss 0 and gradient 0; the buffer `empty` counts such training calls. A metric loss: it
    has neither class weights nor `logits`.

    Departure: the mean over the chosen triplets where the paper writes the sum, so that the learning rate depends neither on
    B nor on how many were found.

    Args:
        margin: alpha, in units of the squared distance of unit vectors (at most 4).
        mining: which triplets, `semihard`, `all` or `hard`.
    """

    empty: Tensor

    def __init__(self, num_classes: int, embedding_dim: int, *, margin: float = 0.2, mining: str = "semihard"):
        super().__init__()
        _checks.classes(num_classes, embedding_dim)
        _checks.above("margin", margin, 0)
        _checks.one_of("mining", mining, MININGS)
        self.num_classes = num_classes
        self.embedding_dim = embedding_dim
        self.margin = margin
        self.mining = mining
        self.register_buffer("empty", torch.zeros((), dtype=torch.int64))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar."""
        apart = self._distances(embeddings, labels)
        anchor, positive, chosen = self._mine(apart.detach(), labels)
        violation = (apart[anchor, positive][:, None] - apart[anchor] + self.margin).clamp(min=0)
        count = chosen.sum()
        if self.training:
            self.empty += count == 0
        return (violation * chosen).sum() / count.clamp(min=1)

    @torch.no_grad()
    def triplets(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D), (B,) -> (T, 3) int64: the chosen triplets as rows of the batch (anchor, positive, negative)."""
        anchor, positive, chosen = self._mine(self._distances(embeddings, labels), labels)
        pair, negative = chosen.nonzero(as_tuple=True)
        return torch.stack([anchor[pair], positive[pair], negative], dim=1)

    def _distances(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, B) squared distances of the unit vectors, from their differences: no cancellation, gradient 0 at 0."""
        unit = F.normalize(_checks.sized(embeddings, labels, self.num_classes, self.embedding_dim))
        return torch.cdist(unit, unit, compute_mode="donot_use_mm_for_euclid_dist").square()

    def _mine(self, apart: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The (A,) anchors and (A,) positives, and which negatives each such pair takes, (A, B) bool."""
        same = labels[:, None] == labels
        anchor, positive = (same & ~torch.eye(len(labels), dtype=torch.bool, device=same.device)).nonzero(as_tuple=True)
        near, far, other = apart[anchor, positive][:, None], apart[anchor], ~same[anchor]
        if self.mining == "all":
            return anchor, positive, other
        if self.mining == "semihard":
            other = other & (far > near) & (far < near + self.margin)
        nearest = far.masked_fill(~other, torch.inf).argmin(1, keepdim=True)
        return anchor, positive, torch.zeros_like(other).scatter_(1, nearest, True) & other
