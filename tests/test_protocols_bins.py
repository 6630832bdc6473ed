"""insightface's verification files: the figures of the protocols they hold, and people whom nobody names."""

import numpy as np
import pytest
from literal import literal_accuracy, literal_cosine
from made_up_bins import PROTOCOLS, of_lfw, tiny, write
from made_up_lists import bins_folder, embed, make

from bench import protocols, scorers
from bench.errors import RequestError
from bench.metrics.grid import grid_accuracy


def create(root, **options):
    return protocols.create("bins", root=root, **options)


# --- figures ---


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_view_2_as_a_bin_gives_exactly_the_figures_of_view_2(tmp_path, protocol):
    lfw, rows = of_lfw(tmp_path / "lfw.bin", protocol=protocol)
    embeddings = embed(lfw)
    wanted, made = lfw.score(embeddings), create(tmp_path / "lfw.bin")
    answer = made.score(embeddings[rows])
    assert made.name == "lfw-bin" and made.primary == "lfw-bin/accuracy"
    assert made.images[:2] == ("lfw/00000.jpg", "lfw/00001.jpg") and len(made.images) == 160
    assert answer.metrics == {f"lfw-bin/{key.partition('/')[2]}": value for key, value in wanted.metrics.items()}
    assert answer.clusters["lfw-bin/accuracy"] == wanted.clusters["lfw/accuracy"]
    assert (answer.raw["scores"] == wanted.raw["scores"]).all() and (answer.raw["folds"] == wanted.raw["folds"]).all()
    assert answer.curves == wanted.curves
    assert made.hash == create(bins_folder_of_lfw(tmp_path)).hash, "whatever protocol of pickle it is written in"


def bins_folder_of_lfw(tmp_path):
    (tmp_path / "again").mkdir()
    of_lfw(tmp_path / "again" / "lfw.bin", protocol=4)
    return tmp_path / "again"


def literal_insightface(distances, same, folds):
    """`calculate_roc` of insightface as it reads: 400 thresholds, the first of the best, accept iff below."""
    accuracies = []
    for fold in sorted(set(folds)):
        best = (-1, None)
        for step in range(400):
            right = sum((d < step * 0.01) == s for d, s, f in zip(distances, same, folds, strict=True) if f != fold)
            best = max(best, (right, -step))
        threshold = -best[1] * 0.01
        own = [(d < threshold) == s for d, s, f in zip(distances, same, folds, strict=True) if f == fold]
        accuracies.append(sum(own) / len(own))
    return accuracies


def test_insightfaces_convention_stands_beside_under_its_own_name(tmp_path):
    _, rows = of_lfw(tmp_path / "lfw.bin")
    made, plain = create(tmp_path, convention="insightface"), create(tmp_path)
    assert made.hash != plain.hash
    embeddings = embed(make("lfw"), noise=1.6)[rows]
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    answer = made.score(embeddings)
    distances = np.square(unit[::2] - unit[1::2]).sum(axis=1).tolist()
    literal = literal_insightface(distances, made.pairs.same.tolist(), made.pairs.folds.tolist())
    assert answer.clusters["lfw-bin/accuracy_insightface"].values == pytest.approx(literal, abs=1e-15)
    assert answer.metrics.pop("lfw-bin/accuracy_insightface") == pytest.approx(np.mean(literal), abs=1e-15)
    assert answer.metrics == plain.score(embeddings).metrics
    assert answer.clusters["lfw-bin/accuracy"].values != pytest.approx(literal), "the two conventions differ here"
    other = made.score(embeddings, scorers.fit("l2"))
    assert "no cosine" in other.undefined["lfw-bin/accuracy_insightface"]
    with pytest.raises(RequestError, match="no convention 'facenet'; there is: standard, insightface"):
        create(tmp_path, convention="facenet")


def test_insightfaces_ties_on_and_between_the_points_of_its_grid():
    random = np.random.default_rng(0)
    for _ in range(40):
        cosines = random.choice([1, 0.999, 0.75, 0.5, 0.1, 0, -0.5, -1], 24)
        same, folds = random.random(24) < 0.5 + cosines / 3, np.arange(24) % 3
        literal = literal_insightface((2 - 2 * cosines).tolist(), same.tolist(), folds.tolist())
        assert grid_accuracy(cosines, same, folds).accuracies.tolist() == literal


def test_several_files_are_scored_each_and_ranked_by_their_mean():
    made = make("bins")
    embeddings = embed(made)
    answer = made.score(embeddings)
    alone = [create(bins_folder(), files=name) for name in ("one.bin", "two.bin")]
    each = [alone[0].score(embeddings[:160]), alone[1].score(embeddings[160:])]
    assert made.primary == "bins/accuracy_mean" and len(made.images) == 160 + 120
    for one in each:
        assert one.metrics.items() <= answer.metrics.items() and one.clusters.items() <= answer.clusters.items()
    found = np.array([one.clusters[f"{p.name}/accuracy"].values for one, p in zip(each, alone, strict=True)])
    assert answer.metrics["bins/accuracy_mean"] == pytest.approx(found.mean(), abs=1e-15)
    folds = found.mean(axis=0)
    assert answer.clusters["bins/accuracy_mean"].values == pytest.approx(folds, abs=1e-15)
    assert answer.metrics["bins/accuracy_mean_se"] == pytest.approx(np.std(folds, ddof=1) / 10**0.5, abs=1e-15)
    assert answer.counts["one-bin/pairs"] == 80 and answer.counts["two-bin/pairs"] == 60 and answer.counts["files"] == 2
    assert (answer.raw["two-bin/scores"] == each[1].raw["scores"]).all()
    assert answer.curves["one-bin/roc"] == each[0].curves["roc"]


