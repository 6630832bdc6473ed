"""The figures' colours on paper and on a dark page: apart for readers with and without red or green cones, and seen."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from reports import _plots

STYLE = (Path(_plots.__file__).parent / "templates" / "style.css").read_text()
# Vienot, Brettel, Mollon 1999: what a dichromat sees, in linear RGB.
EYES = {
    "all cones": np.eye(3),
    "no green": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]),
    "no red": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    x, y, z = np.cbrt(XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(axis=1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one, other):
    dark, light = sorted(0.05 + XYZ[1] @ linear(colour) for colour in (one, other))
    return light / dark


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("palette", [_plots.COLOURS, _plots.DARK])
def test_any_two_colours_are_apart(palette, eyes):
    seen = [lab(EYES[eyes] @ linear(colour)) for colour in palette]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 12


def test_lines_are_seen_on_a_dark_page():
    light, dark = re.findall(r"--paper: (#\w+)", STYLE)[:2]
    assert (light, dark) == ("#fff", "#161616") and len(_plots.DARK) == len(_plots.COLOURS)
    assert min(contrast(colour, dark) for colour in _plots.DARK) >= 3


def test_a_figure_takes_its_colours_from_the_page_and_keeps_its_own_elsewhere():
    figure, axes = _plots.panels(1, 1)
    axes[0][0].plot([0, 1], [0, 1], color=_plots.COLOURS[1])
    svg = _plots.svg(figure, "one", "a line")
    assert "var(--colour-1, #d55e00)" in svg
    figure, axes = _plots.panels(1, 1)
    axes[0][0].plot([0, 1], [0, 1], color=_plots.COLOURS[1], rasterized=True)
    assert "var(" not in _plots.svg(figure, "one", "a line"), "pixels stay as they are, and so do the lines beside them"


def test_lines_differ_by_more_than_their_colour():
    looks = [_plots.style(index) for index in range(50)]
    assert len({str((look["color"], look["linestyle"])) for look in looks}) == 50
    assert len({str((look["linestyle"], look["marker"])) for look in looks[:10]}) == 10
