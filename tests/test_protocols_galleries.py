"""MegaFace-style and held-out people: loops over all trials, and what bad lists are answered."""

import zipfile
from itertools import combinations

import numpy as np
import pytest
from literal import literal_auc, literal_cosine
from made_up_lists import LISTS, embed, make

from bench import protocols
from bench.errors import RequestError
from bench.protocols.heldout import Heldout


def test_megaface_equals_loops():
    protocol = make("megaface", sizes=[7, 50])
    rows = embed(protocol)
    probes, distractors = list(range(24)), list(range(24, 24 + 170))
    order = np.random.default_rng(0).permutation(170)
    score = {
        (i, j): literal_cosine(rows[i].tolist(), rows[j].tolist())
        for i in probes
        for j in [*probes, *distractors]
        if i != j
    }
    answer = protocol.score(rows)
    trials = [(i, j) for i in probes for j in probes if i != j and protocol.people[i] == protocol.people[j]]
    assert answer.counts["trials"] == len(trials) == 6 * 4 * 3
    for key, size, k in [("rank1", 170, 1), ("rank10", 170, 10), ("rank1_at_7", 7, 1), ("rank1_at_50", 50, 1)]:
        gallery = [distractors[d] for d in order[:size]]
        hits = [sum(score[i, d] >= score[i, j] for d in gallery) < k for i, j in trials]
        assert answer.metrics[f"megaface/{key}"] == sum(hits) / len(hits), key
        owners = [protocol.people[i] for i, _ in trials]
        left = [
            np.mean([hit for hit, owner in zip(hits, owners, strict=True) if owner != person])
            for person in sorted(set(owners))
        ]
        assert answer.clusters[f"megaface/{key}"].values == pytest.approx(left, abs=1e-12)
    impostor = np.array([score[i, d] for i in probes for d in distractors])
    genuine = np.array([score[i, j] for i, j in trials if i < j])
    allowed = int(len(impostor) * 1e-3)
    threshold = np.sort(impostor)[::-1][allowed]
    assert answer.metrics["megaface/tar_at_far_1e-3"] == np.mean(genuine > threshold)
    assert answer.marks["megaface/tar_at_far_1e-3"].endswith("(FAR 1e-03 of 4,080 impostor pairs)")
    assert answer.undefined["megaface/tar_at_far_1e-6"] == "FAR 1e-06 is undefined on 4,080 impostor pairs"
    assert "6.0 effective identities" in answer.marks["megaface/rank1"]


def test_rank_k_falls_with_distractors_and_rises_with_k():
    protocol = make("megaface", sizes=[1, 2, 5, 20, 80])
    answer = protocol.score(embed(protocol, noise=1.5))
    rates = answer.curves["distractors"]["rank1"]
    assert answer.curves["distractors"]["distractors"] == [1, 2, 5, 20, 80, 170]
    assert rates == sorted(rates, reverse=True) and rates[0] > rates[-1]
    curve = answer.curves["cmc"]["rate"]
    assert len(curve) == 100 and curve == sorted(curve) and curve[0] == answer.metrics["megaface/rank1"] < curve[-1]


def test_the_optimistic_figure_stands_there_only_where_ties_matter():
    protocol = make("megaface")
    rows = embed(protocol, noise=0.1)  # its copies of row 0, a mate of others, are distractors
    tied = protocol.score(rows).metrics
    assert tied["megaface/rank1_optimistic"] > tied["megaface/rank1"]
    apart = protocol.score(np.random.default_rng(0).normal(size=rows.shape)).metrics
    assert "megaface/rank1_optimistic" not in apart


