"""The head in three dimensions: rays from the camera meet a surface; its depth gives the normals that are lit.

At each height y the head is an ellipse in (x, z) with half-axes width(y) and depth(y); nose, brows, lips and eye
sockets are a relief along z. A ray meets an ellipse in closed form; as y and the relief depend on where it meets, that
is iterated.
"""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from bench.datasets._face_field import Field, bump, ramp

DEPTH = 0.86  # of the head's front half


class Rays(NamedTuple):
    """Parallel rays p(t) = origin + t * towards, in head coordinates; the camera is at t = +infinity.

    `origin` holds fields; `towards` and `rows` (the rotation head -> camera) parameters of an image.
    """

    x: Field
    y: Field
    z: Field
    towards: tuple[Field, Field, Field]
    rows: tuple[tuple[Field, Field, Field], ...]

    def project(self, x: Field | float, y: Field | float, z: Field | float) -> tuple[Field, Field]:
        """Camera coordinates (u, v) of a point of the head."""
        (a, b, c), (d, e, f) = self.rows[:2]
        return a * x + b * y + c * z, d * x + e * y + f * z


class Surface(NamedTuple):
    """Where rays meet a surface: head coordinates, depth t towards the camera, and how far inside the outline (> 0)."""

    x: Field
    y: Field
    z: Field
    t: Field
    inside: Field


def rays(u: Field, v: Field, shot: SimpleNamespace) -> Rays:
    """The rays through camera coordinates (u, v) onto a head turned by yaw, pitch and roll (radians)."""
    (cy, sy), (cx, sx), (cz, sz) = (_turn(angle) for angle in (shot.yaw, shot.pitch, shot.roll))
    # head -> camera: roll about z, of yaw about y, of pitch about x
    flat = ((cy, sy * sx, sy * cx), (0 * cy, cx, -sx), (-sy, cy * sx, cy * cx))
    rows = (
        tuple(cz * a - sz * b for a, b in zip(flat[0], flat[1], strict=True)),
        tuple(sz * a + cz * b for a, b in zip(flat[0], flat[1], strict=True)),
        flat[2],
    )
    x, y, z = (u * rows[0][k] + v * rows[1][k] for k in range(3))
    return Rays(x, y, z, flat[2], rows)


def _turn(angle: Field) -> tuple[Field, Field]:
    """Cosine and sine from the tangent of the half angle (its series), so that they are exact everywhere alike."""
    t = angle / 2 * (1 + angle * angle / 12)
    return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)


def meet(ray: Rays, face: SimpleNamespace, grow: Field | float = 0.0, lift: Field | float = 0.0, relief: bool = True,
         rounds: int = 4) -> Surface:  # fmt: skip
    """Where the rays first meet the head, or a shell around it `grow` wider and `lift` higher."""
    x, y, z = ray.x, ray.y, ray.z
    dx, dy, dz = ray.towards
    t = DEPTH * dz + 0 * x
    for last in range(rounds):
        hx, hy = x + t * dx, y + t * dy
        width, depth = outline(hy, face, grow, lift)
        base = z - raised(hx, hy, face) if relief else z
        ax, az, ox, oz = dx / width, dz / depth, x / width, base / depth
        square = ax * ax + az * az
        half = ox * ax + oz * az
        inner = half * half - square * (ox * ox + oz * oz - 1)
        hit = (np.sqrt(np.maximum(inner, 0)) - half) / square
        t = hit if last == 0 else (t + hit) / 2 if last < rounds - 1 else (t + 2 * hit) / 3
    inside = inner * width / (2 * square * width * width + 0.02)
    hy = y + t * dy
    inside = np.minimum(inside, np.minimum(face.crown + lift - hy, hy - face.chin + grow * 0.5))
    return Surface(x + t * dx, hy, z + t * dz, t, inside)


def outline(y: Field, face: SimpleNamespace, grow: Field | float, lift: Field | float) -> tuple[Field, Field]:
    """Half width and half depth of the head at height y: a round skull above the cheeks, the jaw below."""
    up = np.clip((y - face.cheek) / (face.crown + lift - face.cheek), 0, 1)
    down = np.clip((face.cheek - y) / (face.cheek - face.chin + grow * 0.5), 0, 1)
    u2, d2 = up * up, down * down
    skull = np.sqrt(np.maximum(1 - u2 * (0.55 + 0.45 * u2), 0))
    jaw = np.sqrt(np.maximum(1 - d2 * (1 - face.jaw_square + face.jaw_square * d2), 0)) * (1 - face.jaw_taper * down)
    front = np.sqrt(np.maximum(1 - d2 * d2, 0))
    width = (face.face_width + grow) * skull * jaw
    depth = (DEPTH + grow) * skull * front
    return np.maximum(width, 0.03), np.maximum(depth, 0.03)


def raised(x: Field, y: Field, face: SimpleNamespace) -> Field:
    """The relief of the face along z at (x, y): nose, sockets, brow ridge, cheekbones, lips, chin."""
    side = np.abs(x)
    x2 = x * x
    along = (face.eye_y + 0.08 - y) / (face.eye_y + 0.08 - face.nose_tip)  # 0 root .. 1 tip
    down = np.clip(along, 0, 1)
    wide = face.nose_bridge + (face.nose_width - face.nose_bridge) * down * down
    height = face.nose_root + (face.nose_height - face.nose_root) * down
    ends = ramp((along + 0.35) * 2.8) * ramp((1.3 - along) * 3.4)
    z = height * ends * bump(x2 / (wide * wide * 2.2))
    wing_x, wing_y = side - face.nose_width * 0.72, y - face.nose_tip + 0.03
    z += 0.3 * face.nose_height * bump((wing_x * wing_x + wing_y * wing_y) / (face.nose_width**2 * 0.3))
    eye_x, eye_y = side - face.eye_x, y - face.eye_y - 0.03
    z -= face.eye_depth * bump((eye_x * eye_x + eye_y * eye_y * 2) * 16)
    ridge = y - face.brow_y
    z += face.brow_ridge * bump(ridge * ridge * 60) * bump(x2 * 2)
    cheek_x, cheek_y = side - 0.42, y + 0.12
    z += face.cheekbone * bump((cheek_x * cheek_x + cheek_y * cheek_y) * 14)
    lips = y - face.mouth_y
    z += 0.05 * bump(lips * lips * 55) * bump(x2 / (face.mouth_width * face.mouth_width * 1.4))
    chin = y - face.chin - 0.16
    return z + face.chin_bump * bump(chin * chin * 40 + x2 * 30)


def normals(surface: Surface, step: Field) -> tuple[Field, Field, Field]:
    """Unit normals (x, y, z) in camera coordinates from the depth; `step` is the distance of two pixels."""
    t = surface.t
    du, dv = np.empty_like(t), np.empty_like(t)
    du[:, :, 1:-1] = t[:, :, 2:] - t[:, :, :-2]
    du[:, :, 0], du[:, :, -1] = du[:, :, 1], du[:, :, -2]
    dv[:, 1:-1] = t[:, :-2] - t[:, 2:]  # rows run downwards, v upwards
    dv[:, 0], dv[:, -1] = dv[:, 1], dv[:, -2]
    du, dv = np.clip(du / (2 * step), -4, 4), np.clip(dv / (2 * step), -4, 4)
    length = np.sqrt(du * du + dv * dv + 1)
    return -du / length, -dv / length, 1 / length
