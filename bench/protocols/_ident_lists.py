"""Gallery and probe lists: `PERSON/image index label` a line (walkoncross/lfw-evaluation-zyf, lfw_data)."""

import re
from dataclasses import dataclass

import numpy as np

from bench.errors import RequestError
from bench.protocols import _lists


@dataclass(frozen=True)
class Lists:
    """All images of a gallery and its probes.

    Attributes:
        images: (N,) each once, in the order of their indices; without indices the gallery, then what else is probed.
        gallery, probes: rows of `images`.
    """

    images: tuple[str, ...]
    gallery: np.ndarray
    probes: np.ndarray


@dataclass(frozen=True)
class _Line:
    image: str
    index: int | None
    label: str
    where: str


def read(root: _lists.Root, gallery: str, probe: str) -> Lists:
    """The lists in two files.

    Raises:
        RequestError: a file that is missing or malformed, an image that stands twice in one file, a label of two people or
            two labels of one, or an index of two images or two indices of one.
    """
    parsed = [_parse(_lists.read(root, file), file) for file in (gallery, probe)]
    lines = [line for part in parsed for line in part]
    _one_to_one([(line.label, line.image.split("/")[0], line.where) for line in lines], "label", "person")
    names = list(dict.fromkeys(line.image for line in lines))
    if all(line.index is not None for line in lines):
        _one_to_one([(str(line.index), line.image, line.where) for line in lines], "index", "image")
        index = {line.image: line.index or 0 for line in lines}
        names.sort(key=index.__getitem__)
    row = {name: place for place, name in enumerate(names)}
    sides = [np.array([row[line.image] for line in part]) for part in parsed]
    return Lists(tuple(names), *sides)


def _parse(text: str, where: str) -> list[_Line]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        place = f"{where} line {number}"
        numbers = fields[1:]
        if not 1 <= len(numbers) <= 2 or not all(re.fullmatch("[0-9]{1,9}", field) for field in numbers):
            raise RequestError(
                f"{place}: expected `PERSON/image index label` or `PERSON/image label`, got {line.strip()!r}"
            )
        index = int(numbers[0]) if len(numbers) == 2 else None
        found.append(_Line(fields[0], index, str(int(numbers[-1])), place))
    names = _lists.unique([line.image for line in found], where)
    _lists.people(names, where)
    return found


def _one_to_one(pairs: list[tuple[str, str, str]], one: str, other: str) -> None:
    """Each `one` belongs to a single `other`, and the other way round."""
    forward: dict[str, str] = {}
    back: dict[str, str] = {}
    for a, b, where in pairs:
        if forward.setdefault(a, b) != b:
            raise RequestError(f"{where}: {one} {a} is {b!r} here and {forward[a]!r} before: one {other} has one {one}")
        if back.setdefault(b, a) != a:
            raise RequestError(
                f"{where}: {other} {b!r} has {one} {a} here and {back[b]} before: one {other} has one {one}"
            )
