"""A small ensemble study, and networks that were not trained, for the tests of ensembles."""

from dataclasses import replace

import fake_trial
import numpy as np

from bench import scoring
from bench.plain import Result, Trial
from sweeps import reading

TEST = "{name: lfw, data: {name: faces, size: 16, identities: 20, per_identity: 3, pairs: 5}}"
STUDY = f"""\
name: study
data: {{name: faces, size: 16}}
embedding_dim: 6
backbones: {{cnn4: {{widths: [4, 4, 4, 4]}}}}
losses:
  deepid2: {{fixed: {{verification_weight: 0.05}}}}
confirm: {{seeds: 2, epochs: 2}}
ensemble: {{layout: grid, counts: [1, 2, 3], scorers: {{cosine: , joint_bayesian: {{pca: 8}}}}}}
protocols: [{TEST}]
"""
ROWS = [
    f"{count}, {scorer}" for count in ("1 patch", "2 patches", "3 patches") for scorer in ("cosine", "joint Bayesian")
]


def parse(right="", wrong=""):
    assert STUDY.count(right) >= 1
    return reading.parse(STUDY.replace(right, wrong, 1) if right else STUDY, "study.yaml")


def run(trial, folder):
    """A network that was not trained: who is on an image, and noise that depends on seed and patch."""
    for event in fake_trial.run(replace(trial, protocols=()), folder):
        yield event if not isinstance(event, Result) else embedded(trial, event)


def embedded(trial: Trial, event: Result) -> Result:
    protocol, _ = scoring.open_protocol(trial.protocols[0])
    random = np.random.default_rng(
        [trial.seed, int(1e4 * (trial.patch[0] + 7 * trial.patch[1])), int(10 * trial.patch[2])]
    )
    labels = np.repeat(np.arange(40), 5)
    people = np.unique(protocol.people, return_inverse=True)[1]
    axes = np.random.default_rng(0).normal(size=(100, 12))  # the same people for every patch

    def seen(who: np.ndarray) -> np.ndarray:
        return (5 * (axes[who] + 1.5 * random.normal(size=(len(who), 12)))).astype(np.float32)

    train, test = seen(labels), seen(40 + people)
    answer = protocol.score(test)
    kept = {"embeddings/train": train, "embeddings/train_labels": labels, "embeddings/lfw": test}
    cost = {"train_seconds": 2.0, "parameters": 10, "epochs": 2, "device": "cpu", "precision": "float32"}
    facts = event.provenance | {"data": "d" * 16}
    scores = {"lfw": scoring.plain(answer, protocol, {"verdict": "none", "detail": ""})}
    return Result(answer.metrics, scores, kept | scoring.raw(answer, protocol), cost, facts)
