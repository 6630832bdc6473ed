"""The SphereFace networks, which CosFace trains too: residual, without batch normalisation."""

from collections.abc import Sequence

from torch import Tensor, nn

from backbones import register_sizes
from backbones._initial import xavier
from backbones._residual import Residual, conv
from backbones._sizes import at_least, halved, stages

_SMALLEST = 16  # four halvings: below, the last map is nothing but border


class Sphere(nn.Module):
    """Four stages, then a linear layer from the flattened map (Liu et al. 2017, Table 2; Wang et al. 2018, Sec. 4.1).

    Stage: 3x3 convolution of stride 2 with bias (Caffe's "xavier"), PReLU; then blocks x + PReLU(conv(PReLU(conv(x)))),
    3x3, without bias, N(0, 0.01^2). No batch norm, and nothing after the linear layer ("xavier", bias 0).

    Args:
        embedding_dim: D; 512 in the papers.
        in_chans: 1 or 3.
        image_size: (H, W), at least 16 x 16; 112 x 96 in the papers, where the last map is 7 x 6.
        blocks, widths: the blocks and the channels of the four stages.
    """

    def __init__(
        self,
        embedding_dim: int,
        in_chans: int,
        image_size: tuple[int, int],
        blocks: Sequence[int],
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
    ):
        super().__init__()
        stages(4, "a sphere net", widths)
        at_least(_SMALLEST, "a sphere net", image_size)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(conv(inputs, width, stride=2, padding=1), *(Residual(width) for _ in range(count)))
                for inputs, width, count in zip((in_chans, *widths[:3]), widths, blocks, strict=True)
            )
        )
        height, width = (halved(side, 4) for side in image_size)
        self.embedding = xavier(nn.Linear(widths[3] * height * width, embedding_dim))

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_chans, H, W) -> (B, D) float32."""
        return self.embedding(self.stages(images).flatten(1)).float()


# Parameters at 112 x 96 with D = 512: 22.67, 48.19 and 47.89 million. `sphere64` is the papers' 64-layer net (64 convolutions);
# the released prototxt has one block less (62 convolutions, and 2 linear layers).
register_sizes(
    Sphere,
    {
        "sphere20": (1, 2, 4, 1),
        "sphere64": (3, 8, 16, 3),
        "sphere64_released": (3, 7, 16, 3),
    },
)
