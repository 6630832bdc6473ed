"""The names of generated faces: `lfw-000123/lfw-000123_0001.jpg`, and `ytf-000012/0/0001.jpg` for a frame of a video.

A name alone says which image it is, so a source needs no list, and the identities of two parts can never be the same.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from bench.errors import RequestError

PARTS = ("train", "lfw", "ytf", "megaface", "distractor", "heldout")
_FORM = re.compile(
    r"(?P<who>(?P<part>[a-z]+)-(?P<identity>\d{6,9}))/((?P=who)_(?P<image>\d{4,9})|(?P<video>\d{1,9})/(?P<frame>\d{4,9}))\.jpg"
)


class Name(NamedTuple):
    """What a name says; `video` is -1 for a still. Images and frames count from 1."""

    part: str
    identity: int
    image: int
    video: int = -1


def person(part: str, identity: int) -> str:
    """The identity's name."""
    return f"{part}-{identity:06d}"


def still(part: str, identity: int, image: int) -> str:
    """The name of a photograph; `image` counts from 1."""
    return f"{person(part, identity)}/{person(part, identity)}_{image:04d}.jpg"


def frame(part: str, identity: int, video: int, number: int) -> str:
    """The name of a frame; `number` counts from 1."""
    return f"{person(part, identity)}/{video}/{number:04d}.jpg"


def parse(names: Sequence[str]) -> list[Name]:
    """What the names say, in order.

    Raises:
        RequestError: names of no generated face (how many, and the first of them).
    """
    parsed = [_parse(name) for name in names]
    if bad := [name for name, known in zip(names, parsed, strict=True) if known is None]:
        raise RequestError(
            f"{len(bad)} of {len(names)} images are missing in the generated faces, the first is {bad[0]!r}: expected "
            f"PART-000012/PART-000012_0001.jpg or PART-000012/0/0001.jpg with PART one of {', '.join(PARTS)}"
        )
    return [known for known in parsed if known is not None]


def _parse(name: str) -> Name | None:
    found = _FORM.fullmatch(name)
    if not found or found["part"] not in PARTS:
        return None
    image, video = int(found["image"] or found["frame"]), int(found["video"] or -1)
    known = Name(found["part"], int(found["identity"]), image, video)
    again = still(*known[:3]) if video < 0 else frame(known.part, known.identity, video, image)
    return known if image > 0 and again == name else None  # one image, one name: no 0, no extra zeros
