"""What the normalised (cosine) softmax losses share; most of them are nothing but their margin."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses import _checks
from losses._classes import cross_entropy, own, with_own
from losses._weights import class_weights


def cosines(x: Tensor, weight: Tensor) -> Tensor:
    """(B, D), (C, D) -> (B, C) cosines in the precision of `x`; both are normalised inside the graph."""
    return F.linear(F.normalize(x), F.normalize(weight.to(x.dtype)))


class MarginSoftmax(nn.Module):
    """Abstract: cross-entropy over `scale * cos(theta_j)` in which the target's cosine goes through `target`.

    L = -1/B sum_i log( e^{s target(cos_y)} / ( e^{s target(cos_y)} + sum_{j != y} e^{s cos_j} ) )

    Weights are L2-normalised inside the graph, and so are embeddings (Wang et al. 2018, Sec. 3.1) unless
    `normalize_features` is off: then s is the embedding's own length ||x_i||. There is no bias, and `scale` is not learned.
    """

    SHARDABLE = True

    def __init__(self, num_classes: int, embedding_dim: int, scale: float, normalize_features: bool = True):
        super().__init__()
        _checks.above("scale", scale, 0)
        _checks.flag("normalize_features", normalize_features)
        self.scale = scale
        self.normalize_features = normalize_features
        self.weight = class_weights(num_classes, embedding_dim)

    @abstractmethod
    def target(self, cosine: Tensor) -> Tensor:
        """(B,) cosines of the embeddings with their own class -> (B,) what stands in their place."""

    def advance(self) -> None:
        """What moves without a gradient; called after each training call. Nothing, unless a loss says otherwise."""

    def logits(self, embeddings: Tensor) -> Tensor:
        """(B, D) -> (B, C) scores of the classes, without the margin: what a prediction goes by."""
        x = _checks.precise(embeddings)
        return self._lengths(x) * cosines(x, self.weight)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar, the mean over the batch."""
        x = _checks.batch(embeddings, labels, self.weight)
        cosine = cosines(x, self.weight)
        marked = with_own(cosine, labels, self.target(own(cosine, labels)))
        loss = cross_entropy(self._lengths(x) * marked, labels)
        if self.training:
            self.advance()
        return loss

    def _lengths(self, x: Tensor) -> Tensor | float:
        return self.scale if self.normalize_features else x.norm(dim=1, keepdim=True)


class Ramp(nn.Module):
    """A factor that rises linearly from 0 to 1 over the first `steps` training calls, then stays 1.

    Its counter is in `state_dict`, so that a resumed run goes on where it stood.
    """

    count: Tensor

    def __init__(self, steps: int):
        super().__init__()
        _checks.number("margin_warmup_steps", steps, int)
        _checks.at_least("margin_warmup_steps", steps, 0)
        self.steps = steps
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self) -> Tensor | float:
        """The factor of this call; the full value in eval."""
        if not self.steps or not self.training:
            return 1.0
        return (self.count.double() / self.steps).clamp(max=1.0)

    def advance(self) -> None:
        """Count one training call."""
        self.count += 1
