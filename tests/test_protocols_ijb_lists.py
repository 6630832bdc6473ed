"""IJB's lists: where they are found, and what is answered where they are malformed or contradict each other."""

import made_up_ijb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_lists import embed

from bench import protocols
from bench.errors import RequestError
from bench.protocols import _ijb_lists
from bench.protocols.ijb import OFFICIAL

LISTS = made_up_ijb.release()
FACES, PAIRS, SCORES = (f"ijbx_{name}.txt" for name in ("face_tid_mid", "template_pair_label", "name_5pts_score"))
PROBES, FIRST, SECOND = (f"ijbx_1N_{name}.csv" for name in ("probe_mixed", "gallery_G1", "gallery_G2"))


def make(changes=None, **options):
    return protocols.create("ijb", root={**LISTS, **(changes or {})}, **options)


def test_the_lists_are_found_in_the_folders_of_the_release(tmp_path):
    for number, place in enumerate(("meta", "IJBX/meta", ".")):
        root = tmp_path / str(number)
        (root / place).mkdir(parents=True)
        for name, text in LISTS.items():
            (root / place / name).write_text(text)
        assert protocols.create("ijb", root=root).hash == make().hash
    with pytest.raises(
        RequestError, match="no list ijbb_face_tid_mid.txt or ijbc_face_tid_mid.txt in the protocol's root"
    ):
        protocols.create("ijb", root=tmp_path / "nowhere")


def test_of_two_sets_one_must_be_named():
    both = {**LISTS, **made_up_ijb.release("y", "S")}
    with pytest.raises(RequestError, match="there are lists of IJB-X and IJB-Y: say which with set=X"):
        protocols.create("ijb", root=both)
    protocol = protocols.create("ijb", root=both, set="y")
    assert protocol.name == "ijby" and "ijby/rank1_s2" in protocol.score(embed(protocol)).metrics
    with pytest.raises(RequestError, match="set is the letter of an IJB set, B or C, got 'IJBC'"):
        protocols.create("ijb", root=both, set="IJBC")


@pytest.mark.parametrize("letter", ["b", "c"])
def test_the_official_sets_have_the_official_counts(letter):
    images = f"{OFFICIAL[letter.upper()]['images']:,}"
    count = len(LISTS[FACES].splitlines())
    with pytest.raises(
        RequestError, match=f"^IJB-{letter.upper()} has {images} images, these lists have {count}: give the whole"
    ):
        protocols.create("ijb", root=made_up_ijb.release(letter, "S" if letter == "b" else "G"))


@pytest.mark.parametrize("name", [FACES, PAIRS, SCORES, PROBES, FIRST, SECOND])
def test_a_list_that_is_not_there_is_named(name):
    lists = {key: text for key, text in LISTS.items() if key != name}
    instead = "give one_to_n=False to score the pairs alone" if name.endswith("csv") else ""
    with pytest.raises(RequestError, match=f"^no list {name} in this embedded protocol: .*{instead}$"):
        protocols.create("ijb", root=lists, set="X", weight="detector")


# --- lines ---


@pytest.mark.parametrize(
    ("name", "line", "sentence"),
    [
        (FACES, "9.jpg 1", r"ijbx_face_tid_mid.txt line \d+: expected an image and the whole numbers .*got '9.jpg 1'"),
        (
            FACES,
            "z.jpg 1 -2",
            "expected an image and the whole numbers of its template and of its medium .*got 'z.jpg 1 -2'",
        ),
        (FACES, "1.jpg 3 9", "image '1.jpg' stands twice in ijbx_face_tid_mid.txt"),
        (
            FACES,
            "z.jpg 99999 9",
            "1 templates of ijbx_face_tid_mid.txt are in no gallery and no probe list, the first is 99999",
        ),
        (PAIRS, "3 5", r"ijbx_template_pair_label.txt line \d+: expected two whole numbers .*got '3 5'"),
        (PAIRS, "3 5 0 1", "expected two whole numbers of templates and 1 .one person. or 0 .two., got '3 5 0 1'"),
        (PAIRS, "3 5 2", "expected two whole numbers .*got '3 5 2'"),
        (PAIRS, "3 x 1", "expected two whole numbers .*got '3 x 1'"),
        (PAIRS, "3 -5 1", "expected two whole numbers .*got '3 -5 1'"),
        (PAIRS, "3 5\x0b0", "expected two whole numbers .*got '3 5"),
        (PAIRS, "3 1234567890 1", "expected two whole numbers .*got '3 1234567890 1'"),
        (PAIRS, "3 3 1", r"line \d+: template 3 is compared with itself"),
        (
            PAIRS,
            "3 4 0",
            "1 templates of ijbx_template_pair_label.txt have no image in ijbx_face_tid_mid.txt, the first is 4",
        ),
        (PAIRS, "3 5 1", "1 pairs in .* with label 1 are not of one subject, the first is 3 5: the lists contradict"),
        (PAIRS, "3 100 0", "1 pairs in .* with label 0 are of one subject, the first is 3 100"),
        (
            FIRST,
            "a,5000",
            r"gallery_G1.csv line \d+: expected the whole number of a template and a subject, got 'a,5000'",
        ),
        (FIRST, "3,5001", "template 3 is of subject 5001, and was of 5000"),
        (FIRST, "100,5000", "enrols subject 5000 as template 100, who is enrolled already as template 3"),
        (SECOND, "100,5000", "gallery g2 enrols subject 5000 as template 100, who is enrolled already as template 3"),
        (SECOND, "100,5003", "template 100 is of subject 5003 in gallery g2, and of 5000 in another list"),
        (PROBES, "4,5000", "1 templates of the probes have no image in ijbx_face_tid_mid.txt, the first is 4"),
        (SCORES, "1.jpg 1", r"name_5pts_score.txt has \d+ lines, expected one for each of the \d+ images"),
    ],
)
def test_a_wrong_line_is_answered_with_its_number(name, line, sentence):
    with pytest.raises(RequestError, match=sentence):
        make({name: LISTS[name] + line + "\n"}, weight="detector" if name == SCORES else "none")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1.jpg 1 2 3 4 5 6 7 8 9 10", "line 1: expected an image, the 10 coordinates .*got '1.jpg 1 2"),
        ("1.jpg 1 2 3 4 5 6 7 8 9 10 nan", "line 1: expected an image, the 10 coordinates"),
        ("1.jpg 1 2 3 4 5 6 7 8 9 10 -1", "line 1: expected .* a detector's score from 0 on"),
        ("8.jpg 1 2 3 4 5 6 7 8 9 10 1", "line 1: expected image '1.jpg', got '8.jpg'"),
    ],
)
def test_a_wrong_line_of_detector_scores_is_answered(text, sentence):
    with pytest.raises(RequestError, match=sentence):
        make({SCORES: "\n".join([text, *LISTS[SCORES].splitlines()[1:]])}, weight="detector")


