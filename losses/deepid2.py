"""DeepID2: softmax (identification) and contrastive loss (verification) under joint supervision."""

from losses import _checks
from losses._joint import Joint
from losses.contrastive import ContrastiveLoss
from losses.softmax import Softmax

SPACE = {"verification_weight": ("log", 1e-3, 1.0), "margin": ("log", 0.5, 20.0)}
IMAGES_PER_IDENTITY = 2


class DeepID2(Joint):
    """Identification and verification signals together (Sun et al. 2014, eqs. 1-2).

    L = L_S + lambda L_V,    L_S as in `Softmax`, L_V as in `ContrastiveLoss`

    (B, D) float, (B,) int64 -> scalar. With lambda = 0 the network trains exactly as under `Softmax`.
    Departures: L_S is a mean over images and L_V one over pairs; for the pairs and for the margin, which is fixed unless
    `adapt_margin` is on, see `ContrastiveLoss`.

    Args:
        verification_weight: lambda; the paper's best is 0.05.
        margin, balanced, adapt_margin, margin_pairs: as in `ContrastiveLoss`; the paper adapts the margin.
        bias: as in `Softmax`.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        verification_weight: float = 0.05,
        margin: float = 1.0,
        balanced: bool = True,
        adapt_margin: bool = False,
        margin_pairs: int = 200_000,
        bias: bool = True,
    ):
        _checks.at_least("verification_weight", verification_weight, 0)
        softmax = Softmax(num_classes, embedding_dim, bias=bias)
        contrastive = ContrastiveLoss(
            num_classes,
            embedding_dim,
            margin=margin,
            balanced=balanced,
            adapt_margin=adapt_margin,
            margin_pairs=margin_pairs,
        )
        super().__init__(softmax, contrastive, verification_weight)
