"""Decoded once, then memory-mapped: the uint8 pixels of many images at one size, in the cache outside the project."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import _pixel_file, places
from bench.errors import RequestError
from bench.images import Faces, Source, Unreadable

VERSION = 1  # raise it when the same request would give other pixels


@dataclass(frozen=True)
class Pixels:
    """`array` is (N, H, W, C) uint8, one row a name; the rows of `unreadable` images are zero.

    Attributes:
        state: how it came: `complete`, `fresh`, `resumed` or `repaired`, see `CacheInfo`.
    """

    array: np.ndarray
    unreadable: tuple[Unreadable, ...]
    state: str
    key: str


Patch = tuple[float, float, float]  # top, left, side of a square, as shares of the image's side


def pixels(
    source: Source,
    names: Sequence[str],
    size: int | tuple[int, int],
    crop: int | None = None,
    channels: int = 3,
    patch: Patch | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Pixels:
    """The central `crop` square (None: the largest) of each image, scaled to `size` x `size`, in `channels` (1 or 3).

    Of that square only the `patch` where one is given (DeepID2's networks see one patch of the face each). A `size` of
    (height, width) takes the central rectangle of that form, at most `crop` high: (112, 96) of an aligned 112 x 112 image is
    its middle, unscaled, as the two common templates lie on each other.

    The first process to ask builds the cache file, others wait for it (a builder that dies frees the lock). What was begun
    is resumed, what is damaged is made again: see `bench._pixel_file`, which also says what that costs.

    Args:
        progress: called with (done, total) while images are decoded.

    Raises:
        RequestError: `channels` is neither 1 nor 3, or images are missing in the source.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height == width:
        size = height  # one cache file, however a square was asked for
    if channels not in (1, 3) or min(height, width) < 1 or (crop is not None and crop < 1):
        raise RequestError(
            f"images need 1 or 3 channels, a size of at least 1 and a crop of at least 1 (or none), got channels={channels}, "
            f"size={size} and crop={crop}"
        )
    if patch is not None and not (0 < patch[2] <= 1 and all(0 <= start <= 1 - patch[2] + 1e-9 for start in patch[:2])):
        raise RequestError(
            f"a patch is (top, left, side) in shares of the image and lies within it, got {list(patch)}: "
            "expected side in (0, 1], top and left in [0, 1 - side]"
        )
    wanted = [VERSION, source.fingerprint, list(names), size, crop, channels, *([list(patch)] if patch else [])]
    key = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:32]

    def make(first: int, last: int) -> Iterator[np.ndarray | Unreadable]:
        for image in source.images(names[first:last]):
            yield image if isinstance(image, Unreadable) else fit(image, size, crop, channels, patch)

    request = {
        "source": source.fingerprint,
        "size": size,
        "crop": crop,
        "channels": channels,
        "patch": patch and list(patch),
    }
    request["first"] = names[0] if len(names) else None
    shape = (len(names), height, width, channels)
    job = _pixel_file.Job(places.cache() / f"{key}.npy", shape, request, make, progress)
    return Pixels(*_pixel_file.opened(job), key)


@dataclass(frozen=True)
class CacheInfo:
    """A file of the cache.

    Attributes:
        path: the array's file.
        images: the rows that are in it.
        bytes: on the disk.
        state: `fresh` (built by this call), `resumed` (begun by another, finished by this call), `repaired` (damaged blocks
            were made again) or `complete`; of a list also `unfinished`, `damaged`, or `unknown` (of another version).
        unreadable: how many images could not be read.
        request: what was asked for: `source` (its fingerprint), `size`, `crop`, `channels`, `patch`, `first` (image).
    """

    path: Path
    images: int
    bytes: int
    state: str
    unreadable: int = 0
    request: dict[str, Any] = field(default_factory=dict)


def cache(
    faces: Faces,
    size: int,
    *,
    crop: int | None = None,
    channels: int = 3,
    patch: Patch | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CacheInfo:
    """Decode a data set into the cache, as `facebench train` with the same size, crop and channels will want it.

    Raises:
        RequestError: as `pixels`.
    """
    shown = pixels(faces.source, faces.names, size, crop, channels, patch, progress)
    return _info(places.cache() / f"{shown.key}.npy", shown.state)


def listed(verify: bool = False) -> list[CacheInfo]:
    """All files of the cache, finished and unfinished, by name.

    Args:
        verify: read them whole and compare every block with its checksum; what is damaged is repaired when it is used next.
    """
    found = []
    for path in sorted(places.cache().glob("*.npy")):
        wrong = _pixel_file.checked(path) if verify else []
        found.append(_info(path, "damaged" if wrong else "complete"))
    begun = sorted(places.cache().glob("*.building"))
    return found + [CacheInfo(path, 0, path.stat().st_size, "unfinished") for path in begun]


def _info(path: Path, state: str) -> CacheInfo:
    record = _pixel_file.read_record(path)
    if record is None:
        return CacheInfo(path, 0, path.stat().st_size, "unknown")
    return CacheInfo(path, record.shape[0], path.stat().st_size, state, len(record.unreadable), record.request)


def fit(
    image: np.ndarray, size: int | tuple[int, int], crop: int | None, channels: int, patch: Patch | None = None
) -> np.ndarray:
    """(H, W, 1 or 3) uint8 -> its central square (or rectangle), or the patch of that, scaled to `size`, (h, w, channels)."""
    from PIL import Image

    wanted = (size, size) if isinstance(size, int) else size
    height, width = image.shape[:2]
    scale = min(height / wanted[0], width / wanted[1], *([crop / wanted[0]] if crop else []))
    tall, wide = max(1, round(wanted[0] * scale)), max(1, round(wanted[1] * scale))
    top, left = (height - tall) // 2, (width - wide) // 2
    if patch is not None:
        top, left = top + round(patch[0] * tall), left + round(patch[1] * wide)
        tall = min(max(1, round(patch[2] * tall)), height - top, width - left)
        wide = min(max(1, round(patch[2] * wide)), height - top, width - left)
    part = image[top : top + tall, left : left + wide]
    if part.shape[2] == 3 and channels == 1:
        part = np.asarray(Image.fromarray(part).convert("L"))[:, :, None]
    if (tall, wide) != wanted:
        scaled = Image.fromarray(part.squeeze(2) if part.shape[2] == 1 else part)
        part = np.asarray(scaled.resize(wanted[::-1], Image.Resampling.BICUBIC)).reshape(*wanted, -1)
    return np.broadcast_to(part, (*wanted, channels))


def whole(shown: Pixels, protocol: str) -> None:
    """Refuse the images of a protocol if one of them cannot be read.

    Raises:
        RequestError: how many, and the first.
    """
    if shown.unreadable:
        bad = shown.unreadable[0]
        raise RequestError(
            f"{len(shown.unreadable)} of {len(shown.array)} images of {protocol} cannot be read, "
            f"the first is {bad.name} ({bad.reason}): a protocol is scored on all of its images or not at all"
        )


def row_hashes(array: np.ndarray) -> list[bytes]:
    """A hash per image of its pixels, by which equal images are found whatever their names."""
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in array]
