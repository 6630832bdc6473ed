"""What a classification loss does with the classes, whether all of them are here or only some.

A loss that goes through these functions for all that concerns the own class can be sharded and sampled (`losses.Sharded`):
it says so by `SHARDABLE = True`. Then `Places` stand in for its labels, and its class weights are those that are held here.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from losses._group import Group


@dataclass(frozen=True)
class Places:
    """Where the own class of each embedding stands among the class weights held here.

    Attributes:
        column: (B,) int64; -1 where another process holds it.
        group: the processes that hold all classes between them.
    """

    column: Tensor
    group: Group

    @property
    def held(self) -> Tensor:
        """(B,) bool: whether it is here."""
        return self.column >= 0


def own(values: Tensor, labels: Tensor | Places) -> Tensor:
    """(B, C), (B,) -> (B,): each row's entry at its own class, wherever that is held."""
    if isinstance(labels, Tensor):
        return values.gather(1, labels[:, None]).squeeze(1)
    if values.shape[1] == 0:  # no class of the sample is here: nothing, with a gradient (all processes must ask for it)
        return labels.group.sum(values.sum(1))
    found = values.gather(1, labels.column.clamp(min=0)[:, None]).squeeze(1)
    return labels.group.sum(torch.where(labels.held, found, torch.zeros_like(found)))


def with_own(values: Tensor, labels: Tensor | Places, replaced: Tensor) -> Tensor:
    """(B, C) with each row's entry at its own class replaced by (B,)."""
    if isinstance(labels, Tensor):
        return values.scatter(1, labels[:, None], replaced[:, None].to(values.dtype))
    (row,) = labels.held.nonzero(as_tuple=True)
    return values.index_put((row, labels.column[row]), replaced[row].to(values.dtype))


def rows(weight: Tensor, labels: Tensor | Places) -> Tensor:
    """(C, D), (B,) -> (B, D): the weights of each one's own class, wherever that is held."""
    if isinstance(labels, Tensor):
        return weight[labels]
    if len(weight) == 0:
        return labels.group.sum(weight.sum(0).expand(len(labels.column), -1))
    found = weight[labels.column.clamp(min=0)]
    return labels.group.sum(torch.where(labels.held[:, None], found, torch.zeros_like(found)))


def cross_entropy(logits: Tensor, labels: Tensor | Places) -> Tensor:
    """(B, C), (B,) -> scalar: the mean of -log softmax at the own class, its maximum and sum taken over all processes."""
    if isinstance(labels, Tensor):
        return F.cross_entropy(logits, labels)
    highest = logits.amax(1) if logits.shape[1] else logits.new_full((len(logits),), -torch.inf)
    top = labels.group.maximum(highest)
    total = labels.group.sum((logits - top[:, None]).exp().sum(1))
    return (top + total.log() - own(logits, labels)).mean()
