"""Lookalikes by embedding: thresholds and matches against plain loops, wrong input."""

import numpy as np
import pytest

from bench import lookalikes
from bench.errors import RequestError
from bench.lookalikes import find, rows, threshold


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_rows_are_means_of_unit_rows_of_unit_length():
    random = np.random.default_rng(0)
    labels = np.array([2, 0, 1, 0, 2, 2])
    embeddings = (random.normal(size=(6, 5)) * random.uniform(0.1, 9, (6, 1))).astype(np.float32)
    expected = unit(np.stack([unit(embeddings.astype(float))[labels == who].mean(0) for who in range(3)]))
    np.testing.assert_allclose(rows(embeddings, labels, "test"), expected, atol=1e-7)
    np.testing.assert_allclose(rows(embeddings, labels, "test", "image"), unit(embeddings.astype(float)), atol=1e-7)


@pytest.mark.parametrize("block", [3, 2048])
@pytest.mark.parametrize("rate", [1e-6, 0.03, 0.5])
def test_the_threshold_is_what_a_share_of_the_pairs_of_different_people_exceed(monkeypatch, rate, block):
    monkeypatch.setattr(lookalikes, "_BLOCK", block)
    units = unit(np.random.default_rng(1).normal(size=(20, 4)))
    labels = np.arange(20) // 2
    cosines = sorted((units[i] @ units[j] for i in range(20) for j in range(i) if labels[i] != labels[j]), reverse=True)
    keep = int(rate * len(cosines)) + 1
    found, share = threshold(units, labels, rate)
    assert found == pytest.approx(cosines[keep - 1], abs=1e-11) and share == keep / 180 and len(cosines) == 180


def slow(test, train, limit):
    found = []
    for one in test:
        cosines = [round(float(one @ other), 12) for other in train]
        near = [place for place, cosine in enumerate(cosines) if cosine >= limit]
        best = max(near, key=lambda place: cosines[place], default=-1)
        found.append((best, cosines[best] if near else None, len(near)))
    return found


@pytest.mark.parametrize("limit", [-1.0, 0.2, 0.8, 1.0])
def test_the_most_similar_is_found_whatever_the_blocks(monkeypatch, limit):
    random = np.random.default_rng(2)
    train, test = unit(random.normal(size=(23, 4))), unit(random.normal(size=(11, 4)))
    train[9] = train[4]
    test[3] = train[4]  # a tie at 1: the first counts
    expected = slow(test, train, limit)
    for block in (2048, 4, 1):
        monkeypatch.setattr(lookalikes, "_BLOCK", block)
        found = find(test, train, limit, chance=0.5)
        cosines = [None if np.isnan(cosine) else float(cosine) for cosine in found.cosine]
        got = list(zip(found.row.tolist(), cosines, found.count.tolist(), strict=True))
        for (row, cosine, count), (row_, cosine_, count_) in zip(got, expected, strict=True):
            assert (row, count) == (row_, count_) and (cosine == cosine_ or cosine == pytest.approx(cosine_, abs=2e-12))
        assert (
            found.hit.sum() == sum((test @ other >= limit - 5e-13).any() for other in train)
            and found.chance == 0.5 * 23 * 11
        )
    assert found.row[3] == 4


def test_people_in_both_sets_are_found_and_no_others():
    random = np.random.default_rng(4)
    people = random.normal(size=(90, 128))
    train_labels, test_labels = np.repeat(np.arange(60), 4), np.repeat(np.arange(40), 3)
    train = people[train_labels] + 0.7 * random.normal(size=(240, 128))
    test = people[50 + test_labels] + 0.7 * random.normal(size=(120, 128))  # the first ten are training's last
    asked, known = rows(test, test_labels, "test"), rows(train, train_labels, "training")
    found = find(asked, known, 0.6)
    assert np.flatnonzero(found.row >= 0).tolist() == list(range(10)) and found.row[:10].tolist() == list(range(50, 60))
    assert np.flatnonzero(found.hit).tolist() == list(range(50, 60)) and found.chance is None
    limit, share = threshold(asked, np.arange(40))
    chosen = find(asked, known, limit, share)
    assert limit < 0.5 and chosen.row[:10].tolist() == list(range(50, 60))
    # 780 pairs set the threshold and 2,400 are compared: a few reach it by accident, and how many is said.
    assert chosen.chance == pytest.approx(2400 / 780) and 10 <= chosen.count.sum() <= 10 + 4 * chosen.chance


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda e: e[:-1], r"are \(5, 3\) float64: expected \(6, D\) floats"),
        (lambda e: e[:, 0], r"expected \(6, D\) floats"),
        (lambda e: e.astype(int), r"expected \(6, D\) floats"),
        (
            lambda e: np.where(np.arange(6)[:, None] == 4, np.nan, e),
            "row 4 of the test embeddings is zero or not finite",
        ),
        (lambda e: np.where(np.arange(6)[:, None] == 2, 0, e), "row 2 of the test embeddings is zero or not finite"),
    ],
)
def test_wrong_embeddings_are_refused(spoil, message):
    good = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.raises(RequestError, match=message):
        rows(spoil(good), np.arange(6) // 2, "test")


def test_wrong_numbers_are_refused():
    units = unit(np.ones((2, 3)))
    with pytest.raises(RequestError, match="by identity or image, got 'person'"):
        rows(units, np.arange(2), "test", "person")
    with pytest.raises(RequestError, match="no|none"):
        threshold(units, np.zeros(2, int))
    with pytest.raises(RequestError, match="a cosine from -1 to 1, got 1.5"):
        find(units, units, 1.5)
    with pytest.raises(RequestError, match="have 3 numbers, the test's 2"):
        find(units[:, :2], units, 0.5)
