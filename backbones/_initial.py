"""How the papers' released networks start: Caffe's fillers, which are not PyTorch's functions of the same names."""

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


@torch.no_grad()
def fill_xavier(weight: Tensor, fan_in: int) -> None:
    """Caffe's "xavier": uniform in +-sqrt(3 / fan_in). PyTorch's of that name divides by fan-in + fan-out."""
    bound = math.sqrt(3 / fan_in)
    weight.uniform_(-bound, bound)


def xavier(layer: _Layer) -> _Layer:
    """The layer itself, its weights drawn anew by Caffe's "xavier", its bias (if any) 0."""
    fill_xavier(layer.weight, layer.weight[0].numel())
    return _without_bias(layer)


def gaussian(layer: _Layer, deviation: float = 0.01) -> _Layer:
    """The layer itself, its weights drawn anew from N(0, deviation^2), its bias (if any) 0."""
    nn.init.normal_(layer.weight, std=deviation)
    return _without_bias(layer)


def _without_bias(layer: _Layer) -> _Layer:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
