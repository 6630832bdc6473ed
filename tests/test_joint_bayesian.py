"""Joint Bayesian against dense covariances of all images of an identity, as the paper writes them."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bench import joint_bayesian
from bench.errors import RequestError

WIDTH = 4


def covariances(random, width):
    """S_mu and S_eps without any structure."""
    identity, noise = random.normal(size=(2, width, 2 * width))
    return identity @ identity.T / width, noise @ noise.T / (3 * width)


def drawn(seed, counts, width=WIDTH):
    """Embeddings of people with these numbers of images, their labels, and the covariances that they were drawn from."""
    random = np.random.default_rng(seed)
    identity, noise = covariances(random, width)
    labels = np.repeat(np.arange(len(counts)), counts)
    people = random.multivariate_normal(np.full(width, 3.0), identity, len(counts))
    return people[labels] + random.multivariate_normal(np.zeros(width), noise, len(labels)), labels, identity, noise


def dense(identity, noise, images):
    """P and Sigma_h of eq. 5 and above: x = P h, h = (mu, eps_1, ..., eps_m)."""
    width = len(identity)
    p = np.hstack([np.tile(np.eye(width), (images, 1)), np.eye(images * width)])
    sigma = np.kron(np.eye(images + 1), noise)
    sigma[:width, :width] = identity
    return p, sigma


def dense_step(rows, labels, identity, noise, posterior):
    """One iteration by dense matrices: E[h] = Sigma_h P' Sigma_x^-1 x, and the covariance of h, given x."""
    width, people, everyone = len(identity), [], []
    for label in np.unique(labels):
        x = rows[labels == label]
        p, sigma = dense(identity, noise, len(x))
        gain = sigma @ p.T @ np.linalg.inv(p @ sigma @ p.T)
        h = (gain @ x.ravel()).reshape(-1, width)
        rest = sigma - gain @ p @ sigma
        moments = [
            np.outer(part, part) + posterior * rest[n * width : (n + 1) * width, n * width : (n + 1) * width]
            for n, part in enumerate(h)
        ]
        people.append(moments[0])
        everyone += moments[1:]
    return np.mean(people, axis=0), np.mean(everyone, axis=0)


def dense_likelihood(rows, labels, identity, noise):
    total = 0.0
    for label in np.unique(labels):
        x = rows[labels == label]
        p, sigma = dense(identity, noise, len(x))
        total += multivariate_normal.logpdf(x.ravel(), np.zeros(x.size), p @ sigma @ p.T)
    return total


def start(rows, labels):
    means = np.array([rows[labels == label].mean(axis=0) for label in np.unique(labels)])
    within = rows - means[np.unique(labels, return_inverse=True)[1]]
    return means.T @ means / len(means), within.T @ within / len(rows)


# --- the score ---


def test_a_and_g_are_the_blocks_of_the_dense_inverse():
    for seed in range(5):
        identity, noise = covariances(np.random.default_rng(seed), 8)
        total = identity + noise
        inverse = np.linalg.inv(np.block([[total, identity], [identity, total]]))
        a, g = joint_bayesian.JointBayesian(np.zeros(8), identity, noise).matrices()
        np.testing.assert_allclose(g, inverse[:8, 8:], atol=1e-9)
        np.testing.assert_allclose(a, np.linalg.inv(total) - inverse[:8, :8], atol=1e-9)
        own = -np.linalg.inv(2 * identity + noise) @ identity @ np.linalg.inv(noise)  # G as the paper writes it
        np.testing.assert_allclose(g, own, atol=1e-9)


def test_a_score_is_the_log_of_the_ratio_of_two_dense_densities():
    random = np.random.default_rng(0)
    identity, noise = covariances(random, 5)
    mean = random.normal(size=5)
    model = joint_bayesian.JointBayesian(mean, identity, noise)
    first, second = 2 * random.normal(size=(2, 40, 5))
    total, nothing = identity + noise, np.zeros((5, 5))
    both = np.hstack([first - mean, second - mean])
    one, two = (
        multivariate_normal.logpdf(both, np.zeros(10), np.block([[total, shared], [shared, total]]))
        for shared in (identity, nothing)
    )
    found = model.scores(first, second)
    np.testing.assert_allclose(found, one - two, atol=1e-9)
    a, g = model.matrices()
    x, y = first - mean, second - mean
    r = np.einsum("ni,ij,nj->n", x, a, x) + np.einsum("ni,ij,nj->n", y, a, y) - 2 * np.einsum("ni,ij,nj->n", x, g, y)
    np.testing.assert_allclose(found, r / 2 + model.constant, atol=1e-9)
    np.testing.assert_allclose(model.scores(second, first), found, atol=1e-12)


