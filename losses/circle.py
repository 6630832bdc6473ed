"""Circle loss with class-level labels."""

from torch import Tensor, nn

from losses import _checks
from losses._classes import cross_entropy, own, with_own
from losses._margin import cosines
from losses._weights import class_weights

SPACE = {"scale": ("log", 32.0, 512.0), "margin": ("linear", 0.05, 0.5)}
DETACHED = ("alpha",)


class Circle(nn.Module):
    """Each cosine pulled to its optimum the harder, the farther it is from it (Sun et al. 2020, eqs. 4-6).

    L = 1/B sum_i log( 1 + sum_{j != y} e^{s a_j (cos_j - m)} / e^{s a_y (cos_y - (1 - m))} )
    a_y = [1 + m - cos_y]_+,    a_j = [cos_j + m]_+    (eq. 5, with O_p = 1 + m, O_n = -m of Sec. 3.3)

    This is eq. 6 with class-level labels: the one similarity within the class is with the own class weight, those
    between classes are with all others, as in eq. 2. Two classes are told apart by the circle
    cos_j^2 + (cos_y - 1)^2 = 2 m^2 (eq. 8).
    The weights a are constants in the gradient (`DETACHED`): the gradient that reaches s a_j cos_j is multiplied by a_j on
    its way to cos_j (Sec. 3.1), so it is not that of finite differences of L.
    Departure: none known; the mean over the batch is ours, as the paper writes L for one sample. The authors released
    no code; pytorch-metric-learning has the form for pair labels only, which this becomes if the class weights are the
    embeddings that each embedding is compared with.

    Args:
        scale: gamma, fixed, not learned.
        margin: m in [0, 1], in units of the cosine: the loss wants cos_y > 1 - m and cos_j < m.
    """

    SHARDABLE = True

    def __init__(self, num_classes: int, embedding_dim: int, *, scale: float = 256.0, margin: float = 0.25):
        super().__init__()
        _checks.above("scale", scale, 0)
        _checks.within("margin", margin, 0, 1)
        self.scale = scale
        self.margin = margin
        self.weight = class_weights(num_classes, embedding_dim)

    def logits(self, embeddings: Tensor) -> Tensor:
        """(B, D) -> (B, C) scores of the classes: scaled cosines, neither weighed nor with a margin."""
        return self.scale * cosines(_checks.precise(embeddings), self.weight)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar, the mean over the batch."""
        cosine = cosines(_checks.batch(embeddings, labels, self.weight), self.weight)
        within = own(cosine, labels)
        others = (cosine.detach() + self.margin).relu() * (cosine - self.margin)
        target = (1 + self.margin - within.detach()).relu() * (within - 1 + self.margin)
        return cross_entropy(self.scale * with_own(others, labels, target), labels)
