"""What is drawn on the skin, in head coordinates: complexion, eyes, brows, nostrils, mouth, beard."""

from types import SimpleNamespace

import numpy as np

from bench.datasets._face_field import Field, bump, cover, darken, paint, ramp, speckle


def skin(x: Field, y: Field, face: SimpleNamespace, shot: SimpleNamespace) -> Field:
    """The colour (B, 3, H, W) of the skin before light: blush, freckles, moles, lines, shade of the sockets."""
    tanned = 1 + shot.tan
    canvas = face.skin * tanned[:, None] + np.zeros_like(x)[:, None]
    side = np.abs(x)
    cheek_x, cheek_y = side - 0.40, y + 0.20
    cheeks = bump((cheek_x * cheek_x + cheek_y * cheek_y) * 11)
    nose = bump((x * x * 2 + (y - face.nose_tip) ** 2) * 28)
    canvas *= 1 + (face.blush * (cheeks + 0.7 * nose))[:, None] * _RED
    speckles = np.maximum(speckle(x * 30 + 60, y * 30 + 60), 0) * bump((x * x + (y + 0.12) ** 2 * 4) * 2.4)
    darken(canvas, face.freckles * speckles)
    for mole_x, mole_y, size in ((face.mole1_x, face.mole1_y, face.mole1), (face.mole2_x, face.mole2_y, face.mole2)):
        distance = np.sqrt((x - mole_x) ** 2 + (y - mole_y) ** 2)
        darken(canvas, 0.65 * cover(size - distance, shot.pixel + 0.01) * (size > 0))
    _lines(canvas, side, y, face, shot)
    return canvas


_RED = np.array([0.02, -0.28, -0.22], np.float32)[:, None, None]


