"""The lists of the test protocols on generated faces, in the formats of the real ones."""

from itertools import combinations

import numpy as np

from bench.datasets import _face_names as names
from bench.errors import RequestError

DEFAULTS: dict[str, dict[str, int]] = {
    "lfw": {"folds": 10, "pairs": 300, "identities": 400, "per_identity": 6},
    "ytf": {"folds": 10, "pairs": 100, "identities": 200, "videos": 4, "frames": 5},
    "megaface": {"identities": 80, "per_identity": 10, "distractors": 10_000},
    "heldout": {"identities": 50, "per_identity": 10},
}
_LEAST = {"per_identity": 2, "videos": 2, "identities": 2}


def lists(protocol: str, scale: dict[str, int | None], seed: int) -> dict[str, str]:
    """File name -> text of the protocol's lists.

    Args:
        protocol: one of `DEFAULTS`.
        scale: its sizes; None means the default.
        seed: which pairs are drawn.

    Raises:
        RequestError: an unknown protocol, a size it does not have, or sizes that do not fit together.
    """
    sizes = _sizes(protocol, scale)
    if protocol in ("lfw", "ytf"):
        return (_lfw if protocol == "lfw" else _ytf)(sizes, np.random.default_rng([seed, len(protocol)]))
    part = "megaface" if protocol == "megaface" else "heldout"
    images = [
        names.still(part, identity, image)
        for identity in range(sizes["identities"])
        for image in range(1, sizes["per_identity"] + 1)
    ]
    if protocol == "heldout":
        return {"images.txt": _text(images)}
    others = [names.still("distractor", identity, 1) for identity in range(sizes["distractors"])]
    return {"probes.txt": _text(images), "distractors.txt": _text(others)}


def _sizes(protocol: str, scale: dict[str, int | None]) -> dict[str, int]:
    if protocol not in DEFAULTS:
        raise RequestError(f"faces carries no protocol {protocol!r}; it has: {', '.join(DEFAULTS)}")
    known = DEFAULTS[protocol]
    given = {name: value for name, value in scale.items() if value is not None}
    if unknown := sorted(set(given) - set(known)):
        raise RequestError(f"protocol {protocol!r} of faces has no option {unknown[0]!r}; it has: {', '.join(known)}")
    sizes = known | given
    for name, value in sizes.items():
        least = _LEAST.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise RequestError(f"{name} of faces must be a whole number of at least {least}, got {value!r}")
    if sizes["identities"] < 2 * sizes.get("folds", 0):
        raise RequestError(
            f"{sizes['folds']} person-disjoint folds of pairs need at least {2 * sizes['folds']} identities, "
            f"got {sizes['identities']}"
        )
    return sizes


def _lfw(sizes: dict[str, int], random: np.random.Generator) -> dict[str, str]:
    """`pairs.txt`: per fold first the genuine pairs `NAME i j`, then the impostor pairs `NAME i OTHER j`."""
    lines = [f"{sizes['folds']}\t{sizes['pairs']}"]
    for people in _folds(sizes):
        same, different = _pairs(people, sizes["per_identity"], sizes["pairs"], random)
        lines += [f"{names.person('lfw', a)}\t{i + 1}\t{j + 1}" for (a, i), (_, j) in same]
        lines += [
            f"{names.person('lfw', a)}\t{i + 1}\t{names.person('lfw', b)}\t{j + 1}" for (a, i), (b, j) in different
        ]
    return {"pairs.txt": _text(lines)}


def _ytf(sizes: dict[str, int], random: np.random.Generator) -> dict[str, str]:
    """`splits.txt` (csv) and the frames of all videos, `images.txt`."""
    rows = ["split,pair,first,second,same"]
    for split, people in enumerate(_folds(sizes), 1):
        same, different = _pairs(people, sizes["videos"], sizes["pairs"], random)
        for number, ((a, i), (b, j)) in enumerate(same + different, 1):
            rows.append(f"{split},{number},{names.person('ytf', a)}/{i},{names.person('ytf', b)}/{j},{int(a == b)}")
    frames = [
        names.frame("ytf", identity, video, number)
        for identity in range(sizes["identities"])
        for video in range(sizes["videos"])
        for number in range(1, sizes["frames"] + 1)
    ]
    return {"splits.txt": _text(rows), "images.txt": _text(frames)}


def _folds(sizes: dict[str, int]) -> list[list[int]]:
    return [part.tolist() for part in np.array_split(np.arange(sizes["identities"]), sizes["folds"])]


_Pair = tuple[tuple[int, int], tuple[int, int]]


def _pairs(people: list[int], each: int, count: int, random: np.random.Generator) -> tuple[list[_Pair], list[_Pair]]:
    """`count` genuine and `count` impostor pairs of (person, item), all different; items count from 0."""
    genuine = [((a, i), (a, j)) for a in people for i, j in combinations(range(each), 2)]
    if count > len(genuine):
        raise RequestError(
            f"{count} genuine pairs a fold are more than the {len(genuine)} of {len(people)} people with {each} items: "
            "ask for fewer pairs, or for more identities or items each"
        )
    same = [genuine[k] for k in random.choice(len(genuine), count, replace=False)]
    different: dict[_Pair, None] = {}
    while len(different) < count:  # ends: there are at least as many impostor pairs as two people's items allow
        a, b = sorted(random.choice(people, 2, replace=False).tolist())
        i, j = random.integers(each, size=2).tolist()
        different[(a, i), (b, j)] = None
    return same, list(different)


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
