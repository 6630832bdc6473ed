"""The images of a test protocol in a report: their names, and small pictures of them where they can be had."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from bench.errors import RequestError
from bench.images import Unreadable
from bench.plain import Trial

SIDE = 64  # pixels
NOBODY = ("digits", "faces", "mnist")  # data sets that show no person: faces are generated


@dataclass
class Album:
    """What is known of the images of one protocol.

    Attributes:
        names: (N,) of the images; empty where the lists cannot be had.
        missing: why there are no names or no pictures; "" where there are.
        persons: whether the pictures show persons (and not generated or written things).
    """

    names: tuple[str, ...] = ()
    missing: str = ""
    persons: bool = False
    shown: dict[int, Markup] = field(default_factory=dict)

    def name(self, row: int) -> str:
        return self.names[row] if self.names else f"image {row}"

    def picture(self, row: int) -> Markup:
        return self.shown.get(row, Markup(""))


def album(trial: Trial, protocol: str, version: str, rows: Sequence[int], wanted: bool = True) -> Album:
    """The names of the images of a protocol as this trial was scored on it, and the pictures of some `rows` of them.

    Args:
        version: the hash that the protocol must have; else row i is another image.
        wanted: whether pictures are.
    """
    from bench import scoring

    reason = f"the trials name no protocol {protocol}"
    for spec in sorted(trial.protocols, key=lambda spec: not protocol.startswith(str(spec.get("name")))):
        try:
            found, source = scoring.open_protocol(spec)
        except (RequestError, OSError) as error:
            reason = str(error)
            continue
        if found.name != protocol:
            continue
        if found.hash != version:
            return Album(missing=f"the lists that lie there now make another version of it ({found.hash})")
        made = Album(tuple(found.images), persons=_data_of(spec) not in NOBODY)
        if wanted:
            _show(made, source, trial, rows)
        return made
    return Album(missing=reason)


def _data_of(spec: Mapping[str, Any]) -> str:
    """The data set that a protocol's images are of; "" where it has files of its own."""
    found = spec.get("data") or spec.get("faces") or {}
    return str(found.get("name", ""))


def _show(made: Album, source: Any, trial: Trial, rows: Sequence[int]) -> None:
    """Enter the pictures, as the network saw the images; or why there are none."""
    try:
        images = list(source.images([made.names[row] for row in rows]))
    except (RequestError, OSError) as error:
        made.missing = str(error)
        return
    for row, image in zip(rows, images, strict=True):
        if isinstance(image, Unreadable):
            made.missing = f"{image.name} cannot be read ({image.reason})"
        else:
            made.shown[row] = _embedded(image, trial)


def _embedded(image: Any, trial: Trial) -> Markup:
    from PIL import Image

    from bench.pixels import fit

    pixels = fit(image, SIDE, trial.crop, image.shape[2])
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(buffer, "jpeg", quality=80)
    source = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img class="face" width="{0}" height="{0}" alt="" src="{1}">').format(SIDE, source)
