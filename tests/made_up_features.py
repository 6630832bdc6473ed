"""Made-up studies of known answer for the criteria: arms with the features and the test figures that each is given."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from made_up_toys import Draw

import reports
from bench import record
from bench.plain import Options, Progress, Result, Trial
from reports import criteria
from reports.criteria import Finding

FOLDS, PEOPLE = 10, 60


@dataclass(frozen=True)
class Arm:
    """One row: its loss, what its features look like, the level of each of its test figures.

    `diverged` runs are the last; `trial` are further fields of the trial; `epochs` the metrics of each epoch.
    """

    loss: str
    options: Mapping[str, object] = field(default_factory=dict)
    features: Draw | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    diverged: int = 0
    trial: Mapping[str, object] = field(default_factory=dict)
    epochs: tuple[Mapping[str, float], ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)


def make(
    runs: Path,
    arms: Mapping[str, Arm],
    *,
    seeds: int = 5,
    classes: int = 10,
    images: int = 600,
    spread: float = 0.002,
    searches: int = 1,
    **facts: object,
) -> reports.Study:
    """Write a study below `runs` and read it back. Every figure spreads over seeds by `spread`, and over the folds or
    identities, which all arms share. The runs of each search are numbered from 0."""
    if searches > 1:
        facts = {"tune": {"trials": 8, "searches": searches}} | facts
    folder = runs / "made_up"
    folder.mkdir(parents=True)
    for place, (label, arm) in enumerate(arms.items()):
        for search, seed in itertools.product(range(1, searches + 1), range(seeds)):
            trial = Trial(
                study="made_up", number=seed, seed=seed + 100 * (search - 1), search=search,
                loss=arm.loss, loss_options=Options(dict(arm.options)),
                label="" if label == arm.loss else label, keep=("features",), **dict(arm.trial),
            )  # fmt: skip
            where = record.start(trial, folder)
            for epoch, metrics in enumerate(arm.epochs, 1):
                record.Journal(where).append(Progress(epoch, epoch, dict(metrics)))
            if seed >= seeds - arm.diverged:
                record.finish(where, "failed", "the loss became nan at step 3 (epoch 1)")
                continue
            draw = np.random.default_rng([place, trial.seed])
            raw = arm.features(draw, classes, images) if arm.features else {}
            metrics, scores = _scores(arm.figures, draw, spread)
            result = Result(metrics, scores, raw=_kept(raw), provenance=dict(arm.provenance))
            record.finish(where, "finished", result=result)
    said = {"name": "made_up", "losses": list(arms), "reference": next(iter(arms)), "tune": None, "protocols": []}
    (folder / "study.json").write_text(json.dumps(said | facts))
    return reports.read(folder)


def _kept(raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key: array.astype(np.int64 if key.endswith("labels") else np.float32) for key, array in raw.items()}


def _scores(
    figures: Mapping[str, float], draw: np.random.Generator, spread: float
) -> tuple[dict[str, float], dict[str, dict]]:
    metrics, scores = {}, {}
    for metric, level in figures.items():
        protocol, _, kind = metric.partition("/")
        size = PEOPLE if kind == "rank1" else FOLDS
        value = level + draw.normal(0, spread)
        each = value + np.random.default_rng(3).normal(0, 0.01, size) + draw.normal(0, spread, size)
        each += value - each.mean()
        left_out = (each.sum() - each) / (size - 1)
        kept = {"kind": "jackknife", "values": left_out.tolist()}
        if kind != "rank1":
            kept = {"kind": "folds", "values": each.tolist()}
        metrics[metric] = float(value)
        scores[protocol] = {
            "metrics": {metric: float(value)}, "undefined": {}, "marks": {}, "clusters": {metric: kept},
            "counts": {"distractors": 1000, "identities": 10}, "primary": metric, "spec": {}, "hash": f"{protocol}-hash",
        }  # fmt: skip
    return metrics, scores


def normal(within: float, between: float, dimension: int = 8) -> Draw:
    """Classes of standard deviation `within` around means of standard deviation `between`."""

    def make(draw: np.random.Generator, classes: int, images: int) -> dict[str, np.ndarray]:
        means = np.random.default_rng(5).normal(0, between, (classes, dimension))
        raw = {}
        for split in ("train", "test"):
            labels = np.arange(images) % classes
            raw |= {f"features/{split}": means[labels] + draw.normal(0, within, (images, dimension))}
            raw[f"features/{split}_labels"] = labels
        return raw

    return make


def point(spread: float, at: float = 0.0) -> Draw:
    """All features and centres at one point, `at` from zero, but for `spread`."""

    def make(draw: np.random.Generator, classes: int, images: int) -> dict[str, np.ndarray]:
        raw: dict[str, np.ndarray] = {"features/centers": np.tile([at, 0.0], (classes, 1))}
        for split in ("train", "test"):
            raw[f"features/{split}"] = np.array([at, 0.0]) + draw.normal(0, spread, (images, 2))
            raw[f"features/{split}_labels"] = np.arange(images) % classes
        return raw

    return make


def answers(study: reports.Study, name: str) -> list[Finding]:
    """What the criterion of this name finds."""
    return criteria.find(name).judge(study)


def part(found: list[Finding], words: str) -> Finding:
    """The one part whose statement has these words."""
    chosen = [one for one in found if words in one.statement]
    assert len(chosen) == 1, [one.statement for one in found]
    return chosen[0]
