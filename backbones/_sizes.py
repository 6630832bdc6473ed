"""From the size of an image to the size of the last map."""


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
