"""What is wrong with a study's plain data, as one sentence and the key where it is."""

import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

Key = tuple[str | int, ...]


class Mistake(ValueError):
    """The first thing that is wrong with a study: `key` says where."""

    def __init__(self, key: Key, says: str):
        super().__init__(says)
        self.key = key


def first(errors: Sequence[Mapping[str, Any]], schema: type) -> Mistake:
    """pydantic's first complaint as one sentence; of a mistyped key it is the unknown key, not the missing one.

    Args:
        errors: `ValidationError.errors()`.
        schema: the model that was to be made.
    """
    error = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    key: Key = error["loc"]
    if error["type"] == "extra_forbidden":
        return Mistake(key, f"unknown key; accepted here: {', '.join(_fields(schema, key[:-1]))}")
    if error["type"] == "missing":
        return Mistake(key, "missing; it must be given")
    says = error["msg"].removeprefix("Value error, ")
    says = re.sub(r"^Input should be (?=greater|less)", "expected a value ", says).replace(
        "Input should be", "expected"
    )
    got = error["input"]
    shown = f"got {got!r}, " if not isinstance(got, dict) and not _is_part(type(got)) and "got" not in says else ""
    return Mistake(key, shown + says)


def _is_part(kind: Any) -> bool:
    """Whether it is a part of the schema, a model."""
    return isinstance(kind, type) and hasattr(kind, "model_fields")


def _fields(schema: type, key: Key) -> list[str]:
    """The keys that the part of the schema at `key` has."""
    part: Any = schema
    for step in key:
        if _is_part(part):
            part = _bare(part.model_fields[str(step)].annotation) if str(step) in part.model_fields else None
        else:
            part = typing.get_args(part)[-1] if typing.get_args(part) else None
    return list(part.model_fields) if _is_part(part) else []


def _bare(annotation: Any) -> Any:
    """`X | None` -> `X`."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return next(kind for kind in typing.get_args(annotation) if kind is not type(None))
    return annotation
