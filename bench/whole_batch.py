"""What in a network depends on the whole batch, for a process that sees a part of it: batch statistics and dropout.

`see_whole` changes the forward pass of batch norms and of dropout; parameters, buffers and their names stay. One
implementation serves gloo and NCCL: torch's SyncBatchNorm takes CUDA tensors only.

What is not the same as in one process: random numbers that are drawn elsewhere than in dropout or stochastic depth (within
fused attention, say): each process draws them for its own part. And statistics over the batch that are none of `torch.nn`'s
batch norms (EvoNorm-B): they stay those of the part.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode


@dataclass
class Part:
    """Which rows of how many this process sees now."""

    start: int = 0
    stop: int = 0
    total: int = 0


def see_whole(network: nn.Module, part: Part, rank: int, size: int) -> AbstractContextManager[Any]:
    """Let the network compute on its part of a batch as one process computes on all of it, in training mode.

    Args:
        part: to be set before each forward pass.

    Returns:
        What a forward pass is to run in.
    """
    from timm.layers import DropBlock2d, DropPath

    # Each of them is a product with random numbers. (The alpha dropouts are not.)
    drawing = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, DropPath, DropBlock2d)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.forward = partial(_normalised, module, module.forward, rank, size)  # type: ignore[method-assign]
        elif isinstance(module, drawing):
            module.forward = partial(_drawn, module, module.forward, part)  # type: ignore[method-assign]
    # timm's heads call the function, where the network has a rate. To look at every call takes time, so only there.
    return _Called(part) if any(getattr(module, "drop_rate", 0) for module in network.modules()) else nullcontext()


class _Called(TorchFunctionMode):
    """Dropout that is a call of the function and no layer."""

    def __init__(self, part: Part):
        super().__init__()
        self._part = part

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func not in _DROPOUTS:
            return func(*args, **(kwargs or {}))
        call = signature(func).bind(*args, **(kwargs or {}))
        call.apply_defaults()
        x, given = call.arguments.pop("input"), call.arguments
        return _of_whole(partial(func, **given), self._part, x) if given["training"] else func(x, **given)


_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)


def _drawn(module: nn.Module, plain: Callable[[Tensor], Tensor], part: Part, x: Tensor) -> Tensor:
    """A layer of dropout."""
    return _of_whole(plain, part, x) if module.training else plain(x)


def _of_whole(plain: Callable[[Tensor], Tensor], part: Part, x: Tensor) -> Tensor:
    """Dropout: the numbers are drawn for the whole batch, in the layout and so in the order of one process."""
    each = len(x) // (part.stop - part.start) if len(x) else 1  # rows of an image (windows, tokens)
    layout = torch.contiguous_format
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        layout = torch.channels_last
    ones = torch.ones(part.total * each, *x.shape[1:], dtype=x.dtype, device=x.device).contiguous(memory_format=layout)
    with torch.no_grad(), torch._C.DisableTorchFunction():  # `_Called` is not to take this call for the network's
        factor = plain(ones)
    return x * factor[part.start * each : part.stop * each]


def _normalised(module: Any, plain: Callable[[Tensor], Tensor], rank: int, size: int, x: Tensor) -> Tensor:
    """A batch norm with the statistics of all processes."""
    if not module.training:
        return plain(x)
    y, mean, variance, count = _BatchNormOfAll.apply(x, module.weight, module.bias, module.eps, rank, size)
    if module.running_mean is not None:
        with torch.no_grad():
            module.num_batches_tracked += 1
            rate = 1 / int(module.num_batches_tracked) if module.momentum is None else module.momentum
            module.running_mean += rate * (mean - module.running_mean)
            module.running_var += rate * (variance * count / (count - 1) - module.running_var)
    # timm's batch norms have an activation of their own.
    return module.act(module.drop(y)) if hasattr(module, "act") else y


class _BatchNormOfAll(torch.autograd.Function):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias over (B, C, ...), in float32 at least.

    Mean and variance are joined from those of the parts (Chan et al. 1979): no difference of large squares.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, rank: int, size: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        z = _precise(x)
        dims, channels = [d for d in range(z.ndim) if d != 1], z.shape[1]
        table = z.new_zeros(size, 3, channels)  # mean, sum of squared deviations and count of each part
        if z.numel():
            variance, mean = torch.var_mean(z, dims, correction=0)
            count = z.numel() // channels
            table[rank] = torch.stack([mean, variance * count, torch.full_like(mean, count)])
        dist.all_reduce(table)
        means, squares, counts = table.unbind(1)
        total = counts.sum(0)
        if total[0] < 2:
            raise ValueError(f"a batch norm in training needs more than 1 value per channel, got {tuple(x.shape)}")
        mean = (counts * means).sum(0) / total
        variance = (squares + counts * (means - mean).square()).sum(0) / total
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, scale, total)
        ctx.biased = bias is not None
        y = (z - _of(mean, z)) * _of(scale if weight is None else scale * weight, z)
        y = y if bias is None else y + _of(bias, z)
        ctx.mark_non_differentiable(mean, variance, total)
        return y.to(x.dtype), mean, variance, total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, total = ctx.saved_tensors
        z, g = _precise(x), _precise(gradient)
        dims = [d for d in range(z.ndim) if d != 1]
        unit = (z - _of(mean, z)) * _of(scale, z)
        own = torch.stack([g.sum(dims), (g * unit).sum(dims)])
        sums = own.clone()
        dist.all_reduce(sums)
        slope = g - _of(sums[0] / total, z) - unit * _of(sums[1] / total, z)
        slope = slope * _of(scale if weight is None else scale * weight, z)
        # Parameters get the gradient of this part, as all others do.
        to_weight, to_bias = None if weight is None else own[1], own[0] if ctx.biased else None
        return slope.to(x.dtype), to_weight, to_bias, None, None, None


def _precise(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _of(channels: Tensor, x: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, ...), to go with x."""
    return channels.view(1, -1, *[1] * (x.ndim - 2))
