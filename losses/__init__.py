"""Losses for embeddings: torch only, usable without the rest of facebench.

    import losses
    criterion = losses.create("lmcl", num_classes=1000, embedding_dim=512, margin=0.35)
    loss = criterion(embeddings, labels)                # (B, D) float, (B,) int64 -> scalar

One file is one loss: one final class, and `SPACE`, its search ranges as plain data.
"""

import inspect
from types import ModuleType
from typing import TYPE_CHECKING, Any

from losses import _entries

if TYPE_CHECKING:
    from torch import nn

ALIASES = {"cosface": "lmcl", "normface": "nsl"}
_GIVEN = ("num_classes", "embedding_dim")


def names() -> list[str]:
    """The canonical names of all losses."""
    return _entries.names(__name__)


def create(name: str, num_classes: int, embedding_dim: int, **hyper: Any) -> "nn.Module":
    """Make the criterion `name`: `criterion(embeddings (B, D), labels (B,)) -> scalar`.

    Raises:
        ValueError: an unknown name or hyper-parameter (the sentence lists the known ones), or a value out of its range.
    """
    known = defaults(name)
    if unknown := sorted(set(hyper) - set(known)):
        raise ValueError(f"loss {name!r} has no hyper-parameter {unknown[0]!r}; it has: {', '.join(known)}")
    return _loss(name)(num_classes, embedding_dim, **hyper)


def defaults(name: str) -> dict[str, Any]:
    """The hyper-parameters of a loss with their default values."""
    parameters = inspect.signature(_loss(name)).parameters
    return {key: p.default for key, p in parameters.items() if key not in _GIVEN}


def space(name: str) -> dict[str, tuple[str, float, float]]:
    """The search ranges of a loss: hyper-parameter -> (`log` or `linear`, low, high)."""
    return dict(_module(name).SPACE)


def canonical(name: str) -> str:
    """The name behind an alias (`cosface` -> `lmcl`)."""
    return ALIASES.get(name, name)


def _module(name: str) -> ModuleType:
    return _entries.find(__name__, name, ALIASES)


def _loss(name: str) -> type:
    """The one public class that the module defines."""
    module = _module(name)
    own = [
        c for key, c in vars(module).items() if inspect.isclass(c) and c.__module__ == module.__name__ and key[0] != "_"
    ]
    if len(own) != 1:
        raise TypeError(f"{module.__name__} must define one public class, it defines {len(own)}")
    return own[0]


def __getattr__(attribute: str) -> Any:
    """`from losses import LMCL`: torch is imported only when a loss is asked for."""
    if not attribute.startswith("_"):
        for name in names():
            module = _module(name)
            if hasattr(module, attribute):
                return getattr(module, attribute)
    raise AttributeError(f"module 'losses' has no attribute {attribute!r}")
