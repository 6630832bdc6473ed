"""Images that are nearly the same, found by a hash of what they look like: 255 signs of a cosine transform.

Near is a Hamming distance of at most `NEAR`. What that finds was measured on aligned 112 x 112 faces: 202 million pairs, of
LFW View 2 with itself, with the rest of LFW and with subsets of CelebA, CFP and YouTube Faces; all within 52 were looked at.

- Within 44: 10 pairs, each the same photograph or the next one of the same moment (four go by two names; one is in LFW and
  in CelebA). To 48: 6 more, the same person at the same sitting. At 50 and 52: 9, three of them two people; from there on
  most are.
- View 2 with the mirror images, where nearly all that is found is found by accident: none within 50, three at 52.

Of copies of 2,000 images, within 44: all that were packed as JPEG at quality 75 or 30, scaled to 32, 64 or 224 pixels, made
brighter, flatter or grey, or mirrored (the largest distance is 16), and 99.9 % of those moved by one pixel. *Not* copies
that were framed otherwise: 46 % of those turned by three degrees, 3 % moved by two pixels along both axes, 1 % cropped by
four pixels at each side. For those there are embeddings. (Hashes of 64 bits do not do here, aligned faces are too much alike:
by dHash View 2 and the rest of LFW have 16 pairs within 2 and 384 within 4, and as many where one is mirrored.)
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.errors import RequestError

SIDE = 64  # of the grey image that is hashed
NEAR = 44
_KEPT = 16  # frequencies along each axis
_BITS = _KEPT * _KEPT
_FLAT = 2.0  # grey levels: an image with a smaller standard deviation shows nothing
_ROWS, _COLUMNS = 2048, 4096  # of a block of distances: 32 MB


@dataclass(frozen=True)
class Hashes:
    """Of N images.

    Attributes:
        bits, mirrored: (N, 32) uint8, packed: of each image and of its mirror image.
        exact: (N,) uint64, a hash of the pixels themselves.
        known: (N,) bool; False: the image is flat (or could not be read and is black), its hashes mean nothing.
    """

    bits: np.ndarray
    mirrored: np.ndarray
    exact: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class Nearest:
    """Of each of T images the nearest among N others.

    Attributes:
        row: (T,) int64, the first of the nearest; -1 where none is near.
        distance: (T,) int64; -1 where none is near.
        count: (T,) int64, how many are near.
        hit: (N,) bool, those that are near to any.
    """

    row: np.ndarray
    distance: np.ndarray
    count: np.ndarray
    hit: np.ndarray


def hashed(images: np.ndarray) -> Hashes:
    """The hashes of (N, 64, 64) uint8 grey images, a block at a time (`images` may be memory-mapped).

    The cosine transform (DCT-II) of the image, its 16 x 16 lowest frequencies without the mean; a bit says whether the
    coefficient exceeds their median (so half of the bits are set: after C. Zauner, "Implementation and benchmarking of
    perceptual image hash functions", 2010, there with 64 bits). Mirroring an image turns the sign of every second column
    of its transform.

    Raises:
        RequestError: images of another shape.
    """
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or images.dtype != np.uint8:
        raise RequestError(f"hashes are made of (N, {SIDE}, {SIDE}) uint8 images, got {images.shape} {images.dtype}")
    count = len(images)
    made = Hashes(
        np.zeros((count, _BITS // 8), np.uint8),
        np.zeros((count, _BITS // 8), np.uint8),
        np.zeros(count, np.uint64),
        np.zeros(count, bool),
    )
    waves = _waves()
    signs = np.where(np.arange(_KEPT) % 2, -1.0, 1.0)
    for start in range(0, count, 256):
        part = slice(start, start + 256)
        block = np.ascontiguousarray(images[part])
        found = waves @ block.astype(np.float64) @ waves.T
        made.bits[part], made.mirrored[part] = _signs(found), _signs(found * signs)
        made.known[part] = block.std((1, 2)) >= _FLAT
        digests = [hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in block]
        made.exact[part] = np.frombuffer(b"".join(digests), np.uint64)
    return made


def _waves() -> np.ndarray:
    """(16, 64): the lowest rows of the orthonormal DCT-II."""
    k, n = np.mgrid[:_KEPT, :SIDE]
    return np.sqrt(np.where(k, 2, 1) / SIDE) * np.cos(np.pi * k * (2 * n + 1) / (2 * SIDE))


def _signs(coefficients: np.ndarray) -> np.ndarray:
    flat = coefficients.reshape(len(coefficients), -1)
    bits = flat > np.median(flat[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False  # the mean says how bright the image is, no more
    return np.packbits(bits, axis=1)


def nearest(
    first: np.ndarray, second: np.ndarray, limit: int = NEAR, progress: Callable[[int, int], None] | None = None
) -> Nearest:
    """Of each row of `first` (T, 32) the nearest among `second` (N, 32), packed bits, if it is within `limit`.

    All T x N distances are computed, a block of 32 MB at a time, as products of signs (exact in float32); the answer
    takes memory in proportion to T + N, however many pairs are near.

    Args:
        progress: called with (done, total) rows of `second`.
    """
    found = Nearest(
        np.full(len(first), -1), np.full(len(first), -1), np.zeros(len(first), np.int64), np.zeros(len(second), bool)
    )
    best = np.full(len(first), limit + 1)
    for left in range(0, len(second), _COLUMNS):
        columns = slice(left, left + _COLUMNS)
        right_signs = _plus_minus(second[columns])
        for top in range(0, len(first), _ROWS):
            agreement = _plus_minus(first[top : top + _ROWS]) @ right_signs.T  # bits that agree minus bits that do not
            near = agreement >= _BITS - 2 * limit
            if not near.any():
                continue
            rows = np.flatnonzero(near.any(1))
            found.hit[columns] |= near.any(0)
            found.count[top + rows] += near[rows].sum(1)
            place = agreement[rows].argmax(1)
            distance = (_BITS - agreement[rows, place]).astype(np.int64) // 2
            better = distance < best[top + rows]
            rows, place, distance = top + rows[better], left + place[better], distance[better]
            best[rows] = found.distance[rows] = distance
            found.row[rows] = place
        if progress:
            progress(min(left + _COLUMNS, len(second)), len(second))
    return found


def _plus_minus(bits: np.ndarray) -> np.ndarray:
    return np.unpackbits(bits, axis=1).astype(np.float32) * 2 - 1
