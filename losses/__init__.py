"""Losses for embeddings: torch only, usable without the rest of facebench.

    import losses
    criterion = losses.create("lmcl", num_classes=1000, embedding_dim=512, margin=0.35)
    loss = criterion(embeddings, labels)                # (B, D) float, (B,) int64 -> scalar

In several processes each computes the loss on the embeddings of all: see `losses.Group`. `losses.Sharded` shares very many
classes out among them, and may look at a random sample of the classes in each step (Partial FC).

One file is one loss: one final class, and `SPACE`, its search ranges as plain data. `IMAGES_PER_IDENTITY = K`, where a file
has it, says that the loss needs batches of K images of each identity. Any classification loss (one with class weights)
takes the center term too: `losses.create("lmcl+center", 1000, 512, margin=0.35, center_weight=0.003)`.
"""

import importlib
import inspect
from types import ModuleType
from typing import TYPE_CHECKING, Any

from losses import _entries

if TYPE_CHECKING:
    from torch import nn

ALIASES = {"cosface": "lmcl", "normface": "nsl", "sphereface": "asoftmax"}
_GIVEN = ("num_classes", "embedding_dim")
_TERMS = ("center",)  # what can be added to a classification loss
_ELSEWHERE = {
    "Group": "_group",
    "Layered": "_layered",
    "Sharded": "_sharded",
    "scale_lower_bound": "_bounds",
    "margin_upper_bound": "_bounds",
}


def names() -> list[str]:
    """The canonical names of all losses (each is one file; `<classification loss>+center` is known besides)."""
    return _entries.names(__name__)


def create(name: str, num_classes: int, embedding_dim: int, **hyper: Any) -> "nn.Module":
    """Make the criterion `name`: `criterion(embeddings (B, D), labels (B,)) -> scalar`.

    Raises:
        ValueError: an unknown name or hyper-parameter (the sentence lists the known ones), or a value out of its range.
    """
    known = defaults(name)
    if unknown := sorted(set(hyper) - set(known)):
        raise ValueError(f"loss {name!r} has no hyper-parameter {unknown[0]!r}; it has: {', '.join(known)}")
    module, term = _parts(name)
    if not term:
        return _class(module)(num_classes, embedding_dim, **hyper)
    from losses._joint import with_center

    return with_center(_class(module), num_classes, embedding_dim, **hyper)


def defaults(name: str) -> dict[str, Any]:
    """The hyper-parameters of a loss with their default values.

    Raises:
        ValueError: there is no such loss.
    """
    module, term = _parts(name)
    found = _parameters(_class(module))
    if term:
        from losses._joint import with_center

        found |= _parameters(with_center)
    return found


def space(name: str) -> dict[str, tuple[str, float, float]]:
    """The search ranges of a loss: hyper-parameter -> (`log` or `linear`, low, high)."""
    module, term = _parts(name)
    return dict(module.SPACE) | (dict(_module(term).SPACE) if term else {})


def images_per_identity(name: str) -> int:
    """How many images of each identity a batch of this loss must hold (1: any batch will do)."""
    return getattr(_parts(name)[0], "IMAGES_PER_IDENTITY", 1)


def shardable(name: str) -> bool:
    """Whether `losses.Sharded` takes the loss: a softmax over class weights, and no centres beside it."""
    module, term = _parts(name)
    return not term and getattr(_class(module), "SHARDABLE", False)


def canonical(name: str) -> str:
    """The name behind an alias (`cosface` -> `lmcl`, `cosface+center` -> `lmcl+center`, `softmax+center` -> `center`)."""
    loss, plus, term = name.partition("+")
    loss = ALIASES.get(loss, loss)
    return "center" if (loss, term) == ("softmax", "center") else loss + plus + term


def _parts(name: str) -> tuple[ModuleType, str]:
    """The module of the loss, and the term that is added to it ("" for none).

    Raises:
        ValueError: there is no such loss or term, or they do not go together.
    """
    loss, plus, term = canonical(name).partition("+")
    module = _module(loss)
    if plus and term not in _TERMS:
        raise ValueError(f"no {term!r} to add to a loss in {name!r}; there is: {', '.join(_TERMS)}")
    if term == loss:
        raise ValueError(f"{name!r}: {loss!r} has the {term} term already; give it as {loss!r}")
    if term and not hasattr(_class(module), "logits"):
        raise ValueError(
            f"{name!r}: {loss!r} has no class weights, and the {term} term is added to classification losses only, "
            f"such as 'lmcl+{term}'"
        )
    return module, term


def _module(name: str) -> ModuleType:
    return _entries.find(__name__, name, ALIASES)


def _class(module: ModuleType) -> type:
    """The one public class that the module defines."""
    own = [
        c for key, c in vars(module).items() if inspect.isclass(c) and c.__module__ == module.__name__ and key[0] != "_"
    ]
    if len(own) != 1:
        raise TypeError(f"{module.__name__} must define one public class, it defines {len(own)}")
    return own[0]


def _parameters(made: Any) -> dict[str, Any]:
    """The keyword parameters of a class or function with their default values."""
    parameters = inspect.signature(made).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in _GIVEN and p.default is not p.empty}


def __getattr__(attribute: str) -> Any:
    """`from losses import LMCL`: torch is imported only when a loss is asked for."""
    if attribute in _ELSEWHERE:
        return getattr(importlib.import_module(f"losses.{_ELSEWHERE[attribute]}"), attribute)
    if not attribute.startswith("_"):
        for name in names():
            found = _class(_module(name))
            if found.__name__ == attribute:
                return found
    raise AttributeError(f"module 'losses' has no attribute {attribute!r}")
