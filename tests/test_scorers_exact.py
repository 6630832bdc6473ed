"""Scores are exact whatever their size: equal embeddings tie, and the search for ranks counts what all scores say."""

import numpy as np
import pytest
from literal import literal_tar
from made_up_lists import embed, make

from bench import metrics, scorers
from bench.errors import RequestError
from bench.metrics.quadratic import Quadratic
from bench.metrics.rounding import error_bound, rounded_product
from bench.metrics.similarity import DECIMALS, table

WIDTH = 12


@pytest.fixture(scope="module", params=["cosine", "l2", "joint_bayesian"])
def scorer(request):
    random = np.random.default_rng(9)
    labels = np.repeat(np.arange(60), 4)
    rows = random.normal(size=(60, WIDTH))[labels] + 0.9 * random.normal(size=(240, WIDTH))
    return scorers.fit(request.param, {"pca": 7}, rows, labels)


def test_equal_embeddings_tie_exactly_wherever_they_stand(scorer):
    random = np.random.default_rng(0)
    rows = 3 * random.normal(size=(700, WIDTH)).astype(np.float32)
    copies = np.arange(3, 700, 7)
    rows[copies] = rows[3]
    made = scorer.prepare(rows)
    others = np.setdiff1d(np.arange(700), copies)
    for other in others[::60]:
        left = made.scores(copies, made, np.full(len(copies), other))
        right = made.scores(np.full(len(copies), other), made, copies)
        assert len(set(left.tolist()) | set(right.tolist())) == 1
    alone = scorer.prepare(rows[[5, 3]])
    assert alone.scores(np.array([0]), alone, np.array([1]))[0] == made.scores(np.array([5]), made, np.array([3]))[0]


def test_a_table_holds_the_scores_of_its_pairs(scorer):
    """61 rows: at the edges of a matrix product a BLAS sums in another order."""
    rows = 1 + np.random.default_rng(0).normal(size=(61, WIDTH))
    rows[-1] = rows[1]
    made, everything = scorer.prepare(rows), slice(None)
    i, j = np.indices((61, 61)).reshape(2, -1)
    found = table(made, everything, made, everything, made.gallery(everything))
    assert found.ravel().tolist() == made.scores(i, made, j).tolist()


@pytest.mark.parametrize("width", [(512, 100), (37, 11), (20, 1)])
def test_a_mapped_row_depends_on_itself_alone(width):
    random = np.random.default_rng(0)
    linear = scorers.Linear(random.normal(size=width[0]), random.normal(size=width))
    rows = random.normal(size=(701, width[0]))
    rows[300:] = rows[0]
    mapped = linear(rows)
    assert len(np.unique(mapped[300:], axis=0)) == 1
    assert all((linear(rows[n : n + 1])[0] == mapped[n]).all() for n in (0, 1, 255, 256, 299, 700))
    np.testing.assert_allclose(mapped, (rows - linear.mean) @ linear.weight, atol=1e-11)


def test_the_squared_distance_of_equal_embeddings_is_zero():
    rows = 1e3 + np.random.default_rng(0).normal(size=(40, 512))
    rows[20:] = rows[:20]
    made = scorers.fit("l2").prepare(rows)
    assert made.scores(np.arange(20), made, np.arange(20, 40)).tolist() == [0.0] * 20


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-22, 0.0), (1e10, 0.0), (1.0, 300.0)])
@pytest.mark.parametrize("chunk", [None, 1, 7, 64])
def test_the_search_counts_what_a_table_of_scores_counts(scale, offset, chunk):
    """With ties, rows of zeros, an outlier, and lengths beside which float32 does not see the distances."""
    random = np.random.default_rng(1)
    people = np.repeat(np.arange(5), 4)
    probes = random.normal(size=(5, 16))[people] + random.normal(size=(20, 16))
    distractors = random.normal(size=(300, 16)) + 0.5 * probes[random.integers(0, 20, 300)]
    distractors[40:60], distractors[100:105], distractors[7] = probes, 0, 100 * distractors[7]
    distractors[240:260] = probes  # late, when most levels are closed
    probes, distractors = ((scale * (rows + offset)).astype(np.float32) for rows in (probes, distractors))
    prepare = scorers.fit("l2").prepare
    left, right = prepare(probes), prepare(distractors)
    i, j = np.indices((20, 300)).reshape(2, -1)
    every = left.scores(i, right, j).reshape(20, 300)
    found = metrics.search(
        probes, people, distractors, (10, 300), depth=20, largest_far=0.01, chunk=chunk, prepare=prepare
    )
    mates = left.scores(found.probe, left, found.mate)
    for size in (10, 300):
        for counts, beats in ((found.better, np.greater_equal), (found.above, np.greater)):
            expected = beats(every[found.probe, :size], mates[:, None]).sum(axis=1)
            assert counts[size].tolist() == np.minimum(expected, 20).tolist()
    assert (found.better[300] > found.above[300]).any(), "the case must hold ties"
    genuine = mates[found.probe < found.mate].tolist()
    assert found.roc().tar_at_far(0.01) == literal_tar(genuine, every.ravel().tolist(), 0.01)