def _lines(canvas: Field, side: Field, y: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Folds from nose to mouth, lines under the eyes, shade beside the nose and under the lip."""
    mouth = face.mouth_width * (1 + 0.16 * shot.smile)
    share = np.clip((face.nose_tip - y) / (face.nose_tip - face.mouth_y), 0, 1)
    fold = side - (face.nose_width * 1.15 + (mouth * 1.15 - face.nose_width * 1.15) * share * share)
    strength = np.maximum(0.10 + 0.28 * np.maximum(face.lines, 0) + 0.22 * shot.smile, 0)
    ends = ramp((face.nose_tip + 0.06 - y) * 9) * ramp((y - face.mouth_y + 0.08) * 9)
    darken(canvas, strength * bump(fold * fold * 500) * ends)
    bag_x, bag_y = side - face.eye_x, y - face.eye_y + 0.13
    darken(canvas, (0.10 + 0.2 * np.maximum(face.lines, 0)) * bump(bag_x * bag_x * 40 + bag_y * bag_y * 500))
    nose = y - face.nose_tip + 0.075
    darken(canvas, 0.30 * bump(side * side / (face.nose_width * face.nose_width * 1.3) + nose * nose * 330))
    wing = np.sqrt((side - face.nose_width * 0.70) ** 2 + (y - face.nose_tip) ** 2) - face.nose_width * 0.42
    darken(canvas, 0.28 * bump(wing * wing * 1200) * ramp((side - face.nose_width * 0.7) * 14))
    lip = y - face.mouth_y + face.lip_lower + 0.085
    darken(canvas, 0.2 * bump(lip * lip * 350 + side * side * 22))


def eyes(canvas: Field, x: Field, y: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Whites, irises, lids and lashes."""
    hand = np.copysign(1, x)
    ex = np.abs(x) - face.eye_x
    ey = y - face.eye_y - face.eye_slant * ex - shot.crooked * hand
    r = ex / face.eye_width
    shape = 1 - r * r
    opened = np.minimum(shot.eyes - 0.18 * np.maximum(shot.smile - 0.5, 0), 1.25)
    high = face.eye_height * (1.22 * opened - 0.12) * shape * (1 - 0.18 * r)
    low = -face.eye_height * 0.62 * shape * (1 + 0.2 * r) * np.minimum(0.4 + opened, 1)
    inside = np.minimum(high - ey, ey - low)
    window = ramp((1.5 - np.abs(r)) * 4)
    lid = ey - high - face.eye_height * 0.55
    darken(canvas, (0.2 + 0.25 * face.eye_fold) * bump(lid * lid * 2500) * window)
    shaded = ey - high * 0.5
    darken(canvas, 0.22 * bump(r * r * 0.42 + shaded * shaded * 40))
    alpha = cover(inside, shot.pixel)
    shadow = 1 - 0.45 * ramp(1 - (high - ey) / (face.eye_height * 0.9))
    paint(canvas, alpha, _WHITE * shadow[:, None])
    ix, iy = ex - shot.gaze_x * hand, ey - shot.gaze_y - face.eye_height * 0.15
    radius = np.sqrt(ix * ix + iy * iy)
    inner = radius / face.iris
    rim = 0.75 + 0.9 * inner * inner * (1 - inner * inner * 0.75)
    paint(canvas, alpha * cover(face.iris - radius, shot.pixel), face.iris_colour * (rim * shadow)[:, None])
    darken(canvas, 0.93 * alpha * cover(face.iris * 0.45 - radius, shot.pixel))
    gx, gy = ix * hand - 0.025, iy - 0.028
    glint = alpha * cover(0.017 - np.sqrt(gx * gx + gy * gy), shot.pixel)
    paint(canvas, 0.85 * glint, 1)
    dark = 0.8 * np.minimum(face.lashes * 60, 1)
    flick = face.lashes * (1 + 0.8 * ramp(r)) * ramp((1.12 - np.abs(r)) * 8)
    paint(canvas, dark * cover(flick - np.abs(ey - high), shot.pixel), face.brow * 0.3)
    darken(canvas, 0.35 * cover(0.007 - np.abs(ey - low), shot.pixel) * ramp((1 - np.abs(r)) * 6))


_WHITE = np.array([0.74, 0.72, 0.69], np.float32)[:, None, None]


def brows(canvas: Field, x: Field, y: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Eyebrows, in the hair's colour."""
    along = (np.abs(x) - face.brow_gap) / face.brow_length
    within = np.clip(along, 0, 1)
    centre = face.brow_y + shot.raised + face.brow_slope * (within - 0.3) + face.brow_arch * 4 * within * (1 - within)
    centre = centre - 0.03 - 0.5 * np.copysign(shot.crooked, x) - 0.05 * within * within
    thick = np.maximum(face.brow_thick, 0.012) * (1 - 0.65 * within * within)
    ends = ramp((along + 0.06) * 12) * ramp((1.04 - along) * 8)
    hairs = 1 - 0.25 * np.abs(speckle(x * 34 + y * 20 + 60, y * 16 + 60))
    alpha = face.brow_strength * hairs * ends * cover(thick - np.abs(y - centre), shot.pixel + 0.018)
    paint(canvas, alpha, face.brow)


def nostrils(canvas: Field, x: Field, y: Field, face: SimpleNamespace) -> None:
    """The two nostrils, below the tip."""
    nx = (np.abs(x) - face.nose_width * 0.46) / (face.nose_width * 0.34)
    ny = (y - face.nose_tip + 0.062) / 0.034
    darken(canvas, 0.6 * np.minimum(bump(nx * nx + ny * ny) * 2, 1))


def mouth(canvas: Field, x: Field, y: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Lips, teeth and the inside of the mouth; `smile` widens and lifts the corners, `open` parts the lips."""
    half = face.mouth_width * (1 + 0.16 * shot.smile - 0.08 * shot.open)
    r2 = x * x / (half * half)
    arc = np.maximum(1 - r2, 0)
    centre = face.mouth_y + (face.mouth_curve + 0.055 * shot.smile) * (r2 - 0.35) + shot.crooked * x
    gap = (0.12 * shot.open + 0.03 * np.maximum(shot.smile - 0.55, 0)) * np.sqrt(arc)
    seam_high, seam_low = centre + 0.3 * gap, centre - 0.7 * gap
    bow = 1 - face.lip_bow * bump(x * x * 320)
    high = seam_high + np.maximum(face.lip_upper, 0.014) * arc * (0.45 + 0.55 * arc) * bow * 1.15
    low = seam_low - np.maximum(face.lip_lower, 0.02) * np.sqrt(arc) * (0.3 + 0.7 * arc)
    alpha = cover(np.minimum(high - y, y - low), shot.pixel + 0.012) * (r2 < 1)
    upper = y > (seam_high + seam_low) / 2
    gloss = (y - low) / np.maximum(seam_low - low, 0.01)
    shade = 0.78 * upper + (0.88 + 0.3 * bump((gloss - 0.5) ** 2 * 5)) * (1 - upper)
    paint(canvas, 0.9 * alpha, face.lip * (shade * (1 + shot.tan))[:, None])
    within = cover(np.minimum(seam_high - y, y - seam_low), shot.pixel) * (r2 < 1)
    teeth = ramp((y - seam_high + 0.075) * 40) * ramp((0.8 - r2) * 4)
    paint(canvas, within, _INSIDE + teeth[:, None] * (_TEETH - _INSIDE))
    seam = np.minimum(np.abs(y - seam_high), np.abs(y - seam_low))
    darken(canvas, 0.5 * cover(0.010 - seam, shot.pixel) * ramp((1.1 - r2) * 8))


_INSIDE = np.array([0.10, 0.025, 0.025], np.float32)[:, None, None]
_TEETH = np.array([0.72, 0.69, 0.62], np.float32)[:, None, None]


def beard(canvas: Field, x: Field, y: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Beard and moustache, shaved more or less closely from image to image."""
    grain = 1 - 0.3 * np.abs(speckle(x * 28 + 60, y * 22 + 60))
    x2 = x * x
    line = face.mouth_y + 0.05 + 1.1 * x2 + 0.5 * np.maximum(np.abs(x) - 0.45, 0)
    lip_x = x / (face.mouth_width * 1.15)
    lip_y = (y - face.mouth_y) / (face.lip_upper + face.lip_lower + 0.07)
    free = ramp((lip_x * lip_x + lip_y * lip_y - 0.6) * 2.5)
    strength = np.clip(face.beard * (1 + shot.stubble), 0, 1)
    paint(canvas, 0.9 * strength * grain * free * ramp((line - y) * 7), face.brow * 0.8)
    top = (y - (face.mouth_y + face.nose_tip - 0.07) / 2 - 0.005 + 0.35 * x2) / 0.085
    strip = bump(np.minimum(top * top * 0.7, 1)) * ramp((face.mouth_width * 1.1 - np.abs(x)) * 9)
    strength = np.clip(face.moustache * (1 + shot.stubble), 0, 1)
    paint(canvas, np.minimum(1.6 * strip, 1) * 0.9 * strength * grain, face.brow * 0.7)
