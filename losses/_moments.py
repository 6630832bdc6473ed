"""Statistics of a batch for what a loss keeps of the batches so far."""

import torch
from torch import Tensor


@torch.no_grad()
def moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) -> the mean, and the standard deviation over B - 1 (NaN for a single value); scalars in float64."""
    values = values.detach().double()
    count, mean = len(values), values.mean()
    variance = (values.square().sum() - count * mean.square()).clamp(min=0) / torch.tensor(count - 1.0).to(values)
    return mean, variance.sqrt()


@torch.no_grad()
def follow(state: Tensor, value: Tensor, rate: float) -> None:
    """Move `state` by `rate` of the way to `value`, in place; a value that is not finite leaves it alone."""
    value = value.to(state.dtype)
    state += rate * torch.where(value.isfinite(), value - state, torch.zeros_like(state))
