"""Supervision of several layers of a network at once."""

from collections.abc import Sequence

from torch import Tensor, nn

from losses._extended import Extended


class Layered(Extended):
    """The sum of one criterion per supervised layer (Sun et al. 2015, DeepID2+).

    L = sum_l criterion_l(embeddings[:, l D : (l + 1) D], labels)

    The embeddings of L layers lie side by side, (B, L * D), the final embedding first. The class weights and the scores
    (`weight`, `logits`) are those of the first criterion, so that a prediction goes by the final embedding, (B, D).

    Args:
        criteria: one criterion for each layer, all of the same embedding width D.
    """

    def __init__(self, criteria: Sequence[nn.Module]):
        if not criteria:
            raise ValueError("Layered needs at least one criterion, got none")
        super().__init__(criteria[0])
        self.others = nn.ModuleList(criteria[1:])

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, L * D) float, (B,) int64 -> scalar.

        Raises:
            ValueError: the width cannot be split into one embedding per criterion, or a criterion refuses its share.
        """
        layers = 1 + len(self.others)
        if embeddings.ndim != 2 or embeddings.shape[1] % layers:
            raise ValueError(
                f"embeddings must be (batch, {layers} x embedding_dim), one embedding for each of {layers} criteria, "
                f"got {tuple(embeddings.shape)}"
            )
        final, *inner = embeddings.chunk(layers, dim=1)
        loss = self.base(final, labels)
        for criterion, embedding in zip(self.others, inner, strict=True):
            loss = loss + criterion(embedding, labels)
        return loss
