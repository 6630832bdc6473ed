"""Local convolution: weights shared within regions of the map, not over all of it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones._initial import fill_xavier

_KERNEL = 3


class LocalConv2d(nn.Module):
    """3x3 convolution of stride 1 and padding 1 whose weights are shared within regions of `region` x `region` places.

    y[o, i, j] = b[r, o] + sum_{c, u, v} W[r, o, c, u, v] x[c, i + u - 1, j + v - 1],    r = (i // region, j // region)

    The rightmost and the lowest regions are smaller where `region` does not divide the map. `region=1` shares nothing; a
    region as large as the map is an ordinary convolution. Used by DeepID2 (Sun et al. 2014) and Wen et al. (2016).

    Args:
        inputs, outputs: channels.
        size: (H, W) of the map.
        region: side of the regions, in places.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], region: int):
        super().__init__()
        self.size = size
        self.region = region
        self.rows, self.columns = (-(-side // region) for side in size)
        fan_in = inputs * _KERNEL**2
        self.weight = nn.Parameter(torch.empty(self.rows * self.columns, fan_in, outputs))
        # One axis, like every bias: the optimizer knows by it what is not to decay.
        self.bias = nn.Parameter(torch.zeros(self.rows * self.columns * outputs))
        fill_xavier(self.weight, fan_in)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        regions, _, outputs = self.weight.shape
        y = torch.baddbmm(self.bias.view(regions, 1, outputs), self._patches(x), self.weight)
        y = y.view(self.rows, self.columns, len(x), self.region, self.region, outputs)
        y = y.permute(2, 5, 0, 3, 1, 4).reshape(len(x), outputs, *self._whole())
        return y[:, :, : self.size[0], : self.size[1]]

    def _patches(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (regions, B * region^2, inputs * 9): what each place sees, gathered by region."""
        high, wide = self._whole()
        x = F.pad(x, (1, 1 + wide - self.size[1], 1, 1 + high - self.size[0]))
        seen = x.unfold(2, _KERNEL, 1).unfold(3, _KERNEL, 1)  # (B, C, high, wide, 3, 3), no copy yet
        seen = seen.unflatten(3, (self.columns, self.region)).unflatten(2, (self.rows, self.region))
        seen = seen.permute(2, 4, 0, 3, 5, 1, 6, 7)  # rows, columns, B, region, region, C, 3, 3
        return seen.reshape(self.rows * self.columns, -1, self.weight.shape[1])

    def _whole(self) -> tuple[int, int]:
        """The map's sides rounded up to whole regions; what is computed beyond the map is cut off again."""
        return self.rows * self.region, self.columns * self.region
