"""Joint supervision: a classification loss and a second signal on the same embeddings."""

from typing import Any

from torch import Tensor, nn

from losses import _checks
from losses._center import CenterTerm
from losses._extended import Extended


class Joint(Extended):
    """`base_weight * base + term_weight * term`, both of the same embeddings.

    Class weights and scores (`weight`, `bias`, `logits`) are those of the base, `centers` those of a centre term.
    """

    def __init__(self, base: nn.Module, term: nn.Module, term_weight: float, base_weight: float = 1.0):
        super().__init__(base)
        self.term: Any = term
        self.term_weight = term_weight
        self.base_weight = base_weight

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 -> scalar."""
        return self.base_weight * self.base(embeddings, labels) + self.term_weight * self.term(embeddings, labels)

    @property
    def centers(self) -> Tensor:
        """(C, D) class centres."""
        return self.term.centers


def with_center(
    loss: type[nn.Module],
    num_classes: int,
    embedding_dim: int,
    *,
    center_weight: float = 0.003,
    center_rate: float = 0.5,
    variant: str = "paper",
    **hyper: Any,
) -> Joint:
    """Any classification loss plus lambda L_C (`<loss>+center`); `hyper` are the loss's own hyper-parameters.

    The term sees the embeddings as they are, also beside a loss that normalises them. With lambda = 0 the network trains
    exactly as under the loss alone: the centres draw from a generator of their own.

    Args:
        center_weight: lambda.
        center_rate, variant: as in `CenterTerm`.
    """
    _checks.at_least("center_weight", center_weight, 0)
    base = loss(num_classes, embedding_dim, **hyper)
    return Joint(base, CenterTerm(num_classes, embedding_dim, center_rate=center_rate, variant=variant), center_weight)