def test_folds_are_equal_parts_in_the_files_order(tmp_path):
    images, same = [b"%d" % n for n in range(46)], [True, False] * 11 + [True]
    made = create(write(tmp_path / "odd.bin", images, same), folds=4)
    assert made.pairs.folds.tolist() == 6 * [0] + 6 * [1] + 6 * [2] + 5 * [3]
    answer = made.score(embed(made, noise=3))
    literal = literal_accuracy(answer.raw["scores"].tolist(), same, made.pairs.folds.tolist())
    assert answer.metrics["odd-bin/accuracy"] == pytest.approx(np.mean(literal), abs=1e-15)
    said = "the classes are unbalanced (12 genuine and 11 impostor pairs): chance is not 0.5"
    assert answer.marks["odd-bin/accuracy"] == said and made.primary == "odd-bin/auc"
    for folds, sentence in (
        (24, "has 23 pairs, too few for 24 folds"),
        (1, "folds is a whole number from 2 on, got 1"),
    ):
        with pytest.raises(RequestError, match=sentence):
            create(tmp_path, folds=folds)


def test_scores_are_of_neighbouring_rows(tmp_path):
    made = create(write(tmp_path / "x.bin", *tiny()), folds=2)
    rows = np.random.default_rng(0).normal(size=(8, 5))
    scores = [literal_cosine(rows[n].tolist(), rows[n + 1].tolist()) for n in (0, 2, 4, 6)]
    assert made.score(rows).raw["scores"].tolist() == pytest.approx(scores, abs=1e-12)


# --- people whom nobody names ---


def test_genuine_pairs_and_equal_images_join_people(tmp_path):
    images = [b"a", b"b", b"c", b"d", b"b", b"e", b"f", b"c", b"g", b"g", b"a", b"e"]  # a=b, c/d, b=e, f/c, g=g, a/e
    made = create(write(tmp_path / "x.bin", images, [True, False, True, False, True, False]), folds=3)
    person = dict(zip(images, made.people, strict=True))
    assert person[b"a"] == person[b"b"] == person[b"e"] == "?x/00000"
    assert len({*made.people}) == len({person[name] for name in (b"a", b"c", b"d", b"f", b"g")}) == 5
    answer = made.score(np.random.default_rng(0).normal(size=(12, 3)))
    counts = answer.counts
    assert "people" not in counts and counts["people_at_most"] == 5 and counts["images"] == 12
    assert (counts["repeated_pairs"], counts["pairs_of_one_picture"], counts["contradicted_pairs"]) == (0, 1, 1)
    assert answer.marks["x-bin/accuracy"].startswith("the folds share at least 2 people: they are not independent")


def test_a_pair_that_stands_there_twice_is_counted(tmp_path):
    images = [b"a", b"b", b"c", b"d", b"b", b"a", b"c", b"d"]
    made = create(write(tmp_path / "x.bin", images, [True, False, True, False]), folds=2)
    assert made.score(np.random.default_rng(0).normal(size=(8, 3))).counts["repeated_pairs"] == 2


def test_counts_of_a_partial_file_are_of_what_is_left(tmp_path):
    images = [b"a", b"b", b"c", b"d", b"e", b"f", b"f", b"e", b"g", b"h", b"g", b"h"]
    made = create(write(tmp_path / "x.bin", images, [True, False, True, True, False, False]), folds=2)
    partial = made.without(["x/00000.jpg", "x/00003.jpg"])
    counts = partial.score(np.random.default_rng(0).normal(size=(10, 3))).counts
    assert (
        counts["repeated_pairs"]
        == 2
        == made.score(np.random.default_rng(0).normal(size=(12, 3))).counts["repeated_pairs"]
    )
    assert counts["pairs"] == 4 and counts["images"] == 10 and partial.people == (*made.people[1:3], *made.people[4:])


def test_joining_is_what_a_loop_over_all_finds():
    from bench.protocols._verification import linked

    random = np.random.default_rng(0)
    for _ in range(50):
        rows, pairs = random.integers(2, 12), random.integers(1, 9)
        first, second = random.integers(0, rows, (2, pairs))
        same, pictures = random.random(pairs) < 0.6, random.integers(0, rows, rows)
        joined = (pictures[:, None] == pictures[None, :]).astype(int)
        for a, b in zip(first[same], second[same], strict=True):
            joined[a, b] = joined[b, a] = 1
        for _ in range(rows):
            joined = np.minimum(joined @ joined, 1)
        assert linked(first, second, same, pictures).tolist() == joined.argmax(axis=1).tolist()


def test_the_hash_is_of_images_labels_and_options(tmp_path):
    images, same = tiny()
    made = create(write(tmp_path / "a.bin", images, same), folds=2)
    others = [create(tmp_path, folds=3), create(write(tmp_path / "a.bin", images[::-1], same), folds=2)]
    others += [create(write(tmp_path / "a.bin", images, same[::-1]), folds=2)]
    (tmp_path / "a.bin").rename(tmp_path / "b.bin")
    others += [create(write(tmp_path / "b.bin", images, same), folds=2)]
    assert len({protocol.hash for protocol in (made, *others)}) == 5
