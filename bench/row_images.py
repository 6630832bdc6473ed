"""The images of a protocol written out, for tools that read files and know nothing of its lists."""

from collections.abc import Sequence
from pathlib import Path

from bench.errors import RequestError
from bench.files import is_image
from bench.images import Source, Unreadable
from bench.waiting import bar


def write(source: Source, names: Sequence[str], folder: Path) -> None:
    """Each image as `folder/NAME.png` (its own suffix gives way): no pixel is lost, and `NAME` says its row.

    An image that is there already is left alone, so the same command goes on where it was stopped; each is written aside
    first and then put in its place.

    Raises:
        RequestError: a name that leads out of the folder, an image that is missing, or one that cannot be read.
    """
    from PIL import Image

    targets = [_target(folder, name) for name in names]
    if len(set(targets)) < len(targets):
        raise RequestError(
            f"two of the {len(names):,} images differ in their suffix alone: their crops would be one file"
        )
    wanted = [place for place, target in enumerate(targets) if not target.exists()]
    with bar("crops") as advance:
        images = source.images([names[place] for place in wanted])
        for done, (place, image) in enumerate(zip(wanted, images, strict=True), 1):
            if isinstance(image, Unreadable):
                raise RequestError(f"image {image.name} cannot be read ({image.reason}): nothing was written for it")
            target = targets[place]
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(".part")
            Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(part, "png")
            part.replace(target)
            advance(done, len(wanted))


def _target(folder: Path, name: str) -> Path:
    target = folder / (name.rpartition(".")[0] if is_image(name) else name)
    if not target.resolve().is_relative_to(folder.resolve()):
        raise RequestError(f"the image {name!r} would be written outside of {folder}: its name leads out of the folder")
    return target.with_name(target.name + ".png")
