"""The similarity transform against literal solutions, and crops against pixels computed one by one."""

import numpy as np
import pytest

from bench import alignment
from bench.alignment import TEMPLATE, crop, residuals, similarity, template
from bench.errors import RequestError


def moved(points, scale, degrees, shift, mirror=False):
    """scale R(degrees) points + shift, written out."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * (points * ((-1, 1) if mirror else (1, 1))) @ turn.T + shift


def least_squares(points, target):
    """The four numbers (a, b, tx, ty) of x' = a x - b y + tx, y' = b x + a y + ty by the normal equations."""
    rows, right = [], []
    for (x, y), (u, v) in zip(points, target, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        right += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    return np.array([[a, -b, tx], [b, a, ty]])


def umeyama(points, target):
    """Umeyama 1991, eq. 40-43, with the sign that keeps it a rotation."""
    z, w = points - points.mean(0), target - target.mean(0)
    u, d, vt = np.linalg.svd(w.T @ z / len(z))
    sign = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    turn = u @ sign @ vt
    scale = (d * np.diag(sign)).sum() / (z**2).sum(1).mean()
    return np.column_stack([scale * turn, target.mean(0) - scale * turn @ points.mean(0)])


@pytest.mark.parametrize(("scale", "degrees", "shift"), [(1, 0, (0, 0)), (0.2, 30, (5, -9)), (3.7, -170, (1e3, 2e3))])
def test_a_known_transform_is_recovered(scale, degrees, shift):
    points = np.random.default_rng(0).normal(size=(5, 2)) * 40 + 100
    found = similarity(points, moved(points, scale, degrees, shift))
    assert found.scale == pytest.approx(scale, rel=1e-12) and found.degrees == pytest.approx(degrees, abs=1e-9)
    assert found.residual < 1e-9
    np.testing.assert_allclose(
        np.column_stack([points, np.ones(5)]) @ found.matrix.T, moved(points, scale, degrees, shift), atol=1e-9
    )


def test_noisy_points_agree_with_two_literal_solutions():
    random = np.random.default_rng(1)
    for _ in range(50):
        points = moved(TEMPLATE, random.uniform(0.3, 8), random.uniform(-180, 180), random.normal(size=2) * 200)
        points += random.normal(size=(5, 2)) * 3
        found = similarity(points, TEMPLATE)
        np.testing.assert_allclose(found.matrix, least_squares(points, TEMPLATE), rtol=0, atol=1e-7)
        np.testing.assert_allclose(found.matrix, umeyama(points, TEMPLATE), rtol=0, atol=1e-7)
        mapped = np.column_stack([points, np.ones(5)]) @ found.matrix.T
        assert found.residual == pytest.approx(np.sqrt(((mapped - TEMPLATE) ** 2).sum(1).mean()))
        assert residuals(points[None], TEMPLATE)[0] == pytest.approx(found.residual)


def test_a_reflection_is_refused():
    mirrored = moved(TEMPLATE, 2, 20, (300, 40), mirror=True)
    with pytest.raises(RequestError, match="mirrored .* left eye, right eye, nose"):
        similarity(mirrored, TEMPLATE)
    swapped = TEMPLATE[[1, 0, 2, 4, 3]]
    with pytest.raises(RequestError, match="mirrored"):
        similarity(swapped, TEMPLATE)
    similarity(moved(TEMPLATE, 2, 180, (0, 0)), TEMPLATE)  # upside down is no reflection


@pytest.mark.parametrize(
    ("points", "message"),
    [(np.full((5, 2), 7.0), "in one place"), (np.full((5, 2), np.nan), "finite"), (np.zeros((5, 2)), "in one place")],
)
def test_points_that_fix_no_transform_are_refused(points, message):
    with pytest.raises(RequestError, match=message):
        similarity(points, TEMPLATE)
    assert residuals(points[None], TEMPLATE)[0] == np.inf


def test_the_published_templates():
    assert template("112x112")[0].tolist() == [38.2946, 51.6963] and template("112x112")[4].tolist() == [
        70.7299,
        92.2041,
    ]
    narrow = [(30.2946, 51.6963), (65.5318, 51.5014), (48.0252, 71.7366), (33.5493, 92.3655), (62.7299, 92.2041)]
    np.testing.assert_allclose(template("112x96"), narrow, atol=1e-12)
    np.testing.assert_allclose(template("112x96", base=1), np.array(narrow) - 1, atol=1e-12)
    for wrong in ({"size": "96x112"}, {"base": 2}, {"base": True}):
        with pytest.raises(RequestError, match="no template|counts? from|what coordinates"):
            template(**wrong)


def picture(height=90, width=120, channels=3):
    """Smooth, so that bilinear and bicubic values are close to the function's."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 60 * np.sin(x / 9 + k) + 50 * np.cos(y / 11 - k) for k in range(channels)]
    return np.stack(waves, 2).round().astype(np.uint8)


