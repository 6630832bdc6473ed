"""LFW's own files: `pairs.txt`, `people.txt` (the data set's README, 3a to 3d) and its image tree in any of its forms."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import RequestError
from bench.files import Tree, is_image
from bench.protocols import _lists

# As the image trees are shipped: the original one, the funneled and the deep-funneled.
TREES = ("lfw", "lfw_funneled", "lfw-funneled", "lfw-deepfunneled", "lfw_deepfunneled")

People = list[dict[str, int]]
_Numbered = list[tuple[int, list[str]]]


@dataclass(frozen=True)
class Pair:
    """Two images as `NAME/NAME_0001`, whether they show one person, and the fold."""

    first: str
    second: str
    same: bool
    fold: int


def parse(text: str, where: str) -> list[Pair]:
    """LFW's format: `folds n` (View 1: `n`), then for each fold n lines `name i j` and n lines `name i other j`.

    Raises:
        RequestError: anything else, with the number of the line.
    """
    numbered = _numbered(text)
    header = numbered[0][1] if numbered else []
    if not 1 <= len(header) <= 2 or not all(_is_count(number) and int(number) > 0 for number in header):
        raise RequestError(
            f"{where} line 1: expected `folds pairs-per-kind` (10 300) or `pairs-per-kind`, got {' '.join(header)!r}"
        )
    folds, each = (int(header[0]), int(header[1])) if len(header) == 2 else (1, int(header[0]))
    body = numbered[1:]
    if len(body) != folds * 2 * each:
        promised = f"{folds} x (2 x {each}) = {folds * 2 * each:,} pairs"
        raise RequestError(f"{where}: its first line promises {promised}, it has {len(body):,}")
    found = []
    for place, (number, fields) in enumerate(body):
        fold, within = divmod(place, 2 * each)
        found.append(_pair(fields, within < each, fold, f"{where} line {number}"))
    return found


def _pair(fields: list[str], same: bool, fold: int, where: str) -> Pair:
    form = "NAME i j" if same else "NAME i OTHER j"
    numbers = fields[1:3] if same else fields[1::2]
    if len(fields) != (3 if same else 4) or not all(_is_count(number) for number in numbers):
        kind = "genuine" if same else "impostor"
        raise RequestError(f"{where}: expected {'a' if same else 'an'} {kind} pair `{form}`, got {' '.join(fields)!r}")
    first, second = (fields[0], fields[0]) if same else (fields[0], fields[2])
    if (first == second) != same or (same and int(numbers[0]) == int(numbers[1])):
        raise RequestError(
            f"{where}: {' '.join(fields)!r} compares {'an image with itself' if same else 'a person with itself'}"
        )
    return Pair(f"{first}/{first}_{int(numbers[0]):04d}", f"{second}/{second}_{int(numbers[1]):04d}", same, fold)


def parse_people(text: str, where: str) -> People:
    """How many images each person has: one dict a set.

    View 2's file: the number of sets, then for each set the number of its people and a line `name images` each. View
    1's files are one set without the first number.

    Raises:
        RequestError: anything else, with the number of the line.
    """
    numbered = _numbered(text)
    in_sets = len(numbered) > 1 and len(numbered[1][1]) == 1
    place, sets = (1, _count(numbered, 0, where, "the number of sets")) if in_sets else (0, 1)
    found: People = []
    for _ in range(sets):
        size = _count(numbered, place, where, "a number of people")
        chosen = numbered[place + 1 : place + 1 + size]
        if len(chosen) != size:
            raise RequestError(
                f"{where} ends within set {len(found) + 1}: {size:,} people promised, {len(chosen):,} there"
            )
        found.append(_people_of(chosen, where))
        place += 1 + size
    if place != len(numbered):
        raise RequestError(f"{where} line {numbered[place][0]}: expected the end of the last set")
    return found


def parse_names(text: str, where: str) -> dict[str, int]:
    """How many images each person has: a line `name images` each, as LFW's `lfw-names.txt`.

    Raises:
        RequestError: anything else, with the number of the line.
    """
    if not (people := _people_of(_numbered(text), where)):
        raise RequestError(f"{where} lists nobody: expected a line `NAME images` each")
    return people


def _people_of(lines: _Numbered, where: str) -> dict[str, int]:
    people: dict[str, int] = {}
    for number, fields in lines:
        if len(fields) != 2 or not _is_count(fields[1]) or fields[0] in people:
            raise RequestError(f"{where} line {number}: expected a new `NAME images`, got {' '.join(fields)!r}")
        people[fields[0]] = int(fields[1])
    return people


def check_people(pairs: Sequence[Pair], where: str, people: People, source: str) -> None:
    """Every name and image number of the pairs exists in `people`, and the folds of both are the same people.

    Raises:
        RequestError: one does not (the sentence says how many and names the first).
    """
    known = {name: images for group in people for name, images in group.items()}
    sides = sorted({stem for pair in pairs for stem in (pair.first, pair.second)})
    if lost := [stem for stem in sides if not 1 <= _number(stem) <= known.get(_name(stem), 0)]:
        raise RequestError(
            f"{len(lost):,} of the {len(sides):,} images of {where} are not in {source}, the first is {lost[0]!r} (it gives "
            f"{_name(lost[0])} {known.get(_name(lost[0]), 0)} images): take both files from one release, or people=false"
        )
    folds = 1 + max(pair.fold for pair in pairs)
    if folds > 1 and len(people) != folds:
        raise RequestError(
            f"{where} has {folds} folds and {source} {len(people)} sets: take both files from one release"
        )
    astray = [
        (name, pair.fold) for pair in pairs for name in (_name(pair.first), _name(pair.second))
        if folds > 1 and name not in people[pair.fold]
    ]  # fmt: skip
    if astray:
        name, fold = astray[0]
        raise RequestError(
            f"{len(astray):,} sides of pairs in {where} are people of another set of {source}, the first is {name!r} in "
            f"fold {fold + 1}: take both files from one release"
        )


def located(
    names: Sequence[str], root: _lists.Root, images: Sequence[str | Path] | None, allow_missing: bool, where: str
) -> tuple[list[str], list[str]]:
    """The images `NAME/NAME_0001.jpg` as they are on the disk, whatever their suffix; and those that are missing.

    An image is known by the last parts of its path, so that a folder or an archive may hold the tree below one more folder
    (`lfw/NAME/...`).

    Args:
        images: folders or archives that must hold every image. Without them the one folder of `TREES` below `root`
            says which suffix they have, if there is one, and what is missing counts only if that is allowed.

    Raises:
        RequestError: an image is missing, or is there twice.
    """
    wanted = {_stem(name): name for name in names}
    if len(wanted) != len(names):
        stem = next(_stem(name) for name in names if wanted[_stem(name)] != name)
        raise RequestError(f"{where} name {stem!r} with two suffixes: list each image once")
    listed = _lists.images(root, images) if images is not None else _own_tree(root)
    if listed is None:
        return list(names), []
    depth = 1 + max(name.count("/") for name in names)
    there: dict[str, str] = {}
    for path in listed:
        end = "/".join(path.split("/")[-depth:])
        if (stem := _stem(end)) in wanted and stem in there:
            raise RequestError(f"image {stem!r} is there twice, one of them as {path}: name one tree as images=[...]")
        there[stem] = end
    missing = [name for stem, name in wanted.items() if stem not in there]
    if missing and images is not None and not allow_missing:
        raise RequestError(
            f"{len(missing)} of the {len(names):,} images of {where} are missing, the first is {_stem(missing[0])!r}: "
            f"{_lists.ADVICE}"
        )
    return [there.get(stem, name) for stem, name in wanted.items()], missing if allow_missing else []


def _own_tree(root: _lists.Root) -> list[str] | None:
    """The images of the one folder of `TREES` below `root`; None where there is none, or are several."""
    if isinstance(root, Mapping):
        return None
    folders = [path for name in TREES if (path := Path(root) / name).is_dir()]
    return [name for name in Tree(folders[0]).files() if is_image(name)] or None if len(folders) == 1 else None


def _numbered(text: str) -> _Numbered:
    return [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _is_count(word: str) -> bool:
    """Plain digits, and not so many that the number is nonsense (`str.isdigit` takes more than `int` does)."""
    return re.fullmatch("[0-9]{1,9}", word) is not None


def _count(lines: _Numbered, place: int, where: str, what: str) -> int:
    fields = lines[place][1] if place < len(lines) else []
    if len(fields) != 1 or not _is_count(fields[0]) or not int(fields[0]):
        number = lines[place][0] if place < len(lines) else 1 + (lines[-1][0] if lines else 0)
        raise RequestError(f"{where} line {number}: expected {what}, got {' '.join(fields)!r}")
    return int(fields[0])


def _stem(name: str) -> str:
    """The path without the suffix of an image."""
    return name.rpartition(".")[0] if is_image(name) else name


def _name(stem: str) -> str:
    return stem.partition("/")[0]


def _number(stem: str) -> int:
    return int(stem.rpartition("_")[2])
