"""Center loss: softmax plus the distance of each embedding to the centre of its class."""

from losses import _checks
from losses._center import CenterTerm
from losses._joint import Joint
from losses.softmax import Softmax

SPACE = {"center_weight": ("log", 1e-4, 1e-1), "center_rate": ("linear", 0.05, 1.0)}


class CenterLoss(Joint):
    """Softmax and center loss under joint supervision (Wen et al. 2016, eqs. 2-5 and Algorithm 1).

    L = L_S + lambda L_C,    L_C = 1/(2B) sum_i ||x_i - c_{y_i}||^2
    after each training call:  c_j <- c_j - alpha  sum_i [y_i = j] (c_j - x_i) / (1 + sum_i [y_i = j])

    (B, D) float, (B,) int64 -> scalar. The embeddings' gradient uses the centres as they were before the call. The centres
    are a buffer: no gradient, learning rate, momentum or decay reaches them. With lambda = 0 the network trains exactly as
    under `Softmax`. Any other classification loss takes the same term: `losses.create("lmcl+center", ...)`.
    Departure: both terms are means over the batch where the paper writes sums, so lambda keeps the paper's meaning.

    Args:
        center_weight: lambda.
        center_rate: alpha in [0, 1].
        variant: how the centres move: `paper` (above) or `autograd`, as in `CenterTerm`.
        softmax_weight: what L_S is multiplied by; 0 leaves the centre term alone, under which the embeddings degenerate to
            a constant (Wen et al. 2016, Sec. 3.2, discussion).
        bias: as in `Softmax`.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        center_weight: float = 0.003,
        center_rate: float = 0.5,
        variant: str = "paper",
        softmax_weight: float = 1.0,
        bias: bool = True,
    ):
        _checks.at_least("center_weight", center_weight, 0)
        _checks.at_least("softmax_weight", softmax_weight, 0)
        if not center_weight and not softmax_weight:
            raise ValueError(
                "center_weight and softmax_weight are both 0: there is nothing to train by, set one above 0"
            )
        softmax = Softmax(num_classes, embedding_dim, bias=bias)
        term = CenterTerm(num_classes, embedding_dim, center_rate=center_rate, variant=variant)
        super().__init__(softmax, term, center_weight, softmax_weight)