def test_probes_and_distractors_are_taken_from_a_listing(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for person, count in [("A", 12), ("B", 5), ("C", 4), ("D", 1), ("E", 6)]:
            for number in range(count):
                archive.writestr(f"{person}/{number:02d}.jpg", "")
        archive.writestr("ids.csv", "id,other\nD,yes\nC,\nE,no\n")
        archive.writestr("readme.txt", "not an image")
    protocol = protocols.create("megaface", root=tmp_path, images=["a.zip"])
    assert protocol.images[: protocol.probes] == tuple(
        f"{person}/{number:02d}.jpg" for person, count in [("A", 10), ("B", 5), ("E", 6)] for number in range(count)
    )
    assert protocol.people[protocol.probes :] == ("C",) * 4 + ("D",) and protocol.sizes == (5,)
    fewer = protocols.create("megaface", root=tmp_path, images=["a.zip"], exclude="a.zip/ids.csv:other", max_images=2)
    assert sorted(set(fewer.people)) == ["A", "B", "C"] and fewer.probes == 4
    (tmp_path / "out.txt").write_text("A\nB\nE\n")
    with pytest.raises(RequestError, match="needs probes and distractors, got 0 probe and 5 distractor images"):
        protocols.create("megaface", root=tmp_path, images=["a.zip"], exclude="out.txt")


@pytest.mark.parametrize("option", ["probes", "distractors"])
def test_a_list_that_would_not_be_read_is_not_passed_over(tmp_path, option):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("A/1.jpg", "")
    (tmp_path / f"{option}.txt").write_text("A/1.jpg\n")
    with pytest.raises(RequestError, match=f"give {option}={option}.txt too, or rename that file"):
        protocols.create("megaface", root=tmp_path, images=["a.zip"])


@pytest.mark.parametrize(
    ("lists", "options", "sentence"),
    [
        ({"probes.txt": "A/1.jpg\nB/1.jpg"}, {}, "none of the 2 probe people has two images"),
        (
            {"probes.txt": "A/1.jpg\nA/2.jpg\nPerson_08/x.jpg"},
            {},
            "1 people are both probes and distractors, the first is 'Person_08'",
        ),
        ({"probes.txt": "A/1.jpg\nA/1.jpg"}, {}, "'A/1.jpg' stands twice in probes.txt"),
        ({"probes.txt": "\n"}, {}, "probes.txt lists no images"),
        ({"probes.txt": "A.jpg\nA/1.jpg"}, {}, "'A.jpg' of probes.txt lies in no folder"),
        ({}, {"sizes": [10, 0]}, "a gallery size is a whole number from 1 on, got 0"),
        ({}, {"sizes": 1000}, "sizes is a list of gallery sizes, got 1000"),
        ({}, {"seed": "x"}, "seed is a whole number from 0 on, got 'x'"),
        ({}, {"images": ["x.zip"]}, r"images=\[...\] needs a root that is a folder"),
        ({}, {"probes": "p.txt"}, "no list file 'p.txt' in this embedded protocol"),
    ],
)
def test_bad_lists_of_megaface_are_answered(lists, options, sentence):
    with pytest.raises(RequestError, match=sentence):
        protocols.create("megaface", root={**LISTS["megaface"], **lists}, **options)


# --- heldout ---


def test_heldout_equals_loops_over_all_pairs():
    protocol = make("heldout")
    rows = embed(protocol)
    pairs = list(combinations(range(len(rows)), 2))
    scores = {pair: literal_cosine(rows[pair[0]].tolist(), rows[pair[1]].tolist()) for pair in pairs}
    same = [protocol.people[i] == protocol.people[j] for i, j in pairs]
    answer = protocol.score(rows)
    assert answer.counts["genuine"] == sum(same) == 24 * 3 and answer.counts["impostor"] == len(pairs) - sum(same)
    assert answer.metrics["heldout/auc"] == literal_auc([scores[pair] for pair in pairs], same)
    hits = []
    for i in range(len(rows)):
        to = {j: scores[min(i, j), max(i, j)] for j in range(len(rows)) if j != i}
        mates = [s for j, s in to.items() if protocol.people[j] == protocol.people[i]]
        hits.append(max(mates) > max(s for j, s in to.items() if protocol.people[j] != protocol.people[i]))
    assert answer.metrics["heldout/rank1"] == sum(hits) / len(hits)


def test_the_folds_of_heldout_share_nobody_and_are_balanced():
    protocol = make("heldout")
    pairs = protocol._in_folds
    assert pairs.shared_people == 0 and len(np.unique(pairs.folds)) == 10
    for fold in range(10):
        part = pairs.folds == fold
        assert pairs.same[part].sum() == (~pairs.same[part]).sum() > 0
    people = np.array(protocol.people)
    assert ((people[pairs.first] == people[pairs.second]) == pairs.same).all()


def test_few_people_have_no_accuracy():
    protocol = Heldout(
        tuple(f"{p}/{n}" for p in "abc" for n in range(9)), tuple("a" * 9 + "b" * 9 + "c" * 9), name="dev"
    )
    answer = protocol.score(np.random.default_rng(0).normal(size=(27, 5)))
    assert protocol.primary == "dev/auc" in answer.metrics
    assert answer.undefined["dev/accuracy"] == "3 people do not fill 10 person-disjoint folds: 20 are needed"


@pytest.mark.parametrize("people", [30, 3])
def test_samples_of_pairs_are_different_pairs_of_the_right_kind(people):
    """Both ways of sampling: of a full list, and (millions of pairs) without one."""
    names = tuple(f"p{n % people}/{n}" for n in range(7_000))
    protocol = Heldout(names, tuple(name.split("/")[0] for name in names), most_genuine=500, most_impostor=800)
    pairs = protocol._all_pairs
    owner = np.array(protocol.people)
    assert ((owner[pairs.first] == owner[pairs.second]) == pairs.same).all() and (pairs.first != pairs.second).all()
    assert pairs.same.sum() == 500 and (~pairs.same).sum() == 800
    keys = {frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}
    assert len(keys) == 1300
    used = np.bincount([int(owner[row][1:]) for row in pairs.first[pairs.same]], minlength=people)
    assert used.min() > 0.5 * 500 / people - 8 and used.max() < 1.5 * 500 / people + 8


@pytest.mark.parametrize(("images", "people"), [(("a/1", "a/2"), ("a", "a")), (("a/1", "b/1"), ("a", "b"))])
def test_heldout_needs_two_people_and_a_pair(images, people):
    with pytest.raises(RequestError, match="at least 2 people, one of them with 2 images"):
        Heldout(images, people)
