"""From the size of an image to the size of the last map, and what a net's sizes must be."""

from collections.abc import Sequence

_WORDS = {3: "three", 4: "four"}


def halved(side: int, times: int = 1) -> int:
    """The side after `times` halvings rounded up: Caffe's 2x2 pooling of stride 2, or a padded 3x3 stride-2 convolution."""
    for _ in range(times):
        side = -(-side // 2)
    return side


def at_least(smallest: int, name: str, image_size: tuple[int, int]) -> None:
    """Raise a ValueError unless both sides of the image (H, W) are `smallest` pixels or more."""
    if min(image_size) < smallest:
        raise ValueError(
            f"{name} needs images of at least {smallest}x{smallest} pixels, got {image_size[0]}x{image_size[1]}"
        )


def stages(count: int, name: str, widths: Sequence[int]) -> None:
    """Raise a ValueError unless there are `count` (3 or 4) widths, each of a channel or more."""
    if len(widths) != count or min(widths) < 1:
        many = _WORDS[count]
        raise ValueError(f"{name} has {many} stages: widths must be {many} positive numbers, got {widths}")
