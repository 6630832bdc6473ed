"""Softmax loss: the baseline of every paper here."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses import _checks
from losses._classes import cross_entropy
from losses._weights import class_weights

SPACE: dict[str, tuple[str, float, float]] = {}  # nothing but the training's own learning rate and weight decay


class Softmax(nn.Module):
    """Cross-entropy over a linear layer (Wen et al. 2016, eq. 1).

    L = -1/B sum_i log softmax(W x_i + b)_{y_i}

    Departure: the mean over the batch where the paper writes the sum, so that the learning rate does not depend on B.

    Args:
        bias: whether there is a b ("nearly no difference", Wen et al. 2016, Sec. 3.1).
    """

    SHARDABLE = True

    def __init__(self, num_classes: int, embedding_dim: int, *, bias: bool = True):
        super().__init__()
        _checks.flag("bias", bias)
        self.weight = class_weights(num_classes, embedding_dim)
        self.bias = nn.Parameter(torch.zeros(num_classes)) if bias else None

    def logits(self, embeddings: Tensor) -> Tensor:
        """(B, D) -> (B, C) scores of the classes."""
        x = _checks.precise(embeddings)
        return F.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar."""
        return cross_entropy(self.logits(_checks.batch(embeddings, labels, self.weight)), labels)
