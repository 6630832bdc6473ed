"""Which squares of a face the networks of an ensemble see (DeepID2: Sun et al. 2014, Sec. 3).

The paper crops 400 patches about 21 landmarks at several scales and selects 25 of them. Here the faces are aligned, so a
landmark stands at a known place: `landmarks` cuts about five points and their midpoints at several scales; `grid` cuts
overlapping squares. Both begin with the whole image. Departure: no greedy selection, no colour or flip variants.

The bundled `faces` are not aligned: each is turned and shifted. Their mean eyes and nose lie within 2 % of the side of
the template's, their mouth 6 % above it; as the smallest square is 35 % of the side, one template serves both.
"""

from itertools import product

from bench.errors import RequestError
from bench.pixels import Patch

# (x, y) of the five points in a 112 x 112 aligned face (ArcFace's template), as shares of the side.
_EYES = (38.2946 / 112, 51.6963 / 112), (73.5318 / 112, 51.5014 / 112)
_NOSE = (56.0252 / 112, 71.7366 / 112)
_MOUTH = (41.5493 / 112, 92.3655 / 112), (70.7299 / 112, 92.2041 / 112)
_SCALES = (0.6, 0.45, 0.8, 0.35)
_APART = 0.02  # of the side: patches nearer to one another would teach two networks the same
_GRIDS = {2: 0.6, 3: 0.5, 4: 0.4}  # squares a side -> the side of each


def layout(kind: str, count: int, zoom: float = 1.0) -> list[Patch]:
    """The first `count` patches of a layout, the whole image first.

    Args:
        kind: `landmarks` or `grid`.
        count: how many.
        zoom: the side of the image that the network is shown over the side of the aligned face (100 / 112 for `crop: 100`).

    Raises:
        RequestError: an unknown layout, or more patches than it has.
    """
    if kind not in LAYOUTS:
        raise RequestError(f"patches are laid out as one of {', '.join(LAYOUTS)}, got {kind!r}")
    found: list[Patch] = []
    for patch in ((0.0, 0.0, 1.0), *LAYOUTS[kind](zoom)):
        if all(max(abs(a - b) for a, b in zip(patch, other, strict=True)) > _APART for other in found):
            found.append(patch)
    if not 1 <= count <= len(found):
        raise RequestError(f"the layout {kind!r} has {len(found)} patches, got a count of {count}")
    return found[:count]


def _landmarks(zoom: float) -> list[Patch]:
    points = [*_EYES, _middle(*_MOUTH), _NOSE, _middle(*_EYES), *_MOUTH, (0.5, 0.5)]
    return [_about(x, y, side, zoom) for side, (x, y) in product(_SCALES, points)]


def _grid(zoom: float) -> list[Patch]:
    found = []
    for across, side in _GRIDS.items():
        starts = [(1 - side) * step / (across - 1) for step in range(across)]
        found += [(_plain(top), _plain(left), side) for top, left in product(starts, starts)]
    return found


def _middle(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def _about(x: float, y: float, side: float, zoom: float) -> Patch:
    """A square about a point of the aligned face, moved into the part of it that is shown."""
    left, top = (min(max((at - 0.5) / zoom + 0.5 - side / 2, 0.0), 1 - side) for at in (x, y))
    return _plain(top), _plain(left), side


def _plain(share: float) -> float:
    """Four decimals are enough for a pixel, and read well in a record."""
    return round(share, 4)


LAYOUTS = {"landmarks": _landmarks, "grid": _grid}
