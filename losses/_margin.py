"""What the normalised (cosine) softmax losses share; each of them is its margin."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses import _checks
from losses._weights import class_weights


class MarginSoftmax(nn.Module):
    """Abstract: cross-entropy over `scale * cos(theta_j)` in which the target's cosine goes through `target`.

    L = -1/B sum_i log( e^{s target(cos_y)} / ( e^{s target(cos_y)} + sum_{j != y} e^{s cos_j} ) )

    Weights and embeddings are L2-normalised inside the graph (Wang et al. 2018, Sec. 3.1); there is no bias, and `scale`
    is not learned.
    """

    def __init__(self, num_classes: int, embedding_dim: int, scale: float):
        super().__init__()
        _checks.above("scale", scale, 0)
        self.scale = scale
        self.weight = class_weights(num_classes, embedding_dim)

    @abstractmethod
    def target(self, cosine: Tensor) -> Tensor:
        """(B,) cosines of the embeddings with their own class -> (B,) what stands in their place."""

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar, the mean over the batch."""
        x = _checks.batch(embeddings, labels, self.weight.shape[1])
        cosine = F.linear(F.normalize(x), F.normalize(self.weight.to(x.dtype)))  # (B, C)
        own = labels[:, None]
        logits = cosine.scatter(1, own, self.target(cosine.gather(1, own).squeeze(1))[:, None])
        return F.cross_entropy(self.scale * logits, labels)


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
        """Count one training call (called after the loss was computed)."""
        if self.training:
            self.count += 1
