"""The schedule by which A-Softmax and L-Softmax let their margin in."""

import torch
from torch import Tensor, nn

from losses import _checks


class Annealing(nn.Module):
    """lambda = max(floor, base (1 + gamma t)^-power): how much plain softmax is mixed in (the authors' released code).

    f_y = ( lambda plain + marked ) / ( 1 + lambda )

    t counts training calls from 1, as in the released code; in eval t is the number of training calls so far, so that the
    loss is that of the last training call. The counter is in `state_dict`, so that a resumed run goes on where it stood.

    Args:
        base: lambda at t = 0.
        rate: gamma, per training call.
        power: how steeply lambda falls.
        floor: lambda_min; at 0 the margin ends up alone.
    """

    count: Tensor

    def __init__(self, base: float, rate: float, power: float, floor: float):
        super().__init__()
        for name, value in (("base", base), ("rate", rate), ("power", power), ("floor", floor)):
            _checks.at_least(f"annealing_{name}", value, 0)
        self.base, self.rate, self.power, self.floor = base, rate, power, floor
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, plain: Tensor, marked: Tensor) -> Tensor:
        """The target's logit without and with its margin, (B,) each -> (B,) the mixture at the present t."""
        return plain + (marked - plain) / (1 + self.weight())

    def weight(self) -> Tensor:
        """lambda at the present t: a scalar, in float64."""
        step = self.count.double() + self.training
        return (self.base * (1 + self.rate * step).pow(-self.power)).clamp(min=self.floor)

    def advance(self) -> None:
        """Count one training call."""
        self.count += 1
