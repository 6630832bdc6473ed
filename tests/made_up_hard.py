"""A study of two losses that keeps its scores, for the tests of what is hard: people as directions, images around them."""

import json
from pathlib import Path

import numpy as np

from bench import record, scoring
from bench.plain import Options, Result, Trial

FACES = (
    {"name": "lfw", "data": {"name": "faces", "size": 32, "identities": 20, "pairs": 10}},
    {"name": "megaface", "data": {"name": "faces", "size": 32, "identities": 6, "per_identity": 4, "distractors": 50}},
)
NOISE = {"softmax": 1.6, "lmcl": 1.3}
SEEDS = 2


def embeddings(protocol, noise: float, seed: int) -> np.ndarray:
    """(N, 32): the direction of each image's person, the image's own way off it, and some of the run's."""
    people = np.unique(protocol.people, return_inverse=True)[1]
    draw, run = np.random.default_rng(5), np.random.default_rng(seed)
    towards, off = draw.normal(size=(people.max() + 1, 32)), draw.normal(size=(len(people), 32))
    return towards[people] + noise * off + 0.4 * run.normal(size=off.shape)


def make(runs: Path, specs=FACES, name: str = "hard") -> Path:
    """Write the study below `runs` and return its folder; every confirmed run was really scored on `specs`."""
    folder = runs / name
    opened = [scoring.open_protocol(spec)[0] for spec in specs]
    for loss, noise in NOISE.items():
        for seed in range(SEEDS):
            trial = Trial(study=name, loss=loss, seed=seed, number=seed, protocols=tuple(map(Options, specs)))
            answers = [(p, p.score(embeddings(p, noise, 10 * seed + len(loss)))) for p in opened]
            scores = {p.name: scoring.plain(answer, p) for p, answer in answers}
            raw = {key: array for p, answer in answers for key, array in scoring.raw(answer, p).items()}
            metrics = {key: value for _, answer in answers for key, value in answer.metrics.items()}
            record.finish(record.start(trial, folder), "finished", result=Result(metrics, scores, raw))
    facts = {"name": name, "losses": list(NOISE), "protocols": list(specs), "tune": None}
    (folder / "study.json").write_text(json.dumps(facts))
    return folder
