"""A face is brought into place: five landmarks onto a template, by the least-squares similarity transform.

Coordinates are (x, y) with x to the right and y downwards. In here they count from 0 at the *centre* of the upper left
pixel, as in OpenCV and scikit-image; files and templates that count from 1 (MATLAB) are shifted as they come in.
"""

from dataclasses import dataclass

import numpy as np

from bench.errors import RequestError

# Left eye, right eye, nose, left and right corner of the mouth, as seen on the picture (the left eye is at smaller x):
# the template of ArcFace's 112 x 112 crop. SphereFace's and CosFace's crop is 96 wide: its columns 8 to 103.
TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
SIZES = {"112x112": (112, 112, 0.0), "112x96": (112, 96, 8.0)}  # height, width, columns cut off at the left
RESAMPLINGS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class Similarity:
    """The transform z -> a z + b of the plane, points as complex numbers x + iy: rotation, scale and shift, no reflection.

    Attributes:
        a: scale times e^(i angle).
        b: the shift, in pixels of the crop.
        residual: the root mean square distance of the mapped points to the template, in pixels of the crop.
    """

    a: complex
    b: complex
    residual: float

    @property
    def scale(self) -> float:
        """Pixels of the crop per pixel of the picture."""
        return abs(self.a)

    @property
    def degrees(self) -> float:
        """By how much the picture is turned, clockwise as it is seen."""
        return float(np.degrees(np.angle(self.a)))

    @property
    def matrix(self) -> np.ndarray:
        """(2, 3): picture (x, y, 1) -> crop (x, y)."""
        return np.array([[self.a.real, -self.a.imag, self.b.real], [self.a.imag, self.a.real, self.b.imag]])


def template(size: str = "112x112", base: int = 0) -> np.ndarray:
    """(5, 2): where the landmarks come to lie in a crop of `size`, counted from 0.

    Args:
        size: `112x112` (ArcFace) or `112x96` (height x width; SphereFace, CosFace, center loss).
        base: what the published numbers count from. 0, as insightface and nearly every Python port take them. 1, as
            SphereFace's MATLAB code does (`imtransform(..., 'XData', [1 96], 'YData', [1 112])`): the crop then
            shows the face one pixel further to the upper left. For MATLAB's own crops the landmarks count from 1 too.

    Raises:
        RequestError: another size or base.
    """
    if size not in SIZES:
        raise RequestError(f"no template for crops of {size!r}; there is one for: {', '.join(SIZES)} (height x width)")
    return TEMPLATE - (SIZES[size][2], 0.0) - check_base("template_base", base)


def check_base(name: str, base: int) -> int:
    """What coordinates count from.

    Raises:
        RequestError: it is neither 0 nor 1.
    """
    if isinstance(base, bool) or base not in (0, 1):
        raise RequestError(f"{name} is what coordinates count from: 0 (OpenCV, Python) or 1 (MATLAB), got {base!r}")
    return base


def similarity(points: np.ndarray, target: np.ndarray) -> Similarity:
    """The similarity transform that brings `points` (n, 2) closest to `target` (n, 2), without reflection.

    Minimises sum_k |a z_k + b - w_k|^2: with both sets centred, a = sum conj(z) w / sum |z|^2. The same minimum as in
    S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991, eq. 40-43,
    for m = 2 (and as scikit-image's `SimilarityTransform`).

    MATLAB's `cp2tform(..., 'similarity')` and its ports also try the reflection and take the better of the two; a face
    is not mirrored, so where a reflection fits better the points were named in another order, and that is an error.

    Raises:
        RequestError: the points are not finite, all in one place, or mirrored.
    """
    z, w = _complex(points), _complex(target)
    if not np.isfinite(z).all():
        raise RequestError(f"landmarks must be finite numbers, got {np.asarray(points).tolist()}")
    spread = float((abs(z - z.mean()) ** 2).sum())
    if spread <= 1e-12 * max(1.0, float((abs(z) ** 2).sum())):
        raise RequestError(f"all landmarks lie in one place, {np.asarray(points)[0].tolist()}: they fix no transform")
    a, mirrored, residual = _fit(z, w)
    if abs(mirrored) > abs(a):
        raise RequestError(
            "the landmarks are mirrored (a reflection would fit them better): expected left eye, right eye, nose, left and "
            "right corner of the mouth as seen on the picture, the left ones at smaller x"
        )
    return Similarity(complex(a), complex(w.mean() - a * z.mean()), float(residual))


