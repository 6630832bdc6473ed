"""Hair, hats and glasses: shells around the head, and what hangs behind it."""

from types import SimpleNamespace

import numpy as np

from bench.datasets._face_field import Field, bump, cover, darken, paint, ramp, wave
from bench.datasets._face_head import Rays, Surface, meet


def shell(ray: Rays, face: SimpleNamespace, shot: SimpleNamespace) -> Surface:
    """The surface of the hair (or of a hat): the head, wider at the sides and higher at the top."""
    grow = np.maximum(face.hair_side + 0.4 * shot.hair_change, 0.015) + 0.03 * shot.hat
    lift = np.maximum(face.hair_top + shot.hair_change, 0.02) + 0.05 * shot.hat
    return meet(ray, face, grow, lift, relief=False, rounds=3)


def hair_cover(hair: Surface, face: SimpleNamespace, shot: SimpleNamespace) -> Field:
    """How much of a pixel is hair on the shell: above the hairline in front, and at the sides down to where it ends."""
    x, y, z = hair.x, hair.y, hair.z
    curved = face.hairline + face.hairline_curve * x * x * 2 + (face.parting + shot.parting_change) * x * 0.5
    strands = wave(x * 9 + y * 3) * 0.6 + wave(x * 21 - y * 2) * 0.4
    front = y - curved - face.hair_wave * strands
    side = np.minimum(0.30 - z + 0.25 * face.hair_side, y - face.hair_end - 0.03 * strands)
    side = np.minimum(side, face.hair_high - y)
    edge = shot.pixel + 0.02
    crown = ramp((hair.y - face.crown - 0.1) * -5)  # a shell comes to a point there
    curls = 0.9 * face.hair_wave * crown * (wave(x * 5 + z * 3 + y) + wave(y * 6 - z * 2))
    return cover(np.maximum(front, side), edge) * cover(hair.inside + np.maximum(curls, 0), shot.pixel)


def hair_colour(hair: Surface, lit: Field, face: SimpleNamespace) -> Field:
    """The colour (B, 3, H, W) of lit hair: strands, and the sheen of a curved head of hair."""
    strands = wave(hair.x * 11 + hair.y * 2) * 0.5 + wave(hair.x * 27 + hair.z * 9 + hair.y) * 0.5
    sheen = bump((hair.y - 0.68) ** 2 * 14) * np.maximum(lit - 0.35, 0)
    tone = lit * (0.95 + 0.22 * strands) + 0.5 * sheen
    return face.hair * tone[:, None] + 0.025 * sheen[:, None]


def behind(canvas: Field, ray: Rays, u: Field, v: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Long hair that falls behind neck and shoulders."""
    cu, cv = ray.project(0.0, face.eye_y, -0.3)
    du, dv = u - cu, v - cv
    wide = face.face_width + face.hair_side + 0.10 + 0.02 * wave(dv * 1.7) + 0.3 * face.hair_wave
    drop = np.clip(-dv / 1.2, 0, 1)
    wide = wide * (1 - 0.12 * drop) + 0.05 * drop
    length = face.eye_y - face.hair_end
    top = np.maximum(dv, 0) / 0.95
    inside = np.minimum(wide * np.sqrt(np.maximum(1 - top * top, 0)) - np.abs(du), dv + length)
    strands = wave(du * 9 + wave(dv) * 0.3) * 0.6 + wave(du * 23) * 0.4
    tone = 0.42 + 0.12 * strands + 0.1 * np.abs(du)
    paint(canvas, face.hair_behind * cover(inside, shot.pixel + 0.02), face.hair * tone[:, None])


def hat(canvas: Field, crown: Surface, lit: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """A cap or woollen hat over the hair, and the shadow of its rim."""
    line = 0.50 + 0.06 * shot.pattern - 0.10 * crown.x * crown.x
    above = crown.y - line - 0.10 * np.minimum(crown.z - 0.5, 0)
    darken(canvas, shot.hat * 0.35 * bump(np.minimum(above, 0) ** 2 * 60))
    band = ramp((0.14 - above) * 12)
    knit = 1 + 0.10 * wave(crown.x * 12 + crown.z * 8)
    tone = lit * knit * (1 - 0.3 * band)
    alpha = shot.hat * cover(above, shot.pixel) * cover(crown.inside, shot.pixel)
    paint(canvas, alpha, shot.hat_colour * tone[:, None])


def glasses(canvas: Field, ray: Rays, head: Surface, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Frames in a plane before the eyes, clear or dark."""
    plane = 0.80
    t = (plane - ray.z) / ray.towards[2]
    x, y = ray.x + t * ray.towards[0], ray.y + t * ray.towards[1]
    gx = np.abs(np.abs(x) - face.eye_x) / face.frame_size
    gy = np.abs(y - face.eye_y + 0.02) / (face.frame_size * 0.78)
    circle, box = np.sqrt(gx * gx + gy * gy), np.maximum(gx, gy)
    mix = np.clip(face.frame_round, 0, 1)
    reach = (mix * circle + (1 - mix) * (box * 0.8 + circle * 0.25) - 1) * face.frame_size
    rim = cover(0.018 + 0.010 * shot.dark_glasses - np.abs(reach), shot.pixel)
    bridge = cover(0.016 - np.abs(y - face.eye_y - 0.06), shot.pixel) * (np.abs(x) < face.eye_x - face.frame_size * 0.9)
    arm = cover(0.016 - np.abs(y - face.eye_y - 0.07), shot.pixel)
    arm = arm * (np.abs(x) > face.eye_x + face.frame_size) * cover(head.inside, shot.pixel)
    worn = np.maximum(shot.glasses, shot.dark_glasses)
    lens = cover(-reach, shot.pixel)
    paint(canvas, 0.93 * shot.dark_glasses * lens, 0.015 + 0.03 * np.clip(y - face.eye_y, 0, 1)[:, None])
    paint(canvas, 0.07 * shot.glasses * lens, 0.9)
    paint(canvas, worn * np.maximum(np.maximum(rim, bridge), arm), face.frame)