@pytest.mark.parametrize("chunk", [None, 7])
def test_the_search_prepares_its_distractors_a_chunk_at_a_time(scorer, chunk):
    """Also through principal components and a fitted model: the counts are those of a table made at once."""
    random = np.random.default_rng(2)
    people = np.repeat(np.arange(4), 3)
    probes = random.normal(size=(4, WIDTH))[people] + random.normal(size=(12, WIDTH))
    distractors = random.normal(size=(90, WIDTH))
    distractors[::9] = probes[:10]
    left, right, everything = scorer.prepare(probes), scorer.prepare(distractors), slice(None)
    every = table(left, everything, right, everything, right.gallery(everything))
    found = metrics.search(probes, people, distractors, (90,), depth=None, chunk=chunk, prepare=scorer.prepare)
    expected = (every[found.probe] >= found.mate_scores[:, None]).sum(axis=1)
    assert found.better[90].tolist() == expected.tolist() and 0 < expected.min() < expected.max()


@pytest.mark.parametrize("chunk", [33, 400])
def test_the_search_knows_how_long_the_distractors_are(chunk):
    """Dot products that hit or miss the mate's by less than float32 sees of a row 100 times as long as the probes."""
    random, gap, width, count = np.random.default_rng(0), 1e-6, 64, 400
    turn = np.linalg.qr(random.normal(size=(width, width)))[0]
    beats = random.random(count) < 0.5
    distractors = 100 * random.normal(size=(count, width))
    distractors[:, 0] = 0.6 + np.where(beats, gap, -gap)
    probes = np.zeros((2, width))
    probes[0, 0], probes[1, :2] = 1, (0.6, 0.8)
    probes, distractors = probes @ turn, distractors @ turn
    seen = distractors.astype(np.float32) @ probes[0].astype(np.float32)
    assert np.abs(seen - distractors @ probes[0]).max() > error_bound(width) + gap
    found = metrics.search(
        probes,
        np.array([0, 0]),
        distractors,
        (count,),
        depth=count,
        chunk=chunk,
        prepare=lambda rows: Quadratic.of(rows, np.zeros(width)),
    )
    assert found.better[count][0] == beats.sum()


def test_near_the_middle_of_two_decimals_is_in_proportion_to_the_score():
    grid = 10.0**-DECIMALS
    products = np.array([0.25, 0.25 + 0.3 * grid, 0.25 + 0.4999 * grid, 1.0, 0.0])
    for scale in (2.0**-70, 1.0, 2.0**40):
        rounded, certain = rounded_product(products * scale, 512, np.full(5, scale))
        assert certain.tolist() == [True, True, False, True, True]
        assert (rounded / scale).tolist()[:2] == [0.25, 0.25]


def test_the_length_of_float64_embeddings_counts_where_the_score_hangs_on_it():
    protocol = make("lfw")
    rows = embed(protocol)
    pairs, found = protocol.pairs, protocol.score(5 * rows, scorers.fit("l2")).raw["scores"]
    np.testing.assert_allclose(found, -25 * ((rows[pairs.first] - rows[pairs.second]) ** 2).sum(axis=1), rtol=1e-9)


def test_embeddings_too_long_for_a_distance_are_refused():
    protocol = make("lfw")
    for scale in (1e20, 1e200):
        with pytest.raises(RequestError, match="too long for a score that hangs on their lengths"):
            protocol.score(scale * embed(protocol), scorers.fit("l2"))
