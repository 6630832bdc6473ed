"""Local convolution against the sum that its docstring writes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from backbones._local import LocalConv2d


def literal_local(x, layer):
    """The docstring's sum, place by place."""
    regions, _, outputs = layer.weight.shape
    weight = layer.weight.transpose(1, 2).unflatten(2, (x.shape[1], 3, 3))  # (regions, O, C, 3, 3)
    bias = layer.bias.view(regions, outputs)
    height, width = x.shape[2:]
    around = F.pad(x, (1, 1, 1, 1))
    y = x.new_zeros(len(x), outputs, height, width)
    for i in range(height):
        for j in range(width):
            r = (i // layer.region) * -(-width // layer.region) + j // layer.region
            y[:, :, i, j] = torch.einsum("bcuv,ocuv->bo", around[:, :, i : i + 3, j : j + 3], weight[r]) + bias[r]
    return y


@pytest.mark.parametrize("region", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("size", [(7, 6), (4, 4), (1, 5)])
def test_local_convolution_is_the_sum_over_each_place(region, size):
    torch.manual_seed(0)
    layer = LocalConv2d(3, 5, size, region).double()
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = literal_local(x, layer)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last)), expected)


def test_one_region_as_large_as_the_map_is_a_convolution():
    layer = LocalConv2d(3, 5, (6, 5), 6).double()
    x = torch.randn(2, 3, 6, 5, dtype=torch.float64)
    weight = layer.weight[0].T.unflatten(1, (3, 3, 3))
    torch.testing.assert_close(layer(x), F.conv2d(x, weight, layer.bias, padding=1))


def test_local_convolutions_gradient():
    layer = LocalConv2d(2, 2, (3, 3), 2).double()

    def of(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(of, (x, layer.weight, layer.bias))
