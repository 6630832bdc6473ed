"""Two given networks on one test: the paired tests against scipy's, and `facebench compare`."""

import json

import numpy as np
import pytest
from made_up_lists import make
from scipy import stats

from bench import ledger, places, record, scoring
from bench.errors import RequestError
from bench.plain import Result, Trial
from reports._networks import Network, compare


def network(name="lfw", seed=0, noise=1.0, **options) -> Network:
    """A network that tells people apart more or less well, scored by a made-up protocol."""
    protocol = make(name, **options)
    owners = np.array([image.split("/")[0] for image in protocol.images])
    people = np.random.default_rng(7).normal(size=(len(set(owners)), 16))[np.unique(owners, return_inverse=True)[1]]
    rows = people + noise * np.random.default_rng(seed).normal(size=people.shape)
    answer = protocol.score(rows)
    return Network(f"net {seed}", scoring.plain(answer, protocol), scoring.raw(answer, protocol))


def decided(net: Network) -> list[bool]:
    """Of each pair, whether it was decided rightly at the threshold of its fold."""
    raw, folds = net.raw, sorted(set(net.raw["lfw/folds"]))
    rows = zip(raw["lfw/scores"], raw["lfw/folds"], raw["lfw/same"], strict=True)
    return [(score > raw["lfw/thresholds"][folds.index(fold)]) == same for score, fold, same in rows]


def test_folds_are_compared_by_a_paired_t():
    a, b = network(seed=0), network(seed=1, noise=1.6)
    line = compare(a, b).lines[0]
    first, second = (np.array(one.scores["clusters"]["lfw/accuracy"]["values"]) for one in (a, b))
    expected = stats.ttest_rel(second, first)
    assert line.metric == "lfw/accuracy" and line.over == "10 folds"
    assert line.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (line.low, line.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-12)
    assert line.difference == pytest.approx(line.b - line.a)


def test_other_figures_by_a_jackknife_over_identities():
    a, b = network(seed=0), network(seed=1, noise=1.6)
    line = next(line for line in compare(a, b).lines if line.metric == "lfw/auc")
    parts = np.subtract(*(one.scores["clusters"]["lfw/auc"]["values"] for one in (b, a)))
    count = len(parts)
    se = ((count - 1) / count * ((parts - parts.mean()) ** 2).sum()) ** 0.5
    assert line.se == pytest.approx(se, rel=1e-9) and line.over == f"{count} identities"
    assert line.p == pytest.approx(2 * stats.t.sf(abs(line.b - line.a) / se, count - 1), rel=1e-9)


def test_mcnemar_counts_the_pairs_that_one_alone_decides_rightly():
    a, b = network(seed=0, noise=1.5), network(seed=1, noise=2.5)
    only_a, only_b = [
        sum(x and not y for x, y in zip(decided(one), decided(other), strict=True)) for one, other in ((a, b), (b, a))
    ]
    test = compare(a, b).decisions[0]
    assert (test.only_a, test.only_b) == (only_a, only_b) and only_a > 0
    assert test.p == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)


def test_a_network_against_itself_is_a_tie():
    for line in compare(network(), network()).lines:
        assert line.verdict == "tie" and line.difference == 0 and line.p == 1


def test_worse_and_better_are_said_of_b():
    good, bad = network(seed=0, noise=0.5), network(seed=1, noise=4.0)
    assert compare(good, bad).lines[0].verdict == "worse" and compare(bad, good).lines[0].verdict == "better"
    eer = {line.metric: line.verdict for line in compare(good, bad).lines}["lfw/eer"]
    assert eer == "worse", "a higher error rate is worse"


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(RequestError, match="different versions of the protocol"):
        compare(network(), network(convention="sphereface"))
    with pytest.raises(RequestError, match="no common figure 'lfw/rank1' with its spread; there is: lfw/accuracy"):
        compare(network(), network(), "lfw/rank1")


# --- the command ---


def trial(seed: int, noise: float, state: str = "finished") -> str:
    """A trial in runs/single that was scored so."""
    made, wanted = network(seed=seed, noise=noise), Trial(seed=seed)
    folder = record.start(wanted, places.study_folder("single"))
    result = Result(made.scores["metrics"], {"lfw": dict(made.scores)}, dict(made.raw)) if state == "finished" else None
    record.finish(folder, state, "it diverged" if result is None else "", result=result)
    return wanted.id


def test_two_trials_on_the_terminal(facebench):
    good, bad = trial(0, 0.5), trial(1, 4.0)
    code, out, _ = facebench("compare", good, bad[:9])
    assert (
        code == 0
        and "accuracy (declared)" in out
        and "worse" in out
        and "These two networks, not these two losses" in out
    )
    code, out, _ = facebench("compare", good, bad, "--json", "--fail-if-worse")
    answer = json.loads(out)[0]
    assert code == 1 and answer["lines"][0]["verdict"] == "worse" and answer["decisions"][0]["pairs"] == "lfw"
    assert facebench("compare", bad, good, "--fail-if-worse")[0] == 0
    code, out, _ = facebench("compare", good, bad, "--metric", "lfw/auc", "--json")
    assert code == 0 and json.loads(out)[0]["lines"][0]["metric"] == "lfw/auc"
    code, _, err = facebench("compare", bad, good, "--suffix", "_a.bin")
    assert code == 2 and "--suffix is of a folder's feature files, and neither" in err


def test_two_files_of_embeddings(facebench, tmp_path):
    images = [f"Person_{n // 3:02d}/{n % 3}.jpg" for n in range(72)]
    (tmp_path / "images.txt").write_text("\n".join(images))
    for seed in (0, 1):
        np.save(tmp_path / f"{seed}.npy", np.random.default_rng(seed).normal(size=(72, 4)))
    files = [tmp_path / "0.npy", tmp_path / "1.npy"]
    code, out, _ = facebench("compare", *files, "--protocol", "heldout", "--root", tmp_path, "--json")
    assert code == 0 and json.loads(out)[0]["lines"][0]["metric"].startswith("heldout/")
    assert [entry["study"] for entry in ledger.entries()] == ["compare", "compare"]
    code, _, err = facebench("compare", *files)
    assert code == 2 and "holds embeddings: say by --protocol" in err


@pytest.mark.parametrize(
    ("given", "says"),
    [("ffff", "neither a file nor the id of a trial that ended"), ("a/b", "neither a file nor the id of a trial")],
)
def test_no_such_network(facebench, given, says):
    code, _, err = facebench("compare", trial(0, 1.0), given)
    assert code == 2 and says in err


def test_a_trial_that_did_not_finish_has_nothing_to_compare(facebench):
    code, _, err = facebench("compare", trial(0, 1.0), trial(1, 1.0, "failed"))
    assert code == 2 and "is failed (it diverged): it has no scores and no network" in err
