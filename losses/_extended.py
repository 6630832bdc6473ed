"""A criterion built on another one, to which it leaves the classes."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Extended(nn.Module):
    """Abstract: class weights and scores are those of `base`; where `base` has none (a metric loss), nor has this."""

    def __init__(self, base: nn.Module):
        super().__init__()
        self.base: Any = base

    @property
    def weight(self) -> Tensor:
        """(C, D) class weights."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """(C,), or None: the base has no bias."""
        return getattr(self.base, "bias", None)

    @property
    def logits(self) -> Callable[[Tensor], Tensor]:
        """`logits(embeddings (B, D)) -> (B, C)` scores of the classes."""
        return self.base.logits

    @property
    def centers(self) -> Tensor:
        """(C, D) class centres."""
        return self.base.centers
