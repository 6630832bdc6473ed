"""Pairs from any csv: its columns, its people, its folds; what malformed lists are answered; CFP's own lists."""

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from literal import literal_accuracy, literal_auc, literal_cosine
from made_up_lists import LISTS, csv_pairs, embed, make

from bench import protocols
from bench.errors import RequestError
from bench.protocols import pairs

HEADER = "fold,same,first,second\n"
TWO = HEADER + "1,1,A/1.jpg,A/2.jpg\n1,0,A/1.jpg,B/1.jpg\n2,1,C/1.jpg,C/2.jpg\n2,0,C/2.jpg,D/1.jpg\n"
CFP = {"first": "image1", "second": "image2"}


def create(text, **options):
    return protocols.create("pairs", root={"pairs.csv": text}, **options)


def test_pairs_equal_loops_over_their_list():
    protocol = create(csv_pairs(), label="cfp-ff", **CFP)
    rows = embed(protocol)
    row = {name: values for name, values in zip(protocol.images, rows.tolist(), strict=True)}
    table = [line.split(",") for line in csv_pairs().splitlines()[1:]]
    scores = [literal_cosine(row[first], row[second]) for _, _, first, second in table]
    same = [line[1] == "1" for line in table]
    accuracies = literal_accuracy(scores, same, [int(line[0]) for line in table])
    answer = protocol.score(rows)
    assert answer.clusters["cfp-ff/accuracy"].values == pytest.approx(accuracies, abs=1e-15)
    assert answer.metrics["cfp-ff/accuracy"] == pytest.approx(sum(accuracies) / 4, abs=1e-15)
    assert answer.metrics["cfp-ff/auc"] == literal_auc(scores, same)
    assert (
        protocol.name == "cfp-ff"
        and protocol.primary == "cfp-ff/accuracy"
        and not answer.marks.keys() - {f"cfp-ff/tar_at_far_1e-{n}" for n in (1, 2, 3)}
    )
    counts = {"pairs": 48, "genuine": 24, "impostor": 24, "people": 12, "folds": 4, "images": len(protocol.images)}
    assert counts.items() <= answer.counts.items() and answer.counts["contradicted_pairs"] == 0


def test_columns_have_any_name_and_any_order_and_the_rest_is_let_be():
    wanted = make("pairs")
    table = [line.split(",") for line in LISTS["pairs"]["pairs.csv"].splitlines()[1:]]
    lines = ["b; note,truth,part,a"] + [f"{b} , {('FALSE', 'True')[int(s)]},{f},{a}" for f, s, a, b in table]
    text = "\n".join(lines).replace("b; note", "b") + "\n"
    made = create(text, first="a", second="b", same="truth", fold="part")
    assert made.hash == wanted.hash and made.images == wanted.images
    rows = embed(wanted)
    assert made.score(rows).metrics == wanted.score(rows).metrics


def test_the_hash_is_of_the_pairs_and_of_the_options_that_count():
    hashes = [create(TWO).hash, create(TWO, label="x").hash, create(TWO, folds=4).hash, create(TWO, folds=1).hash]
    hashes += [create(TWO.replace("2,0,C/2", "2,0,C/1")).hash, create(TWO.replace("\n2,", "\n3,")).hash]
    hashes += [create(TWO, people="unknown").hash, create(TWO, convention="insightface").hash]
    assert len(set(hashes)) == len(hashes)
    assert create(TWO.replace("\n", "\r\n") + "\r\n", images=None).hash == hashes[0]


