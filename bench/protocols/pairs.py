"""Verification of image pairs from any csv: CFP's FF and FP, or a list of your own.

Metrics: `<label>/accuracy` and `accuracy_se` (where there are folds), `auc`, `eer`, `tar_at_far_...`; the label is an
option, `cfp-ff` say. (CFP: ten folds of 350 + 350 pairs; S. Sengupta et al., "Frontal to profile face verification in the
wild", WACV 2016.)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.errors import RequestError
from bench.protocols import _lists, _pairs, _verification
from bench.protocols._verification import Verification

_SAME = {"1": True, "0": False, "true": True, "false": False}
_WHO = ("folder", "unknown")


@dataclass(frozen=True)
class _Pair:
    """A line of the list; `people`: the persons on its two images, "" where no columns name them."""

    line: int
    first: str
    second: str
    same: bool
    fold: str
    people: tuple[str, str]


def load(
    root: _lists.Root,
    *,
    pairs: str = "pairs.csv",
    images: Sequence[str] | None = None,
    label: str = "pairs",
    first: str = "first",
    second: str = "second",
    same: str = "same",
    fold: str = "fold",
    folds: int | None = None,
    people: str | Sequence[str] = "folder",
    convention: str = "standard",
    allow_missing: bool = False,
) -> Verification:
    """Pairs of images in a csv with a header.

    An image compared with itself is refused, and so is a pair whose `same` contradicts the people. A pair that stands
    there more than once counts as often, and `repeated_pairs` says how many do: official lists are taken as they are (109 of
    the 5,600 pairs of CFP's FF folds 1 to 8 stand there the other way round too).

    Args:
        root: the folder or archive of the list, or a mapping of file name -> text.
        pairs: the csv, relative to `root`; a path may lead into an archive (`cfp.zip/pairs_FF.csv`).
        images: folders or archives that must hold every image named.
        label: stands before the metrics.
        first, second: the columns of the two images, as paths within a folder or archive of `images`.
        same: the column that is 1 or true for one person, 0 or false for two.
        fold: the column of the fold, a word or a number.
        folds: instead of a column, into how many equal parts the list falls in its order (1: it has no folds, and no
            accuracy).
        people: who is on an image: `folder` (its first folder), two columns (the person on the first and on the second
            image), or `unknown` (those whom genuine pairs join are one person, see `bench.protocols.bins`).
        convention: `standard`, or `insightface`: `accuracy_insightface` stands beside the rest, see
            `bench.metrics.grid.grid_accuracy`.
        allow_missing: leave out the pairs of images that are not there, and mark every figure as partial.

    Raises:
        RequestError: a file that is missing or malformed (with its line number), or images that are missing.
    """
    _verification.known_convention(convention)
    words = {"pairs": pairs, "label": label, "first": first, "second": second, "same": same, "fold": fold}
    if wrong := [name for name, value in words.items() if not isinstance(value, str)]:
        raise RequestError(f"{wrong[0]} is a word, got {words[wrong[0]]!r}")
    _verification.check_label(label)
    columns = [first, second, same, *([] if folds is not None else [fold]), *_named(people)]
    table = _parse(_lists.read(root, pairs), pairs, columns, folds is None)
    names = tuple(sorted({name for pair in table for name in (pair.first, pair.second)}))
    number = {name: row for row, name in enumerate(names)}
    sides = np.array([[number[pair.first], number[pair.second]] for pair in table])
    owners = _owners(people, table, names, sides, pairs, label)
    _check(table, dict(zip(names, owners, strict=True)), pairs)
    parts = _folds(table) if folds is None else _verification.consecutive(len(table), folds, pairs)
    spec = {"protocol": "pairs", "version": 1, "label": label, "score": "cosine", "convention": convention}
    spec |= {"pairs": _lists.sha256([f"{p.first}\t{p.second}\t{int(p.same)}" for p in table])}
    spec |= {"folds": _lists.sha256([str(part) for part in parts]), "people": _lists.sha256(owners)}
    listed = _pairs.Pairs(sides[:, 0], sides[:, 1], _same(table), parts, owners)
    made = Verification(label, names, owners, listed, np.arange(len(names)), spec, people != "unknown")
    missing = _lists.absent(names, root, images, pairs, allow_missing)
    return made.without(missing) if missing else made


def _named(people: str | Sequence[str]) -> list[str]:
    """The columns that name people, if any do."""
    if isinstance(people, str) and people in _WHO:
        return []
    if (
        not isinstance(people, list | tuple)
        or len(people) != 2
        or not all(isinstance(column, str) for column in people)
    ):
        raise RequestError(f"people is {', '.join(_WHO)}, or two columns as [person1, person2], got {people!r}")
    return list(people)


def _parse(text: str, where: str, columns: list[str], in_folds: bool) -> list[_Pair]:
    """The lines; `columns` are first, second, same, the fold where there is one, and two of people where there are."""
    if len(set(columns)) < len(columns):
        raise RequestError(f"the columns {', '.join(columns)} of {where} must be different ones")
    found = []
    for line, row in _lists.rows(text, where, columns):
        first, second, same, *rest = (row[name] for name in columns)
        fold = rest.pop(0) if in_folds else "0"
        if not all((first, second, fold, *rest)) or same.lower() not in _SAME:
            got = ",".join(row.values())
            raise RequestError(
                f"{where} line {line}: expected {','.join(columns)} with {columns[2]} 0 or 1, got {got!r}"
            )
        if first == second:
            raise RequestError(f"{where} line {line}: {first} is compared with itself")
        found.append(_Pair(line, first, second, _SAME[same.lower()], fold, (rest[0], rest[1]) if rest else ("", "")))
    if not found:
        raise RequestError(f"{where} lists no pairs")
    return found


def _same(table: list[_Pair]) -> np.ndarray:
    """(n,) bool."""
    return np.array([pair.same for pair in table])


def _owners(
    people: str | Sequence[str], table: list[_Pair], names: Sequence[str], sides: np.ndarray, where: str, label: str
) -> tuple[str, ...]:
    """The person on each image; `sides` (n, 2) are the images of each pair, as places in `names`."""
    if people == "folder":
        return _lists.people(names, where)
    if people != "unknown":
        return _of_columns(table, names, where)
    joined = _verification.linked(sides[:, 0], sides[:, 1], _same(table), np.arange(len(names)))
    return _verification.nobodies(joined, label)


def _of_columns(table: list[_Pair], names: Sequence[str], where: str) -> tuple[str, ...]:
    """The person on each image, as the list's own columns say."""
    known: dict[str, str] = {}
    for pair in table:
        for name, person in zip((pair.first, pair.second), pair.people, strict=True):
            if known.setdefault(name, person) != person:
                raise RequestError(
                    f"{where} line {pair.line}: {name} shows {person}, and {known[name]} in a line before"
                )
    return tuple(known[name] for name in names)


def _check(table: list[_Pair], owner: dict[str, str], where: str) -> None:
    """Whether each pair's `same` is what its people say."""
    for pair in table:
        if (owner[pair.first] == owner[pair.second]) != pair.same:
            who = f"people {owner[pair.first]} and {owner[pair.second]}"
            raise RequestError(
                f"{where} line {pair.line}: {pair.first} and {pair.second} ({who}) cannot be a pair with "
                f"same={int(pair.same)}"
            )


def _folds(table: list[_Pair]) -> np.ndarray:
    """(n,) the fold of each pair, a number: its own, or the place of its word among all."""
    words = [pair.fold for pair in table]
    if all(re.fullmatch(r"\d{1,9}", word, re.ASCII) for word in words):
        return np.array([int(word) for word in words])
    return np.unique(np.array(words), return_inverse=True)[1]
