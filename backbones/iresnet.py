"""ArcFace's residual networks."""

from collections.abc import Sequence

from torch import Tensor, nn

from backbones import register_sizes
from backbones._initial import gaussian
from backbones._sizes import at_least, halved, stages

_SMALLEST = 16  # four halvings: below, the last map is nothing but border


class _Block(nn.Module):
    """x + BN(conv(PReLU(BN(conv(BN(x)))))), 3x3; the stride is the second convolution's, and the shortcut's 1x1."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            _conv(inputs, outputs, 3, 1),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            _conv(outputs, outputs, 3, stride),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)


class IResNet(nn.Module):
    """Residual net for small faces (Deng et al. 2019, Sec. 3.1; the code of insightface's PyTorch version).

    Stem: 3x3 convolution of stride 1, BN, PReLU. Four stages of blocks, each halving the map at its first. Head "E":
    BN, dropout, linear from the flattened map, BN whose scale is fixed at 1. Convolutions start from N(0, 0.1^2) and
    have no bias; PReLU slopes at 0.25; the linear layer as PyTorch's default.

    Args:
        embedding_dim: D; 512 in the paper.
        in_chans: 1 or 3.
        image_size: (H, W), at least 16 x 16.
        blocks, widths: the blocks and the channels of the four stages.
        dropout: of the flattened map; 0.4 in insightface's first code (MXNet), 0 in its PyTorch version.
    """

    def __init__(
        self,
        embedding_dim: int,
        in_chans: int,
        image_size: tuple[int, int],
        blocks: Sequence[int],
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
        dropout: float = 0.4,
    ):
        super().__init__()
        stages(4, "an iresnet", widths)
        at_least(_SMALLEST, "an iresnet", image_size)
        self.stem = nn.Sequential(_conv(in_chans, widths[0], 3, 1), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0]))
        self.stages = nn.Sequential(
            *(
                nn.Sequential(_Block(inputs, width, 2), *(_Block(width, width, 1) for _ in range(count - 1)))
                for inputs, width, count in zip((widths[0], *widths[:3]), widths, blocks, strict=True)
            )
        )
        self.flatten = nn.Sequential(nn.BatchNorm2d(widths[3]), nn.Flatten(), nn.Dropout(dropout))
        height, width = (halved(side, 4) for side in image_size)
        self.embedding = nn.Linear(widths[3] * height * width, embedding_dim)
        self.norm = nn.BatchNorm1d(embedding_dim)
        self.norm.weight.requires_grad = False

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_chans, H, W) -> (B, D) float32."""
        return self.norm(self.embedding(self.flatten(self.stages(self.stem(images)))).float())


def _conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Conv2d:
    return gaussian(nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), 0.1)


# Parameters at 112 x 112 with D = 512: 24.03, 34.14, 43.59 and 65.16 million.
register_sizes(
    IResNet,
    {
        "iresnet18": (2, 2, 2, 2),
        "iresnet34": (3, 4, 6, 3),
        "iresnet50": (3, 4, 14, 3),
        "iresnet100": (3, 13, 30, 3),
    },
)
