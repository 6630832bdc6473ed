"""Benchmarks (`make bench`) of the search of a gallery, against its matrix products alone.

3,530 probes of 80 people (as FaceScrub's list for MegaFace) x 50,000 distractors x 512 from a file; 1,000,000 where
FACEBENCH_BENCH_FULL=1 (2 GB in the temporary folder, removed afterwards; minutes). The products alone run in turn with
the search, chunk by chunk, so the load of the machine is the same for both. `extra_info` and the printed line hold
the ratio, and the memory that the search takes beside the file, which is mapped.
"""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bench import metrics
from bench.metrics.stream import chunk_of

PROBES, PEOPLE, WIDTH = 3_530, 80, 512
DISTRACTORS = 1_000_000 if os.environ.get("FACEBENCH_BENCH_FULL") == "1" else 50_000
SIZES = [10**k for k in range(1, 7) if 10**k < DISTRACTORS] + [DISTRACTORS]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """Images of uneven quality, so that rank-1 is about 0.8 and some mates are worse than most distractors."""
    random = np.random.default_rng(0)
    people = np.arange(PROBES) % PEOPLE
    quality = 1.5 * np.exp(0.35 * random.normal(size=(PROBES, 1)))
    probes = random.normal(size=(PEOPLE, WIDTH))[people] + quality * random.normal(size=(PROBES, WIDTH))
    path = tmp_path_factory.mktemp("gallery") / "distractors.npy"
    file = np.lib.format.open_memmap(path, "w+", np.float32, (DISTRACTORS, WIDTH))
    for start in range(0, DISTRACTORS, 10_000):
        file[start : start + 10_000] = random.standard_normal((min(10_000, DISTRACTORS - start), WIDTH), np.float32)
    del file
    order = random.permutation(DISTRACTORS)
    yield probes.astype(np.float32), people, np.load(path, mmap_mode="r"), order
    path.unlink()


def now():
    """Seconds on the clock, and of this process alone (which another's load hardly touches)."""
    return np.array([time.perf_counter(), time.process_time()])


class Limit:
    """The float32 products of one chunk after another, made as far as the search has come."""

    def __init__(self, probes, distractors):
        self.probes = probes / np.linalg.norm(probes, axis=1, keepdims=True)
        self.distractors, self.chunk = distractors, chunk_of(len(probes))
        self.out = np.empty((len(probes), self.chunk), np.float32)
        self.done, self.seconds = 0, np.zeros(2)

    def __call__(self, seen, total):
        start = now()
        while self.done < seen and (seen - self.done >= self.chunk or seen == total):
            part = self.distractors[self.done : min(self.done + self.chunk, seen)]
            np.matmul(
                self.probes, part.T, out=self.out.reshape(-1)[: len(self.probes) * len(part)].reshape(-1, len(part))
            )
            self.done += len(part)
        self.seconds += now() - start


class Memory:
    """The most resident anonymous memory (what is mapped from a file is not), in MB above that at the start."""

    def __enter__(self):
        self.first = self.most = self._now()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    @property
    def megabytes(self):
        return (self.most - self.first) / 1024

    def _watch(self):
        while not self._over.wait(0.01):
            self.most = max(self.most, self._now())

    @staticmethod
    def _now():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


@pytest.mark.timeout(7200)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
@pytest.mark.benchmark(group=f"gallery: 3,530 probes x {DISTRACTORS:,} distractors x 512, the products alone in turn")
@pytest.mark.parametrize(
    ("depth", "largest_far"),
    [(None, 1e-6), (100, 1e-3), (None, 1e-3)],
    ids=["every rank, TAR from FAR 1e-6 down", "to rank 100, from FAR 1e-3", "every rank, from FAR 1e-3"],
)
def test_search(benchmark, gallery, depth, largest_far, capsys):
    probes, people, distractors, order = gallery
    limit, took = Limit(probes, distractors), []

    def both():
        start = now()
        found = metrics.search(
            probes, people, distractors, SIZES, order=order, depth=depth, largest_far=largest_far, progress=limit
        )
        tar = found.roc().tar_at_far(1e-6)
        assert [found.roc(person).tar_at_far(1e-6) for person in range(PEOPLE)] and 0 < tar < 1
        took.append(now() - start - limit.seconds)
        return found

    with Memory() as memory:
        found = benchmark.pedantic(both, rounds=1)
    rank1 = float((found.better[DISTRACTORS] < 1).mean())
    assert 0 < rank1 < 1 and len(found.probe) > 150_000
    figures = {
        "products_s": limit.seconds[0],
        "search_s": took[0][0],
        "ratio": took[0][0] / limit.seconds[0],
        "ratio_of_cpu_time": took[0][1] / limit.seconds[1],
        "beside_the_map_mb": memory.megabytes,
        "rank1": rank1,
    }
    benchmark.extra_info.update(figures)
    with capsys.disabled():
        print("", ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
