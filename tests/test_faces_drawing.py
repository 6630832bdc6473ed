"""How a made-up face is drawn: rays, surface, light, compression, blur."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from bench.datasets import (
    _face_camera,
    _face_field,
    _face_head,
    _face_render,
    _face_shape,
)


def a_head(**changed):
    """A mean face, turned; fields of one image."""
    shape = {name: mean for name, (mean, _, _) in _face_shape.CONTINUOUS.items()}
    return SimpleNamespace(**{name: np.full((1, 1, 1), value, np.float32) for name, value in (shape | changed).items()})


def a_pose(**angles):
    angles = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0} | angles
    return SimpleNamespace(**{name: np.full((1, 1, 1), value, np.float32) for name, value in angles.items()})


def grid(count=81, extent=1.1):
    line = np.linspace(-extent, extent, count, dtype=np.float32)
    return np.broadcast_to(line, (1, count, count)).copy(), np.broadcast_to(-line[:, None], (1, count, count)).copy()


@pytest.mark.parametrize("pose", [{}, {"yaw": 0.6}, {"pitch": -0.3, "roll": 0.2}, {"yaw": -0.5, "pitch": 0.2}])
def test_rays_meet_the_surface_and_project_back(pose):
    u, v = grid()
    face = a_head()
    ray = _face_head.rays(u, v, a_pose(**pose))
    rotation = np.array([[float(np.ravel(x)[0]) for x in row] for row in ray.rows])
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    met = _face_head.meet(ray, face, rounds=12)
    on = met.inside > 0.1
    assert on.mean() > 0.2
    back_u, back_v = ray.project(met.x, met.y, met.z)
    assert np.allclose(back_u, u, atol=1e-4) and np.allclose(back_v, v, atol=1e-4)
    width, depth = _face_head.outline(met.y, face, 0.0, 0.0)
    level = (met.x / width) ** 2 + ((met.z - _face_head.raised(met.x, met.y, face)) / depth) ** 2
    assert np.median(np.abs(level[on] - 1)) < 1e-3 and np.mean(np.abs(level[on] - 1) < 0.05) > 0.95
    few = _face_head.meet(ray, face)  # as many rounds as the pictures take
    assert np.median(np.abs(few.t - met.t)[on]) < 0.01


def test_the_nose_moves_against_the_eyes_when_the_head_turns():
    """Parallax, which no affine map of a picture has: a point d before another moves by d sin(yaw)."""
    ray = _face_head.rays(*grid(9), a_pose(yaw=0.4))
    tip, eye = (float(np.ravel(ray.project(0.0, -0.2, z)[0])[0]) for z in (1.05, 0.8))
    assert tip - eye == pytest.approx(0.25 * math.sin(0.4), rel=1e-3)


def test_normals_of_a_sphere_point_outwards():
    u, v = grid(61, 0.6)
    t = np.sqrt(1 - u * u - v * v)
    surface = _face_head.Surface(u, v, t, t, t)
    normal = np.stack(_face_head.normals(surface, np.float32(0.02)))[:, 0, 1:-1, 1:-1]
    expected = np.stack([u, v, t])[:, 0, 1:-1, 1:-1]
    assert np.abs(normal - expected).max() < 2e-3


def test_light_from_the_right_lights_the_right():
    shot = a_pose(light_x=1.5, light_y=0.0, exposure=1.0, contrast=1.0)
    zero = np.zeros((1, 1, 1), np.float32)
    right, left = (_face_render.light((zero + x, zero, zero + 0.6), shot)[0].item() for x in (0.8, -0.8))
    assert right > 2 * left > 0


def test_the_wave_is_nearly_a_cosine():
    x = np.linspace(-2, 2, 400)
    assert np.abs(_face_field.wave(x) - np.cos(2 * np.pi * x)).max() < 0.06


def test_compression_is_the_block_cosine_transform_rounded():
    from scipy.fft import dctn, idctn

    picture = np.random.default_rng(0).uniform(0, 255, (1, 3, 16, 24)).astype(np.float32)
    found = _face_camera.compressed(picture, np.full((1, 1, 1), 1.5, np.float32))
    for channel in range(3):
        for top in range(0, 16, 8):
            for left in range(0, 24, 8):
                block = picture[0, channel, top : top + 8, left : left + 8].astype(float) - 128
                step = 1.5 * _face_camera._TABLE
                expected = idctn(np.rint(dctn(block, norm="ortho") / step) * step, norm="ortho") + 128
                assert np.allclose(found[0, channel, top : top + 8, left : left + 8], expected, atol=1e-3)


def test_compression_keeps_sizes_that_are_no_multiple_of_eight():
    picture = np.full((2, 3, 20, 20), 90, np.float32)
    assert np.allclose(_face_camera.compressed(picture, np.zeros((2, 1, 1), np.float32)), 90, atol=0.5)


@pytest.mark.parametrize("radius", [0.5, 1.5, 2.5, 4.0])
def test_blur_has_the_deviation_it_is_asked_for(radius):
    picture = np.zeros((2, 3, 41, 41), np.float32)
    picture[:, :, 20, 20] = 1  # wide enough for every filter
    out = _face_camera.blurred(picture, np.array([radius, 0.0], np.float32)[:, None, None]).astype(float)
    assert np.array_equal(out[1], picture[1]) and (out > -1e-7).all()
    place = np.arange(41) - 20.0
    assert out[0, 0].sum() == pytest.approx(1, abs=1e-5)
    assert (out[0, 0].sum(0) * place**2).sum() == pytest.approx(radius**2, rel=1e-3)


# Videos
