"""One pass over the distractors: every count against loops over all scores in float64."""

import math

import numpy as np
import pytest
from literal import literal_cosine, literal_tar

from bench import metrics
from bench.metrics import cosine
from bench.metrics.rounding import error_bound, rounded_product


def gallery_case(seed, scale=1.0):
    """Probes of 6 people with 1 to 5 images, and distractors with exact ties, copies of probes and zero rows."""
    random = np.random.default_rng(seed)
    people = np.repeat(np.arange(6), [1, 5, 3, 2, 4, 2])
    random.shuffle(people)
    centres = random.normal(size=(6, 16))
    probes = centres[people] + scale * random.normal(size=(len(people), 16))
    distractors = centres[random.integers(0, 6, 300)] * 0.5 + random.normal(size=(300, 16))
    distractors[40:60] = probes[random.integers(0, len(people), 20)]  # ties with mates
    distractors[100:105] = 0
    distractors[200:220] = 3 * distractors[180:200]
    probes[2] = 0
    return probes.astype(np.float32), people, distractors.astype(np.float32)


@pytest.fixture(scope="module")
def literal_search():
    """(case, trials, their counts of >= and > in each nested gallery, genuine scores, all impostor scores) by loops."""
    probes, people, distractors = gallery_case(0)
    wide = [[float(x) for x in row] for row in probes], [[float(x) for x in row] for row in distractors]
    impostor = np.array([[literal_cosine(p, d) for d in wide[1]] for p in wide[0]])
    trials = [(i, j) for i in range(len(people)) for j in range(len(people)) if i != j and people[i] == people[j]]
    mates = [literal_cosine(wide[0][i], wide[0][j]) for i, j in trials]
    return (probes, people, distractors), trials, mates, impostor


@pytest.mark.parametrize("chunk", [None, 1, 7, 64])
def test_the_search_counts_what_loops_count(literal_search, chunk):
    (probes, people, distractors), trials, mates, impostor = literal_search
    found = metrics.search(probes, people, distractors, (10, 100, 300), depth=20, chunk=chunk)
    assert list(zip(found.probe.tolist(), found.mate.tolist(), strict=True)) == trials
    for size in (10, 100, 300):
        as_good = [min(20, int((impostor[i, :size] >= s).sum())) for (i, _), s in zip(trials, mates, strict=True)]
        above = [min(20, int((impostor[i, :size] > s).sum())) for (i, _), s in zip(trials, mates, strict=True)]
        assert found.better[size].tolist() == as_good
        assert found.above[size].tolist() == above
    assert (found.better[300] > found.above[300]).any(), "the case must hold ties"


@pytest.mark.parametrize("far", [1e-3, 1e-2, 0.1])
def test_the_search_has_the_exact_tar_with_and_without_each_cluster(literal_search, far):
    (probes, people, distractors), trials, mates, impostor = literal_search
    found = metrics.search(probes, people, distractors, (300,), largest_far=0.1, chunk=50)
    once = [(i, s) for (i, j), s in zip(trials, mates, strict=True) if i < j]
    for left_out in [None, *range(6)]:
        genuine = [s for i, s in once if people[i] != left_out]
        rest = impostor[[p != left_out for p in people]].ravel().tolist()
        roc = found.roc(without=left_out)
        assert (roc.genuine, roc.impostors) == (len(genuine), len(rest))
        assert roc.tar_at_far(far) == literal_tar(genuine, rest, far)


def test_leaving_out_the_person_who_has_most_false_accepts_looks_deeper_into_the_rest():
    """One person's probes look like every distractor: without them the threshold lies far below."""
    random = np.random.default_rng(2)
    people = np.repeat(np.arange(4), 5)
    centres = random.normal(size=(4, 16))
    probes = centres[people] + 0.8 * random.normal(size=(20, 16))
    distractors = centres[0] + 0.7 * random.normal(size=(400, 16))
    left, right = cosine.Vectors.of(probes), cosine.Vectors.of(distractors)
    i, j = np.indices((20, 400)).reshape(2, -1)
    impostor = cosine.scores(left, i, right, j).reshape(20, 400)
    first, second = np.triu_indices(20, 1)
    mates = people[first] == people[second]
    genuine = cosine.scores(left, first[mates], left, second[mates])
    found = metrics.search(probes, people, distractors, (400,), largest_far=0.01, chunk=16)
    for left_out in range(4):
        rest = impostor[people != left_out].ravel()
        kept = genuine[people[first[mates]] != left_out]
        assert found.roc(without=left_out).tar_at_far(0.01) == literal_tar(kept, rest, 0.01)


