"""What is drawn on the skin, in head coordinates: complexion, eyes, brows, nostrils, mouth, beard."""

from types import SimpleNamespace

import numpy as np

from bench.datasets._face_field import Field, bump, cover, darken, paint, ramp, speckle

f32 = np.float32


def skin(x: Field, y: Field, face: SimpleNamespace, shot: SimpleNamespace) -> Field:
    """The colour (B, 3, H, W) of the skin before light: blush, freckles, moles, lines, shade of the sockets."""
    tanned = 1 + shot.tan
    canvas = face.skin * tanned[:, None] + np.zeros_like(x)[:, None]
    side = np.abs(x)
    cheek_x, cheek_y = side - f32(0.40), y + f32(0.20)
    glow = face.blush * (bump((cheek_x * cheek_x + cheek_y * cheek_y) * 11) + f32(0.7) * bump((x * x * 2 + (y - face.nose_tip) ** 2) * 28))
    canvas *= 1 + glow[:, None] * _RED
    speckles = np.maximum(speckle(x * 30 + 60, y * 30 + 60), 0) * bump((x * x + (y + f32(0.12)) ** 2 * 4) * f32(2.4))
    darken(canvas, face.freckles * speckles)
    for mole_x, mole_y, size in ((face.mole1_x, face.mole1_y, face.mole1), (face.mole2_x, face.mole2_y, face.mole2)):
        distance = np.sqrt((x - mole_x) ** 2 + (y - mole_y) ** 2)
        darken(canvas, f32(0.65) * cover(size - distance, shot.pixel + f32(0.01)) * (size > 0))
    _lines(canvas, side, y, face, shot)
    return canvas


_RED = np.array([0.02, -0.28, -0.22], np.float32)[:, None, None]


