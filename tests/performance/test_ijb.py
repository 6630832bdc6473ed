"""IJB's 1:1 figures against the symmetric half of the product of all templates with all (see test_speed.py on reading them).

`FACEBENCH_BENCH_FULL=1` measures IJB-C's own size: 15.66 million pairs among 23,124 templates of 512 numbers.
"""

import os

import numpy as np
import pytest

from bench.metrics import cosine, listed
from bench.protocols import _ijb_figures

FULL = bool(os.environ.get("FACEBENCH_BENCH_FULL"))
GALLERY, PROBES, IMPOSTORS = (3_531, 19_593, 15_638_932) if FULL else (706, 3_918, 625_000)
TEMPLATES, WIDTH, CLUSTERS = GALLERY + PROBES, 512, 100
GROUP = f"ijb 1:1: {IMPOSTORS:,} pairs among {TEMPLATES:,} templates x {WIDTH}"
pytestmark = pytest.mark.benchmark(group=GROUP)
ROUNDS = {"rounds": 3, "warmup_rounds": 1}


@pytest.fixture(scope="module")
def subject():
    return np.concatenate([np.arange(GALLERY), np.random.default_rng(0).integers(0, GALLERY, PROBES)])


@pytest.fixture(scope="module")
def templates(subject):
    """As of a good network: most subjects far apart, some of their templates poor."""
    random = np.random.default_rng(1)
    noise = random.gamma(2, 0.45, (TEMPLATES, 1)) * random.normal(size=(TEMPLATES, WIDTH))
    return cosine.Vectors.of(random.normal(size=(GALLERY, WIDTH))[subject] + noise)


def impostors(subject, among):
    """Pairs of the gallery with probes, as IJB lists them; or of any templates with any."""
    random = np.random.default_rng(2)
    low, high = (
        ((0, GALLERY), (GALLERY, TEMPLATES)) if among == "gallery x probes" else ((0, TEMPLATES), (0, TEMPLATES))
    )
    first, second = (random.integers(*ends, IMPOSTORS, dtype=np.int32) for ends in (low, high))
    different = subject[first] != subject[second]
    return first[different], second[different]


def test_limit_half_of_all_products(benchmark, templates):
    rows, step = templates.unit(slice(None)).astype(np.float32), 1024
    buffer = np.empty(step * TEMPLATES, np.float32)

    def half():
        for start in range(0, TEMPLATES, step):
            left, right = rows[start : start + step], rows[start:]
            np.matmul(left, right.T, out=buffer[: len(left) * len(right)].reshape(len(left), len(right)))

    benchmark.pedantic(half, **ROUNDS)


@pytest.mark.parametrize("among", ["gallery x probes", "any templates"])
@pytest.mark.parametrize("network", ["good", "untrained"])
def test_scores_and_roc(benchmark, subject, templates, network, among):
    """All figures with their jackknife over 100 clusters of subjects, but for the sorting of the list, done once."""
    rows = templates
    if network == "untrained":
        rows = cosine.Vectors.of(np.random.default_rng(3).normal(size=(TEMPLATES, WIDTH)))
    clusters = subject % CLUSTERS
    blocks = listed.Blocks.of(*impostors(subject, among), TEMPLATES, clusters)
    genuine = subject[GALLERY:], np.arange(GALLERY, TEMPLATES)
    run = lambda: _ijb_figures.verification("ijbc", listed.count(rows, genuine, blocks, clusters)[0])  # noqa: E731
    answer = benchmark.pedantic(run, **ROUNDS)
    assert len(answer.clusters["ijbc/tar_at_far_1e-3"].values) == CLUSTERS


@pytest.mark.parametrize("among", ["gallery x probes"])
def test_pair_by_pair(benchmark, subject, templates, among):
    """The usual way, scores alone."""
    first, second = impostors(subject, among)
    rows = templates.unit(slice(None)).astype(np.float32)

    def pairs():
        for start in range(0, len(first), 4096):
            part = slice(start, start + 4096)
            np.einsum("ij,ij->i", rows[first[part]], rows[second[part]])

    benchmark.pedantic(pairs, rounds=1)


def test_sort_the_list_by_blocks(benchmark, subject):
    first, second = impostors(subject, "gallery x probes")
    benchmark.pedantic(lambda: listed.Blocks.of(first, second, TEMPLATES, subject % CLUSTERS), **ROUNDS)
