"""The real data, where it is, and embeddings of real faces that cost next to nothing."""

import io
import os
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

DATA = Path(os.environ.get("FACEBENCH_DATA") or Path(__file__).parents[1] / "../shared/data").resolve()
LFW = ["lfw_view2_aligned112.zip", "lfw_rest_aligned112.zip"]
needs_data = pytest.mark.skipif(
    not (DATA / LFW[0]).exists(), reason=f"no real data at {DATA}: set FACEBENCH_DATA to the folder that holds {LFW[0]}"
)


@lru_cache(1)
def _all() -> dict[str, np.ndarray]:
    """Each LFW image as its principal components of 14 x 14 grey pixels: better than chance, far from perfect."""
    from PIL import Image

    names, rows = [], []
    for path in LFW:
        with zipfile.ZipFile(DATA / path) as archive:
            for name in archive.namelist():
                if name.endswith(".jpg"):
                    image = Image.open(io.BytesIO(archive.read(name)))
                    image.draft("L", (14, 14))  # a JPEG is decoded at an eighth of its size
                    names.append(name)
                    rows.append(np.asarray(image.convert("L").resize((14, 14)), np.float32).ravel())
    pixels = np.stack(rows)
    pixels -= pixels.mean(axis=0)
    pixels /= pixels.std(axis=1, keepdims=True)
    spread, directions = np.linalg.eigh(np.cov(pixels.T.astype(np.float64)))
    best = np.argsort(spread)[::-1][2:60]  # the first two are light
    made = (pixels @ directions[:, best] / np.sqrt(spread[best])).astype(np.float32)
    return dict(zip(names, made, strict=True))


def pixels(images) -> np.ndarray:
    """(N, 58) embeddings of LFW images by their names."""
    known = _all()
    return np.stack([known[name] for name in images])