def test_the_order_decides_the_nested_galleries(literal_search):
    (probes, people, distractors), *_ = literal_search
    order = np.random.default_rng(1).permutation(300)
    by_order = metrics.search(probes, people, distractors, (50, 300), order=order)
    by_hand = metrics.search(probes, people, distractors[order], (50, 300))
    for size in (50, 300):
        assert by_order.better[size].tolist() == by_hand.better[size].tolist()


@pytest.mark.parametrize("chunk", [None, 16])
def test_an_order_of_some_distractors_searches_them_alone(literal_search, chunk):
    (probes, people, distractors), *_ = literal_search
    order = np.random.default_rng(2).permutation(len(distractors))[:170]
    by_order = metrics.search(probes, people, distractors, (50, 170), order=order, depth=None, chunk=chunk)
    by_hand = metrics.search(probes, people, distractors[order], (50, 170), depth=None)
    for size in (50, 170):
        assert by_order.better[size].tolist() == by_hand.better[size].tolist()
    assert by_order.impostors.tolist() == by_hand.impostors.tolist() and by_order.depth == 170
    assert by_order.false_accepts.tolist() == by_hand.false_accepts.tolist()


@pytest.mark.parametrize("gap", [1e-6, 1e-9])
def test_differences_below_float32_are_decided_in_float64(gap):
    """Every distractor beats, or is beaten by, the mate by less than float32 can see."""
    width, count = 64, 400
    random = np.random.default_rng(0)
    probe = np.zeros(width)
    probe[0] = 1.0
    beats = random.random(count) < 0.5
    cosines = 0.6 + np.where(beats, gap, -gap)
    aside = random.normal(size=(count + 1, width - 1))
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    rows = [np.concatenate([[c], math.sqrt(1 - c * c) * a]) for c, a in zip([0.6, *cosines], aside, strict=True)]
    probes, distractors = np.stack([probe, rows[0]]), np.stack(rows[1:])
    assert gap < error_bound(width)
    found = metrics.search(probes, np.array([0, 0]), distractors, (count,), depth=count, chunk=33)
    assert found.better[count][0] == beats.sum()
    few = metrics.search(probes, np.array([0, 0]), distractors, (count,), depth=count, chunk=400)
    assert few.better[count].tolist() == found.better[count].tolist()


def test_a_product_near_the_middle_of_two_decimals_does_not_settle_a_score():
    grid = 10.0**-cosine.DECIMALS
    products = np.array([0.25, 0.25 + 0.3 * grid, 0.25 + 0.4999 * grid, 1.0, 0.0])
    rounded, certain = rounded_product(products, 512)
    assert certain.tolist() == [True, True, False, True, True]
    assert rounded.tolist()[:2] == [0.25, 0.25]


@pytest.mark.parametrize("kind", ["constant", "one direction", "zero"])
def test_a_collapsed_network_has_no_hit_at_any_chunk(kind):
    lengths = {
        "constant": np.ones(220),
        "one direction": np.random.default_rng(0).uniform(0.1, 9, 220),
        "zero": np.zeros(220),
    }
    rows = lengths[kind][:, None] * np.linspace(-1, 2, 32)
    for chunk in (None, 3):
        found = metrics.search(rows[:20], np.repeat(np.arange(5), 4), rows[20:], (10, 200), chunk=chunk)
        assert (found.better[10] == 10).all() and (found.above[200] == 0).all()
        assert found.roc().tar_at_far(1e-3) == 0.0


def test_cosines_are_those_of_the_rows_alone():
    random = np.random.default_rng(0)
    rows = random.normal(size=(50, 700)).astype(np.float32)
    rows[7] = 0
    vectors = cosine.Vectors.of(rows)
    first, second = random.integers(0, 50, (2, 2000))
    found = cosine.scores(vectors, first, vectors, second)
    for i in range(0, 2000, 97):
        a, b = rows[first[i]].astype(float).tolist(), rows[second[i]].astype(float).tolist()
        assert found[i] == pytest.approx(literal_cosine(a, b), abs=1e-11)
        alone = cosine.scores(vectors, first[i : i + 1], vectors, second[i : i + 1])
        assert alone[0] == found[i]
    assert (found[(first == 7) | (second == 7)] == 0).all()
    assert (found[(first == second) & (first != 7)] == 1).all()
