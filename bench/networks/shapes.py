"""What the shape of a model's input leaves no choice of."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from bench.errors import RequestError
from bench.networks.network import BATCH


class Shape(NamedTuple):
    """Of a model's input.

    Attributes:
        fixed: `layout` and `size`, as far as the shape says them; for `inputs.settled`.
        channels: of an image; None: any.
        batch: how many images it is given at once.
        exactly: it takes that many and no fewer.
    """

    fixed: dict[str, Any]
    channels: int | None
    batch: int
    exactly: bool


def read(name: str, shape: Sequence[Any]) -> Shape:
    """The input `shape`, (batch, channels, height, width) or (batch, height, width, channels); what is no number is free.

    Raises:
        RequestError: it is not of four dimensions, or has no place for 1 or 3 channels.
    """
    sides = [side if isinstance(side, int) and side > 0 else None for side in shape]
    if len(sides) != 4:
        raise RequestError(f"{name} takes an input of shape {_words(shape)}: expected (batch, channels, height, width)")
    batch, *image = sides
    exactly = batch is not None
    if image[0] in (1, 3):
        layout, channels, size = "nchw", image[0], image[1:]
    elif image[2] in (1, 3):
        layout, channels, size = "nhwc", image[2], image[:2]
    elif None in (image[0], image[2]):
        return Shape({}, None, batch or BATCH, exactly)
    else:
        raise RequestError(f"{name} takes an input of shape {_words(shape)}: expected images of 1 or 3 channels")
    fixed: dict[str, Any] = {"layout": layout}
    if None not in size:
        fixed["size"] = list(size)
    return Shape(fixed, channels, batch or BATCH, exactly)


def _words(shape: Sequence[Any]) -> str:
    return f"({', '.join(map(str, shape))})"