def _lines(canvas: Field, side: Field, y: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Folds from nose to mouth, lines under the eyes, shade beside the nose and under the lip."""
    mouth = face.mouth_width * (1 + f32(0.16) * shot.smile)
    share = np.clip((face.nose_tip - y) / (face.nose_tip - face.mouth_y), 0, 1)
    fold = side - (face.nose_width * f32(1.15) + (mouth * f32(1.15) - face.nose_width * f32(1.15)) * share * share)
    strength = np.maximum(f32(0.10) + f32(0.28) * np.maximum(face.lines, 0) + f32(0.22) * shot.smile, 0)
    ends = ramp((face.nose_tip + f32(0.06) - y) * 9) * ramp((y - face.mouth_y + f32(0.08)) * 9)
    darken(canvas, strength * bump(fold * fold * 500) * ends)
    bag_x, bag_y = side - face.eye_x, y - face.eye_y + f32(0.13)
    darken(canvas, (f32(0.10) + f32(0.2) * np.maximum(face.lines, 0)) * bump(bag_x * bag_x * 40 + bag_y * bag_y * 500))
    nose = y - face.nose_tip + f32(0.075)
    darken(canvas, f32(0.30) * bump(side * side / (face.nose_width * face.nose_width * f32(1.3)) + nose * nose * 330))
    wing = np.sqrt((side - face.nose_width * f32(0.70)) ** 2 + (y - face.nose_tip) ** 2) - face.nose_width * f32(0.42)
    darken(canvas, f32(0.28) * bump(wing * wing * 1200) * ramp((side - face.nose_width * f32(0.7)) * 14))
    lip = y - face.mouth_y + face.lip_lower + f32(0.085)
    darken(canvas, f32(0.2) * bump(lip * lip * 350 + side * side * 22))


def eyes(canvas: Field, x: Field, y: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Whites, irises, lids and lashes."""
    hand = np.copysign(f32(1), x)
    ex = np.abs(x) - face.eye_x
    ey = y - face.eye_y - face.eye_slant * ex - shot.crooked * hand
    r = ex / face.eye_width
    shape = 1 - r * r
    opened = np.minimum(shot.eyes - f32(0.18) * np.maximum(shot.smile - f32(0.5), 0), f32(1.25))
    high = face.eye_height * (f32(1.22) * opened - f32(0.12)) * shape * (1 - f32(0.18) * r)
    low = -face.eye_height * f32(0.62) * shape * (1 + f32(0.2) * r) * np.minimum(f32(0.4) + opened, 1)
    inside = np.minimum(high - ey, ey - low)
    window = ramp((f32(1.5) - np.abs(r)) * 4)
    lid = ey - high - face.eye_height * f32(0.55)
    darken(canvas, (f32(0.2) + f32(0.25) * face.eye_fold) * bump(lid * lid * 2500) * window)
    shaded = ey - high * f32(0.5)
    darken(canvas, f32(0.22) * bump(r * r * f32(0.42) + shaded * shaded * 40))
    alpha = cover(inside, shot.pixel)
    shadow = 1 - f32(0.45) * ramp(1 - (high - ey) / (face.eye_height * f32(0.9)))
    paint(canvas, alpha, _WHITE * shadow[:, None])
    ix, iy = ex - shot.gaze_x * hand, ey - shot.gaze_y - face.eye_height * f32(0.15)
    radius = np.sqrt(ix * ix + iy * iy)
    inner = radius / face.iris
    rim = f32(0.75) + f32(0.9) * inner * inner * (1 - inner * inner * f32(0.75))
    paint(canvas, alpha * cover(face.iris - radius, shot.pixel), face.iris_colour * (rim * shadow)[:, None])
    darken(canvas, f32(0.93) * alpha * cover(face.iris * f32(0.45) - radius, shot.pixel))
    gx, gy = ix * hand - f32(0.025), iy - f32(0.028)
    glint = alpha * cover(f32(0.017) - np.sqrt(gx * gx + gy * gy), shot.pixel)
    paint(canvas, f32(0.85) * glint, f32(1))
    dark = f32(0.8) * np.minimum(face.lashes * 60, 1)
    flick = face.lashes * (1 + f32(0.8) * ramp(r)) * ramp((f32(1.12) - np.abs(r)) * 8)
    paint(canvas, dark * cover(flick - np.abs(ey - high), shot.pixel), face.brow * f32(0.3))
    darken(canvas, f32(0.35) * cover(f32(0.007) - np.abs(ey - low), shot.pixel) * ramp((1 - np.abs(r)) * 6))


_WHITE = np.array([0.74, 0.72, 0.69], np.float32)[:, None, None]


def brows(canvas: Field, x: Field, y: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Eyebrows, in the hair's colour."""
    along = (np.abs(x) - face.brow_gap) / face.brow_length
    within = np.clip(along, 0, 1)
    centre = face.brow_y + shot.raised + face.brow_slope * (within - f32(0.3)) + face.brow_arch * 4 * within * (1 - within)
    centre = centre - f32(0.03) - f32(0.5) * np.copysign(shot.crooked, x) - f32(0.05) * within * within
    thick = np.maximum(face.brow_thick, f32(0.012)) * (1 - f32(0.65) * within * within)
    ends = ramp((along + f32(0.06)) * 12) * ramp((f32(1.04) - along) * 8)
    hairs = 1 - f32(0.25) * np.abs(speckle(x * 34 + y * 20 + 60, y * 16 + 60))
    alpha = face.brow_strength * hairs * ends * cover(thick - np.abs(y - centre), shot.pixel + f32(0.018))
    paint(canvas, alpha, face.brow)


def nostrils(canvas: Field, x: Field, y: Field, face: SimpleNamespace) -> None:
    """The two nostrils, below the tip."""
    nx = (np.abs(x) - face.nose_width * f32(0.46)) / (face.nose_width * f32(0.34))
    ny = (y - face.nose_tip + f32(0.062)) / f32(0.034)
    darken(canvas, f32(0.6) * np.minimum(bump(nx * nx + ny * ny) * 2, 1))


def mouth(canvas: Field, x: Field, y: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Lips, teeth and the inside of the mouth; `smile` widens and lifts the corners, `open` parts the lips."""
    half = face.mouth_width * (1 + f32(0.16) * shot.smile - f32(0.08) * shot.open)
    r2 = x * x / (half * half)
    arc = np.maximum(1 - r2, 0)
    centre = face.mouth_y + (face.mouth_curve + f32(0.055) * shot.smile) * (r2 - f32(0.35)) + shot.crooked * x
    gap = (f32(0.12) * shot.open + f32(0.03) * np.maximum(shot.smile - f32(0.55), 0)) * np.sqrt(arc)
    seam_high, seam_low = centre + f32(0.3) * gap, centre - f32(0.7) * gap
    bow = 1 - face.lip_bow * bump(x * x * 320)
    high = seam_high + np.maximum(face.lip_upper, f32(0.014)) * arc * (f32(0.45) + f32(0.55) * arc) * bow * f32(1.15)
    low = seam_low - np.maximum(face.lip_lower, f32(0.02)) * np.sqrt(arc) * (f32(0.3) + f32(0.7) * arc)
    alpha = cover(np.minimum(high - y, y - low), shot.pixel + f32(0.012)) * (r2 < 1)
    upper = y > (seam_high + seam_low) / 2
    gloss = (y - low) / np.maximum(seam_low - low, f32(0.01))
    shade = f32(0.78) * upper + (f32(0.88) + f32(0.3) * bump((gloss - f32(0.5)) ** 2 * 5)) * (1 - upper)
    paint(canvas, f32(0.9) * alpha, face.lip * (shade * (1 + shot.tan))[:, None])
    within = cover(np.minimum(seam_high - y, y - seam_low), shot.pixel) * (r2 < 1)
    teeth = ramp((y - seam_high + f32(0.075)) * 40) * ramp((f32(0.8) - r2) * 4)
    paint(canvas, within, _INSIDE + teeth[:, None] * (_TEETH - _INSIDE))
    seam = np.minimum(np.abs(y - seam_high), np.abs(y - seam_low))
    darken(canvas, f32(0.5) * cover(f32(0.010) - seam, shot.pixel) * ramp((f32(1.1) - r2) * 8))


_INSIDE = np.array([0.10, 0.025, 0.025], np.float32)[:, None, None]
_TEETH = np.array([0.72, 0.69, 0.62], np.float32)[:, None, None]


def beard(canvas: Field, x: Field, y: Field, face: SimpleNamespace, shot: SimpleNamespace) -> None:
    """Beard and moustache, shaved more or less closely from image to image."""
    grain = 1 - f32(0.3) * np.abs(speckle(x * 28 + 60, y * 22 + 60))
    x2 = x * x
    line = face.mouth_y + f32(0.05) + f32(1.1) * x2 + f32(0.5) * np.maximum(np.abs(x) - f32(0.45), 0)
    lip_x, lip_y = x / (face.mouth_width * f32(1.15)), (y - face.mouth_y) / (face.lip_upper + face.lip_lower + f32(0.07))
    free = ramp((lip_x * lip_x + lip_y * lip_y - f32(0.6)) * f32(2.5))
    strength = np.clip(face.beard * (1 + shot.stubble), 0, 1)
    paint(canvas, f32(0.9) * strength * grain * free * ramp((line - y) * 7), face.brow * f32(0.8))
    top = (y - (face.mouth_y + face.nose_tip - f32(0.07)) / 2 - f32(0.005) + f32(0.35) * x2) / f32(0.085)
    strip = bump(np.minimum(top * top * f32(0.7), 1)) * ramp((face.mouth_width * f32(1.1) - np.abs(x)) * 9)
    strength = np.clip(face.moustache * (1 + shot.stubble), 0, 1)
    paint(canvas, np.minimum(f32(1.6) * strip, 1) * f32(0.9) * strength * grain, face.brow * f32(0.7))
