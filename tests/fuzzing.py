"""Files that something happened to: whatever reads them answers with images or with one sentence, and never otherwise."""

import itertools

import numpy as np
from hypothesis import strategies as st

from bench.errors import RequestError
from bench.images import Faces, Unreadable

NUMBER = itertools.count()  # a file of its own for each example: caches go by size and time


@st.composite
def damaged(draw, whole):
    """`whole` with bytes changed, cut off, taken out or put in; or nothing but noise."""
    what = draw(st.sampled_from(["change", "change", "cut", "take", "put", "noise"]))
    if what == "noise":
        return draw(st.binary(max_size=64))
    if what == "change":
        content = bytearray(whole)
        for _ in range(draw(st.integers(1, 4))):
            content[draw(st.integers(0, len(whole) - 1))] = draw(st.integers(0, 255))
        return bytes(content)
    start = draw(st.integers(0, len(whole)))
    if what == "cut":
        return whole[:start]
    if what == "take":
        return whole[:start] + whole[start + draw(st.integers(1, 32)) :]
    return whole[:start] + draw(st.binary(min_size=1, max_size=16)) + whole[start:]


def reads_or_refuses(load):
    """Call `load` and look at every image of what it gives; a refusal is one sentence."""
    try:
        faces = load()
        assert isinstance(faces, Faces) and len(set(faces.names)) == len(faces.names) == len(faces.labels)
        for image in faces.source.images(faces.names):
            assert isinstance(image, Unreadable) or (image.dtype == np.uint8 and image.ndim == 3)
    except RequestError as refusal:
        assert str(refusal) and "\n" not in str(refusal)
