"""AUC, TAR at FAR and EER agree with scikit-learn's curves to 1e-12, where both define the figure."""

import numpy as np
import pytest
from real_faces import DATA, LFW, needs_data, pixels

from bench import protocols
from bench.metrics import Sorted, rate_at_far

metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
EXACT = 1e-12


def agree(scores, same):
    """All three figures of these scores; the FARs asked are those that exist, and such that do not."""
    roc = Sorted.of(scores, same).roc()
    false, true, thresholds = metrics.roc_curve(same, scores, drop_intermediate=False)
    assert roc.auc() == pytest.approx(metrics.roc_auc_score(same, scores), abs=EXACT)
    # Every point of their curve but its first, (0, 0) at infinity, is a point of ours.
    assert roc.false_accepts / roc.impostors == pytest.approx(false[1:], abs=EXACT)
    assert roc.true_accepts / roc.genuine == pytest.approx(true[1:], abs=EXACT)
    assert roc.thresholds.tolist() == thresholds[1:].tolist()
    for far in (1e-4, 1e-3, 1e-2, 0.05, 0.1, 0.3, 1.0):
        # The largest rate whose FAR is at most the asked one; a FAR of exactly that counts, whatever its last bit.
        assert roc.tar_at_far(far) == pytest.approx(true[false <= far + EXACT].max(), abs=EXACT)
        rate = rate_at_far(roc, far)
        assert (rate.value is None) == (far * roc.impostors < 1 - EXACT)
    # EER: where the straight lines between their points cross FAR = 1 - TAR.
    gap = false - (1 - true)
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    assert roc.eer() == pytest.approx(false[after - 1] + share * (false[after] - false[after - 1]), abs=EXACT)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [15, 2, 1, 0], ids=lambda n: f"to_{n}_decimals")
def test_random_and_tied_scores(seed, decimals):
    random = np.random.default_rng(seed)
    same = random.random(2_000) < random.uniform(0.05, 0.95)
    scores = np.round(random.normal(size=2_000) + 1.5 * same, decimals)
    assert (len(set(scores)) < 2_000) == (decimals < 15)
    agree(scores, same)


@pytest.mark.parametrize(
    ("scores", "same"),
    [
        ([0.5, 0.5], [True, False]),
        ([0.1, 0.9], [True, False]),
        ([0.9, 0.1], [True, False]),
        ([0.3] * 7, [True, False, True, False, False, True, False]),
        ([1, 2, 3, 4], [False, False, True, True]),
        ([1, 2, 3, 4], [True, True, False, False]),
    ],
    ids=["a_tie", "all_wrong", "all_right", "all_tied", "apart", "upside_down"],
)
def test_small_cases(scores, same):
    agree(np.array(scores, float), np.array(same))


@pytest.mark.slow
@needs_data
def test_lfw_view_2():
    protocol = protocols.create("lfw", root=DATA, pairs="protocols/lfw_pairs.txt", images=LFW[:1])
    answer = protocol.score(pixels(protocol.images))
    scores, same = answer.raw["scores"], answer.raw["same"]
    agree(scores, same)
    false, true, _ = metrics.roc_curve(same, scores, drop_intermediate=False)
    assert answer.metrics["lfw/auc"] == pytest.approx(metrics.roc_auc_score(same, scores), abs=EXACT)
    for far, name in ((0.1, "1e-1"), (0.01, "1e-2"), (0.001, "1e-3")):
        assert answer.metrics[f"lfw/tar_at_far_{name}"] == pytest.approx(true[false <= far + EXACT].max(), abs=EXACT)
    assert 0.7 < answer.metrics["lfw/auc"] < 0.8
