"""Which images make up a batch."""

import numpy as np
import pytest

from bench import batches
from bench.errors import RequestError

LABELS = np.repeat(np.arange(6), [9, 8, 4, 3, 12, 1])


def drawn(batch_size, images_per_identity, labels=LABELS, seed=0):
    return list(batches.epoch(labels, batch_size, images_per_identity, np.random.default_rng(seed)))


def test_any_images_make_full_batches_without_repetition():
    found = drawn(8, 1)
    assert [len(rows) for rows in found] == [8] * 4 and len(np.unique(np.concatenate(found))) == 32
    assert [len(rows) for rows in drawn(64, 1)] == [len(LABELS)]  # a set smaller than a batch is one batch


@pytest.mark.parametrize(("batch_size", "per_identity"), [(8, 4), (9, 3), (10, 4), (4, 2)])
def test_batches_hold_p_identities_with_k_images_each(batch_size, per_identity):
    found = drawn(batch_size, per_identity)
    assert len(found) == batches.steps_per_epoch(len(LABELS), batch_size)
    for rows in found:
        counts = np.unique(LABELS[rows], return_counts=True)[1]
        assert counts.tolist() == [per_identity] * (batch_size // per_identity)
        assert len(set(rows.tolist())) == len(rows)  # never one image as its own mate


def test_over_epochs_every_served_image_is_seen_about_equally_often():
    labels = np.repeat(np.arange(5), [20, 30, 40, 20, 30])
    random = np.random.default_rng(3)
    seen = np.zeros(len(labels))
    for _ in range(200):
        for rows in batches.epoch(labels, 8, 4, random):
            seen[rows] += 1
    within = [seen[labels == identity] for identity in range(5)]
    assert all(part.max() < 1.3 * part.mean() and part.min() > 0.7 * part.mean() for part in within)
    rates = np.array([part.mean() for part in within])
    # Identities are drawn in proportion to their images; without replacement that holds but roughly.
    assert rates.max() / rates.min() < 1.25


def test_the_draw_depends_on_the_generator_alone():
    for per_identity in (1, 4):
        first, again, other = (drawn(8, per_identity, seed=seed) for seed in (1, 1, 2))
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_just_enough_identities_are_enough():
    assert batches.check(LABELS, 16, 4).tolist() == [0, 1, 2, 4]
    assert batches.check(LABELS, 64, 1).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("batch_size", "per_identity", "message"),
    [
        (
            24,
            4,
            "6 identities with 4 images each, and only 4 of 6 training identities have that many: choose a smaller",
        ),
        (4, 3, "a batch of 4 cannot hold 2 identities with 3 images each: expected batch_size >= 6"),
    ],
)
def test_data_that_cannot_serve_the_loss_are_refused(batch_size, per_identity, message):
    with pytest.raises(RequestError, match=message):
        batches.check(LABELS, batch_size, per_identity)
