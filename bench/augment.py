"""Random changes of a batch of images; each of them is a number in the trial.

flip        chance of the mirror image
shift       largest shift, as a share of the side (edges repeated)
brightness  largest change of brightness, as a share of the range
contrast    largest change of contrast: a factor in 1 +- contrast
grey        chance that colour is taken away
erase       chance that a rectangle (2 to 20 % of the area) is blanked
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from bench.errors import RequestError

DEFAULTS = {"flip": 0.5, "shift": 0.06, "brightness": 0.15, "contrast": 0.2, "grey": 0.1, "erase": 0.2}
_LUMINANCE = (0.299, 0.587, 0.114)


def check(options: Mapping[str, float]) -> dict[str, float]:
    """The options completed by the defaults.

    Raises:
        RequestError: an unknown option or a number outside [0, 1].
    """
    if unknown := sorted(set(options) - set(DEFAULTS)):
        raise RequestError(f"augment has no {unknown[0]!r}; it has: {', '.join(DEFAULTS)}")
    for name, value in options.items():
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise RequestError(f"augment.{name} must be a number between 0 and 1, got {value!r}")
    return DEFAULTS | dict(options)


def normalise(images: np.ndarray) -> Tensor:
    """(B, H, W, C) uint8 -> (B, C, H, W) float32 in about [-1, 1], (x - 127.5) / 128 (papers' preprocessing)."""
    return (torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() - 127.5) / 128


def augmented(
    images: np.ndarray,
    options: Mapping[str, float],
    random: np.random.Generator,
    batch: int | None = None,
    first: int = 0,
) -> Tensor:
    """(B, H, W, C) uint8 -> (B, C, H, W) float32, normalised and changed at random.

    All numbers are drawn on the host by `random` in a fixed order, so a run is the same on any device.

    Args:
        batch, first: the images are those from `first` on of a batch of so many, for all of which numbers are drawn: each
            process changes its share of a batch as one process would. None: they are the whole batch.
    """
    count = len(images) if batch is None else batch
    own = slice(first, first + len(images))
    most = round(options["shift"] * images.shape[1])
    x = normalise(_shifted(images, most, random.integers(0, 2 * most + 1, (count, 2))[own]))
    mirrored = torch.from_numpy(random.random(count)[own] < options["flip"])
    x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
    gain = torch.from_numpy(1 + options["contrast"] * random.uniform(-1, 1, (count, 1, 1, 1))[own].astype(np.float32))
    lift = torch.from_numpy(2 * options["brightness"] * random.uniform(-1, 1, (count, 1, 1, 1))[own].astype(np.float32))
    mean = x.mean((1, 2, 3), keepdim=True)
    x = ((x - mean) * gain + mean + lift).clamp_(-1, 1)
    greyed = torch.from_numpy(random.random(count)[own] < options["grey"])
    if x.shape[1] == 3:
        grey = torch.einsum("bchw,c->bhw", x, torch.tensor(_LUMINANCE))[:, None]
        x = torch.where(greyed[:, None, None, None], grey, x)
    _erase(x, random.random(count) < options["erase"], random, own)
    return x


def _shifted(images: np.ndarray, most: int, offsets: np.ndarray) -> np.ndarray:
    """Each image moved by up to `most` pixels. Slices, not a gather: they are several times faster."""
    if most == 0:
        return images
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    out = np.empty_like(images)
    for row, (top, left) in enumerate(offsets):
        out[row] = padded[row, top : top + height, left : left + width]
    return out


def _erase(x: Tensor, chosen: np.ndarray, random: np.random.Generator, own: slice) -> None:
    """Blank a rectangle (value 0, mid-grey) in the chosen images, in place (Zhong et al. 2020, random erasing).

    Args:
        chosen: of the whole batch, of which `x` is the part `own`.
    """
    height, width = x.shape[2:]
    area = random.uniform(0.02, 0.2, len(chosen)) * height * width
    ratio = np.exp(random.uniform(np.log(0.4), np.log(2.5), len(chosen)))
    tall = np.minimum(np.sqrt(area * ratio), height).astype(int)
    wide = np.minimum(np.sqrt(area / ratio), width).astype(int)
    corner = random.random((len(chosen), 2))[own]
    tall, wide = tall[own], wide[own]
    for row in np.flatnonzero(chosen[own]):
        top = int(corner[row, 0] * (height - tall[row] + 1))
        left = int(corner[row, 1] * (width - wide[row] + 1))
        x[row, :, top : top + tall[row], left : left + wide[row]] = 0
