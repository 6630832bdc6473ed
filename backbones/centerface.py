"""The two face networks of center loss: the one in the paper, and the different one that its authors released."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from backbones import register
from backbones._initial import xavier
from backbones._local import LocalConv2d
from backbones._residual import Residual, conv
from backbones._sizes import at_least, halved


@register
class CenterFace(nn.Module):
    """The network of center loss's released code, on which SphereFace's first release was trained too.

    3x3 convolutions 32 and 64, pooling; then four stages of residual blocks, the first three of them followed by a
    3x3 convolution that doubles the channels and a pooling:

        1 block (64), conv 128, pool, 2 blocks (128), conv 256, pool, 5 blocks (256), conv 512, pool, 3 blocks (512), linear

    27 convolutions, no batch norm. Convolutions outside the blocks have a bias, no padding, and Caffe's "xavier"; those
    inside have padding 1, no bias, and N(0, 0.01^2). PReLU after each, nothing after the linear layer. Poolings are 2x2 of
    stride 2, rounded up. Maps at 112x96: 54x46, 26x22, 12x10, 5x4.

    Args:
        embedding_dim: D; 512 in the released code.
        in_chans: 1 or 3.
        image_size: (H, W), at least 33 x 33: unpadded convolutions leave nothing of a smaller one.
        widths: the channels of the four stages of residual blocks; the first convolution has half the first.
    """

    def __init__(
        self,
        embedding_dim: int,
        in_chans: int = 3,
        image_size: tuple[int, int] = (112, 96),
        *,
        widths: Sequence[int] = (64, 128, 256, 512),
    ):
        super().__init__()
        if len(widths) != 4 or min(widths) < 2:
            raise ValueError(f"centerface has four stages: widths must be four numbers from 2, got {widths}")
        at_least(33, "centerface", image_size)
        half = widths[0] // 2
        self.stages = nn.Sequential(
            nn.Sequential(conv(in_chans, half), conv(half, widths[0]), _pool(), *_blocks(widths[0], 1)),
            nn.Sequential(conv(widths[0], widths[1]), _pool(), *_blocks(widths[1], 2)),
            nn.Sequential(conv(widths[1], widths[2]), _pool(), *_blocks(widths[2], 5)),
            nn.Sequential(conv(widths[2], widths[3]), _pool(), *_blocks(widths[3], 3)),
        )
        height, width = (_last_side(side) for side in image_size)
        self.embedding = xavier(nn.Linear(widths[3] * height * width, embedding_dim))

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_chans, H, W) -> (B, D) float32."""
        return self.embedding(self.stages(images).flatten(1)).float()


class CenterFacePaper(nn.Module):
    """The network of Wen et al. (2016), Fig. 4: convolutions shared over the image, then over ever smaller regions.

    Four stages of 3x3 convolution (128), PReLU and 2x2 pooling; three 3x3 local convolutions (256) with PReLU, whose
    weights are shared within regions of 4x4, 2x2 and 1x1 places; the outputs of the fourth pooling and of the third
    local convolution, concatenated, go through the linear layer.

    What the figure and its caption leave open, and what is chosen here:
        order and number of the layers: a convolution before each of the four poolings, all local convolutions
            after the last: a net of seven such layers, the fewest that four poolings and the concatenation allow
        padding: 1, so that both maps that are concatenated are of one size
        regions: of places of the map (as in Sun et al. 2014), counted from the top left; what is left over at the
            right and the bottom is a smaller region
        rounding of the poolings: up, Caffe's
        initialisation: Caffe's "xavier", biases 0, PReLU slopes 0.25 for each channel

    Args:
        embedding_dim: D; 512 in the paper.
        in_chans: 1 or 3.
        image_size: (H, W), at least 16 x 16; the local weights grow with it (112 x 96: a last map of 7 x 6).
        widths: the channels of the convolutions and of the local convolutions.
    """

    def __init__(
        self,
        embedding_dim: int,
        in_chans: int = 3,
        image_size: tuple[int, int] = (112, 96),
        *,
        widths: Sequence[int] = (128, 256),
    ):
        super().__init__()
        if len(widths) != 2 or min(widths) < 1:
            raise ValueError(f"centerface_paper has two widths, positive numbers, got {widths}")
        at_least(16, "centerface_paper", image_size)
        shared, local = widths
        self.stages = nn.Sequential(
            *(nn.Sequential(conv(inputs, shared, padding=1), _pool()) for inputs in (in_chans, shared, shared, shared))
        )
        size = (halved(image_size[0], 4), halved(image_size[1], 4))
        self.local = nn.Sequential(
            *(
                nn.Sequential(LocalConv2d(inputs, local, size, region), nn.PReLU(local))
                for inputs, region in ((shared, 4), (local, 2), (local, 1))
            )
        )
        self.embedding = xavier(nn.Linear((shared + local) * size[0] * size[1], embedding_dim))

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_chans, H, W) -> (B, D) float32."""
        pooled = self.stages(images)
        both = torch.cat([pooled, self.local(pooled)], 1)
        return self.embedding(both.flatten(1)).float()


@register
def centerface_paper(
    embedding_dim: int, in_chans: int = 3, image_size: tuple[int, int] = (112, 96), **options: Any
) -> nn.Module:
    """Fig. 4 of Wen et al. (2016), 41.75 million parameters at 112 x 96 with D = 512; the options are `CenterFacePaper`'s."""
    return CenterFacePaper(embedding_dim, in_chans, image_size, **options)


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(2, ceil_mode=True)


def _blocks(width: int, count: int) -> list[Residual]:
    return [Residual(width) for _ in range(count)]


def _last_side(side: int) -> int:
    """Two unpadded 3x3 convolutions and a pooling, then three times one of each."""
    side = halved(side - 4)
    for _ in range(3):
        side = halved(side - 2)
    return side
