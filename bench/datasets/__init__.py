"""Which images carry which identity. One file is one dataset: `load(**options) -> bench.images.Faces`.

An embedded dataset (digits, faces) also offers `protocol(name, **options) -> (lists, source)`: the list files of a test
protocol, as file name -> text, and where its pixels come from.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from bench.errors import RequestError
from bench.images import Faces, Source
from losses import _entries


def names() -> list[str]:
    """The names of all datasets."""
    return _entries.names(__name__)


def load(name: str, **options: Any) -> Faces:
    """The dataset `name`.

    Raises:
        RequestError: an unknown name or option (the sentence lists the known ones), or data that are not there.
    """
    return _call(name, "load", options)


def protocol(data: Mapping[str, Any], protocol: str) -> tuple[dict[str, str], Source]:
    """The lists and the pixels of an embedded test protocol; `data` is `{"name": dataset, ...options}`.

    Raises:
        RequestError: the dataset carries no such protocol.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        raise RequestError(f"a protocol's data are a mapping like {{name: faces, ...}}, got {data!r}")
    options = dict(data)
    return _call(options.pop("name"), "protocol", options, protocol)


def _call(name: str, what: str, options: Mapping[str, Any], *first: Any) -> Any:
    if not isinstance(name, str):
        raise RequestError(f"a dataset's name is a word, got {name!r}; there is: {', '.join(names())}")
    try:
        module = _entries.find(__name__, name)
    except ValueError as error:
        raise RequestError(str(error)) from error
    function: Callable | None = getattr(module, what, None)
    if function is None:
        raise RequestError(
            f"dataset {name!r} carries no test protocols of its own: name the files of the protocol instead"
        )
    known = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    if unknown := sorted(set(options) - set(known)):
        raise RequestError(f"dataset {name!r} has no option {unknown[0]!r}; it has: {', '.join(known)}")
    try:
        return function(*first, **options)
    except TypeError as error:
        if inspect.trace()[-1].function != "_call":  # raised inside the dataset: a defect, not a wrong request
            raise
        raise RequestError(f"dataset {name!r}: {error}") from error