def test_folds_are_words_or_numbers_or_equal_parts_of_the_list():
    assert create(TWO.replace("\n1,", "\n10,")).pairs.folds.tolist() == [10, 10, 2, 2]
    assert create(TWO.replace("\n1,", "\nten,")).pairs.folds.tolist() == [1, 1, 0, 0]
    plain = TWO.replace("fold", "other")
    assert create(plain, folds=3).pairs.folds.tolist() == [0, 0, 1, 2]
    made = create(plain, folds=1)
    answer = made.score(embed(made))
    assert made.primary == "pairs/auc" in answer.metrics
    assert answer.undefined["pairs/accuracy"].startswith("one set of pairs leaves none to choose the threshold on")
    with pytest.raises(
        RequestError, match="pairs.csv has no column 'fold': expected a csv with the header first,second"
    ):
        create(plain)
    with pytest.raises(RequestError, match="pairs.csv has 4 pairs, too few for 5 folds"):
        create(plain, folds=5)


def test_folds_that_share_people_are_marked():
    made = create(TWO.replace("C/", "B/"))
    assert "share 1 people" in made.score(embed(made)).marks["pairs/accuracy"]


# --- people ---


def test_people_of_two_columns():
    text = "fold,same,first,second,who,whom\n1,1,1.jpg,2.jpg,A,A\n1,0,2.jpg,3.jpg,A,B\n"
    made = create(text, people=["who", "whom"])
    assert made.images == ("1.jpg", "2.jpg", "3.jpg") and made.people == ("A", "A", "B") and made.named
    for line, sentence in (
        ("1,0,2.jpg,4.jpg,B,C", "line 4: 2.jpg shows B, and A in a line before"),
        ("1,1,3.jpg,4.jpg,B,C", r"line 4: 3.jpg and 4.jpg \(people B and C\) cannot be a pair with same=1"),
        (
            "1,1,3.jpg,4.jpg,,",
            "line 4: expected first,second,same,fold,who,whom with same 0 or 1, got '3.jpg,4.jpg,1,1,,'",
        ),
    ):
        with pytest.raises(RequestError, match=f"^pairs.csv {sentence}"):
            create(f"{text}{line}\n", people=["who", "whom"])


def test_unknown_people_are_those_whom_genuine_pairs_join():
    made = create(TWO.replace("A/", "").replace("B/1", "3"), people="unknown")
    assert made.images[:2] == ("1.jpg", "2.jpg")
    text = HEADER + "1,1,a,b\n1,1,c,b\n2,1,d,e\n2,0,d,a\n"
    made = create(text, people="unknown")
    assert made.people == (*3 * ["?pairs/00000"], *2 * ["?pairs/00003"])
    answer = made.score(np.random.default_rng(0).normal(size=(5, 3)))
    assert answer.counts["people_at_most"] == 2 and "at least 2 people" not in answer.marks["pairs/accuracy"]
    assert "share at least 1 people" in answer.marks["pairs/accuracy"]
    with pytest.raises(
        RequestError, match=r"line 6: a and c \(people \?pairs/00000 and \?pairs/00000\) cannot be a pair"
    ):
        create(text + "2,0,a,c\n", people="unknown")


@pytest.mark.parametrize("people", ["folders", ["a"], ["a", "b", "c"], ["a", 3], {"a": "b"}, 3])
def test_another_answer_to_who_is_refused(people):
    with pytest.raises(RequestError, match=r"^people is folder, unknown, or two columns as \[person1, person2\], got"):
        create(TWO, people=people)


