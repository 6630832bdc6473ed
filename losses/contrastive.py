"""Contrastive loss: pairs of one identity together, pairs of two at least a margin apart."""

from torch import Tensor, nn

from losses import _checks
from losses._contrastive import Margin, pairs

SPACE = {"margin": ("log", 0.1, 10.0)}
IMAGES_PER_IDENTITY = 2


class ContrastiveLoss(nn.Module):
    """The verification signal of DeepID2 (Sun et al. 2014, eq. 2; after Hadsell et al. 2006).

    V_ij = 1/2 ||f_i - f_j||^2              y_i = y_j
    V_ij = 1/2 max(0, m - ||f_i - f_j||)^2  y_i != y_j
    L = 1/2 (mean of V over the pairs of one identity) + 1/2 (mean of V over the pairs of two identities)

    All pairs i < j of the batch take part; a mean over no pair is 0. Embeddings are not normalised. A metric loss: it has
    neither class weights nor `logits`.

    Departures: the paper sums over a stream of pairs and does not say how many of them match. Of all pairs of a batch of
    P identities x K images only (K - 1) / (P K - 1) do, so here each kind weighs one half; `balanced` off gives the plain
    mean over all pairs. The margin is fixed unless `adapt_margin` is on; then it is re-set as in the paper, except that the
    verification error is the mean of the two kinds' error rates, for the same reason.

    Args:
        margin: m, in units of the (unsquared) distance; with `adapt_margin` where it starts.
        balanced: whether each kind of pairs weighs one half.
        adapt_margin: re-set m after every `margin_pairs` pairs, to the least verification error on the last of them.
        margin_pairs: how many pairs that looks at.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        margin: float = 1.0,
        balanced: bool = True,
        adapt_margin: bool = False,
        margin_pairs: int = 200_000,
    ):
        super().__init__()
        _checks.classes(num_classes, embedding_dim)
        _checks.flag("balanced", balanced)
        self.num_classes = num_classes
        self.embedding_dim = embedding_dim
        self.balanced = balanced
        self.margin = Margin(margin, adapt_margin, margin_pairs)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar. An adapting margin moves after the loss was computed."""
        x = _checks.sized(embeddings, labels, self.num_classes, self.embedding_dim)
        distance, same = pairs(x, labels)
        together = distance.square() * same / 2
        apart = (self.margin() - distance).clamp(min=0).square() * ~same / 2
        if self.training:
            self.margin.observe(distance.detach(), same)
        if self.balanced:
            return (together.sum() / same.sum().clamp(min=1) + apart.sum() / (~same).sum().clamp(min=1)) / 2
        return (together + apart).sum() / max(1, len(same))
