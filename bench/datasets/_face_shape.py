"""What makes a generated face: the parameters of an identity, in head units.

Head units: the chin of a mean head lies at y = -1, the crown at y = +1, the face looks along +z, and x
runs to the viewer's right.
"""

import numpy as np

# name: (mean, spread, share of the spread that goes with sex: + is male), before the two limits of 2.5 spreads
CONTINUOUS: dict[str, tuple[float, float, float]] = {
    # head
    "face_width": (0.72, 0.05, 0.3),
    "chin": (-1.0, 0.055, -0.3),
    "crown": (0.98, 0.05, 0.0),
    "cheek": (0.10, 0.07, 0.0),
    "jaw_square": (0.35, 0.24, 0.5),
    "jaw_taper": (0.15, 0.08, -0.4),
    "cheekbone": (0.03, 0.02, -0.2),
    "chin_bump": (0.05, 0.03, 0.3),
    "ear": (0.15, 0.035, 0.2),
    # eyes and brows
    "eye_x": (0.315, 0.03, 0.0),
    "eye_y": (0.10, 0.035, 0.0),
    "eye_width": (0.155, 0.018, 0.0),
    "eye_height": (0.072, 0.016, -0.3),
    "eye_slant": (0.06, 0.12, -0.1),
    "eye_fold": (0.5, 0.3, -0.2),
    "eye_depth": (0.06, 0.03, 0.3),
    "lashes": (0.014, 0.006, -0.6),
    "iris": (0.072, 0.007, 0.0),
    "brow_y": (0.30, 0.04, -0.4),
    "brow_thick": (0.042, 0.016, 0.5),
    "brow_arch": (0.05, 0.035, -0.4),
    "brow_slope": (0.01, 0.06, 0.1),
    "brow_length": (0.36, 0.04, 0.0),
    "brow_gap": (0.11, 0.035, -0.2),
    "brow_strength": (0.75, 0.2, 0.2),
    "brow_ridge": (0.03, 0.02, 0.5),
    # nose
    "nose_width": (0.15, 0.028, 0.25),
    "nose_tip": (-0.26, 0.05, -0.1),
    "nose_height": (0.20, 0.04, 0.2),
    "nose_bridge": (0.055, 0.018, 0.2),
    "nose_root": (0.05, 0.03, 0.2),
    # mouth
    "mouth_y": (-0.56, 0.04, 0.0),
    "mouth_width": (0.265, 0.037, 0.1),
    "lip_upper": (0.045, 0.018, -0.3),
    "lip_lower": (0.062, 0.02, -0.2),
    "lip_bow": (0.4, 0.25, -0.1),
    "lip_red": (0.45, 0.2, -0.5),
    "mouth_curve": (0.0, 0.02, -0.1),
    # colour and hair
    "skin_red": (0.0, 0.028, 0.1),
    "skin_yellow": (0.0, 0.022, 0.0),
    "blush": (0.25, 0.16, -0.3),
    "hair_red": (0.0, 0.05, 0.0),
    "hairline": (0.60, 0.085, 0.1),
    "hairline_curve": (-0.22, 0.22, 0.0),
    "parting": (0.0, 0.2, 0.0),
    "hair_top": (0.10, 0.06, 0.0),
    "hair_side": (0.05, 0.035, -0.4),
    "hair_wave": (0.025, 0.025, -0.2),
    "lines": (0.25, 0.25, 0.2),
    # marks on the skin, and frames of glasses
    "mole1_x": (0.0, 0.35, 0.0),
    "mole1_y": (-0.3, 0.35, 0.0),
    "mole2_x": (0.0, 0.35, 0.0),
    "mole2_y": (-0.2, 0.4, 0.0),
    "frame_size": (0.24, 0.03, 0.0),
    "frame_round": (0.5, 0.5, 0.0),
}
# drawn evenly from 0..1; what they decide stands in `identity`
EVEN = ("skin", "iris_hue", "hair_tone", "grey", "length", "fringe", "bald", "beard", "moustache", "freckles",
        "mole1", "mole2", "glasses", "frame_tone")  # fmt: skip

_SKIN = np.array([[241, 208, 186], [228, 184, 152], [205, 152, 114], [164, 110, 76], [117, 74, 50], [74, 47, 36]]) / 255
_SKIN_AT = np.array([0.0, 0.3, 0.55, 0.72, 0.87, 1.0])
_HAIR = np.array([[22, 18, 17], [38, 28, 24], [72, 46, 30], [112, 76, 46], [160, 110, 58], [208, 170, 110]]) / 255
_HAIR_AT = np.array([0.0, 0.25, 0.5, 0.68, 0.84, 1.0])
_IRIS = np.array([[52, 32, 20], [84, 54, 30], [104, 92, 48], [84, 116, 92], [88, 124, 158], [120, 132, 142]]) / 255
_IRIS_AT = np.array([0.0, 0.4, 0.58, 0.7, 0.85, 1.0])


