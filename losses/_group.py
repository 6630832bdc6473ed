"""The processes that train one network together, and sums over them that know their gradients."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class Group:
    """The processes of `torch.distributed`'s default group; by default one process, which needs no `torch.distributed`.

    Every loss here is a function of the whole batch, its running state (centres, statistics, annealing) as well. So each
    process computes it on the embeddings of all, and no state has to be sent about:

        group = losses.Group(rank, size)
        loss = criterion(group.gather(network(images)), group.gather(labels))

    Attributes:
        rank: the number of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def share(self, count: int, rank: int | None = None) -> slice:
        """Which of `count` rows a process (this one) has: a run of them, of a length that differs by at most one."""
        rank = self.rank if rank is None else rank
        return slice(rank * count // self.size, (rank + 1) * count // self.size)

    def gather(self, rows: Tensor) -> Tensor:
        """(b, ...) of each process -> (B, ...) of all, in their order; every process may give another number of rows.

        The gradient that comes back is `size` times that of this process's rows: `DistributedDataParallel` takes the mean
        over the processes, and the mean of these is the gradient of the whole batch.
        """
        if self.size == 1:
            return rows
        counts = torch.zeros(self.size, dtype=torch.int64)
        counts[self.rank] = len(rows)
        counts = counts.to(rows.device)
        dist.all_reduce(counts)
        ends = [0, *counts.cumsum(0).tolist()]
        return _Gather.apply(rows, ends[self.rank], ends[-1], self.size)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes; its gradient is summed over them too."""
        return values if self.size == 1 else _Sum.apply(values)

    def copied(self, values: Tensor) -> Tensor:
        """What all processes hold alike, unchanged; its gradient is summed over them."""
        return values if self.size == 1 else _Copied.apply(values)

    def maximum(self, values: Tensor) -> Tensor:
        """The largest over the processes, element by element, without a gradient."""
        found = values.detach().clone()
        if self.size > 1:
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return found


class _Gather(torch.autograd.Function):
    """Zeros with one's own rows in their place, summed: exact, and unequal shares need no padding."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, start: int, total: int, size: int) -> Tensor:
        ctx.own, ctx.size = slice(start, start + len(rows)), size
        whole = rows.new_zeros(total, *rows.shape[1:])
        whole[ctx.own] = rows
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return gradient[ctx.own] * ctx.size, None, None, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


class _Copied(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    total = values.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
