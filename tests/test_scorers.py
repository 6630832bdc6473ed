"""Every scorer under every protocol, against loops over the formula of a pair."""

import math
from itertools import combinations

import numpy as np
import pytest
from literal import literal_accuracy, literal_auc, literal_cosine, literal_tar
from made_up_lists import CHANCE, LISTS, embed, make
from scipy.stats import multivariate_normal

from bench import scorers
from bench.errors import RequestError

WIDTH = 12
KINDS = [
    ("cosine", {}),
    ("cosine", {"pca": 5}),
    ("l2", {}),
    ("l2", {"pca": 5}),
    ("joint_bayesian", {}),
    ("joint_bayesian", {"pca": 5, "update": "paper", "iterations": 4}),
]


def training(people=60, each=4, seed=9):
    """Embeddings like those of `made_up_lists.embed`, of other people, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), each)
    return random.normal(size=(people, WIDTH))[labels] + 0.9 * random.normal(size=(people * each, WIDTH)), labels


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: "-".join([kind[0], *map(str, kind[1].values())]))
def scorer(request):
    return scorers.fit(*request.param, *training())


def projected(scorer, rows):
    """The rows on the scorer's principal components, one at a time, from an SVD of the training embeddings."""
    if not scorer.options["pca"]:
        return rows
    known = training()[0]
    axes = np.linalg.svd(known - known.mean(axis=0), full_matrices=False)[2][: scorer.options["pca"]]
    axes *= np.sign(np.sum(axes * scorer.pca.weight.T, axis=1, keepdims=True))  # the sign of a component is free
    return np.array([axes @ (row - known.mean(axis=0)) for row in rows])


def literal(scorer):
    """(projected row, projected row) -> score, one pair at a time; to 9 decimals, so that equal rows tie."""
    if scorer.name == "cosine":
        return lambda a, b: round(literal_cosine(a.tolist(), b.tolist()), 9)
    if scorer.name == "l2":
        return lambda a, b: round(-math.fsum((p - q) ** 2 for p, q in zip(a.tolist(), b.tolist(), strict=True)), 9)
    model = scorer.model
    total, nothing = model.identity + model.noise, np.zeros_like(model.noise)
    mean = np.tile(model.mean, 2)
    one, two = (
        multivariate_normal(mean, np.block([[total, shared], [shared, total]])) for shared in (model.identity, nothing)
    )
    return lambda a, b: round(float(one.logpdf(np.concatenate([a, b])) - two.logpdf(np.concatenate([a, b]))), 9)


# --- under every protocol ---


def test_lfw_equals_loops(scorer):
    protocol, score = make("lfw"), literal(scorer)
    pairs, rows = protocol.pairs, projected(scorer, embed(protocol))
    scores = [score(rows[i], rows[j]) for i, j in zip(pairs.first, pairs.second, strict=True)]
    answer = protocol.score(embed(protocol), scorer)
    np.testing.assert_allclose(answer.raw["scores"], scores, atol=2e-9)
    accuracies = literal_accuracy(scores, pairs.same.tolist(), pairs.folds.tolist())
    assert answer.clusters["lfw/accuracy"].values == pytest.approx(accuracies, abs=1e-15)
    assert answer.metrics["lfw/auc"] == literal_auc(scores, pairs.same.tolist())


@pytest.mark.parametrize("aggregation", ["mean_feature", "mean_score", "max_score"])
def test_ytf_equals_loops(scorer, aggregation):
    protocol, score = make("ytf", aggregation=aggregation), literal(scorer)
    videos = {}
    for image, row in zip(protocol.images, projected(scorer, embed(protocol)), strict=True):
        videos.setdefault(image.rpartition("/")[0], []).append(row)
    table = [line.split(",") for line in LISTS["ytf"]["splits.txt"].splitlines()[1:]]
    scores = []
    for first, second in ((videos[line[2]], videos[line[3]]) for line in table):
        found = [score(a, b) for a in first for b in second]
        of_means = score(mean_feature(scorer, first), mean_feature(scorer, second))
        scores.append(
            {"mean_feature": of_means, "mean_score": sum(found) / len(found), "max_score": max(found)}[aggregation]
        )
    np.testing.assert_allclose(protocol.score(embed(protocol), scorer).raw["scores"], scores, atol=2e-9)


def mean_feature(scorer, frames):
    """Of cosine the frames' directions are averaged, of any other scorer the frames."""
    return np.mean([f / math.sqrt(f @ f) if scorer.name == "cosine" else f for f in frames], axis=0)


