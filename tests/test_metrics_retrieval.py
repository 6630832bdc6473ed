"""precision@1, R-precision and MAP@R: against a ranking by loops, and against pytorch-metric-learning."""

import numpy as np
import pytest
import torch
from literal import literal_cosine
from made_up_lists import embed, make
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN

from bench import protocols
from bench.errors import RequestError
from bench.metrics import cosine
from bench.metrics.retrieval import retrieve


def literal_retrieval(rows, owner):
    """The three figures of each query, as the definitions say; of tied images those of other people come first."""
    found = []
    for query, who in enumerate(owner):
        others = [row for row in range(len(owner)) if row != query]
        scores = {row: round(literal_cosine(rows[query], rows[row]), 12) for row in others}
        ranking = sorted(others, key=lambda row: (-scores[row], owner[row] == who))
        total = sum(owner[row] == who for row in others)
        if not total:
            continue
        hits = [owner[row] == who for row in ranking[:total]]
        average = sum(sum(hits[: place + 1]) / (place + 1) for place in range(total) if hits[place]) / total
        found.append((owner[ranking[0]] == who, sum(hits) / total, average))
    return np.array(found, float)


@pytest.mark.parametrize("seed", range(4))
def test_retrieval_equals_a_ranking_by_loops_ties_included(seed):
    random = np.random.default_rng(seed)
    owner = random.integers(0, 9, 40)
    rows = random.integers(-2, 3, (40, 3)).astype(float)  # many cosines tie
    rows[(rows == 0).all(axis=1)] = 1
    rows[20:26] = rows[0]
    found = retrieve(cosine.prepared(rows), owner)
    wanted = literal_retrieval(rows.tolist(), owner.tolist())
    got = np.stack([found.precision_at_1, found.r_precision, found.map_at_r], axis=1)
    assert np.allclose(got, wanted, rtol=0, atol=1e-15)
    assert found.queries.tolist() == [row for row in range(40) if np.sum(owner == owner[row]) > 1]


def test_retrieval_equals_pytorch_metric_learning_where_nothing_ties():
    random = np.random.default_rng(1)
    owner = np.concatenate([np.repeat(np.arange(20), random.integers(2, 9, 20)), np.arange(20, 25)])
    rows = random.normal(size=(25, 8))[owner] + 0.6 * random.normal(size=(len(owner), 8))
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"),
        k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity()),
        device=torch.device("cpu"),
    )
    theirs = calculator.get_accuracy(torch.from_numpy(rows), torch.from_numpy(owner))
    found = retrieve(cosine.prepared(rows), owner)
    assert 0.3 < found.map_at_r.mean() < found.precision_at_1.mean() < 0.95
    assert found.precision_at_1.mean() == pytest.approx(theirs["precision_at_1"], abs=1e-12)
    assert found.r_precision.mean() == pytest.approx(theirs["r_precision"], abs=1e-12)
    assert found.map_at_r.mean() == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-12)


def test_precision_at_1_is_the_rank_1_of_the_heldout_protocol():
    retrieval = make("retrieval")
    heldout = protocols.create("heldout", root={"images.txt": "\n".join(retrieval.images)})
    rows = embed(retrieval)
    assert retrieval.score(rows).metrics["retrieval/precision_at_1"] == heldout.score(rows).metrics["heldout/rank1"]


def test_people_with_one_image_are_found_but_never_sought():
    answer = make("retrieval").score(embed(make("retrieval")))
    assert answer.counts["images"] == 78 and answer.counts["queries"] == 72 and answer.counts["people"] == 30
    assert "24.0 effective identities" in answer.marks["retrieval/map_at_r"]


def test_a_set_without_two_images_of_anybody_is_refused():
    with pytest.raises(RequestError, match=r"at least 2 people, one of them with 2 images, got 2 people on 2 images"):
        protocols.create("retrieval", root={"images.txt": "a/1.jpg\nb/1.jpg"})