def bilinear(image, x, y):
    """The value at (x, y), pixel centres at whole numbers; the outermost half pixel repeats the edge."""
    height, width = image.shape[:2]
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        return np.zeros(image.shape[2])
    left, top = int(np.floor(x)), int(np.floor(y))
    value = 0.0
    for row, wy in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, wx in ((left, 1 - (x - left)), (left + 1, x - left)):
            value = value + wy * wx * image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)].astype(float)
    return value


@pytest.mark.parametrize("size", ["112x112", "112x96"])
def test_each_pixel_of_a_crop_is_where_the_transform_says(size):
    image = picture()
    points = moved(template(size), 0.7, 12, (15, -3))
    move = similarity(points, template(size))
    made = crop(image, move, size).astype(float)
    back = np.linalg.inv(np.vstack([move.matrix, [0, 0, 1]]))
    assert made.shape == (112, 112 if size == "112x112" else 96, 3)
    for row in range(0, 112, 9):
        for column in range(0, made.shape[1], 7):
            x, y, _ = back @ (column, row, 1)
            np.testing.assert_allclose(made[row, column], bilinear(image, x, y), atol=0.501)
    assert (made.sum(2) == 0).any(), "the picture ends within this crop"
    cubic = crop(image, move, size, "bicubic").astype(float)
    inside = made.sum(2) > 0
    assert 0 < abs(cubic - made)[inside].max() < 12


def test_a_crop_of_points_on_the_template_is_the_picture_itself():
    image = picture(112, 112)
    same = similarity(TEMPLATE, TEMPLATE)
    for resample in alignment.RESAMPLINGS:
        assert np.array_equal(crop(image, same, "112x112", resample), image)
    narrow = crop(image, similarity(TEMPLATE, template("112x96")), "112x96")
    assert np.array_equal(narrow, image[:, 8:104])
    matlab = crop(image, similarity(TEMPLATE, template("112x112", base=1)), "112x112")
    assert np.array_equal(matlab[:-1, :-1], image[1:, 1:]), "one pixel to the upper left"


def test_antialiasing_averages_the_blocks_of_a_large_picture():
    fine = np.random.default_rng(0).integers(0, 256, (448, 448), np.uint8)
    image = fine[:, :, None]
    points = (TEMPLATE + 0.5) * 4 - 0.5  # the centres of blocks of 4 x 4
    move = similarity(points, TEMPLATE)
    smooth = crop(image, move, "112x112", antialias=True).astype(float)
    blocks = fine.reshape(112, 4, 112, 4, 1).mean((1, 3))
    np.testing.assert_allclose(smooth, blocks, atol=0.51)
    moved_on = similarity(points + np.array([60, 44]), TEMPLATE)
    elsewhere = np.zeros((600, 700, 1), np.uint8)
    elsewhere[44 : 44 + 448, 60 : 60 + 448] = image
    np.testing.assert_array_equal(crop(elsewhere, moved_on, "112x112", antialias=True), smooth)
    rough = crop(image, move, "112x112").astype(float)
    assert rough.std() > 1.7 * smooth.std()
    small = similarity((TEMPLATE + 0.5) * 1.5 - 0.5, TEMPLATE)
    plain = [crop(image, small, "112x112", antialias=yes) for yes in (True, False)]
    assert np.array_equal(*plain), "shrunk to two thirds: no block"


def test_another_size_or_resampling_is_refused():
    for size, resample in (("112x112", "nearest"), ("224x224", "bilinear")):
        with pytest.raises(RequestError, match="a crop is 112x112 or 112x96 by bilinear or bicubic"):
            crop(picture(), similarity(TEMPLATE, TEMPLATE), size, resample)
