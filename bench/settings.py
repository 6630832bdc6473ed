"""`--set KEY=VALUE` options of the command line."""

import json
from typing import Any

from bench.errors import RequestError


def parse(pairs: list[str] | None) -> dict[str, Any]:
    """`a.b=1` -> {"a": {"b": 1}}; values are read as yaml."""
    import yaml

    made: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, text = pair.partition("=")
        if not equals or not all(key.split(".")):
            raise RequestError(f"--set takes KEY=VALUE, got {pair!r}")
        *path, last = key.split(".")
        place = made
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise RequestError(f"--set {pair!r} goes below {part!r}, which was set to a value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RequestError(f"--set {pair!r}: the value is not valid yaml") from error
        place[last] = _numbers(value)
        _plain(pair, value)
    return made


def _plain(pair: str, value: Any) -> None:
    """yaml also knows dates and sets, which no option takes."""
    try:
        json.dumps(value)
    except TypeError as error:
        raise RequestError(f"--set {pair!r}: expected numbers, words, lists and mappings ({error})") from error


def _numbers(value: Any) -> Any:
    """yaml takes `1e-3` for a word (it wants `1.0e-3`); people mean the number, in a list and a mapping too."""
    if isinstance(value, list):
        return [_numbers(part) for part in value]
    if isinstance(value, dict):
        return {key: _numbers(part) for key, part in value.items()}
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value