def spread(difficulty: float) -> float:
    """How far people differ: 1.4 at difficulty 0, 1.25 at 1, 0.8 at 4."""
    return 1.4 - 0.15 * difficulty


def identity(random: np.random.Generator, spread: float) -> dict[str, np.ndarray | float]:
    """The parameters of one identity: name -> number, or colour (3,) in linear light.

    Args:
        random: the identity's own stream.
        spread: scales how far all shapes and colours lie from the mean face.
    """
    sex = random.standard_normal()
    sex = 0.75 * np.sign(sex) + 0.45 * sex  # two overlapping groups
    normal = random.standard_normal(len(CONTINUOUS))
    even = dict(zip(EVEN, random.random(len(EVEN)).tolist(), strict=True))
    face: dict[str, np.ndarray | float] = {}
    for (name, (mean, sd, share)), own in zip(CONTINUOUS.items(), normal, strict=True):
        away = min(max(share * sex + (1 - share * share) ** 0.5 * own, -2.5), 2.5)
        face[name] = mean + spread * sd * away
    male = 1 / (1 + 12.0 ** (-sex))
    face |= _hair(even, male, face)
    face |= _colours(even, face, spread)
    face["freckles"] = max(0.0, even["freckles"] - 0.8) * 4 if even["skin"] < 0.45 else 0.0
    face["mole1"] = 0.028 if even["mole1"] > 0.65 else 0.0
    face["mole2"] = 0.022 if even["mole2"] > 0.75 else 0.0
    face["glasses"] = float(even["glasses"] > 0.8)
    face["jaw_square"] = min(max(float(face["jaw_square"]), 0.0), 1.0)
    face["brow_strength"] = min(max(float(face["brow_strength"]), 0.35), 1.0)
    return face


def _hair(even: dict[str, float], male: float, face: dict) -> dict[str, float]:
    """Where the hair ends, and where a beard grows, as signed heights and strengths."""
    long = even["length"] + 0.55 * (0.5 - male)  # -0.28 .. 1.28
    bald = even["bald"] > 1 - 0.16 * male
    fringe = even["fringe"] > 0.55 + 0.3 * male and not bald
    hairline = float(face["hairline"]) + (0.55 if bald else 0) - (0.26 if fringe else 0)
    grows = even["beard"] * male
    return {
        "hairline": hairline,
        "hairline_curve": -0.1 if fringe else float(face["hairline_curve"]),
        "parting": 0.3 * float(face["parting"]) if fringe else float(face["parting"]),
        "hair_end": min(0.3, -0.1 if bald else 1)
        - 2.0 * max(0.0, long - 0.25),  # y at which the hair at the sides ends
        "hair_high": 0.5 if bald else 2.0,  # and up to which it grows there
        "hair_behind": float(long > 0.55 and not bald),
        "hair_top": max(0.03, float(face["hair_top"])) * (0.3 if bald else 1),
        "hair_side": max(0.02, float(face["hair_side"])) * (0.4 if bald else 1) + (0.05 if long > 0.55 else 0),
        "beard": min(1.0, max(0.0, grows - 0.45) * 3.2),
        "moustache": min(1.0, max(0.0, grows - 0.42) * 3.2 + (0.8 if even["moustache"] * male > 0.86 else 0)),
    }


def _colours(even: dict[str, float], face: dict, spread: float) -> dict[str, np.ndarray]:
    tone = 0.4 + (even["skin"] - 0.4) * min(1.0, spread)
    skin = _along(_SKIN_AT, _SKIN, tone)
    skin = skin + np.array([0.6, -0.3, -0.3]) * face["skin_red"] + np.array([0.2, 0.1, -0.8]) * face["skin_yellow"]
    dark = max(0.0, even["skin"] - 0.6) * 2.2  # dark skin seldom goes with fair hair or eyes
    hair = _along(_HAIR_AT, _HAIR, max(0.0, even["hair_tone"] - dark)) + np.array([1.0, -0.1, -0.4]) * face["hair_red"]
    grey = max(0.0, even["grey"] - 0.82) * 5.5
    hair = hair + min(1.0, grey) * (np.array([0.72, 0.72, 0.73]) - hair)
    brow = 0.55 * hair + 0.1 * skin
    lip = skin * np.array([0.93, 0.68, 0.68]) + face["lip_red"] * np.array([0.10, -0.10, -0.06])
    colours = {
        "skin": skin,
        "hair": hair,
        "brow": brow,
        "lip": lip,
        "iris_colour": _along(_IRIS_AT, _IRIS, max(0.0, even["iris_hue"] - dark)),
        "frame": np.array([0.05, 0.05, 0.06]) + (even["frame_tone"] ** 2) * np.array([0.45, 0.3, 0.2]),
    }
    return {name: np.clip(colour, 0.01, 1) ** 2 for name, colour in colours.items()}  # gamma 2 -> linear light


def _along(at: np.ndarray, colours: np.ndarray, where: float) -> np.ndarray:
    return np.array([np.interp(where, at, colours[:, channel]) for channel in range(3)])
