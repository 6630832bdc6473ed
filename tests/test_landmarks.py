"""Files of landmarks: each form as it is passed on, each wrong line, and text of any kind."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import landmarks
from bench.alignment import TEMPLATE
from bench.errors import RequestError

DATA = Path(os.environ.get("FACEBENCH_DATA") or Path(__file__).parents[1] / "../shared/data").resolve() / "protocols"
NAMES = ("Ann/1.jpg", "Ann/2.jpg", "Bob/1.jpg")
POINTS = np.stack([TEMPLATE * 2 + (7, 3), TEMPLATE * 1.5, TEMPLATE * 3 + (20, 40)]).round(2)
PLAIN = "path,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5"
CELEBA = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"


def rows(between, order="xyxy", extra=""):
    for name, points in zip(NAMES, POINTS, strict=True):
        numbers = points.ravel() if order == "xyxy" else points.T.ravel()
        yield between.join([name, *([extra] if extra else []), *map(str, numbers)])


def lst():
    for name, points in zip(NAMES, POINTS, strict=True):
        yield "\t".join(["0", name, "17", "1", "2", "3", "4", *map(str, points.T.ravel())])


def lines(*parts):
    return "\n".join(parts) + "\n"


GOOD = {
    "a.csv": (lines(PLAIN, *rows(",")), "csv", "xyxy"),
    "b.csv": (lines("image_id," + CELEBA.replace(" ", ","), *rows(", ")), "csv", "xyxy"),
    "list_landmarks_align_celeba.txt": (lines("3", CELEBA, *rows("   ")), "celeba", "xyxy"),
    "lfw_landmark.txt": (lines(*rows("\t")), "text", "xyxy"),
    "casia_landmark.txt": (lines(*rows("\t", extra="7")), "text", "xyxy"),
    "mtcnn.txt": (lines(*rows(" ", "xxyy")), "text", "xxyy"),
    "train.lst": (lines(*lst()), "lst", "xxyy"),
    "a.json": (json.dumps({n: p.ravel().tolist() for n, p in zip(NAMES, POINTS, strict=True)}), "json", "xyxy"),
    "b.json": (json.dumps({n: p.T.ravel().tolist() for n, p in zip(NAMES, POINTS, strict=True)}), "json", "xxyy"),
    "c.json": (json.dumps({n: p.tolist() for n, p in zip(NAMES, POINTS, strict=True)}), "json", "xyxy"),
}


def read(tmp_path, name, text, order=None):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return landmarks.read(path, order)


@pytest.mark.parametrize("name", GOOD)
def test_every_form_gives_the_same_points(tmp_path, name):
    text, form, order = GOOD[name]
    for end in (text, text.replace("\n", "\r\n"), "\ufeff" + text, text + "\n\n"):
        found = read(tmp_path, name, end)
        assert (found.names, found.form, found.order) == (NAMES, form, order)
        np.testing.assert_array_equal(found.points, POINTS)
    assert read(tmp_path, name + ".gz", gzip.compress(text.encode())).names == NAMES


def test_csv_columns_are_found_by_name_and_others_ignored(tmp_path):
    text = "who,y1,x1,x2,y2,x3,y3,x4,y4,x5,y5,path\nAnn,2,1,3,4,5,6,7,8,9,10,a.png\n"
    found = read(tmp_path, "a.csv", text)
    assert found.names == ("a.png",) and found.points[0].ravel().tolist() == list(range(1, 11))


def test_a_path_may_hold_spaces_between_tabs(tmp_path):
    assert read(tmp_path, "a.txt", "A B/c d.jpg\t" + "\t".join(map(str, TEMPLATE.ravel()))).names == ("A B/c d.jpg",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "expected a csv with the header path,x1"),
        ("a.csv", "path,x1\na,1\n", "expected a csv with the header path,x1"),
        ("a.csv", PLAIN + ",x1\n", "expected a csv with the header"),
        ("a.csv", lines(PLAIN, "a.jpg,1,2,3"), r"a.csv line 2: expected 11 fields as the header has, got 4"),
        ("a.csv", lines(PLAIN, "a.jpg" + ",1" * 9 + ",x"), r"a.csv line 2: expected a finite number, got 'x'"),
        ("a.csv", lines(PLAIN, "a.jpg" + ",1" * 9 + ",nan"), r"line 2: expected a finite number, got 'nan'"),
        ("a.csv", lines(PLAIN, "a.jpg" + ",1" * 9 + ",1_0"), r"line 2: expected a finite number, got '1_0'"),
        ("a.csv", lines(PLAIN, "," + ",".join("1" * 10)), r"line 2: the name of the image is empty"),
        ("a.csv", lines(PLAIN, 'a"b,' + '"x'), "is no csv file|expected 11 fields"),
        ("a.csv", lines(PLAIN), "holds no landmarks"),
        ("a.csv", lines(PLAIN, *rows(","), next(rows(","))), r"line 5: image 'Ann/1.jpg' stands in .*line 2 already"),
        ("a.txt", "", "holds no landmarks"),
        (
            "a.txt",
            lines("2", CELEBA, *rows(" ")),
            "line 1: expected the number of images, 3 as many as follow, got '2'",
        ),
        ("a.txt", lines("1", CELEBA, "a.jpg 1 2"), "line 3: expected a name and ten numbers, got 3 fields"),
        ("a.txt", lines(*rows(" "), "a.jpg 1 2 3"), "line 4: expected a path, perhaps a whole label, and ten numbers"),
        ("a.txt", "a b.jpg" + " 1" * 10, "line 1: expected a path, perhaps a whole label, and ten numbers"),
        ("a.lst", lines(*lst(), "1\ta.jpg\t3"), "line 4: expected 17 fields between tabs"),
        ("a.json", "{", "is no json"),
        ("a.json", "[1, 2]", "expected one object, name -> ten numbers"),
        ("a.json", "3", "expected one object"),
        ("a.json", "[" * 100_000, "is no json"),
        ("a.json", '{"a": [1, 2]}', "entry 'a': expected ten numbers or five pairs of them"),
        ("a.json", '{"a": [1,2,3,4,5,6,7,8,9,true]}', "entry 'a': expected a finite number, got True"),
        ("a.json", '{"a": [1,2,3,4,5,6,7,8,9,1e999]}', "entry 'a': expected a finite number, got inf"),
        ("a.json", '{"a": [1,2,3,4,5,6,7,8,9,%s]}' % ("9" * 400), "entry 'a': expected a finite number"),
        ("a.json", '{"a": %s, "a": %s}' % ((list(range(10)),) * 2), "'a' stands in .* already"),
        ("a.json.gz", b"\x1f\x8b no gzip", "is no list of landmarks"),
        ("a.csv", b"\xff\xfe\x00", "is no list of landmarks: expected UTF-8 text"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, name, text, message):
    with pytest.raises(RequestError, match=message):
        read(tmp_path, name, text)


def test_a_file_that_is_missing_or_too_large_is_said(tmp_path, monkeypatch):
    with pytest.raises(RequestError, match="no file of landmarks at"):
        landmarks.read(tmp_path / "none.csv")
    monkeypatch.setattr(landmarks, "LIMIT", 100)
    for name, text in (("a.txt", b" " * 101), ("a.txt.gz", gzip.compress(b" " * 101))):
        with pytest.raises(RequestError, match="holds more than 100 bytes of text"):
            read(tmp_path, name, text)


def test_an_order_is_taken_at_its_word_and_refused_where_the_file_says_another(tmp_path):
    text = GOOD["lfw_landmark.txt"][0]
    assert read(tmp_path, "a.txt", text, "xxyy").points[0, 0].tolist() == [POINTS[0, 0, 0], POINTS[0, 2, 1]]
    with pytest.raises(RequestError, match="is a csv file, whose order is xyxy"):
        read(tmp_path, "a.csv", GOOD["a.csv"][0], "xxyy")
    with pytest.raises(RequestError, match="order of landmarks is xyxy or xxyy, got 'yx'"):
        read(tmp_path, "a.txt", text, "yx")


def test_an_unclear_order_is_asked_for(tmp_path):
    random = np.random.default_rng(0)
    text = lines(*(f"{name}.jpg " + " ".join(map(str, random.normal(size=10))) for name in range(40)))
    with pytest.raises(RequestError, match=r"is not clear \(\d+% of the entries .*give the order, xyxy or xxyy"):
        read(tmp_path, "a.txt", text)
    assert read(tmp_path, "a.txt", text, "xyxy").order == "xyxy"


def made(*names):
    return landmarks.Landmarks(names, np.zeros((len(names), 5, 2)), "text", "xyxy")


def test_entries_are_matched_by_path_by_its_end_and_without_the_suffix():
    images = ["lfw/Ann/1.jpg", "lfw/Ann/2.jpg", "lfw/Bob/1.jpg", "lfw/Cy/9.jpg"]
    found = landmarks.match(made("Bob/1.jpg", "2", "./lfw/Ann/1.jpg", "elsewhere.jpg"), images)
    assert found == {"lfw/Ann/1.jpg": 2, "lfw/Ann/2.jpg": 1, "lfw/Bob/1.jpg": 0}
    assert landmarks.match(made("a/1.jpg", "1.jpg"), ["a/1.jpg"]) == {"a/1.jpg": 0}, "the longest"
    with pytest.raises(RequestError, match="'1.jpg' could be those of 'lfw/Ann/1.jpg' and of 'lfw/Bob/1.jpg'"):
        landmarks.match(made("1.jpg"), images)
    with pytest.raises(RequestError, match="none of the 2 landmarks belongs to one of the 4 images: .* 'x.jpg'"):
        landmarks.match(made("x.jpg", "y.jpg"), images)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(["a.csv", "a.json", "a.txt"]),
    head=st.sampled_from(["", PLAIN + "\n", "2\n" + CELEBA + "\n", '{"a": ']),
    text=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.lists(
            st.sampled_from(["a.jpg", "1", "-2.5", "\t", " ", ",", "\n", "[", "]", '"', "{", "}", ":", "nan", "\0"])
        ).map(lambda parts: "".join(parts).encode()),
    ),
)
def test_any_text_is_read_or_refused_in_one_sentence(tmp_path_factory, name, head, text):
    try:
        found = read(tmp_path_factory.mktemp("any"), name, head.encode() + text)
    except RequestError as error:
        assert str(error)
    else:
        assert found.points.shape == (len(found.names), 5, 2) and np.isfinite(found.points).all()
        assert len(set(found.names)) == len(found.names) > 0


numbers = st.floats(-1e6, 1e6, allow_nan=False)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.lists(numbers, min_size=10, max_size=10), min_size=1, max_size=8), st.sampled_from("\t |,"))
def test_what_is_written_is_read(tmp_path_factory, table, between):
    folder = tmp_path_factory.mktemp("any")
    if between == ",":
        text = lines(PLAIN, *(f"{place}.jpg," + ",".join(map(repr, row)) for place, row in enumerate(table)))
        found = read(folder, "a.csv", text)
    elif between == "|":
        found = read(folder, "a.json", json.dumps({f"{place}.jpg": row for place, row in enumerate(table)}), "xyxy")
    else:
        text = lines(*(between.join([f"{place}.jpg", *map(repr, row)]) for place, row in enumerate(table)))
        found = read(folder, "a.txt", text, "xyxy")
    np.testing.assert_array_equal(found.points.reshape(-1, 10), np.array(table))


@pytest.mark.skipif(
    not DATA.exists(), reason=f"no real lists at {DATA}: set FACEBENCH_DATA to the folder that holds protocols/"
)
def test_the_two_lists_of_facescrub_stand_in_different_orders():
    found = landmarks.read(DATA / "facescrub_80_landmark5.json.gz")
    assert (len(found.names), found.form, found.order) == (3_530, "json", "xxyy")
    few = landmarks.read(DATA / "facescrub_landmark.json")
    assert (len(few.names), few.order) == (31, "xyxy")
    for one in (found, few):
        left, right, nose, mouth = (one.points[:, place] for place in range(4))
        assert (left[:, 0] < right[:, 0]).all() and (nose[:, 1] < mouth[:, 1]).mean() > 0.99
