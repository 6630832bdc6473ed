"""Whether what a request says of a protocol's options is of the kind that they take: asked where a protocol stumbles over one."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from bench.errors import RequestError

_WORDS = {str: "a word", Path: "", int: "a whole number", float: "a number", bool: "true or false", NoneType: "nothing"}


def check(protocol: str, load: Callable, options: Mapping[str, Any]) -> None:
    """Compare each option with the annotation of `load`.

    Raises:
        RequestError: one is of another kind (the sentence says which are taken).
    """
    for name, parameter in inspect.signature(load).parameters.items():
        if name in options and not _fits(options[name], parameter.annotation):
            raise RequestError(
                f"protocol {protocol!r}: the option {name!r} takes {_said(parameter.annotation)}, got {options[name]!r}"
            )


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) in (Union, UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is Sequence:
        return isinstance(value, list | tuple) and all(_fits(item, get_args(kind)[0]) for item in value)
    if kind in (str, Path):
        return isinstance(value, str | Path)
    if kind in (int, float):
        return isinstance(value, int | float) and not isinstance(value, bool) and (kind is float or value == int(value))
    return not isinstance(kind, type) or isinstance(value, kind)


def _said(kind: Any) -> str:
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(dict.fromkeys(filter(None, map(_said, get_args(kind)))))
    if get_origin(kind) is Sequence:
        return f"a list, each of it {_said(get_args(kind)[0])}"
    return _WORDS.get(kind, str(kind))
