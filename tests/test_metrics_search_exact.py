"""The search counts what loops over all float64 scores count, whatever the ties, chunks, threads, types and products."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from bench import metrics
from bench.errors import RequestError
from bench.metrics import cosine, stream
from bench.metrics.product import NumpyProduct
from bench.metrics.rounding import error_bound


def every_score(probes, people, distractors):
    """(P, N) scores of probes against distractors; trials; their scores (that each hangs on its pair alone: see
    `test_cosines_are_those_of_the_rows_alone`)."""
    left, right = cosine.prepared(probes), cosine.prepared(distractors)
    i, j = np.indices((len(probes), len(distractors))).reshape(2, -1)
    trials = [(i, j) for i in range(len(people)) for j in range(len(people)) if i != j and people[i] == people[j]]
    mates = left.scores(np.array([i for i, _ in trials]), left, np.array([j for _, j in trials]))
    return left.scores(i, right, j).reshape(len(probes), -1), trials, mates.tolist()


def assert_counts(found, impostor, trials, mates, people, order, far):
    """What `found` says is what loops over `impostor` say."""
    rows = impostor.tolist()
    assert list(zip(found.probe.tolist(), found.mate.tolist(), strict=True)) == trials
    assert found.mate_scores.tolist() == mates
    for size in found.better:
        for (i, _), mate, better, above in zip(
            trials, mates, found.better[size].tolist(), found.above[size].tolist(), strict=True
        ):
            gallery = [rows[i][j] for j in order[:size]]
            assert better == min(found.depth, sum(s >= mate for s in gallery))
            assert above == min(found.depth, sum(s > mate for s in gallery))
    for level, counts in zip(found.genuine.tolist(), found.false_accepts.T.tolist(), strict=True):
        for person, count in enumerate(counts):
            assert count == sum(
                s >= level for row, owner in zip(rows, people, strict=True) if owner == person for s in row
            )
    genuine = sorted(mate for (i, j), mate in zip(trials, mates, strict=True) if i < j)
    rest = genuine[: len(genuine) - len(found.genuine)]
    assert genuine[len(rest) :] == found.genuine.tolist()
    for level in rest:  # what is left out is above every limit, with and without each person
        for left_out in [-1, *range(max(people) + 1)]:
            scores = impostor[people != left_out]
            assert (scores >= level).sum() > far * scores.size


@st.composite
def small_cases(draw):
    """Few whole numbers, so nearly all scores tie; zero rows, copies, people with one probe, every option."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    people = np.array([*draw(st.lists(st.integers(0, 3), min_size=4, max_size=9)), 0, 0])
    people = np.unique(people, return_inverse=True)[1]
    count, width = draw(st.integers(1, 30)), draw(st.integers(1, 5))
    largest = draw(st.sampled_from([1, 3, 1000]))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    probes, distractors = (
        random.integers(-largest, largest + 1, (n, width)).astype(dtype) for n in (len(people), count)
    )
    copies = random.integers(0, count, count // 3)
    distractors[copies] = probes[random.integers(0, len(people), len(copies))]
    return {
        "arrays": (probes, people, distractors),
        "sizes": sorted({*random.integers(1, count + 1, 2).tolist(), count}),
        "order": random.permutation(count) if draw(st.booleans()) else None,
        "depth": draw(st.sampled_from([None, 1, 5])),
        "largest_far": draw(st.sampled_from([1e-3, 0.1, 0.5])),
        "chunk": draw(st.sampled_from([None, 1, 3, 17])),
        "device": draw(st.sampled_from([None, None, "cpu"])),
    }


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=small_cases())
def test_the_search_counts_what_loops_count(case):
    arrays, sizes = case.pop("arrays"), case.pop("sizes")
    found = metrics.search(*arrays, sizes, **case)
    order = range(len(arrays[2])) if case["order"] is None else case["order"]
    assert_counts(found, *every_score(*arrays), arrays[1], order, case["largest_far"])


