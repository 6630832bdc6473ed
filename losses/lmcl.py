"""Large margin cosine loss (CosFace)."""

from torch import Tensor

from losses import _checks
from losses._margin import MarginSoftmax, Ramp

SPACE = {"scale": ("log", 8.0, 128.0), "margin": ("linear", 0.0, 0.5)}


class LMCL(MarginSoftmax):
    """Softmax over scaled cosines, the target's lowered by a margin (Wang et al. 2018, eq. 4).

    L = -1/B sum_i log( e^{s (cos_{y_i} - m)} / ( e^{s (cos_{y_i} - m)} + sum_{j != y_i} e^{s cos_j} ) )

    With m = 0 it is `NSL`. Departure (off by default): the margin may rise linearly over the first steps of training,
    because a small network that meets the whole margin at once may not start to learn.

    Args:
        scale: s, fixed, not learned.
        margin: m, in units of the cosine (not an angle).
        margin_warmup_steps: training calls over which the margin rises from 0 to m.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        margin: float = 0.35,
        margin_warmup_steps: int = 0,
    ):
        super().__init__(num_classes, embedding_dim, scale)
        _checks.at_least("margin", margin, 0)
        self.margin = margin
        self.ramp = Ramp(margin_warmup_steps)

    def target(self, cosine: Tensor) -> Tensor:
        return cosine - self.margin * self.ramp()

    def advance(self) -> None:
        self.ramp.advance()
