"""Normalised softmax loss: LMCL without its margin."""

from torch import Tensor

from losses._margin import MarginSoftmax

SPACE = {"scale": ("log", 8.0, 128.0)}


class NSL(MarginSoftmax):
    """Softmax over scaled cosines (Wang et al. 2018, eq. 3; also called NormFace).

    L = -1/B sum_i log( e^{s cos_{y_i}} / sum_j e^{s cos_j} )

    Args:
        scale: s, the length that embeddings are normalised to.
    """

    def __init__(self, num_classes: int, embedding_dim: int, *, scale: float = 30.0):
        super().__init__(num_classes, embedding_dim, scale)

    def target(self, cosine: Tensor) -> Tensor:
        return cosine
