"""One training in several processes: each sees its rows of every batch, and all of them compute what one would.

Every process draws the same batches, changes its rows as the whole batch would be changed, and gathers the embeddings of
all: so each has the loss of the whole batch, and its criterion (class weights, centres, annealing, statistics) goes the same
way as everybody's without a word. The network's gradients are summed by `DistributedDataParallel`, its batch statistics
and dropout are those of the whole batch (`bench.whole_batch`).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch import distributed as dist

from bench.whole_batch import Part, see_whole

PATIENCE = timedelta(minutes=10)  # for one exchange: processes wait for each other's steps, never for anything else


class Group(Protocol):
    """What is asked of the processes (`losses.Group`)."""

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    def share(self, count: int, rank: int | None = None) -> slice: ...
    def gather(self, rows: Tensor) -> Tensor: ...


class Parallel:
    """This process among those that share a training; by default it is alone, and nothing is different.

    Args:
        group: which process this is, of how many.
        meet: waits until all processes are there; without a limit, as loading may take its time.
        store: the path of the file by which they find each other.
    """

    def __init__(self, group: Group | None = None, meet: Callable[[], None] = lambda: None, store: str = ""):
        self.group = group
        self.rank = group.rank if group else 0
        self.size = group.size if group else 1
        self.meet = meet
        self._store = store
        self._part = Part()
        self._network: nn.Module | None = None
        self._whole: AbstractContextManager[Any] = nullcontext()

    def join(self) -> None:
        """Meet, and become able to exchange tensors: NCCL for those on CUDA, gloo for those on the host."""
        self.meet()
        if self.size > 1:
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            store = dist.FileStore(self._store, self.size)
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.size, timeout=PATIENCE)

    def share(self, network: nn.Module, device: torch.device) -> None:
        """Take up a network that is on its device; it and its `state_dict` stay as they are."""
        if self.size == 1:
            return
        self._whole = see_whole(network, self._part, self.rank, self.size)
        # A static graph may have parameters that nothing depends on, as some of timm's nets do.
        devices = [device.index] if device.type == "cuda" else None
        self._network = nn.parallel.DistributedDataParallel(network, device_ids=devices, static_graph=True)

    def rows(self, count: int) -> slice:
        """The rows of a batch that are this process's."""
        return self.group.share(count) if self.group else slice(0, count)

    def forward(self, network: nn.Module, x: Tensor, count: int) -> Tensor:
        """The embeddings of this process's rows of a batch of `count`."""
        if self._network is None:
            return network(x)
        own = self.rows(count)
        self._part.start, self._part.stop, self._part.total = own.start, own.stop, count
        with self._whole:
            return self._network(x)

    def gather(self, embeddings: Tensor) -> Tensor:
        """The embeddings of all, (b, D) -> (B, D)."""
        return self.group.gather(embeddings) if self.group else embeddings

    def agree(self, criterion: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Let rounding not pull the criteria apart: CUDA sums in any order. On the CPU they are equal to the last bit."""
        if self.size == 1 or not torch.cuda.is_available():
            return
        spread = {id(value) for value in _spread(criterion).values()}
        for value in (*criterion.parameters(), *criterion.buffers()):
            if id(value) not in spread:
                moved = [t for t in optimizer.state.get(value, {}).values() if isinstance(t, Tensor)]
                for tensor in (value.detach(), *moved):
                    dist.broadcast(tensor, 0)

    def joined(self, criterion: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict, dict]:
        """Their state dictionaries; class weights that the processes share out are whole (on the host) in the first."""
        if self.size == 1 or not (spread := _spread(criterion)):
            return criterion.state_dict(), optimizer.state_dict()

        def whole(rows: Tensor) -> Tensor:
            parts: list[Any] | None = [None] * self.size if self.rank == 0 else None
            dist.gather_object(rows.cpu(), parts)
            return torch.cat(parts) if parts else rows

        return _changed(criterion, optimizer, spread, criterion.state_dict(), optimizer.state_dict(), whole)

    def handed_out(self, found: tuple[dict, Any] | None, criterion: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
        """What the first process found of an earlier attempt, in each; of shared class weights each has its own rows."""
        if self.size == 1 or self.group is None:
            return found
        parts: list[Any] | None = None
        if self.rank == 0:
            parts = [found and (self._cut(found[0], rank, criterion, optimizer), found[1]) for rank in range(self.size)]
        own: list[Any] = [None]
        dist.scatter_object_list(own, parts)
        return own[0]

    def _cut(self, state: dict, rank: int, criterion: nn.Module, optimizer: torch.optim.Optimizer) -> dict:
        if not (spread := _spread(criterion)):
            return state

        def rows(whole: Tensor) -> Tensor:
            assert self.group is not None
            return whole[self.group.share(len(whole), rank)].clone()

        mine = _changed(criterion, optimizer, spread, state["criterion"], state["optimizer"], rows)
        return state | {"criterion": mine[0], "optimizer": mine[1]}


def _spread(criterion: nn.Module) -> dict[str, Tensor]:
    """The parameters of a criterion of which each process holds some rows (`losses.Sharded`), by name."""
    return getattr(criterion, "spread", {})


def _changed(
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    spread: dict[str, Tensor],
    own: dict[str, Any],
    moved: dict[str, Any],
    change: Callable[[Tensor], Tensor],
) -> tuple[dict, dict]:
    """The state dictionaries of both, with each tensor that is spread, and what the optimizer keeps of it, changed."""
    all_of = [value for group in optimizer.param_groups for value in group["params"]]
    places = [place for place, value in enumerate(all_of) if any(value is one for one in spread.values())]
    own = {name: change(value) if name in spread else value for name, value in own.items()}
    state = dict(moved["state"])
    for place in places:
        if place in state:
            # All but scalars have a row for each class.
            state[place] = {k: change(v) if isinstance(v, Tensor) and v.ndim else v for k, v in state[place].items()}
    return own, moved | {"state": state}