def realistic(seed=0, distractors=3_000):
    """10 people with 12 images of uneven quality, against distractors with copies of each other: rank-1 is neither 0
    nor 1."""
    random = np.random.default_rng(seed)
    people = np.repeat(np.arange(10), 12)
    quality = 1.1 * np.exp(0.5 * random.normal(size=(120, 1)))
    probes = random.normal(size=(10, 64))[people] + quality * random.normal(size=(120, 64))
    rows = random.normal(size=(distractors, 64))
    rows[::50] = rows[1::50]
    return probes.astype(np.float32), people, rows.astype(np.float32)


@pytest.fixture(scope="module")
def known():
    """A realistic case, its nested galleries, and its table of all float64 scores."""
    probes, people, distractors = realistic()
    left, right = cosine.prepared(probes), cosine.prepared(distractors)
    i, j = np.indices((len(probes), len(distractors))).reshape(2, -1)
    order = np.random.default_rng(3).permutation(len(distractors))
    return (probes, people, distractors), order, left.scores(i, right, j).reshape(len(probes), -1)


def test_every_rank_is_that_of_a_loop(known):
    (probes, people, distractors), order, table = known
    found = metrics.search(probes, people, distractors, (100, 3_000), order=order, depth=None)
    assert 0.3 < (found.better[3_000] < 1).mean() < 0.9
    for size in (100, 3_000):
        ranks = [int((table[i, order[:size]] >= s).sum()) for i, s in zip(found.probe, found.mate_scores, strict=True)]
        assert found.better[size].tolist() == ranks
        hits = [sum(rank < k for rank in ranks) / len(ranks) for k in (1, 2, 10, size)]
        assert metrics.cmc(found.better[size], size)[[0, 1, 9, size - 1]].tolist() == pytest.approx(hits, abs=1e-15)
    assert max(found.better[3_000]) > 2_000, "some mate must be worse than most distractors"


