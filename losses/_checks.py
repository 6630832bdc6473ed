"""What every loss asks of its input and its hyper-parameters."""

import torch
from torch import Tensor


def batch(embeddings: Tensor, labels: Tensor, embedding_dim: int) -> Tensor:
    """The embeddings in the precision of the computation: half and bf16 are raised to float32, the rest stays.

    Raises:
        ValueError: `embeddings` is not (B, D) with the loss's D, or `labels` is not (B,) int64.
    """
    if embeddings.ndim != 2 or embeddings.shape[1] != embedding_dim:
        raise ValueError(f"embeddings must be (batch, {embedding_dim}), got {tuple(embeddings.shape)}")
    if labels.shape != embeddings.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(f"labels must be ({len(embeddings)},) int64, got {tuple(labels.shape)} {labels.dtype}")
    return embeddings.float() if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings


def number(name: str, value: float, kind: type = float) -> None:
    """Raise a ValueError unless `value` is a number (with `kind=int` a whole one); True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        raise ValueError(f"{name} must be a {'whole ' if kind is int else ''}number, got {value!r}")


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