def test_megaface_equals_loops(scorer):
    protocol, score = make("megaface", sizes=[7, 50]), literal(scorer)
    rows, order = projected(scorer, embed(protocol)), np.random.default_rng(0).permutation(170)
    table = np.array([[score(rows[i], row) for row in rows] for i in range(24)])
    trials = [(i, j) for i in range(24) for j in range(24) if i != j and protocol.people[i] == protocol.people[j]]
    answer = protocol.score(embed(protocol), scorer)
    for key, size, k in [("rank1", 170, 1), ("rank10", 170, 10), ("rank1_at_7", 7, 1), ("rank1_at_50", 50, 1)]:
        hits = [(table[i, 24 + order[:size]] >= table[i, j]).sum() < k for i, j in trials]
        assert answer.metrics[f"megaface/{key}"] == sum(hits) / len(hits), key
    genuine = [table[i, j] for i, j in trials if i < j]
    assert answer.metrics["megaface/tar_at_far_1e-3"] == literal_tar(genuine, table[:, 24:].ravel().tolist(), 1e-3)


def test_heldout_equals_loops(scorer):
    protocol, score = make("heldout"), literal(scorer)
    rows, people = projected(scorer, embed(protocol)), protocol.people
    scores = {pair: score(rows[pair[0]], rows[pair[1]]) for pair in combinations(range(len(rows)), 2)}
    answer = protocol.score(embed(protocol), scorer)
    same = [people[i] == people[j] for i, j in scores]
    assert answer.metrics["heldout/auc"] == literal_auc(list(scores.values()), same)
    hits = []
    for i in range(len(rows)):
        to = {j: scores[min(i, j), max(i, j)] for j in range(len(rows)) if j != i}
        mates = [s for j, s in to.items() if people[j] == people[i]]
        hits.append(max(mates) > max(s for j, s in to.items() if people[j] != people[i]))
    assert answer.metrics["heldout/rank1"] == sum(hits) / len(hits)


@pytest.mark.parametrize("name", list(LISTS))
def test_a_constant_embedding_scores_chance(scorer, name):
    protocol = make(name)
    plain = scorer.name == "cosine" and scorer.pca is None  # to which a row of zeros points nowhere
    for value in (0.3, -7.0) if plain else (0.0, 0.3, -7.0):
        found = protocol.score(np.full((len(protocol.images), WIDTH), value, np.float32), scorer).metrics
        for key, metric in found.items():
            figure = key.partition("/")[2]
            assert metric == (1.0 if figure.endswith("_optimistic") else CHANCE.get(figure, 0.0)), key


@pytest.mark.parametrize("name", list(LISTS))
def test_no_scorer_is_cosine(name):
    protocol = make(name)
    rows = embed(protocol, noise=0.2 if name == "lfw_blufr" else 0.9)
    rows += 0.2 * np.random.default_rng(8).normal(size=rows.shape)  # no copies: BLUFR's strict figures are 0 with them
    assert protocol.score(rows, scorers.fit("cosine")).metrics == protocol.score(rows).metrics
    assert protocol.score(rows, scorers.fit("l2")).metrics != protocol.score(rows).metrics


# --- the fit ---


def test_the_principal_components_are_those_of_the_training_embeddings():
    rows, _ = training()
    whole = scorers.fit("l2", {"pca": WIDTH}, rows)
    test = np.random.default_rng(1).normal(size=(30, WIDTH))
    i, j = np.triu_indices(30, 1)
    np.testing.assert_allclose(
        whole.prepare(test).scores(i, whole.prepare(test), j), -((test[i] - test[j]) ** 2).sum(axis=1), rtol=1e-9
    )
    for fitted_on in (rows, rows[:9]):  # more and fewer images than dimensions
        axes = np.linalg.svd(fitted_on - fitted_on.mean(axis=0), full_matrices=False)[2][:3]
        few = scorers.fit("l2", {"pca": 3}, fitted_on)
        np.testing.assert_allclose(few.pca.weight @ few.pca.weight.T, axes.T @ axes, atol=1e-9)
        assert few.spec == {"name": "l2", "pca": 3} and few.width == WIDTH


def test_labels_decide_joint_bayesian_and_nothing_else():
    rows, labels = training()
    wrong = np.random.default_rng(0).permutation(labels)
    test = np.random.default_rng(1).normal(size=(9, WIDTH))

    def scored(name, labels):
        made = scorers.fit(name, {"pca": 6}, rows, labels).prepare(test)
        return made.scores(np.arange(8), made, np.arange(1, 9))

    assert np.abs(scored("joint_bayesian", labels) - scored("joint_bayesian", wrong)).max() > 0.1
    for name in ("cosine", "l2"):
        assert scored(name, labels).tolist() == scored(name, wrong).tolist() == scored(name, None).tolist()


