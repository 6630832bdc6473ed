"""Classification losses for very many classes: weights shared out among processes, and a sample of the classes a step."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from losses import _checks
from losses._classes import Places
from losses._extended import Extended
from losses._group import Group


class Sharded(Extended):
    """A softmax loss of which each process holds a run of the classes, and sees a share of them in a step.

    Each process calls it with the embeddings and labels of all (`Group.gather`) and gets the loss of all classes: the
    softmax's maximum and sum and the own class's score are reduced over the processes, so none holds the (B, C) scores or
    the (C, D) weights. Gradients are those of the unsharded loss: all of the embeddings', and of the weights one's own rows.

    share < 1 is Partial FC (An et al. 2021, 2022): a training call takes the classes of its batch and a random choice of the
    others, max(classes of the batch, share C) together; in eval all classes count. The choice follows from `seed` and the
    number of the training call alone. Then `step(optimizer)` stands for `optimizer.step()`: rows that were not drawn do not
    move, and neither do their momenta: no gradient, decay or momentum reaches them. Scalars in the optimizer's state (AdamW's
    count of steps) are common to all rows.
    Departure: the choice is made among all classes, where the paper's processes each choose the same number among their own;
    so the loss does not depend on the number of processes.

    `weight`, `bias`, `logits` and `state_dict` are those of the classes that are held here; with a `Group` of one that is
    everything.

    Args:
        base: the loss, with the weights of all classes; only one's own rows of them are kept.
        num_classes: C.
        group: the processes.
        share: of the classes in a training call, in (0, 1].
        seed: of the choice.

    Raises:
        ValueError: a loss that is no softmax over class weights, fewer classes than processes, or a share out of its range.
    """

    calls: Tensor

    def __init__(
        self, base: nn.Module, num_classes: int, group: Group | None = None, *, share: float = 1.0, seed: int = 0
    ):
        super().__init__(base)
        self.group = group or Group()
        if not getattr(base, "SHARDABLE", False):
            raise ValueError(f"{type(base).__name__} is no softmax over class weights: it cannot be sharded or sampled")
        if num_classes < self.group.size:
            raise ValueError(f"{num_classes} classes cannot be shared out among {self.group.size} processes")
        _checks.above("share", share, 0)
        _checks.within("share", share, 0, 1)
        self.num_classes = num_classes
        self.share, self.seed = share, seed
        self.held = self.group.share(num_classes)
        # Of those that have a row for each class (weights, biases), the rows that are held here.
        names = [name for name, value in base.named_parameters() if value.shape[:1] == (num_classes,)]
        for name in names if self.group.size > 1 else ():
            setattr(base, name, nn.Parameter(base.get_parameter(name).detach()[self.held].clone()))
        self.by_class = {f"base.{name}": base.get_parameter(name) for name in names}
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self._drawn: tuple[Tensor, dict[str, Tensor]] | None = None

    @property
    def spread(self) -> dict[str, nn.Parameter]:
        """The parameters of which each process holds rows of its own, by name; none where there is one process."""
        return self.by_class if self.group.size > 1 else {}

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) float, (B,) int64 of 0..C-1, alike in all processes -> scalar, the mean over the batch."""
        x = _checks.sized(embeddings, labels, self.num_classes, self.weight.shape[1])
        x = self.group.copied(x)
        self._drawn = None
        if self.share < 1 and self.training:
            rows = self._choice(labels)
            active = {name: value.detach()[rows].requires_grad_() for name, value in self.by_class.items()}
            given = {name.removeprefix("base."): value for name, value in active.items()}
            loss = functional_call(self.base, given, (x, self._places(labels, rows)))
            self._drawn = rows, active
            self.calls += 1
        else:
            loss = self.base(x, self._places(labels))
        # Each process has the whole loss, and the sums above give back the gradient of all these copies of it.
        if self.group.size > 1 and loss.requires_grad:
            loss.register_hook(lambda gradient: gradient / self.group.size)
        return loss

    @property
    def drawn(self) -> Tensor | None:
        """(k,) the rows held here that the last call took, rising; None: all."""
        return None if self._drawn is None else self._drawn[0]

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """One step of an optimizer that holds this criterion's parameters; only the rows of the last call move."""
        if self._drawn is None:
            return optimizer.step()
        rows, active = self._drawn
        kept = [_put(optimizer, self.by_class[name], rows, value) for name, value in active.items()]
        optimizer.step()
        for (name, value), state in zip(active.items(), kept, strict=True):
            _take_back(optimizer, self.by_class[name], rows, value, state)
        self._drawn = None
        return None

    def _choice(self, labels: Tensor) -> Tensor:
        """The rows held here of this call's classes: those of the batch, and as many more as the share allows."""
        number = (self.seed * 0x9E3779B97F4A7C15 + int(self.calls)) % 2**63
        order = torch.rand(self.num_classes, generator=torch.Generator().manual_seed(number))
        own = labels.unique().cpu()
        order[own] = 2.0  # before all others
        chosen = order.topk(max(len(own), round(self.share * self.num_classes))).indices
        here = chosen[(chosen >= self.held.start) & (chosen < self.held.stop)] - self.held.start
        return here.sort().values.to(labels.device)

    def _places(self, labels: Tensor, rows: Tensor | None = None) -> Places:
        count = self.held.stop - self.held.start
        column = labels - self.held.start
        column = column.masked_fill((column < 0) | (column >= count), -1)
        if rows is not None:
            place = labels.new_full((count + 1,), -1)  # the last one is that of -1
            place[rows] = torch.arange(len(rows), device=labels.device)
            column = place[column]
        return Places(column, self.group)


def _put(optimizer: torch.optim.Optimizer, whole: Tensor, rows: Tensor, part: Tensor) -> dict[str, Any]:
    """Let the optimizer see `part`, the rows of a parameter, in its place; what it kept of the whole."""
    _replace(optimizer, whole, part)
    state = optimizer.state.pop(whole, {})
    if state:
        optimizer.state[part] = {key: value[rows] if _alike(value, whole) else value for key, value in state.items()}
    return state


@torch.no_grad()
def _take_back(
    optimizer: torch.optim.Optimizer, whole: Tensor, rows: Tensor, part: Tensor, state: dict[str, Any]
) -> None:
    """The parameter in its place again, its rows moved, and so the optimizer's state of them."""
    _replace(optimizer, part, whole)
    whole[rows] = part
    for key, value in optimizer.state.pop(part, {}).items():
        if _alike(value, part):
            state.setdefault(key, torch.zeros_like(whole))[rows] = value
        else:
            state[key] = value
    optimizer.state[whole] = state


def _replace(optimizer: torch.optim.Optimizer, one: Tensor, other: Tensor) -> None:
    for parameters, place in _occurrences(optimizer, one):
        parameters[place] = other


def _occurrences(optimizer: torch.optim.Optimizer, one: Tensor) -> Iterator[tuple[list[Tensor], int]]:
    for group in optimizer.param_groups:
        yield from [(group["params"], place) for place, value in enumerate(group["params"]) if value is one]


def _alike(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape
