"""Statistics of a batch for what a loss keeps of the batches so far."""

import torch
from torch import Tensor


@torch.no_grad()
def moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) -> the mean, and the standard deviation over B - 1 (NaN for a single value); scalars in float64.

    Where `torch.distributed` is initialised, they are those of the batches of all processes: what follows them by a
    rate stays equal everywhere.
    """
    values = values.detach().double()
    sums = torch.stack([torch.ones_like(values).sum(), values.sum(), values.square().sum()])
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(sums)
    count, total, squares = sums
    mean = total / count
    return mean, ((squares - count * mean.square()).clamp(min=0) / (count - 1)).sqrt()


@torch.no_grad()
def follow(state: Tensor, value: Tensor, rate: float) -> None:
    """Move `state` by `rate` of the way to `value`, in place; a value that is not finite leaves it alone."""
    value = value.to(state.dtype)
    state += rate * torch.where(value.isfinite(), value - state, torch.zeros_like(state))
