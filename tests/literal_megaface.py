"""MegaFace's figures as their definitions read, by loops; and noisy images as insightface's remove_noises.py treats them."""

import json

import numpy as np
from literal import literal_cosine
from made_up_lists import LISTS

DEVKIT = {"probes": "probes.json", "distractors": "drawn.json", "sizes": [20, 60, 150]}
FARS = {"fars": [1e-1, 1e-2, 1e-3, 1e-4]}
NOISY_PROBES = {"Person_00_2", "Person_03_0", "Person_03_1"}


def listed(size, draw):
    return json.loads(LISTS["megaface"][f"templatelists/drawn.json_{size}_{draw}"])["path"]


def noisy(name):
    lines = LISTS["megaface"]["megaface_noises.txt"].splitlines()
    return name in {line.split("\t")[1] for line in lines} or name.split("/")[-1].removesuffix(".png") in NOISY_PROBES


def scored(protocol, rows, score=literal_cosine):
    """(probe, other) -> score, of all probes with all images."""
    place = {name: row for row, name in enumerate(protocol.images)}
    probes = protocol.images[: protocol.probes]
    return {
        (a, b): score(rows[place[a]].tolist(), rows[place[b]].tolist())
        for a in probes
        for b in protocol.images
        if a != b
    }


def trials_of(probes):
    return [(a, b) for a in probes for b in probes if a != b and a.split("/")[0] == b.split("/")[0]]


def rank(score, probes, gallery, k=1):
    """The share of M(M-1) trials of each person in which fewer than k distractors score as much as the mate."""
    hits = [sum(score[a, d] >= score[a, b] for d in gallery) < k for a, b in trials_of(probes)]
    return sum(hits) / len(hits)


def tar(score, probes, gallery, far, impostors=None):
    """At the smallest threshold that at most floor(far x impostors) impostor pairs reach; `impostors`: how many count."""
    genuine = [score[a, b] for a, b in trials_of(probes) if a < b]
    falling = sorted((score[a, d] for a in probes for d in gallery), reverse=True)
    allowed = int(far * (impostors or len(falling)) + 1e-9)
    over = falling[allowed] if allowed < len(falling) else -2
    return sum(s > over for s in genuine) / len(genuine)


def as_insightface_refines(protocol, rows, seed):
    """Its remove_noises.py: features of length 1 with one more dimension, noisy ones replaced."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    out = np.concatenate([unit, np.zeros((len(unit), 1))], axis=1)
    random = np.random.default_rng(seed)
    for row, name in enumerate(protocol.images[: protocol.probes]):
        if noisy(name):
            center = np.zeros(unit.shape[1])
            for other, mate in enumerate(protocol.images[: protocol.probes]):
                if mate.split("/")[0] == name.split("/")[0] and not noisy(mate):
                    center = center + unit[other]
            center = center + random.uniform(-0.001, 0.001, unit.shape[1])
            out[row, :-1] = center / np.linalg.norm(center)
    for row, name in enumerate(protocol.images[protocol.probes :], protocol.probes):
        if noisy(name):
            out[row, -1] = 100
    return out


def literal_closeness(a, b):
    """The devkit's Euclidean distance, turned round."""
    return -sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
