"""Who is a probe and who a distractor: from the devkit's lists, from two lists of one's own, or from a listing of images."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.protocols import _devkit_lists, _lists
from bench.protocols._devkit_lists import Listing
from bench.protocols._galleries import Set, drawn, listed


@dataclass(frozen=True)
class Lists:
    """Probes first, then distractors.

    Attributes:
        names, people: of all images.
        probes: how many of them are probes.
        sets, sizes, seed: see `megaface.Megaface`.
        spec: which lists they are.
        name: of the protocol.
    """

    names: tuple[str, ...]
    people: tuple[str, ...]
    probes: int
    sets: tuple[Set, ...]
    sizes: tuple[int, ...]
    seed: int | None
    spec: dict[str, Any]
    name: str


def is_devkit(
    root: _lists.Root, distractors: str | None, sizes: Sequence[int] | None, draws: Sequence[int], challenge: int
) -> bool:
    """Whether the distractors stand in the devkit's lists, a file a size and set, and in no list of one's own."""
    if distractors is not None and _devkit_lists.find(root, distractors):
        return False
    stem = distractors or _devkit_lists.DISTRACTORS
    wanted = [*_devkit_lists.SIZES, *([] if sizes is None else sizes)]
    files = [f"{stem}_{size}_{draw}" for draw in {*draws, *_devkit_lists.SETS} for size in wanted]
    return any(_devkit_lists.find(root, file, 1 if distractors else challenge) for file in files)


def from_devkit(
    root: _lists.Root,
    probes: str | None,
    distractors: str | None,
    sizes: Sequence[int] | None,
    draws: tuple[int, ...],
    challenge: int,
    left_out: Collection[str],
) -> Lists:
    """The devkit's lists; see `megaface.load`."""
    name = probes or "facescrub"
    first = _without(_probes(root, name), left_out)
    found = _devkit_lists.galleries(root, distractors, sizes, draws, challenge)
    galleries = {
        draw: {size: _without(made, left_out) for size, made in lists.items()} for draw, lists in found.items()
    }
    names, sets = listed(
        {draw: {size: made.names for size, made in lists.items()} for draw, lists in galleries.items()}
    )
    everybody = [made for lists in galleries.values() for made in lists.values()]
    person = {image: who for made in everybody for image, who in zip(made.names, made.people, strict=True)}
    kept = tuple(galleries[draws[0]])
    spec: dict[str, Any] = {"protocol": "megaface", "version": 1, "score": "cosine", "lists": "devkit"}
    spec |= {"challenge": challenge, "sets": list(draws), "sizes": list(kept)}
    spec |= {"probes": _lists.sha256(first.names), "people": _lists.sha256(first.people)}
    spec["distractors"] = {
        f"{size}_{draw}": _lists.sha256(made.names) for draw, lists in galleries.items() for size, made in lists.items()
    }
    label = _label(challenge) + ("-fgnet" if name == "fgnet" else "")
    second = Listing(tuple(names), tuple(person[image] for image in names))
    return _joined(first, second, sets, kept, None, spec, label)


def own(root: _lists.Root, probes: str | None, distractors: str | None) -> tuple[Listing, Listing]:
    """Distractors of one's own, with probes of one's own or the devkit's."""
    return _probes(root, probes or "probes.txt"), _listing(root, distractors or "distractors.txt")


def split(
    root: _lists.Root, paths: Sequence[str], left_out: Collection[str], min_images: int, max_images: int
) -> tuple[Listing, Listing]:
    """Probes and distractors of a listing of images: people with many images, and the others.

    Raises:
        RequestError: lists of them lie in `root`, which may have been meant; an option or a path is wrong.
    """
    _lists.whole("min_images", min_images, 2)
    _lists.whole("max_images", max_images, 2)
    names = _lists.images(root, paths)
    for option in ("probes", "distractors"):
        if _devkit_lists.find(root, file := f"{option}.txt"):
            raise RequestError(
                f"{file} lies there, but with images= alone probes and distractors are drawn from the images and no list is "
                f"read: give {option}={file} too, or rename that file"
            )
    names = [name for name in names if name.split("/", 1)[0] not in left_out]
    per_person: dict[str, list[str]] = {}
    for name, person in zip(names, _lists.people(names, "images"), strict=True):
        per_person.setdefault(person, []).append(name)
    probes = [name for group in per_person.values() if len(group) >= min_images for name in group[:max_images]]
    distractors = [name for group in per_person.values() if len(group) < min_images for name in group]
    return _bare(probes), _bare(distractors)