class Coarse(NumpyProduct):
    """A product as of bfloat16: 8 bits of each value, and a bound that says so."""

    def __init__(self, probes, chunk):
        super().__init__(probes, chunk)
        self.error = 2.0**-8 + 2 * error_bound(probes.shape[1])

    def above(self, gallery, floor):
        exact = (self._probes @ gallery.T).astype(np.float32)
        values = (exact.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        found = np.flatnonzero(values >= floor[:, None])
        if len(found):
            yield found, values.reshape(-1)[found]


@pytest.mark.parametrize("depth", [None, 20])
@pytest.mark.parametrize(
    "way", ["chunk of 5", "chunk of 37", "chunk of 3,000", "two threads", "torch", "torch, low precision", "8 bits"]
)
def test_no_figure_depends_on_the_chunk_the_threads_or_the_product(known, way, depth, monkeypatch):
    (probes, people, distractors), order, _ = known
    options = {"order": order, "depth": depth, "largest_far": 0.01}
    usual = metrics.search(probes, people, distractors, (50, 3_000), **options)
    torch = pytest.importorskip("torch")
    before = torch.get_float32_matmul_precision()
    if way == "8 bits":
        monkeypatch.setattr(stream, "create", lambda rows, chunk, device: Coarse(rows, chunk))
    elif way.startswith("torch"):
        options["device"] = "cpu"
        torch.set_float32_matmul_precision("medium" if "low" in way else "highest")
    elif way.startswith("chunk"):
        options["chunk"] = int(way.split()[-1].replace(",", ""))
    try:
        with threadpool_limits(2 if way == "two threads" else 1):
            found = metrics.search(probes, people, distractors, (50, 3_000), **options)
        assert torch.get_float32_matmul_precision() == ("medium" if "low" in way else "highest")
    finally:
        torch.set_float32_matmul_precision(before)
    for size in (50, 3_000):
        assert found.better[size].tolist() == usual.better[size].tolist()
        assert found.above[size].tolist() == usual.above[size].tolist()
    assert found.genuine.tolist() == usual.genuine.tolist()
    assert found.false_accepts.tolist() == usual.false_accepts.tolist()


def test_a_guess_that_was_too_high_costs_a_second_pass_and_no_figure(known, monkeypatch):
    """The sample holds nothing but copies of probes: it promises impostors far better than there are."""
    (probes, people, distractors), _, _ = known
    passes = []

    def count(done, total):
        passes.append(done == total)

    honest = metrics.search(probes, people, distractors, (3_000,), largest_far=0.01, progress=count)
    assert sum(passes) == 1
    copies = stream.Gallery(np.tile(probes, (9, 1)), None, cosine.prepared)
    monkeypatch.setattr(
        stream.Gallery, "sample", lambda self, count, chunk: iter([right for _, right in copies.chunks((), chunk)])
    )
    misled = metrics.search(probes, people, distractors, (3_000,), largest_far=0.01, progress=count)
    assert sum(passes) > 2
    assert misled.genuine.tolist() == honest.genuine.tolist()
    assert misled.false_accepts.tolist() == honest.false_accepts.tolist()
    assert misled.better[3_000].tolist() == honest.better[3_000].tolist()


class Watched:
    """A gallery on disk that notes which rows are read."""

    def __init__(self, rows):
        self.rows, self.reads = rows, []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, part):
        self.reads.append(np.arange(len(self.rows))[part].tolist())
        return self.rows[part]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_gallery_on_disk_is_read_in_order_and_in_small_parts(known, ordered, tmp_path):
    (probes, people, distractors), order, _ = known
    order = None if ordered else order
    np.save(tmp_path / "rows.npy", distractors.astype(np.float16))
    watched = Watched(np.load(tmp_path / "rows.npy", mmap_mode="r"))
    seen = []
    found = metrics.search(
        probes, people, watched, (500, 3_000), order=order, chunk=64, progress=lambda *so_far: seen.append(so_far)
    )
    whole = metrics.search(probes, people, distractors.astype(np.float16), (500, 3_000), order=order)
    assert found.better[500].tolist() == whole.better[500].tolist()
    sample = -(-1_024 // 64)
    assert max(map(len, watched.reads)) <= 64
    rows = np.concatenate(watched.reads[sample:])
    assert sorted(rows.tolist()) == list(range(3_000)), "each row once"
    assert (np.diff(rows[:500]) > 0).all() and (np.diff(rows[500:]) > 0).all()
    done = [d for d, _ in seen]
    assert done == sorted(set(done)) and seen[-1] == (3_000, 3_000)


def test_rows_of_any_length_keep_their_scores():
    """Lengths whose inverse leaves float32, beside rows of zeros."""
    probes, people, distractors = realistic(distractors=200)
    lengths = np.resize([1, 1e-40, 1e35, 1e-36, 1e37], 200)[:, None]
    with np.errstate(under="ignore"):
        odd = (distractors * lengths).astype(np.float32)
    odd[3] = 0
    left, right = cosine.prepared(probes), cosine.prepared(odd)
    i, j = np.indices((120, 200)).reshape(2, -1)
    table = left.scores(i, right, j).reshape(120, 200)
    assert np.abs(left.single(slice(None)) @ right.single(slice(None)).T - table).max() < error_bound(64)
    found = metrics.search(probes, people, odd, (200,), depth=None)
    assert found.better[200].tolist() == (table[found.probe] >= found.mate_scores[:, None]).sum(1).tolist()


def test_torch_multiplies_in_full_float32_whatever_its_user_has_set(monkeypatch):
    torch, asked = pytest.importorskip("torch"), []
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    monkeypatch.setattr(torch, "set_float32_matmul_precision", asked.append)
    found = metrics.search(*realistic(distractors=50), (50,), device="cpu")
    assert len(found.better[50]) and asked[:2] == ["highest", "medium"]


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    arrays = realistic(distractors=50)
    with pytest.raises(RequestError, match="torch cannot compute on device='warp'"):
        metrics.search(*arrays, (50,), device="warp")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RequestError, match="device='cpu' needs torch, which is not installed"):
        metrics.search(*arrays, (50,), device="cpu")
    assert metrics.search(*arrays, (50,)).depth == 100
