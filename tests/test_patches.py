"""Which squares of a face the networks of an ensemble see."""

from itertools import combinations, pairwise

import pytest

from bench import patches
from bench.errors import RequestError

WHOLE = (0.0, 0.0, 1.0)
ZOOMS = (1.0, 100 / 112, 0.5)
TEMPLATE = {  # pixels (x, y) of a 112 x 112 face: the order in which each scale goes over them
    "left eye": (38.2946, 51.6963),
    "right eye": (73.5318, 51.5014),
    "mouth": ((41.5493 + 70.7299) / 2, (92.3655 + 92.2041) / 2),
    "nose": (56.0252, 71.7366),
}


def most(kind, zoom=1.0):
    with pytest.raises(RequestError, match=rf"the layout '{kind}' has \d+ patches, got a count of 99") as error:
        patches.layout(kind, 99, zoom)
    return int(str(error.value).split(" has ")[1].split()[0])


@pytest.mark.parametrize("zoom", ZOOMS)
@pytest.mark.parametrize("kind", patches.LAYOUTS)
def test_patches_lie_within_the_image_and_no_two_are_nearly_the_same(kind, zoom):
    squares = patches.layout(kind, most(kind, zoom), zoom)
    assert len(squares) >= 25 and squares[0] == WHOLE
    for top, left, side in squares:
        assert 0 <= top <= 1 - side + 1e-9 and 0 <= left <= 1 - side + 1e-9 and 0.3 < side <= 1
    for one, other in combinations(squares, 2):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 0.019


@pytest.mark.parametrize("kind", patches.LAYOUTS)
def test_fewer_patches_are_the_first_of_more(kind):
    squares = patches.layout(kind, 25)
    assert all(patches.layout(kind, count) == squares[:count] for count in (1, 4, 16))


@pytest.mark.parametrize("shown", [112, 100])
def test_a_square_stands_about_its_landmark_in_what_the_network_is_shown(shown):
    squares = patches.layout("landmarks", 5, shown / 112)
    margin = (112 - shown) / 2
    for (x, y), (top, left, side) in zip(TEMPLATE.values(), squares[1:], strict=True):
        for at, start in ((x, left), (y, top)):
            low, high = margin + start * shown, margin + (start + side) * shown
            inside = min(max(at, margin + side / 2 * shown), margin + (1 - side / 2) * shown)  # as near as it can be
            assert abs((low + high) / 2 - inside) < 0.02 and low < at < high


def test_a_grid_covers_the_image_with_overlapping_squares():
    squares = patches.layout("grid", most("grid"))
    for side, across in ((0.6, 2), (0.5, 3), (0.4, 4)):
        mine = [patch for patch in squares if patch[2] == side]
        starts = sorted({top for top, _, _ in mine})
        assert len(mine) == across**2 and sorted({left for _, left, _ in mine}) == starts
        assert starts[0] == 0 and starts[-1] == pytest.approx(1 - side, abs=1e-4)
        assert all(after - before < side for before, after in pairwise(starts))


@pytest.mark.parametrize(
    ("kind", "count", "says"),
    [
        ("greedy", 4, "laid out as one of landmarks, grid, got 'greedy'"),
        ("grid", 31, "the layout 'grid' has 30 patches, got a count of 31"),
        ("landmarks", 0, "got a count of 0"),
    ],
)
def test_what_is_not_there_is_refused(kind, count, says):
    with pytest.raises(RequestError, match=says):
        patches.layout(kind, count)