def in_drawn_galleries(
    probes: Listing,
    distractors: Listing,
    sizes: Sequence[int] | None,
    seed: int,
    challenge: int,
    left_out: Collection[str],
) -> Lists:
    """Nested galleries of the distractors, in an order drawn from `seed`."""
    probes, distractors = _without(probes, left_out), _without(distractors, left_out)
    if not probes.names or not distractors.names:
        raise RequestError(
            f"megaface needs probes and distractors, got {len(probes.names)} probe and {len(distractors.names)} distractor "
            "images"
        )
    kept = cut(_devkit_lists.SIZES if sizes is None else checked_sizes(sizes), len(distractors.names))
    spec: dict[str, Any] = {"protocol": "megaface", "version": 1, "score": "cosine", "sizes": list(kept)}
    spec |= {"seed": _lists.whole("seed", seed, 0)} | ({"challenge": challenge} if challenge != 1 else {})
    spec |= {"probes": _lists.sha256(probes.names), "distractors": _lists.sha256(distractors.names)}
    sets = (drawn(len(distractors.names), kept, seed),)
    return _joined(probes, distractors, sets, kept, seed, spec, _label(challenge))


def cut(sizes: Sequence[int], distractors: int) -> tuple[int, ...]:
    """The sizes below the number of distractors, and that."""
    return tuple(sorted({size for size in sizes if size < distractors} | {distractors}))


def checked_sizes(sizes: Sequence[int]) -> list[int]:
    """Gallery sizes.

    Raises:
        RequestError: they are no list of whole numbers.
    """
    if isinstance(sizes, str | int):
        raise RequestError(f"sizes is a list of gallery sizes, got {sizes!r}")
    return [_lists.whole("a gallery size", size, 1) for size in sizes]


def check(people: Sequence[str], probes: int, sets: Sequence[Set], searched: np.ndarray | None = None) -> None:
    """What must hold for probes and distractors from anywhere.

    Args:
        searched: rows of the probes that are searched for; without it all.

    Raises:
        RequestError: no probes or no distractors, a person who is both, or nobody with two probes.
    """
    fewest = min((part.largest for part in sets), default=0)
    if not probes or not fewest:
        raise RequestError(f"megaface needs probes and distractors, got {probes} probe and {fewest} distractor images")
    known = people[:probes]
    if both := sorted(set(known) & set(people[probes:])):
        raise RequestError(
            f"{len(both)} people are both probes and distractors, the first is {both[0]!r}: "
            "a distractor has no image among the probes"
        )
    left = known if searched is None else [known[row] for row in searched]
    if len(set(left)) == len(left):
        raise RequestError(f"none of the {len(left)} probe people has two images: a probe needs a mate")


def _joined(
    first: Listing,
    second: Listing,
    sets: tuple[Set, ...],
    sizes: tuple[int, ...],
    seed: int | None,
    spec: Mapping[str, Any],
    name: str,
) -> Lists:
    names = _lists.unique(first.names + second.names, "probes and distractors")
    people = first.people + second.people
    check(people, len(first.names), sets)
    return Lists(names, people, len(first.names), sets, sizes, seed, dict(spec), name)


def _probes(root: _lists.Root, name: str) -> Listing:
    return _devkit_lists.official(root, name) if name in _devkit_lists.OFFICIAL else _listing(root, name)


def _listing(root: _lists.Root, file: str) -> Listing:
    instead = "images=[folder or archive, ...] to take probes and distractors from"
    return _devkit_lists.listing(root, _devkit_lists.find(root, file) or file, instead)


def _bare(names: Sequence[str]) -> Listing:
    return Listing(tuple(names), tuple(name.split("/", 1)[0] for name in names))


def _without(made: Listing, people: Collection[str]) -> Listing:
    if not people:
        return made
    keep = [row for row, person in enumerate(made.people) if person not in people]
    return Listing(tuple(made.names[row] for row in keep), tuple(made.people[row] for row in keep))


def _label(challenge: int) -> str:
    return "megaface" if challenge == 1 else f"megaface{challenge}"
