"""How class weights and centres start."""

import math

import torch
from torch import Tensor, nn

from losses import _checks


def xavier(num_classes: int, embedding_dim: int, generator: torch.Generator | None = None) -> Tensor:
    """(C, D) from Caffe's "xavier": uniform in +-sqrt(3 / D), so that a row has norm 1 in the mean square.

    This is the filler of the papers' released code; PyTorch's function of that name divides by fan-in + fan-out.
    """
    bound = math.sqrt(3 / embedding_dim)
    return torch.empty(num_classes, embedding_dim).uniform_(-bound, bound, generator=generator)


def class_weights(num_classes: int, embedding_dim: int) -> nn.Parameter:
    """The (C, D) class weights of a classification loss.

    Raises:
        ValueError: fewer than two classes, or no dimension.
    """
    _checks.classes(num_classes, embedding_dim)
    return nn.Parameter(xavier(num_classes, embedding_dim))