# --- the fit ---


@pytest.mark.parametrize("update", joint_bayesian.UPDATES)
def test_an_iteration_is_that_of_the_dense_matrices(update):
    rows, labels, *_ = drawn(1, [1, 2, 5, 3, 1, 2, 4, 3])
    centred = rows - rows.mean(axis=0)
    identity, noise = start(centred, labels)
    steps = joint_bayesian.fit(rows, labels, update=update, iterations=3, tolerance=0)
    likelihood = [dense_likelihood(centred, labels, identity, noise)]
    for _ in range(3):
        identity, noise = dense_step(centred, labels, identity, noise, posterior=update == "em")
        likelihood.append(dense_likelihood(centred, labels, identity, noise))
    np.testing.assert_allclose(steps.identity, identity, atol=1e-9)
    np.testing.assert_allclose(steps.noise, noise, atol=1e-9)
    np.testing.assert_allclose(steps.log_likelihood, likelihood, atol=1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_the_likelihood_of_exact_em_never_falls(seed):
    random = np.random.default_rng(seed)
    counts = [2, *random.integers(1, 7, random.integers(4, 40))]
    rows, labels, *_ = drawn(seed, counts, width=int(random.integers(2, 12)))
    likelihood = joint_bayesian.fit(rows, labels, iterations=150, tolerance=0).log_likelihood
    assert len(likelihood) == 151
    assert np.diff(likelihood).min() >= -1e-10 * np.abs(likelihood).max() and likelihood[-1] > likelihood[0] + 0.1


def test_the_papers_update_is_another_and_its_likelihood_falls():
    rows, labels, *_ = drawn(4, [1, 2, 3, 4, 5] * 6)
    exact, paper = (joint_bayesian.fit(rows, labels, update=update, tolerance=0) for update in ("em", "paper"))
    assert np.diff(paper.log_likelihood).min() < -0.1
    assert exact.log_likelihood[-1] > paper.log_likelihood.max()
    assert np.trace(paper.identity) < np.trace(exact.identity), "without the posterior covariance identities look alike"


def test_the_fit_stops_when_the_likelihood_settles():
    rows, labels, *_ = drawn(2, [4] * 30)
    settled = joint_bayesian.fit(rows, labels, iterations=1000, tolerance=1e-4)
    gains = np.diff(settled.log_likelihood)
    assert len(gains) < 1000 and gains[-1] < 1e-4 * len(rows) <= gains[-2]


def test_the_covariances_that_embeddings_were_drawn_from_are_found():
    rows, labels, identity, noise = drawn(3, [2, 5, 8] * 2000)
    model = joint_bayesian.fit(rows, labels)
    assert np.abs(model.identity - identity).max() < 0.06 * np.abs(identity).max()
    assert np.abs(model.noise - noise).max() < 0.03 * np.abs(noise).max()
    assert np.abs(model.mean - 3).max() < 0.1


def test_one_person_scores_above_zero_and_two_below_on_average():
    rows, labels, *_ = drawn(5, [3] * 300, width=8)
    model = joint_bayesian.fit(rows[:450], labels[:450])
    first, second = rows[450::3], rows[451::3]
    assert model.scores(first, second).mean() > 1
    assert model.scores(first, np.roll(second, 1, axis=0)).mean() < -1


def test_the_order_and_the_numbers_of_the_labels_do_not_matter_nor_does_a_turn_of_the_embeddings():
    rows, labels, *_ = drawn(6, [1, 4, 2, 6, 3, 3, 5])
    before = joint_bayesian.fit(rows, labels, iterations=20)
    random = np.random.default_rng(0)
    order = random.permutation(len(rows))
    turn = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0]
    after = joint_bayesian.fit(rows[order] @ turn - 7, 1000 - 3 * labels[order], iterations=20)
    np.testing.assert_allclose(after.identity, turn.T @ before.identity @ turn, atol=1e-9)
    np.testing.assert_allclose(after.noise, turn.T @ before.noise @ turn, atol=1e-9)
    pairs = rows[:10], rows[10:20]
    moved = [side @ turn - 7 for side in pairs]
    np.testing.assert_allclose(after.scores(*moved), before.scores(*pairs), atol=1e-9)