@pytest.mark.parametrize(
    ("changes", "options", "sentence"),
    [
        ({PAIRS: "\n"}, {}, "ijbx_template_pair_label.txt lists no pairs"),
        ({PAIRS: "3 5 0\n"}, {}, "0 genuine and 1 impostor pairs in ijbx_template_pair_label.txt: both are needed"),
        ({PROBES: "TEMPLATE_ID,SUBJECT_ID\n"}, {}, "ijbx_1N_probe_mixed.csv lists no templates"),
        ({PROBES: "TEMPLATE,SUBJECT_ID\n1,1\n"}, {}, "ijbx_1N_probe_mixed.csv has no column 'TEMPLATE_ID'"),
        ({FACES: ""}, {}, "ijbx_face_tid_mid.txt lists no images"),
        ({}, {"aggregation": "sum"}, "no aggregation 'sum' in ijb; there is: media_mean, image_mean"),
        ({}, {"weight": "N1D1"}, "no weight 'N1D1' in ijb; there is: none, detector, norm, norm-detector"),
        ({}, {"images": ["x.zip"]}, r"images=\[...\] needs a root that is a folder"),
    ],
)
def test_bad_lists_and_options_are_answered(changes, options, sentence):
    with pytest.raises(RequestError, match=sentence):
        make(changes, **options)


def test_a_wrong_line_far_into_a_long_list_has_its_own_number(monkeypatch):
    monkeypatch.setattr(_ijb_lists, "_CHUNK", 100)
    good = "".join(f"{n} {n + 1} {n % 2}\n" for n in range(500))
    whole, same = _ijb_lists.pairs(_ijb_lists.Found("p.txt", good))
    assert whole.tolist() == [[n, n + 1] for n in range(500)] and same.tolist() == [n % 2 == 1 for n in range(500)]
    lines = good.splitlines()
    lines[321] = "321 322 1 323"
    lines[322] = "323"  # the numbers of the two lines together would make two pairs
    with pytest.raises(RequestError, match=r"^p.txt line 322: .* got '321 322 1 323'"):
        _ijb_lists.pairs(_ijb_lists.Found("p.txt", "\n".join(lines)))


TEXT = st.text(st.sampled_from("0123456789 \n\t\r.,-ajpgTEMPLATE_ID\x0b\x00é"), max_size=60)
FUZZ = settings(deadline=None, derandomize=True, database=None, max_examples=300)


@FUZZ
@given(TEXT)
def test_any_pair_list_is_read_as_lines_say_or_refused_in_a_sentence(text):
    def literal(text):
        rows = [line.split() for line in text.split("\n") if line.strip(" \t\r")]
        return [[int(a), int(b), int(c)] for a, b, c in rows]

    try:
        sides, same = _ijb_lists.pairs(_ijb_lists.Found("p.txt", text))
    except RequestError as error:
        assert str(error).startswith("p.txt ")
        return
    assert np.column_stack([sides, same]).tolist() == literal(text)


@FUZZ
@given(TEXT, st.sampled_from(["images", "subjects", "detector_scores"]))
def test_any_other_list_is_read_or_refused_in_a_sentence(text, parser):
    given_ = (("1.jpg",),) if parser == "detector_scores" else ()
    try:
        getattr(_ijb_lists, parser)(_ijb_lists.Found("list", text), *given_)
    except RequestError as error:
        assert "list" in str(error) and "\n" not in str(error)
