"""LeNets++, the network of center loss's toy experiments on MNIST."""

from collections.abc import Sequence

from torch import Tensor, nn

from backbones import register
from backbones._initial import xavier
from backbones._residual import conv
from backbones._sizes import at_least, halved, stages

VARIANTS = ("paper", "released")
_SMALLEST = 8


@register
class LeNetPP(nn.Module):
    """LeNets++ (Wen et al. 2016, Table 1): six 5x5 convolutions in three stages, pooling after each, a linear layer.

    Stage: twice (5x5 convolution of stride 1 and padding 2, PReLU), then 2x2 max pooling of stride 2. With
    `embedding_dim=2` the feature is what Figures 2 and 3 plot. Poolings round up, as Caffe's do (the paper names no
    other library); most PyTorch ports round down and so have 3x3 where the paper's variant has 4x4 at 28 px.

    variant     last pooling                    after the linear layer
    paper       2x2, stride 2: 7x7 -> 4x4       nothing
    released    3x3, stride 2: 7x7 -> 3x3       PReLU (the figures of the released code show features after it)

    Weights start as in the released code: Caffe's "xavier", biases 0, PReLU slopes 0.25.

    Args:
        embedding_dim: D; 2 in the paper.
        in_chans: 1 or 3.
        image_size: (H, W), at least 8 x 8.
        variant: `paper` or `released`.
        widths: the channels of the three stages.
    """

    def __init__(
        self,
        embedding_dim: int,
        in_chans: int = 1,
        image_size: tuple[int, int] = (28, 28),
        *,
        variant: str = "paper",
        widths: Sequence[int] = (32, 64, 128),
    ):
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant of lenetpp must be one of {', '.join(VARIANTS)}, got {variant!r}")
        stages(3, "lenetpp", widths)
        at_least(_SMALLEST, "lenetpp", image_size)
        released = variant == "released"
        last = 3 if released else 2
        self.stages = nn.Sequential(
            _stage(in_chans, widths[0], pool=2),
            _stage(widths[0], widths[1], pool=2),
            _stage(widths[1], widths[2], pool=last),
        )
        height, width = (_pooled(halved(side, 2), last) for side in image_size)
        self.embedding = xavier(nn.Linear(widths[2] * height * width, embedding_dim))
        self.activation = nn.PReLU(embedding_dim) if released else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_chans, H, W) -> (B, D) float32."""
        return self.activation(self.embedding(self.stages(images).flatten(1))).float()


def _stage(inputs: int, outputs: int, *, pool: int) -> nn.Sequential:
    return nn.Sequential(
        conv(inputs, outputs, kernel=5, padding=2),
        conv(outputs, outputs, kernel=5, padding=2),
        nn.MaxPool2d(pool, stride=2, ceil_mode=True),
    )


def _pooled(side: int, kernel: int) -> int:
    """Caffe's side after max pooling of stride 2 without padding: ceil((side - kernel) / 2) + 1."""
    return -(-(side - kernel) // 2) + 1
