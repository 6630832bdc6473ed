"""LFW's views, its list of people, its image trees, and the "LFW accuracies" of well-known code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_conventions import literal_all_pairs, literal_insightface, literal_sphereface
from made_up_lists import PEOPLE, embed, lfw_pairs, make
from real_faces import DATA, LFW, needs_data, pixels

from bench import protocols, scorers
from bench.errors import RequestError
from bench.metrics.grid import grid_accuracy
from bench.protocols import _lfw_pairs
from bench.protocols._conventions import mean_of_best

VIEW_1 = {"pairsDevTrain.txt": lfw_pairs(1, 4), "pairsDevTest.txt": lfw_pairs(1, 4).replace("Person_0", "Person_2")}


def people(folds=10, images=4):
    """The people of `lfw_pairs`, four a set."""
    lines = [str(folds)]
    for fold in range(folds):
        lines += ["4", *(f"{name}\t{images}" for name in PEOPLE[4 * fold : 4 * fold + 4])]
    return "\n".join(lines) + "\n"


# --- views ---


def test_records_that_were_made_before_keep_their_hash():
    assert make("lfw").hash == "fad4c397a1edf5ec"
    assert make("lfw").spec.keys() == {"protocol", "version", "label", "score", "pairs", "images"}
    assert make("lfw", view=2, convention="standard").hash == make("lfw").hash


def test_view_1_by_name_is_its_two_files():
    named = protocols.create("lfw", root=VIEW_1, view=1)
    given = protocols.create("lfw", root=VIEW_1, pairs=["pairsDevTrain.txt", "pairsDevTest.txt"])
    assert named.hash == given.hash and named.primary == "lfw-view1/accuracy"
    assert named.score(embed(named)).metrics == given.score(embed(given)).metrics


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"view": 3}, r"view is 1 \(development\) or 2 \(performance reporting\), got 3"),
        ({"view": True}, "view is 1 .* got True"),
        ({"view": 1, "pairs": "pairs.txt"}, "pairs.txt has 10 folds and is not of View 1: leave `view` out"),
        ({"view": 2, "pairs": "pairsDevTest.txt"}, "pairsDevTest.txt has 1 fold and is not of View 2"),
        ({"pairs": 5}, "pairs is one file, or a train file and a test file, got 5"),
        ({"convention": "best"}, "no convention 'best' in lfw; there is: standard, sphereface, insightface, all_pairs"),
        ({"label": "a/b"}, "label is made of letters, digits, `_`, `-` and `.`, got 'a/b'"),
        ({"view": 1, "convention": "sphereface"}, "sphereface chooses its threshold on the other folds .* have none"),
    ],
)
def test_views_and_conventions_that_are_not_there(options, sentence):
    with pytest.raises(RequestError, match=sentence):
        protocols.create("lfw", root={"pairs.txt": lfw_pairs(), **VIEW_1}, **options)


# --- people.txt ---


def test_pairs_are_checked_against_the_people_beside_them(tmp_path):
    for root in ({"pairs.txt": lfw_pairs(), "people.txt": people()}, tmp_path):
        if root is tmp_path:
            (tmp_path / "pairs.txt").write_text(lfw_pairs())
            (tmp_path / "people.txt").write_text(people())
        assert protocols.create("lfw", root=root).hash == make("lfw").hash
    (tmp_path / "people.txt").write_text(people(images=2))
    with pytest.raises(
        RequestError,
        match=r"40 of the 110 images of pairs.txt are not in people.txt, the first is 'Person_00/Person_00_0003' \(it "
        r"gives Person_00 2 images\): take both files from one release, or people=false",
    ):
        protocols.create("lfw", root=tmp_path)
    assert protocols.create("lfw", root=tmp_path, people=False).hash == make("lfw").hash


def test_the_folds_are_those_of_the_people():
    mixed = people().replace("Person_00", "X").replace("Person_39", "Person_00").replace("X", "Person_39")
    root = {"pairs.txt": lfw_pairs(), "who.txt": mixed, "few.txt": people(9), **VIEW_1, "one.txt": people(1)[2:]}
    with pytest.raises(RequestError, match=r"8 sides of pairs .* of another set of who.txt, .* 'Person_00' in fold 1"):
        protocols.create("lfw", root=root, people="who.txt")
    with pytest.raises(RequestError, match="11 of the 110 images of pairs.txt are not in few.txt"):
        protocols.create("lfw", root=root, people="few.txt")
    with pytest.raises(RequestError, match="people is one file for each of the 2 files of pairs, got 'one.txt'"):
        protocols.create("lfw", root=root, view=1, people="one.txt")
    assert protocols.create("lfw", root={**root, "peopleDevTrain.txt": people(1)[2:]}, view=1).train is not None
    with pytest.raises(RequestError, match="no list of people at people.txt: name it as people=FILE"):
        protocols.create("lfw", root=root, people=True)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: expected a number of people, got ''"),
        ("2\n1\nA\t1\n", "line 4: expected a number of people"),
        ("1\n2\nA\t1\n", "ends within set 1: 2 people promised, 1 there"),
        ("1\n1\nA\t1\nB\t1\n", "line 4: expected the end of the last set"),
        ("1\n2\nA\t1\nA\t2\n", "line 4: expected a new `NAME images`, got 'A 2'"),
        ("1\n1\nA\tone\n", "line 3: expected a new `NAME images`, got 'A one'"),
    ],
)
def test_a_malformed_list_of_people_is_answered_with_its_line(text, sentence):
    with pytest.raises(RequestError, match=f"^p.txt {sentence}"):
        _lfw_pairs.parse_people(text, "p.txt")


WORDS = st.sampled_from(
    ["A", "B_c", "1", "2", "10", "0", "-1", "٣", "²", "9" * 5000, "", "\t", "\n", " ", "1\t2", "\x00"]
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(WORDS, max_size=12).map("\n".join) | st.lists(WORDS, max_size=30).map("\t".join) | st.text(max_size=60))
def test_any_text_is_a_list_or_one_sentence(text):
    for parse in (_lfw_pairs.parse, _lfw_pairs.parse_people):
        try:
            assert parse(text, "list.txt")
        except RequestError as error:
            assert str(error).startswith("list.txt")


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.integers(0, 90), st.sampled_from(["", "x", "Person_00\t1\t2", "Person_00\t1\tPerson_01\t2", "3"]))
def test_a_line_that_is_changed_makes_another_list_or_one_sentence(line, other):
    lines = lfw_pairs().splitlines()
    lines[min(line, len(lines) - 1)] = other
    try:
        assert len(_lfw_pairs.parse("\n".join(lines), "pairs.txt")) == 80
    except RequestError as error:
        assert str(error).startswith("pairs.txt")


# --- image trees ---


@pytest.mark.parametrize("tree", _lfw_pairs.TREES)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_every_form_of_the_image_tree(tmp_path, tree, suffix):
    (tmp_path / "pairs.txt").write_text(lfw_pairs())
    names = make("lfw").images
    for name in names:
        path = (tmp_path / tree / name).with_suffix(suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    wanted = tuple(name.replace(".jpg", suffix) for name in names)
    assert protocols.create("lfw", root=tmp_path).images == wanted
    for images in ([tree], ["."]):
        assert protocols.create("lfw", root=tmp_path, images=images).images == wanted
    path.unlink()
    assert protocols.create("lfw", root=tmp_path, allow_missing=True).spec["missing"][0]["count"] == 1
    with pytest.raises(RequestError, match="1 of the 110 images of the pairs are missing, the first is 'Person_39/"):
        protocols.create("lfw", root=tmp_path, images=[tree])


def test_two_trees_are_told_apart_by_name(tmp_path):
    (tmp_path / "pairs.txt").write_text(lfw_pairs())
    for name in make("lfw").images:
        for tree, suffix in (("lfw", ".jpg"), ("lfw-deepfunneled", ".png")):
            path = (tmp_path / tree / name).with_suffix(suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert protocols.create("lfw", root=tmp_path, images=["lfw-deepfunneled"]).images[0].endswith(".png")
    with pytest.raises(
        RequestError, match=r"'Person_00/Person_00_0001' is there twice, one of them as lfw.*: name one tree"
    ):
        protocols.create("lfw", root=tmp_path, images=["."])


# --- conventions ---


def parts(protocol):
    table = protocol.pairs
    return table.first, table.second, table.same, table.folds


@pytest.mark.parametrize("noise", [0.3, 0.9, 3.0])
@pytest.mark.parametrize("name", ["sphereface", "insightface"])
def test_a_convention_equals_the_loops_of_its_code(name, noise):
    literal = {"sphereface": literal_sphereface, "insightface": literal_insightface}[name]
    protocol = make("lfw", convention=name)
    rows = embed(protocol, noise=noise) + 0.5  # a mean that matters
    answer = protocol.score(rows)
    expected = literal(rows, *parts(protocol))
    assert protocol.primary == f"lfw-{name}/accuracy"
    assert answer.clusters[protocol.primary].values == pytest.approx(expected, abs=1e-15)
    assert answer.metrics == pytest.approx(
        {
            f"lfw-{name}/accuracy": np.mean(expected),
            f"lfw-{name}/accuracy_se": np.std(expected, ddof=1) / np.sqrt(10),
            f"lfw-{name}/accuracy_std": np.std(expected),
        },
        abs=1e-15,
    )


def test_the_best_threshold_on_all_pairs_is_named_and_marked_as_optimistic():
    protocol, standard = make("lfw", convention="all_pairs"), make("lfw")
    rows = embed(standard)
    answer, raw = protocol.score(rows), standard.score(rows).raw
    assert answer.metrics == {"lfw-all_pairs/accuracy": literal_all_pairs(raw["scores"].tolist(), raw["same"].tolist())}
    assert answer.metrics["lfw-all_pairs/accuracy"] >= standard.score(rows).metrics["lfw/accuracy"]
    assert answer.marks["lfw-all_pairs/accuracy"].startswith("optimistic: its threshold is chosen on the very pairs")
    assert "lfw-all_pairs/accuracy_se" in answer.undefined
    single = protocols.create("lfw", root=VIEW_1, pairs="pairsDevTest.txt", convention="all_pairs")
    assert single.name == "lfw-view1-all_pairs" and single.primary in single.score(embed(single)).metrics


def test_conventions_are_other_protocols():
    made = [make("lfw", convention=name) for name in ("standard", "sphereface", "insightface", "all_pairs")]
    assert len({protocol.hash for protocol in made}) == len({protocol.name for protocol in made}) == 4
    assert len({protocol.images for protocol in made}) == 1
    for protocol in made[1:3]:
        with pytest.raises(RequestError, match=f"{protocol.name} is defined on cosines, got the scorer l2"):
            protocol.score(embed(protocol), scorers.fit("l2"))
    assert made[3].score(embed(made[3]), scorers.fit("l2")).metrics
    rest = {
        name for name in made[1].images if not name.startswith(("Person_00", "Person_01", "Person_02", "Person_03"))
    }
    with pytest.raises(RequestError, match="sphereface chooses its threshold on the other folds"):
        made[1].without(rest)


def test_sphereface_centres_its_features_so_their_lengths_and_their_mean_matter():
    protocol, standard = make("lfw", convention="sphereface"), make("lfw")
    rows = embed(protocol, noise=2.0)
    moved = rows + 100.0
    assert protocol.score(moved).metrics == pytest.approx(protocol.score(rows).metrics, abs=1e-12)
    assert standard.score(moved).metrics != pytest.approx(standard.score(rows).metrics, abs=1e-3)


def test_ties_at_a_threshold_are_as_in_the_code_they_come_from():
    scores, same = np.array([0.2, 0.4, 0.4, 0.6]), np.array([False, True, False, True])
    # right decisions: 3 for each k / 10000 in [.2001, .3999] (the two at .4 and above accepted) and [.4001, .5999]
    assert mean_of_best(scores, same) == pytest.approx(0.4, abs=1e-15)
    cosines = 1 - np.array([0.5, 1.0, 1.0, 2.0] * 2) / 2  # of distances .5, 1, 1, 2; two folds of the same pairs
    found = grid_accuracy(cosines, np.tile(~same, 2), np.repeat([0, 1], 4))
    assert found.thresholds.tolist() == [np.arange(0, 4, 0.01)[51]] * 2, "the first that accepts the pair at .5"


# --- the real lists ---


@needs_data
def test_the_real_lists_fit_together():
    files = {2: "protocols/lfw_pairs.txt", 1: ["protocols/lfw_pairsDevTrain.txt", "protocols/lfw_pairsDevTest.txt"]}
    named = {2: "protocols/lfw_people.txt", 1: ["protocols/lfw_peopleDevTrain.txt", "protocols/lfw_peopleDevTest.txt"]}
    for view in (1, 2):
        by_itself = protocols.create("lfw", root=DATA, pairs=files[view], view=view)
        assert protocols.create("lfw", root=DATA, pairs=files[view], people=named[view]).hash == by_itself.hash
    sets = _lfw_pairs.parse_people((DATA / named[2]).read_text(), "people.txt")
    assert [len(group) for group in sets] == [601, 555, 552, 560, 567, 527, 597, 601, 580, 609]
    assert sum(sum(group.values()) for group in sets) == 13_233
    with pytest.raises(RequestError, match=r"are not in protocols/lfw_peopleDevTest.txt, the first is"):
        protocols.create("lfw", root=DATA, pairs="protocols/lfw_pairsDevTrain.txt", people=named[1][1])


@pytest.mark.slow
@needs_data
def test_the_several_accuracies_of_the_same_embeddings():
    made = {}
    for name in ("standard", "sphereface", "insightface", "all_pairs"):
        protocol = protocols.create("lfw", root=DATA, pairs="protocols/lfw_pairs.txt", images=LFW[:1], convention=name)
        answer = protocol.score(pixels(protocol.images))
        assert answer.counts["pairs"] == 6_000 and answer.counts["images"] == 7_701
        made[name] = answer.metrics[protocol.primary]
    assert all(0.65 < value < 0.72 for value in made.values()), "above chance, below 1"
    assert len(set(made.values())) == 4 and max(made, key=made.get) == "all_pairs"
    rows = pixels(protocol.images).astype(np.float64)
    assert made["insightface"] == pytest.approx(np.mean(literal_insightface(rows, *parts(protocol))), abs=1e-12)
    view_1 = ["protocols/lfw_pairsDevTrain.txt", "protocols/lfw_pairsDevTest.txt"]
    shown = protocols.create("lfw", root=DATA, pairs=view_1, images=LFW, view=1)
    answer = shown.score(pixels(shown.images))
    assert (answer.counts["pairs"], len(shown.train.same)) == (1_000, 2_200)
    assert 0.6 < answer.metrics["lfw-view1/accuracy"] < 0.75 and "lfw-view1/accuracy" in answer.metrics
