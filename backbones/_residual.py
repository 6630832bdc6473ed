"""The blocks of the Caffe face networks before batch normalisation: `sphere20`, `sphere64` and `centerface`."""

from torch import Tensor, nn

from backbones._initial import gaussian, xavier


def conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, padding: int = 0) -> nn.Sequential:
    """Convolution with a bias (Caffe's "xavier"), then PReLU with a slope for each channel, at first 0.25."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding)
    return nn.Sequential(xavier(layer), nn.PReLU(outputs))


class Residual(nn.Module):
    """x + PReLU(conv(PReLU(conv(x)))): 3x3, no bias, no batch norm, weights from N(0, 0.01^2)."""

    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            gaussian(nn.Conv2d(width, width, 3, padding=1, bias=False)),
            nn.PReLU(width),
            gaussian(nn.Conv2d(width, width, 3, padding=1, bias=False)),
            nn.PReLU(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same."""
        return x + self.body(x)
