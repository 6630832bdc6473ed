"""What differs between two images of one generated identity: pose, light, expression, dress, occlusion, camera."""

from typing import NamedTuple

import numpy as np

# moves within a video; (mean, spread at difficulty 1)
MOVING: dict[str, tuple[float, float]] = {
    "yaw": (0.0, 0.2),
    "pitch": (0.0, 0.08),
    "roll": (0.0, 0.03),
    "shift_x": (0.0, 0.03),
    "shift_y": (0.0, 0.03),
    "zoom": (1.0, 0.04),
    "smile": (0.35, 0.3),
    "open": (-0.15, 0.25),
    "raise": (0.0, 0.012),
    "eyes": (1.0, 0.1),
    "gaze_x": (0.0, 0.035),
    "gaze_y": (0.0, 0.012),
    "crooked": (0.0, 0.0039),
    "light_x": (0.0, 0.27),
    "light_y": (0.35, 0.2),
    "exposure": (1.0, 0.08),
    "blur": (0.0, 0.11),
}
# fixed for a video: (mean, spread at difficulty 1)
FIXED: dict[str, tuple[float, float]] = {
    "contrast": (0.75, 0.14),
    "warmth": (0.0, 0.035),
    "tint": (0.0, 0.0077),
    "tan": (0.0, 0.016),
    "noise": (0.012, 0.0025),
    "compression": (0.4, 0.5),
    "stubble": (0.0, 0.039),
    "hair_change": (0.0, 0.014),
    "parting_change": (0.0, 0.019),
    "weight": (0.0, 0.0051),
    "back_angle": (0.0, 1.0),
    "back_x": (0.0, 0.8),
    "back_y": (0.2, 0.7),
    "spot_x": (0.0, 0.5),
    "spot_y": (-0.2, 0.6),
    "spot_angle": (0.0, 0.6),
}
EVEN = ("bad", "hat", "scarf", "dark_glasses", "spot", "glasses", "spot_size", "pattern", "collar",
        "cloth_r", "cloth_g", "cloth_b", "back_r", "back_g", "back_b", "back2_r", "back2_g", "back2_b",
        "hat_r", "hat_g", "hat_b", "spot_r", "spot_g", "spot_b")  # fmt: skip
_FREE = frozenset(("back_angle", "back_x", "back_y"))  # no nuisance to a face: difficulty leaves them alone
_RATES = {"hat": 0.06, "scarf": 0.04, "dark_glasses": 0.04, "spot": 0.06}  # of images at difficulty 1
# Of photographs at difficulty 1 so many are bad: five times the nuisance, and something large in the way. This heavy
# tail, which photographs of real people have too, keeps pairs hard to verify while many faces are found at rank 1.
_BAD = 0.08
_LIMITS = {"yaw": (-0.95, 0.95), "pitch": (-0.5, 0.5), "roll": (-0.4, 0.4), "zoom": (0.75, 1.3),
           "smile": (-0.5, 1.3), "open": (0, 1.2), "eyes": (0, 1.25), "contrast": (0.1, 1.4), "blur": (0, 2.5),
           "noise": (0.002, 0.12), "compression": (0, 2.5), "exposure": (0.4, 1.8), "gaze_x": (-0.06, 0.06),
           "weight": (-0.05, 0.05)}  # fmt: skip
_SPEED = 0.035  # cycles a frame of the slowest of a video's three waves


class Draws(NamedTuple):
    """The random numbers behind an image; `moving` are standard normal at any frame of a video."""

    moving: np.ndarray
    fixed: np.ndarray
    even: np.ndarray


def still(random: np.random.Generator) -> Draws:
    """The draws of a photograph, from its own stream."""
    return Draws(random.standard_normal(len(MOVING)), random.standard_normal(len(FIXED)), random.random(len(EVEN)))


def frame(random: np.random.Generator, number: int) -> Draws:
    """The draws of frame `number` of a video, from the video's stream: smooth in `number`.

    Each moving parameter is a mean of the video plus three slow waves; over videos and frames it has variance 1.
    """
    base = still(random)
    phase = random.random((3, len(MOVING)))
    wave = np.sin(2 * np.pi * (_SPEED * np.array([[1.0], [1.7], [2.6]]) * number + phase))
    return base._replace(moving=0.7**0.5 * base.moving + 0.3**0.5 * wave.sum(0) * (2 / 3) ** 0.5)


def nuisance(draws: Draws, difficulty: float) -> dict[str, float]:
    """The parameters of one image: every spread and every rate of occlusion is scaled by `difficulty`."""
    shown: dict[str, float] = {}
    even = dict(zip(EVEN, draws.even.tolist(), strict=True))
    bad = even["bad"] < min(0.9, _BAD * difficulty)
    if bad:
        difficulty *= 5
    for table, values in ((MOVING, draws.moving), (FIXED, draws.fixed)):
        for (name, (mean, spread)), value in zip(table.items(), values.tolist(), strict=True):
            strength = 1.0 if name in _FREE else difficulty
            low, high = _LIMITS.get(name, (-np.inf, np.inf))
            shown[name] = min(max(mean + strength * spread * min(max(value, -3.0), 3.0), low), high)
    shown |= even
    for name, rate in _RATES.items():
        shown[name] = float(even[name] < min(0.9, rate * difficulty))
    if bad:
        shown |= {"spot": 1.0, "spot_size": 1.4, "spot_x": 0.25 * shown["spot_x"], "spot_y": 0.25 * shown["spot_y"]}
    return shown
