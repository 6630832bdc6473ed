"""Made-up toy studies on disk: 2-D features drawn as each loss is known to lay them, closed-set scores, no tuning."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bench import record
from bench.plain import Options, Result, Trial

Draw = Callable[[np.random.Generator, int, int], dict[str, np.ndarray]]  # (draw, classes, images) -> raw arrays
Arms = Mapping[str, tuple[str, dict, Draw]]  # label -> (loss, loss_options, features)


def rays(width: float = 0.09, length: float = 60.0, *, unit: bool = False) -> Draw:
    """Classes as rays from the origin, `width` radians of spread: softmax's; on the circle where `unit`."""

    def make(draw: np.random.Generator, classes: int, images: int) -> dict[str, np.ndarray]:
        middle = 2 * math.pi * np.arange(classes) / classes + draw.normal(0, 0.02, classes) + 0.3
        raw = {"features/weight": circle(middle)}
        for split, share in (("train", 1.0), ("test", 0.5)):
            labels = np.sort(draw.integers(0, classes, int(images * share)))
            angle = middle[labels] + draw.normal(0, width, len(labels))
            size = np.ones(len(labels)) if unit else length * draw.gamma(6, 1 / 6, len(labels))
            raw |= {f"features/{split}": circle(angle) * size[:, None], f"features/{split}_labels": labels}
        return raw

    return make


def clusters(spread: float, radius: float = 20.0) -> Draw:
    """Round classes around their centres: softmax + center."""

    def make(draw: np.random.Generator, classes: int, images: int) -> dict[str, np.ndarray]:
        middle = circle(2 * math.pi * np.arange(classes) / classes + 0.3) * radius
        raw = {"features/weight": middle / radius, "features/bias": np.zeros(classes)}
        raw["features/centers"] = middle + draw.normal(0, spread / 10, middle.shape)
        for split, share in (("train", 1.0), ("test", 0.5)):
            labels = np.sort(draw.integers(0, classes, int(images * share)))
            points = middle[labels] + draw.normal(0, spread, (len(labels), 2))
            raw |= {f"features/{split}": points, f"features/{split}_labels": labels}
        return raw

    return make


def circle(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


CENTER: Arms = {
    "softmax": ("softmax", {}, rays()),
    "center .001": ("center", {"center_weight": 0.001, "center_rate": 0.5}, clusters(3.5, 40)),
    "center .01": ("center", {"center_weight": 0.01, "center_rate": 0.5}, clusters(1.2, 20)),
    "center .1": ("center", {"center_weight": 0.1, "center_rate": 0.5}, clusters(0.4, 8)),
    "center 1": ("center", {"center_weight": 1.0, "center_rate": 0.5}, clusters(0.1, 3)),
}
LMCL: Arms = {
    "softmax": ("softmax", {}, rays(0.13)),
    "nsl": ("nsl", {"scale": 64.0}, rays(0.1)),
    "lmcl .1": ("lmcl", {"scale": 64.0, "margin": 0.1}, rays(0.07)),
    "lmcl .2": ("lmcl", {"scale": 64.0, "margin": 0.2}, rays(0.03)),
}


def make(
    runs: Path, arms: Arms, *, name: str = "toy", classes: int = 10, images: int = 600, seeds: int = 5, **facts: object
) -> Path:
    """Write the study `name` below `runs`, each arm confirmed on `seeds` seeds, and return its folder."""
    folder = runs / name
    folder.mkdir(parents=True)
    for label, (loss, options, features) in arms.items():
        for seed in range(seeds):
            trial = Trial(
                study=name, number=seed, seed=seed + 1, loss=loss, loss_options=Options(options), embedding_dim=2,
                label="" if label == loss else label, keep=("features",),
            )  # fmt: skip
            draw = np.random.default_rng([len(label), seed])
            raw = {key: _kept(array) for key, array in features(draw, classes, images).items()}
            result = Result(*_closed(draw, classes, images), raw=raw, provenance={"commit": "f318bb3d"})
            record.finish(record.start(trial, folder), "finished", result=result)
    said = {"name": name, "losses": list(arms), "reference": next(iter(arms)), "tune": None, "protocols": []}
    (folder / "study.json").write_text(json.dumps(said | facts))
    return folder


def _kept(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32 if array.dtype == float else np.int64)


def _closed(draw: np.random.Generator, classes: int, images: int) -> tuple[dict[str, float], dict[str, dict]]:
    folds = {figure: np.clip(draw.normal(0.97, 0.01, 10), 0, 1) for figure in ("closed/accuracy", "closed/nearest")}
    metrics = {figure: float(values.mean()) for figure, values in folds.items()}
    score = {
        "metrics": metrics,
        "undefined": {},
        "marks": {},
        "counts": {"images": images // 2, "identities": classes},
        "clusters": {figure: {"kind": "folds", "values": values.tolist()} for figure, values in folds.items()},
        "primary": "closed/accuracy",
        "spec": {"protocol": "closed", "version": 1},
        "hash": "99aabbccddeeff00",
    }
    return metrics, {"closed": score}
