"""Large margin cosine loss (CosFace)."""

import warnings

from torch import Tensor

from losses import _checks
from losses._bounds import violation
from losses._margin import MarginSoftmax, Ramp

SPACE = {"scale": ("log", 8.0, 128.0), "margin": ("linear", 0.0, 0.5)}


class LMCL(MarginSoftmax):
    """Softmax over scaled cosines, the target's lowered by a margin (Wang et al. 2018, eq. 4).

    L = -1/B sum_i log( e^{s (cos_{y_i} - m)} / ( e^{s (cos_{y_i} - m)} + sum_{j != y_i} e^{s cos_j} ) )

    With m = 0 it is `NSL`. A scale or margin beyond the bounds of `losses.scale_lower_bound` (for a posterior of 0.9) and
    `losses.margin_upper_bound` is allowed, with one UserWarning at the first training call: not at creation, since a
    criterion is also made with two classes only to see whether its hyper-parameters are right.
    Departure (off by default): the margin may rise linearly over the first steps of training, because a small network that
    meets the whole margin at once may not start to learn.

    Args:
        scale: s, fixed, not learned.
        margin: m, in units of the cosine (not an angle).
        margin_warmup_steps: training calls over which the margin rises from 0 to m.
        normalize_features: off, the logits are ||x|| (cos - m) (the paper's Table 1, "No"), and `scale` plays no part.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        scale: float = 64.0,
        margin: float = 0.35,
        margin_warmup_steps: int = 0,
        normalize_features: bool = True,
    ):
        super().__init__(num_classes, embedding_dim, scale, normalize_features)
        _checks.at_least("margin", margin, 0)
        self.num_classes = num_classes  # of all processes, should they share the class weights
        self.margin = margin
        self.ramp = Ramp(margin_warmup_steps)
        self._warned = False

    def target(self, cosine: Tensor) -> Tensor:
        return cosine - self.margin * self.ramp()

    def advance(self) -> None:
        self.ramp.advance()
        if not self._warned:
            self._warned = True
            scale = self.scale if self.normalize_features else None
            if says := violation(self.num_classes, self.weight.shape[1], self.margin, scale):
                warnings.warn(f"lmcl: {says}", stacklevel=2)
