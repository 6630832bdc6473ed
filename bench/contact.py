"""Contact sheets: a row an identity, so that a person sees what the data are."""

from pathlib import Path

import numpy as np

from bench.errors import RequestError
from bench.images import Faces, Unreadable
from bench.pixels import fit

_GAP = 2


def sheet(faces: Faces, path: Path, identities: int = 8, per_identity: int = 10, size: int = 64) -> Path:
    """Write a PNG of `identities` rows spread evenly over the set, `per_identity` images each; unreadable ones are blank.

    Raises:
        RequestError: no row or no column is asked for.
    """
    if identities < 1 or per_identity < 1:
        raise RequestError(f"a contact sheet needs at least one row and one column, got {identities} x {per_identity}")
    from PIL import Image

    if path.suffix.lower() != ".png" or path.is_dir():
        raise RequestError(f"a contact sheet is written to a .png file, got {path}")
    count = len(faces.identities)
    chosen = np.unique(np.linspace(0, count - 1, min(identities, count)).astype(int))
    cell = size + _GAP
    board = np.full((len(chosen) * cell - _GAP, per_identity * cell - _GAP, 3), 255, np.uint8)
    for row, identity in enumerate(chosen):
        names = [faces.names[i] for i in np.flatnonzero(faces.labels == identity)[:per_identity]]
        for column, image in enumerate(faces.source.images(names)):
            if not isinstance(image, Unreadable):
                top, left = row * cell, column * cell
                board[top : top + size, left : left + size] = fit(image, size, None, image.shape[2])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(board).save(path)
    return path