# --- where there is little to learn from ---


@pytest.mark.parametrize(("people", "each", "width"), [(10, 2, 64), (3, 4, 12), (2, 2, 50), (12, 3, 20)])
def test_fewer_images_than_dimensions_give_a_finite_model_whose_likelihood_never_falls(people, each, width):
    rows = np.random.default_rng(0).normal(size=(people * each, width))
    model = joint_bayesian.fit(rows, np.repeat(np.arange(people), each), iterations=50, tolerance=0)
    assert np.diff(model.log_likelihood).min() >= -1e-9 * np.abs(model.log_likelihood).max()
    assert np.linalg.eigvalsh(model.noise).min() >= 0.999 * joint_bayesian.FLOOR * np.var(rows, axis=0).mean()
    assert np.isfinite(model.scores(rows, rows[::-1])).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_embeddings_without_spread_give_a_model_that_knows_nothing(value):
    """The mean of twelve 0.1 is not 0.1: what is left when it is subtracted is no identity."""
    model = joint_bayesian.fit(np.full((12, 5), value), np.repeat(np.arange(4), 3))
    random = np.random.default_rng(0)
    assert model.scores(*random.normal(size=(2, 9, 5))).tolist() == [0.0] * 9


def test_images_of_one_person_that_are_all_equal_give_a_finite_model():
    rows = np.repeat(np.random.default_rng(0).normal(size=(6, 3)), 4, axis=0)
    model = joint_bayesian.fit(rows, np.repeat(np.arange(6), 4))
    scores = model.scores(rows[[0, 0]], rows[[1, 4]])
    assert np.isfinite(scores).all() and scores[0] > 0 > scores[1]


@pytest.mark.parametrize("labels", [np.arange(8), np.zeros(8, int)])
def test_identity_and_noise_that_cannot_be_told_apart_are_refused(labels):
    sentence = (
        rf"at least 2 identities, one of them with 2 images or more, got 8 images of {len(set(labels))} identities"
    )
    with pytest.raises(RequestError, match=sentence):
        joint_bayesian.fit(np.random.default_rng(0).normal(size=(8, 3)), labels)


@pytest.mark.parametrize(
    ("rows", "labels", "sentence"),
    [
        (np.zeros((4, 3)), np.zeros(3, int), r"whole number for the identity of each image, got .*\(4, 3\) and \(3,\)"),
        (np.zeros(4), np.zeros(4, int), r"\(images, dimensions\) embeddings"),
        (np.zeros((4, 3)), np.zeros(4), "labels of type float64"),
        (np.full((4, 3), np.nan), np.array([0, 0, 1, 1]), "finite real numbers"),
        (np.zeros((4, 3), complex), np.array([0, 0, 1, 1]), "finite real numbers"),
    ],
)
def test_bad_arrays_are_refused(rows, labels, sentence):
    with pytest.raises(RequestError, match=sentence):
        joint_bayesian.fit(rows, labels)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"update": "gibbs"}, "update must be one of em, paper, got 'gibbs'"),
        ({"iterations": 0}, "iterations must be a whole number from 1 on, got 0"),
        ({"iterations": True}, "iterations must be a whole number from 1 on, got True"),
        ({"tolerance": -1e-3}, "tolerance must be a number from 0 on, got -0.001"),
        ({"tolerance": float("nan")}, "tolerance must be a number from 0 on, got nan"),
    ],
)
def test_options_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(RequestError, match=sentence):
        joint_bayesian.fit(np.zeros((4, 3)), np.array([0, 0, 1, 1]), **options)
