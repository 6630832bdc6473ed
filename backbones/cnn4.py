"""A four-stage convolutional net, small enough to compare losses on a CPU."""

from collections.abc import Sequence

from torch import Tensor, nn

from backbones import register


def _conv(inputs: int, outputs: int, *, pool: bool = False) -> nn.Sequential:
    """3x3 convolution, pooling where asked, batch norm, PReLU. Pooling first: a quarter of the elements to normalise."""
    pooling = [nn.MaxPool2d(2)] if pool else []
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(conv, *pooling, nn.BatchNorm2d(outputs), nn.PReLU(outputs))


class _Residual(nn.Module):
    """x + two convolutions of the same width."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


@register
class CNN4(nn.Module):
    """Four stages of convolution, 2x2 max pooling and residual blocks; flattened 4x4 map -> dropout -> linear -> batch norm.

    The head is ArcFace's "E" (dropout, fully connected, batch norm), which keeps where in the face a feature was seen.

    Args:
        embedding_dim: D.
        in_chans: 1 or 3.
        image_size: (H, W), at least 16 x 16; the last map is averaged to 4 x 4 where it is larger.
        widths: the channels of the four stages.
        blocks: the residual blocks of each stage.
        dropout: of the flattened map.
    """

    def __init__(
        self,
        embedding_dim: int,
        in_chans: int = 3,
        image_size: tuple[int, int] = (64, 64),
        *,
        widths: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (0, 1, 1, 0),
        dropout: float = 0.4,
    ):
        super().__init__()
        if len(widths) != 4 or len(blocks) != 4 or min(widths) < 1 or min(blocks) < 0:
            raise ValueError(
                f"cnn4 has four stages: widths and blocks must be four numbers each, got {widths} and {blocks}"
            )
        if min(image_size) < 16:
            raise ValueError(
                f"cnn4 halves the image four times and needs at least 16x16, got {image_size[0]}x{image_size[1]}"
            )
        layers: list[nn.Module] = []
        for inputs, width, count in zip((in_chans, *widths[:3]), widths, blocks, strict=True):
            layers += [_conv(inputs, width, pool=True), *(_Residual(width) for _ in range(count))]
        grid = (min(4, image_size[0] // 16), min(4, image_size[1] // 16))
        self.stages = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(grid), nn.Flatten())
        self.dropout = nn.Dropout(dropout)
        self.embedding = nn.Linear(widths[3] * grid[0] * grid[1], embedding_dim, bias=False)
        self.norm = nn.BatchNorm1d(embedding_dim, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_chans, H, W) -> (B, D) float32."""
        return self.norm(self.embedding(self.dropout(self.stages(images))).float())