# --- malformed lists ---


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("1,1,A/1.jpg", r"line 6: expected 4 fields \(fold,same,first,second\)"),
        ("1,1,A/1.jpg,A/2.jpg,more", r"line 6: expected 4 fields \(fold,same,first,second\)"),
        (
            "1,yes,A/1.jpg,A/2.jpg",
            "line 6: expected first,second,same,fold with same 0 or 1, got 'A/1.jpg,A/2.jpg,yes,1'",
        ),
        ("1,1,A/1.jpg,", "line 6: expected first,second,same,fold"),
        (",1,A/1.jpg,A/2.jpg", "line 6: expected first,second,same,fold"),
        ("\n1,1,A/1.jpg,A/1.jpg", "line 7: A/1.jpg is compared with itself"),
        ("1,0,A/1.jpg,A/2.jpg", r"line 6: A/1.jpg and A/2.jpg \(people A and A\) cannot be a pair with same=0"),
        ("1,1,A/1.jpg,B/1.jpg", r"line 6: A/1.jpg and B/1.jpg \(people A and B\) cannot be a pair with same=1"),
        ("1,1,a\rb,c", r"line 6: expected 4 fields \(fold,same,first,second\)"),
        (f"1,1,{140_000 * 'a'},c", r"line 6: no line of a csv file \(field larger than field limit"),
    ],
)
def test_a_malformed_list_is_answered_with_its_line(line, sentence):
    with pytest.raises(RequestError, match=f"^pairs.csv {sentence}"):
        create(TWO + line + "\n")


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        (HEADER, {}, "pairs.csv lists no pairs"),
        ("", {}, "pairs.csv has no column 'first'"),
        (HEADER + "1,1,1.jpg,2.jpg\n", {}, "image '1.jpg' of pairs.csv lies in no folder: expected PERSON/.../image"),
        (TWO, {"same": "fold"}, "the columns first, second, fold, fold of pairs.csv must be different ones"),
        (TWO, {"label": "cfp@ff"}, "label is made of letters, digits, `_`, `-` and `.`, got 'cfp@ff'"),
        (TWO, {"label": 3}, "label is a word, got 3"),
        (TWO, {"first": ["a"]}, r"first is a word, got \['a'\]"),
        (TWO, {"folds": "ten"}, "folds is a whole number from 1 on, got 'ten'"),
        (TWO, {"convention": "facenet"}, "no convention 'facenet'; there is: standard, insightface"),
    ],
)
def test_a_wrong_request_is_one_sentence(text, options, sentence):
    with pytest.raises(RequestError, match=f"^{sentence}"):
        create(text, **options)


def test_a_pair_that_stands_there_twice_is_counted_twice():
    made = create(TWO + "2,0,D/1.jpg,C/2.jpg\n1,1,A/1.jpg,A/2.jpg\n")
    answer = made.score(embed(made))
    assert answer.counts["pairs"] == 6 and answer.counts["repeated_pairs"] == 2


def test_images_that_are_missing(tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        archive.writestr("lists/pairs.csv", TWO)
        for name in ("A/1.jpg", "A/2.jpg", "B/1.jpg", "C/1.jpg", "C/2.jpg"):
            archive.writestr(name, "")
    asked = {"pairs": "faces.zip/lists/pairs.csv", "images": ["faces.zip"]}
    with pytest.raises(RequestError, match="1 of the 6 images in faces.zip/lists/pairs.csv are missing in faces.zip"):
        protocols.create("pairs", root=tmp_path, **asked)
    partial = protocols.create("pairs", root=tmp_path, **asked, allow_missing=True)
    answer = partial.score(embed(partial))
    said = "partial: 1 of 6 images are missing, 1 of 4 pairs are missing"
    assert answer.counts["pairs"] == 3 and answer.marks["pairs/auc"] == said
    assert answer.marks["pairs/accuracy"].startswith(
        f"{said}; the classes are unbalanced (2 genuine and 1 impostor pairs)"
    )
    inside = protocols.create("pairs", root=tmp_path / "faces.zip", pairs="lists/pairs.csv")
    assert inside.hash == create(TWO).hash


WORDS = some.sampled_from(
    ["1", "0", "A/1.jpg", "A/2.jpg", "B/1.jpg", "", '"', "x", ",", "\r", "\n", "true", "\0", "é", " "]
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(some.lists(WORDS, max_size=12), some.booleans())
def test_any_line_is_a_protocol_or_one_sentence(words, commas):
    text = TWO + ("," if commas else "").join(words)
    try:
        assert pairs.load({"pairs.csv": text}).pairs.same.dtype == bool
    except RequestError as error:
        assert "pairs.csv" in str(error)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(some.text(max_size=120))
def test_any_text_is_a_protocol_or_one_sentence(text):
    with pytest.raises(RequestError, match="pairs.csv"):
        pairs.load({"pairs.csv": text})