def test_joint_bayesian_beats_cosine_where_the_noise_has_a_direction():
    protocol = make("heldout")
    noise = np.where(np.arange(WIDTH) < 4, 6.0, 0.6)
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(80), 5)
    rows = random.normal(size=(80, WIDTH))[labels] + noise * random.normal(size=(400, WIDTH))
    who = np.unique(protocol.people, return_inverse=True)[1]
    test = random.normal(size=(24, WIDTH))[who] + noise * random.normal(size=(len(who), WIDTH))
    found = {name: protocol.score(test, scorers.fit(name, {}, rows, labels)).metrics for name in scorers.names()}
    assert found["joint_bayesian"]["heldout/auc"] > found["cosine"]["heldout/auc"] + 0.1
    assert found["joint_bayesian"]["heldout/rank1"] > found["l2"]["heldout/rank1"] + 0.1


def test_what_needs_training_embeddings():
    assert scorers.names() == ["cosine", "l2", "joint_bayesian"]
    assert [scorers.needs_fit(name) for name in scorers.names()] == [False, False, True]
    assert all(scorers.needs_fit(name, {"pca": 2}) for name in scorers.names())
    for name, what in (("joint_bayesian", "embeddings and labels"), ("l2", "embeddings")):
        with pytest.raises(RequestError, match=f"{name} with .* is fitted on training {what}, and none were given"):
            scorers.fit(name, {"pca": 2})


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("euclid", {}, "no scorer 'euclid'; there is: cosine, l2, joint_bayesian"),
        ("cosine", {"update": "em"}, "the scorer cosine has no option 'update'; it has: pca"),
        ("joint_bayesian", {"pce": 3}, "no option 'pce'; it has: pca, update, iterations, tolerance"),
        ("l2", {"pca": -1}, r"pca is the number of principal components to keep \(0: no PCA\), got -1"),
        ("l2", {"pca": True}, "got True"),
        ("l2", {"pca": 0.95}, "got 0.95"),
        ("joint_bayesian", {"update": "vb"}, "update must be one of em, paper, got 'vb'"),
    ],
)
def test_what_cannot_be_is_refused_before_any_training(name, options, sentence):
    for ask in (scorers.check, scorers.needs_fit, scorers.fit):
        with pytest.raises(RequestError, match=sentence):
            ask(name, options)


def test_training_images_that_are_too_few_are_refused_before_they_are_trained_on():
    labels = np.repeat(np.arange(5), 2)
    for name in scorers.names():
        scorers.check_training(name, {"pca": 10}, labels, 64)
        with pytest.raises(RequestError, match="pca=11 .* got 10 images of 64 dimensions: the most is 10"):
            scorers.check_training(name, {"pca": 11}, labels, 64)
        with pytest.raises(RequestError, match="got 10 images of 4 dimensions: the most is 4"):
            scorers.check_training(name, {"pca": 5}, labels, 4)
    with pytest.raises(RequestError, match="got 5 images of 5 identities"):
        scorers.check_training("joint_bayesian", {}, labels[::2], 64)
    scorers.check_training("cosine", {}, labels[::2], 64)


def test_bad_training_and_test_embeddings_are_refused():
    rows, labels = training()
    with pytest.raises(RequestError, match=r"pca=13 needs .* got 240 images of 12 dimensions: the most is 12"):
        scorers.fit("cosine", {"pca": 13}, rows)
    with pytest.raises(RequestError, match="got 5 images of 12 dimensions: the most is 5"):
        scorers.fit("cosine", {"pca": 6}, rows[:5])
    with pytest.raises(RequestError, match=r"got an array of shape \(240,\)"):
        scorers.fit("cosine", {"pca": 1}, rows[:, 0])
    with pytest.raises(RequestError, match="some hold nan or infinity"):
        scorers.fit("joint_bayesian", {}, np.where(rows > 2, np.nan, rows), labels)
    fitted = scorers.fit("joint_bayesian", {"pca": 4}, rows, labels)
    protocol = make("lfw")
    with pytest.raises(RequestError, match="joint_bayesian was fitted on embeddings of 12 numbers, got 7"):
        protocol.score(np.zeros((len(protocol.images), 7)), fitted)
