"""What stands behind the head and before it: background, neck, clothes, ears, a scarf, something in the way."""

from types import SimpleNamespace

import numpy as np

from bench.datasets._face_field import Field, bump, cover, darken, paint, ramp, wave
from bench.datasets._face_head import Rays, Surface, outline


def background(u: Field, v: Field, shot: SimpleNamespace) -> Field:
    """Two colours (B, 3, H, W) in a gradient, in bars, or with a bright blot."""
    slope = 0.5 + 0.30 * (v + shot.back_angle * u)
    bars = 0.5 + 0.5 * wave(u * 0.45 + shot.back_x + shot.back_angle * 0.1 * v)
    blot = bump(((u - shot.back_x) ** 2 + (v - shot.back_y) ** 2) * 0.8)
    kind = shot.pattern
    share = np.clip(np.where(kind < 0.4, slope, np.where(kind < 0.7, ramp(bars * 3 - 1), blot)), 0, 1)
    colour = shot.back_colour + share[:, None] * (shot.back2_colour - shot.back_colour)
    return 0.15 + 0.4 * colour  # subdued: the face stands out


def body(canvas: Field, ray: Rays, u: Field, v: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Neck, shoulders and collar; the neck stands behind the chin."""
    cu, _ = ray.project(0.0, -0.8, -0.15)
    _, jaw = ray.project(0.0, face.chin, 0.5)
    du = u - 0.75 * cu
    half = face.face_width * 0.62 + 0.10 * ramp((-v - 1.05) * 2)
    alpha = cover(half - np.abs(du), shot.pixel) * (v < -0.3)
    round_ = np.sqrt(np.maximum(1 - (du / half) ** 2, 0))
    side = np.clip(du / half, -1, 1) * np.clip(shot.light_x, -1, 1)
    under = 1 - 0.45 * ramp(1.1 + (v - jaw) * 2.6)
    tone = shot.exposure * (0.36 + 0.4 * round_ + 0.22 * side) * under
    paint(canvas, alpha, face.skin * (tone * (1 + shot.tan))[:, None])
    slope = -1.06 - 0.30 * du * du - 0.10 * np.abs(du)
    open_ = -1.10 - 0.35 * shot.collar + np.abs(du) * (0.35 + 0.6 * shot.collar)
    cloth = cover(np.minimum(slope, open_ + 0.05) - v, shot.pixel)
    folds = 0.62 + 0.15 * wave(du * 1.4 + v) + 0.2 * side
    paint(canvas, cloth, shot.cloth_colour * (shot.exposure * np.maximum(folds, 0.1))[:, None])


def ears(canvas: Field, ray: Rays, u: Field, v: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Two ears at the height of the eyes, behind the head's outline."""
    level = face.eye_y - 0.10
    half, _ = outline(level, face, 0.0, 0.0)
    for hand in (-1, 1):
        cu, cv = ray.project(hand * (half + 0.015), level, -0.08)
        ex, ey = (u - cu) / (face.ear * 0.62), (v - cv) / (face.ear * 1.3)
        radius = np.sqrt(ex * ex + ey * ey)
        tone = shot.exposure * (0.52 + 0.2 * hand * np.clip(shot.light_x, -1, 1)) * (0.6 + 0.4 * np.minimum(radius, 1))
        paint(canvas, cover((1 - radius) * face.ear, shot.pixel), face.skin * (tone * (1 + shot.tan))[:, None])


def scarf(canvas: Field, skin: Surface, lit: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """A scarf or mask over mouth and chin."""
    edge = face.nose_tip + 0.08 - 0.25 * skin.x * skin.x - skin.y
    tone = lit * (0.95 + 0.10 * wave(skin.y * 4 + skin.x * skin.x * 2))
    alpha = shot.scarf * cover(edge, shot.pixel) * cover(skin.inside + 0.02, shot.pixel)
    darken(canvas, shot.scarf * 0.25 * bump(np.minimum(edge, 0) ** 2 * 300))
    paint(canvas, alpha, shot.hat_colour * tone[:, None])


def in_the_way(canvas: Field, u: Field, v: Field, shot: SimpleNamespace) -> None:
    """Something before the face: a bar or a disc of one colour, softly shaded."""
    du, dv = u - shot.spot_x, v - shot.spot_y
    size = 0.20 + 0.32 * shot.spot_size
    bar = size * 0.55 - np.abs(du * shot.spot_angle + dv) / np.sqrt(1 + shot.spot_angle * shot.spot_angle)
    disc = size - np.sqrt(du * du + dv * dv)
    inside = np.where(shot.collar < 0.45, bar, disc)
    tone = 0.7 + 0.4 * np.clip(inside, 0, 0.5) + 0.1 * wave(du + dv * 0.6)
    paint(canvas, shot.spot * cover(inside, shot.pixel + 0.02), shot.spot_colour * tone[:, None])
