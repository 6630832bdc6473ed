"""A json object of flat lists, read entry by entry, and never more of it than a list of images can hold.

    {"path": ["a/1.jpg", "a/2.jpg"], "id": [7, 7]}

Nothing but strings and numbers becomes an object in memory, so a file takes no more than a few times its own size.
"""

import json
import re

from bench.errors import RequestError

Value = str | int | float
MOST = 4_000_000  # entries of all lists together

_SPACE = r"[ \t\n\r]*"
_START = re.compile(rf"{_SPACE}\{{")
_STRING = r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"'
_NUMBER = r"-?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,4})?"
_KEY = re.compile(rf"{_SPACE}({_STRING}){_SPACE}:{_SPACE}\[{_SPACE}(\])?")
_ITEM = re.compile(rf"{_SPACE}(?:({_STRING})|({_NUMBER})){_SPACE}([,\]])")
_NEXT = re.compile(rf"{_SPACE}([,}}])")
_EMPTY = re.compile(rf"{_SPACE}\}}")


def read(text: str, where: str) -> dict[str, list[Value]]:
    """Each key's list.

    Args:
        text: the json.
        where: the file, for the error's sentence.

    Raises:
        RequestError: anything but flat lists of strings and numbers (with the line), or more than `MOST` entries.
    """
    found: dict[str, list[Value]] = {}
    start = _START.match(text)
    if start is None:
        raise _strange(text, 0, where)
    at, entries = start.end(), 0
    empty = _EMPTY.match(text, at)
    at, mark = (empty.end(), "}") if empty else (at, ",")
    while mark == ",":
        key = _KEY.match(text, at)
        if key is None:
            raise _strange(text, at, where)
        name, at = _string(key[1], where), key.end()
        if name in found:
            raise RequestError(f"{where} has two lists {name!r}: keep one of them")
        found[name], at = _items(text, at, where, MOST - entries) if not key[2] else ([], at)
        entries += len(found[name])
        after = _NEXT.match(text, at)
        if after is None:
            raise _strange(text, at, where)
        at, mark = after.end(), after[1]
    if text[at:].strip(" \t\n\r"):
        raise _strange(text, at, where)
    return found


def _items(text: str, at: int, where: str, most: int) -> tuple[list[Value], int]:
    """The entries of a list that has some, from behind its bracket on; and the place behind its end."""
    items: list[Value] = []
    more = ","
    while more == ",":
        item = _ITEM.match(text, at)
        if item is None:
            raise _strange(text, at, where)
        string, number, more = item.groups()
        items.append(_string(string, where) if number is None else _number(number))
        at = item.end()
        if len(items) > most:
            raise RequestError(f"{where} lists more than {MOST:,} things: it is no list of images")
    return items, at


def _number(token: str) -> int | float:
    return int(token) if token.lstrip("-").isdigit() else float(token)


def _string(token: str, where: str) -> str:
    if "\\" not in token:
        return token[1:-1]
    try:
        return json.loads(token)
    except ValueError as error:
        raise RequestError(f"{where}: {token[:60]} is no string of json ({error})") from error


def _strange(text: str, at: int, where: str) -> RequestError:
    at += len(text[at : at + 200]) - len(text[at : at + 200].lstrip())
    line = text.count("\n", 0, at) + 1
    return RequestError(
        f"{where} line {line}: expected a json object of flat lists as the devkit has them, "
        f'{{"path": [...], "id": [...]}}, got {text[at : at + 30].strip()!r}'
    )
