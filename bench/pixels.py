"""Decoded once, then memory-mapped: the uint8 pixels of many images at one size, in the cache outside the project."""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import places
from bench.errors import RequestError
from bench.images import Source, Unreadable

VERSION = 1  # raise it when the same request would give other pixels


@dataclass(frozen=True)
class Pixels:
    """`array` is (N, H, W, C) uint8, one row a name; the rows of `unreadable` images are zero."""

    array: np.ndarray
    unreadable: tuple[Unreadable, ...]
    key: str


Patch = tuple[float, float, float]  # top, left, side of a square, as shares of the image's side


def pixels(
    source: Source,
    names: Sequence[str],
    size: int,
    crop: int | None = None,
    channels: int = 3,
    patch: Patch | None = None,
) -> Pixels:
    """The central `crop` square (None: the largest) of each image, scaled to `size` x `size`, in `channels` (1 or 3).

    Of that square only the `patch` where one is given (DeepID2's networks see one patch of the face each).

    The first process to ask builds the cache file, others wait for it (a builder that dies frees the lock).

    Raises:
        RequestError: `channels` is neither 1 nor 3, or images are missing in the source.
    """
    if channels not in (1, 3) or size < 1 or (crop is not None and crop < 1):
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
    request = json.dumps(wanted)
    key = hashlib.sha256(request.encode()).hexdigest()[:32]
    folder = places.cache()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}.npy"
    if not path.exists():
        with (folder / f"{key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                _build(source, names, (size, crop, channels, patch), path)
    bad = [Unreadable(**row) for row in json.loads(path.with_suffix(".json").read_text())]
    return Pixels(np.load(path, mmap_mode="r"), tuple(bad), key)


def _build(source: Source, names: Sequence[str], shape: tuple[int, int | None, int, Patch | None], path: Path) -> None:
    size, _, channels, _ = shape
    bad: list[Unreadable] = []
    handle, part = tempfile.mkstemp(suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        out = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(len(names), size, size, channels))
        for row, image in enumerate(source.images(names)):
            if isinstance(image, Unreadable):
                bad.append(image)
            else:
                out[row] = fit(image, *shape)
        out.flush()
        path.with_suffix(".json").write_text(json.dumps([vars(b) for b in bad]))
        Path(part).replace(path)  # last: the array's file says that all is there
    finally:
        Path(part).unlink(missing_ok=True)


def fit(image: np.ndarray, size: int, crop: int | None, channels: int, patch: Patch | None = None) -> np.ndarray:
    """(H, W, 1 or 3) uint8 -> its central square, or the patch of that, scaled to (size, size, channels)."""
    from PIL import Image

    height, width = image.shape[:2]
    side = min(crop or max(height, width), height, width)
    top, left = (height - side) // 2, (width - side) // 2
    if patch is not None:
        top, left = top + round(patch[0] * side), left + round(patch[1] * side)
        side = min(max(1, round(patch[2] * side)), height - top, width - left)
    square = image[top : top + side, left : left + side]
    if square.shape[2] == 3 and channels == 1:
        square = np.asarray(Image.fromarray(square).convert("L"))[:, :, None]
    if side != size:
        scaled = Image.fromarray(square.squeeze(2) if square.shape[2] == 1 else square)
        square = np.asarray(scaled.resize((size, size), Image.Resampling.BICUBIC)).reshape(size, size, -1)
    return np.broadcast_to(square, (size, size, channels))


def row_hashes(array: np.ndarray) -> list[bytes]:
    """A hash per image of its pixels, by which equal images are found whatever their names."""
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in array]