def residuals(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N,) of points (N, n, 2): the root mean square distance to `target` after the best similarity transform; inf where
    the points lie in one place or are not finite."""
    with np.errstate(all="ignore"):
        found = _fit(_complex(points), _complex(target))[2]
    return np.where(np.isfinite(found), found, np.inf)


def _complex(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    return points[..., 0] + 1j * points[..., 1]


def _fit(z: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row of z: the best a of a z + b, that of a conj(z) + b (the reflection), and the residual of the first."""
    z, w = z - z.mean(-1, keepdims=True), w - w.mean()
    spread = (abs(z) ** 2).sum(-1)
    a, mirrored = (z.conj() * w).sum(-1) / spread, (z * w).sum(-1) / spread
    return a, mirrored, np.sqrt((abs(a[..., None] * z - w) ** 2).mean(-1))


def crop(
    image: np.ndarray, move: Similarity, size: str, resample: str = "bilinear", antialias: bool = False
) -> np.ndarray:
    """The crop of a picture (H, W, C) uint8 under `move`, (height, width, C) uint8, black where the picture ends.

    Args:
        size: see `template`.
        resample: `bilinear`, as OpenCV's `warpAffine` and MATLAB's `imtransform` do unless told otherwise, or `bicubic`
            (a = -0.5). Values are rounded to the nearest, not cut off.
        antialias: where the picture is shrunk to less than a half, average blocks of pixels first. The usual tools do
            not, and take single pixels out of large pictures; so it is off unless asked for.

    Raises:
        RequestError: another size or resampling.
    """
    from PIL import Image

    if resample not in RESAMPLINGS or size not in SIZES:
        raise RequestError(
            f"a crop is {' or '.join(SIZES)} by {' or '.join(RESAMPLINGS)} resampling, got {size!r} and {resample!r}"
        )
    method = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[resample]
    height, width, _ = SIZES[size]
    block = max(1, int(1 / move.scale)) if antialias else 1
    left, top, right, bottom = _seen(image.shape, move, (height, width), block)
    made = np.zeros((height, width, image.shape[2]), np.uint8)
    if left >= right or top >= bottom:
        return made
    # Crop -> picture, z = (w - b) / a. PIL counts from the corner of the upper left pixel, in the picture as in the crop,
    # so half a pixel is taken off and put on again; in a reduced picture a pixel is a block.
    half = 0.5 + 0.5j
    slope = 1 / move.a
    shift = (half - move.b * slope - slope * half - complex(left, top)) / block
    slope /= block
    data = (slope.real, -slope.imag, shift.real, slope.imag, slope.real, shift.imag)
    for channel in range(image.shape[2]):
        # In floats, as PIL cuts off the fraction of bytes.
        band = Image.fromarray(image[top:bottom, left:right, channel].astype(np.float32))
        band = band.reduce(block) if block > 1 else band
        values = np.asarray(band.transform((width, height), Image.Transform.AFFINE, data, method))
        made[:, :, channel] = np.rint(values).clip(0, 255)
    return made


def _seen(shape: tuple[int, ...], move: Similarity, size: tuple[int, int], block: int) -> tuple[int, int, int, int]:
    """The part of a picture that a crop sees (left, top, right, bottom), with a margin for resampling, on whole blocks."""
    height, width = size
    corners = np.array([0, width, 1j * height, width + 1j * height])
    back = (corners - 0.5 - 0.5j - move.b) / move.a
    margin = 3 * block + 1
    low = np.floor([back.real.min() - margin, back.imag.min() - margin]).clip(0)
    high = np.ceil([back.real.max() + margin, back.imag.max() + margin]).clip(max=(shape[1], shape[0]))
    left, top = (low // block * block).astype(int)
    return int(left), int(top), int(high[0]), int(high[1])
