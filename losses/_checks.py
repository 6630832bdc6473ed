"""What every loss asks of its input and its hyper-parameters."""

import math
from collections.abc import Collection

import torch
from torch import Tensor

from losses._classes import Places


def batch(embeddings: Tensor, labels: Tensor | Places, rows: Tensor) -> Tensor:
    """The embeddings in the precision of the computation (see `precise`).

    Args:
        rows: (C, D) the loss's class weights or centres: they say how many classes there are, and how wide they are.

    Raises:
        ValueError: `embeddings` is not (B, D) with the loss's D, `labels` is not (B,) int64, or a label is none of 0..C-1.
    """
    if not isinstance(labels, Tensor):
        return precise(embeddings)  # `losses.Sharded` saw the labels
    return sized(embeddings, labels, *rows.shape)


def sized(embeddings: Tensor, labels: Tensor, num_classes: int, embedding_dim: int) -> Tensor:
    """`batch` for a loss without class weights."""
    if embeddings.ndim != 2 or embeddings.shape[1] != embedding_dim:
        raise ValueError(f"embeddings must be (batch, {embedding_dim}), got {tuple(embeddings.shape)}")
    if labels.shape != embeddings.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(f"labels must be ({len(embeddings)},) int64, got {tuple(labels.shape)} {labels.dtype}")
    if len(labels) == 0:
        raise ValueError("a batch must hold at least one embedding, got none")
    low, high = (int(end) for end in labels.aminmax())
    if low < 0 or high >= num_classes:
        raise ValueError(f"labels must be from 0 to {num_classes - 1}, got {low if low < 0 else high}")
    return precise(embeddings)


def precise(embeddings: Tensor) -> Tensor:
    """Half and bf16 are raised to float32, the rest stays as it is."""
    return embeddings.float() if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings


def classes(num_classes: int, embedding_dim: int) -> None:
    """Raise a ValueError for fewer than two classes, or no dimension."""
    if num_classes < 2 or embedding_dim < 1:
        raise ValueError(f"a loss needs num_classes >= 2 and embedding_dim >= 1, got {num_classes} and {embedding_dim}")


def flag(name: str, value: bool) -> None:
    """Raise a ValueError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {value!r}")


def one_of(name: str, value: str, known: Collection[str]) -> None:
    """Raise a ValueError unless `value` is one of the `known` words."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def number(name: str, value: float, kind: type = float) -> None:
    """Raise a ValueError unless `value` is a number (with `kind=int` a whole one); True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        raise ValueError(f"{name} must be a {'whole ' if kind is int else ''}number, got {value!r}")
    if math.isinf(value):
        raise ValueError(f"{name} must be a finite number, got {value}")


def above(name: str, value: float, low: float) -> None:
    """Raise a ValueError unless `value > low`."""
    number(name, value)
    if not value > low:
        raise ValueError(f"{name} must be > {low}, got {value}")


def at_least(name: str, value: float, low: float) -> None:
    """Raise a ValueError unless `value >= low`."""
    number(name, value)
    if not value >= low:
        raise ValueError(f"{name} must be >= {low}, got {value}")


def within(name: str, value: float, low: float, high: float) -> None:
    """Raise a ValueError unless `low <= value <= high`."""
    number(name, value)
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, got {value}")
