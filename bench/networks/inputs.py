"""What a network wants of an image: size, colour order, normalisation, layout, and whether the mirror image is seen too.

Said by options (`--input KEY=VALUE`), else by the model itself (its metadata under `facebench.KEY`, its input's fixed shape),
else taken for granted where a wrong guess would show at once. Normalisation is never guessed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench import mirror
from bench.errors import RequestError

COLOURS = {"rgb": 3, "bgr": 3, "grey": 1}
LAYOUTS = ("nchw", "nhwc")
USUAL = {"colour": "rgb", "layout": "nchw", "range": 255.0, "crop": None, "patch": None, "flip": "none"}
NEEDED = {"size": "size=112", "mean": "mean=127.5", "std": "std=128"}  # with an example of each
AS_IT_IS = {
    "mean": 0.0,
    "std": 1.0,
    "range": 255.0,
}  # for a model that takes uint8: what it does with them stands inside


@dataclass(frozen=True)
class Inputs:
    """How images become the network's input: `(pixel * range / 255 - mean) / std`.

    Attributes:
        size: (height, width) in pixels.
        mean, std: one number, or one a channel in the order of `colour`.
        range: what white is before mean and std: 255, or 1.
        colour: `rgb`, `bgr` or `grey` (one channel).
        layout: `nchw` or `nhwc`.
        crop: of the central square that is scaled to `size`, see `bench.pixels`; None: the largest.
        patch: (top, left, side) of what is seen of it, in shares; None: all.
        flip: how the embeddings of an image and its mirror image are joined: `concat`, `add` or `none`.
        origin: of each of them whether an `option`, the `model` or nobody (`assumed`) said it.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    range: float
    colour: str
    layout: str
    crop: int | None
    patch: tuple[float, float, float] | None
    flip: str
    origin: dict[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        return COLOURS[self.colour]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image, as the network gets it."""
        return (self.channels, *self.size) if self.layout == "nchw" else (*self.size, self.channels)

    def ready(self, images: np.ndarray) -> np.ndarray:
        """(B, H, W, C) uint8, RGB or grey -> (B, *shape) float32."""
        x = images[..., ::-1] if self.colour == "bgr" else images
        x = x.astype(np.float32)
        if self.range != 255:
            x *= np.float32(self.range / 255)
        with np.errstate(over="ignore"):  # what is not finite is told where the embeddings are looked at
            x -= np.array(self.mean, np.float32)
            x /= np.array(self.std, np.float32)
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if self.layout == "nchw" else x

    def mirrored(self, ready: np.ndarray) -> np.ndarray:
        """The mirror images of what `ready` gave."""
        return np.ascontiguousarray(ready[..., ::-1] if self.layout == "nchw" else ready[:, :, ::-1])

    def plain(self) -> dict[str, Any]:
        """As it stands in a result, and in the metadata of a model that is written here."""
        values = {name: getattr(self, name) for name in (*NEEDED, *USUAL)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def settled(
    name: str,
    asked: Mapping[str, Any],
    said: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    channels: int | None = None,
) -> Inputs:
    """The inputs of the model `name`.

    Args:
        asked: the user's options.
        said: what the model recommends; options go before it.
        fixed: what the model's shape leaves no choice of.
        channels: of an image, where the model's shape says it.

    Raises:
        RequestError: an unknown option or value, one that the model's shape forbids, or no word on size or normalisation.
    """
    known = (*NEEDED, *USUAL)
    if unknown := sorted(set(asked) - set(known)):
        raise RequestError(f"--input has no {unknown[0]!r} for {name}; it has: {', '.join(known)}")
    fixed = {**(fixed or {}), **({"colour": "grey"} if channels == 1 else {})}
    sources = {"option": asked, "model": {**(said or {}), **fixed}, "assumed": USUAL}
    values, origin = {}, {}
    for source, given in reversed(sources.items()):
        for key in set(given) & set(known):
            values[key], origin[key] = _read(key, given[key]), source
    for key, value in fixed.items():
        if values[key] != _read(key, value):
            raise RequestError(
                f"{name} takes {key} {_shown(value)} and nothing else, --input says {_shown(asked[key])}"
            )
    if lacking := [key for key in NEEDED if key not in values]:
        raise RequestError(
            f"{name} does not say its {' and '.join(lacking)}: give {' '.join(f'--input {NEEDED[key]}' for key in lacking)}, as "
            "the network was trained (mean and std are of pixels from 0 to 255; with --input range=1 of 0 to 1)"
        )
    return _whole(name, Inputs(**values, origin=origin), channels)


def _whole(name: str, found: Inputs, channels: int | None) -> Inputs:
    if channels not in (None, found.channels):
        raise RequestError(
            f"{name} takes images of {channels} channels, and --input colour={found.colour} has {found.channels}"
        )
    for key in ("mean", "std"):
        if len(getattr(found, key)) not in (1, found.channels):
            raise RequestError(
                f"--input {key} of {name} is one number or {found.channels} ({found.colour}), "
                f"got {len(getattr(found, key))}"
            )
    if found.patch is not None and found.size[0] != found.size[1]:
        raise RequestError(f"--input patch of {name} is a square: it goes with a square size, got {_shown(found.size)}")
    return found


def adapted(found: Inputs, asked: Mapping[str, Any]) -> Inputs:
    """Inputs that are known, with options that may change them (flip, say): of a trial.

    Raises:
        RequestError: as `settled`.
    """
    return settled("the trial", asked, found.plain(), {"size": found.size}, found.channels)


def _read(key: str, value: Any) -> Any:
    try:
        return _READERS[key](value)
    except (TypeError, ValueError, OverflowError):  # the last: of infinity as a whole number
        raise RequestError(f"--input {key} is {_MEANT[key]}, got {value!r}") from None


def _size(value: Any) -> tuple[int, int]:
    sides = value.lower().split("x") if isinstance(value, str) else value
    sides = [sides, sides] if isinstance(sides, int | float) else list(sides)
    made = tuple(int(side) for side in sides)
    if len(made) != 2 or min(made) < 1 or any(float(side) != whole for side, whole in zip(sides, made, strict=True)):
        raise ValueError
    return made[0], made[1]


def _numbers(value: Any) -> tuple[float, ...]:
    """One number or several; a word of them has commas between."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, Sequence) else [value]
    return tuple(_number(part) for part in parts)


def _number(value: Any) -> float:
    made = float(value)
    if not math.isfinite(made) or isinstance(value, bool):
        raise ValueError
    return made


def _positive(value: Any) -> tuple[float, ...]:
    made = _numbers(value)
    if not all(one > 0 for one in made):
        raise ValueError
    return made


def _one_positive(value: Any) -> float:
    (made,) = _positive(value)
    return made


def _word(*known: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in known:
            raise ValueError
        return value

    return read


def _crop(value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or int(value) != value or value < 1):
        raise ValueError
    return None if value is None else int(value)


def _patch(value: Any) -> tuple[float, float, float] | None:
    if value is None:
        return None
    top, left, side = _numbers(value)
    return top, left, side


def _shown(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "size": _size,
    "mean": _numbers,
    "std": _positive,
    "range": _one_positive,
    "colour": _word(*COLOURS),
    "layout": _word(*LAYOUTS),
    "crop": _crop,
    "patch": _patch,
    "flip": _word(*mirror.FLIPS),
}
_MEANT = {
    "size": "a number of pixels, or height x width like 112x96",
    "mean": "a number, or three with commas between",
    "std": "a number above 0, or three with commas between",
    "range": "what white is before mean and std: 255 or 1",
    "colour": f"one of {', '.join(COLOURS)}",
    "layout": f"one of {', '.join(LAYOUTS)}",
    "crop": "a whole number of pixels",
    "patch": "top, left and side in shares of the image",
    "flip": f"one of {', '.join(mirror.FLIPS)}",
}
