"""Generated faces by name -> pixels, in batches."""

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.datasets import _face_camera, _face_features, _face_hair, _face_head, _face_pose, _face_scene, _face_shape
from bench.datasets._face_field import Field, cover, paint
from bench.datasets._face_names import PARTS, Name

VERSION = 3  # raise it when the same name gives other pixels
SUPERSAMPLING = 2
EXTENT = 1.13  # half the side of the picture, in head units


def batch_size(size: int) -> int:
    """Images drawn together: as many as keep a field in the processor's cache."""
    return max(1, 2**16 // (size * SUPERSAMPLING) ** 2)


def render(names: list[Name], size: int, difficulty: float, seed: int) -> np.ndarray:
    """(B, size, size, 3) uint8. An image depends on its own name and the settings alone."""
    faces = _stacked([_identity(name.part, name.identity, difficulty, seed) for name in names])
    shots, noise = zip(*(_shot(name, size, difficulty, seed) for name in names), strict=True)
    shot = _stacked(list(shots))
    _join(faces, shot, size)
    return _face_camera.develop(_draw(faces, shot, size), np.stack(noise), shot)


def _stream(seed: int, part: str, identity: int, which: int) -> np.random.Generator:
    """Random numbers for (seed, part, identity, which) alone: counters of one generator, so no two overlap."""
    counter = [0, which, identity, PARTS.index(part)]
    return np.random.Generator(np.random.Philox(key=seed, counter=counter))


@lru_cache(maxsize=4096)
def _identity(part: str, identity: int, difficulty: float, seed: int) -> dict[str, Any]:
    return _face_shape.identity(_stream(seed, part, identity, 0), _face_shape.spread(difficulty))


def _shot(name: Name, size: int, difficulty: float, seed: int) -> tuple[dict[str, float], np.ndarray]:
    """The nuisances of one image, and its sensor's noise (3, size, size)."""
    still = name.video < 0
    which = name.image if still else (name.video + 1) << 32
    random = _stream(seed, name.part, name.identity, which)
    draws = _face_pose.still(random) if still else _face_pose.frame(random, name.image)
    own = random if still else _stream(seed, name.part, name.identity, which | name.image)
    return _face_pose.nuisance(draws, difficulty), own.standard_normal((3, size, size), np.float32)


def _stacked(rows: list[dict[str, Any]]) -> SimpleNamespace:
    """Numbers become (B, 1, 1), colours (B, 3, 1, 1), all float32."""
    fields = {name: np.array([row[name] for row in rows], np.float32) for name in rows[0]}
    return SimpleNamespace(**{name: field[..., None, None] for name, field in fields.items()})


def _join(face: SimpleNamespace, shot: SimpleNamespace, size: int) -> None:
    """What follows from identity and image together."""
    shot.pixel = 2 * EXTENT / (size * SUPERSAMPLING) / shot.zoom
    shot.raised = shot.__dict__.pop("raise")
    shot.glasses = np.where(face.glasses > 0, shot.glasses < 0.85, shot.glasses > 0.97).astype(np.float32)
    face.chin = face.chin - 0.06 * shot.open
    face.face_width = face.face_width + shot.weight
    for what in ("cloth", "back", "back2", "hat", "spot"):
        colour = np.concatenate([getattr(shot, f"{what}_{channel}") for channel in "rgb"], axis=1)[..., None]
        grey = (colour[:, :1] + colour[:, 1:2] + colour[:, 2:]) / 3
        colour = grey + 0.4 * (colour - grey)  # few things are as colourful as chance would have them
        setattr(shot, f"{what}_colour", 0.02 + 0.85 * colour * colour)
    one = np.ones_like(shot.warmth)
    cast = [one + shot.warmth, one - shot.tint, one - shot.warmth]
    shot.cast = np.concatenate(cast, axis=1)[..., None]


def _draw(face: SimpleNamespace, shot: SimpleNamespace, size: int) -> Field:
    """Linear light (B, 3, size, size), from the back to the front."""
    count = size * SUPERSAMPLING
    line = ((np.arange(count, dtype=np.float32) + 0.5) * (2 / count) - 1) * EXTENT
    u = (line[None, None, :] - shot.shift_x) / shot.zoom + np.zeros((1, count, 1), np.float32)
    v = (-line[None, :, None] - shot.shift_y) / shot.zoom + np.zeros((1, 1, count), np.float32)
    ray = _face_head.rays(u, v + 0.03, shot)
    canvas = _face_scene.background(u, v, shot)
    _face_hair.behind(canvas, ray, u, v, face, shot)
    _face_scene.body(canvas, ray, u, v, face, shot)
    _face_scene.ears(canvas, ray, u, v, face, shot)
    head = _face_head.meet(ray, face)
    lit, gleam = light(_face_head.normals(head, shot.pixel), shot)
    paint(canvas, cover(head.inside, shot.pixel), _skin(head, face, shot) * lit[:, None] + gleam[:, None])
    _face_scene.scarf(canvas, head, lit, face, shot)
    top = _face_hair.shell(ray, face, shot)
    lit, _ = light(_face_head.normals(top, shot.pixel), shot)
    paint(canvas, _face_hair.hair_cover(top, face, shot), _face_hair.hair_colour(top, lit, face))
    _face_hair.glasses(canvas, ray, head, face, shot)
    _face_hair.hat(canvas, top, lit, face, shot)
    _face_scene.in_the_way(canvas, u, v, shot)
    return _face_camera.shrink(canvas, SUPERSAMPLING)


def _skin(head: _face_head.Surface, face: SimpleNamespace, shot: SimpleNamespace) -> Field:
    x, y = head.x, head.y
    canvas = _face_features.skin(x, y, face, shot)
    _face_features.nostrils(canvas, x, y, face)
    _face_features.mouth(canvas, x, y, face, shot)
    _face_features.beard(canvas, x, y, face, shot)
    _face_features.eyes(canvas, x, y, face, shot)
    _face_features.brows(canvas, x, y, face, shot)
    return canvas


def light(normal: tuple[Field, Field, Field], shot: SimpleNamespace) -> tuple[Field, Field]:
    """Diffuse light from one side over light from everywhere, and the gleam of the skin (Blinn)."""
    nx, ny, nz = normal
    length = np.sqrt(shot.light_x * shot.light_x + shot.light_y * shot.light_y + 1)
    lx, ly, lz = shot.light_x / length, shot.light_y / length, 1 / length
    towards = nx * lx + ny * ly + nz * lz
    direct = np.maximum((towards + 0.25) * 0.8, 0)
    sky = 0.75 + 0.25 * ny
    lit = shot.exposure * ((1 - 0.62 * shot.contrast) * sky + 0.85 * shot.contrast * direct) * 0.95
    half = np.sqrt((1 + lz) / 2)  # |light + camera| / 2
    glance = np.maximum((towards + nz) / (2 * half), 0)
    glance = glance * glance
    glance = glance * glance
    glance = glance * glance
    return lit, 0.05 * shot.exposure * shot.contrast * glance * glance
