"""The devkit's lists of images: every form is read, every damage is a sentence, and no file fills the memory."""

import gzip
import json
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.errors import RequestError
from bench.protocols import _devkit_lists, _flat_json, _lists, _noise

DATA = Path(os.environ.get("FACEBENCH_DATA") or Path(__file__).parents[1] / "../shared/data").resolve()
real = pytest.mark.skipif(
    not (DATA / "protocols/facescrub_face_info.txt.gz").exists(), reason=f"no real lists at {DATA}: set FACEBENCH_DATA"
)
PATHS = ["Adam Brody/Adam Brody_260.png", "Adam Brody/Adam Brody_261.png", "Zo\u00eb Bell/Zo\u00eb Bell_7.png"]
POINTS = ",".join(["7", "8.5"] * 106)


def listing(text, file="list.json"):
    return _devkit_lists.listing({file: text}, file)


# --- forms ---


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("ids", [["Adam Brody", "Adam Brody", "Zo\u00eb Bell"], [1, 1, 2], None])
def test_a_features_list_names_images_and_people(indent, ids):
    columns = {"path": PATHS} | ({} if ids is None else {"id": ids, "index": [0, 1, 2]})
    for order in (columns, dict(reversed(columns.items()))):
        found = listing(json.dumps(order, indent=indent))
        assert found.names == tuple(PATHS) and found.people == ("Adam Brody", "Adam Brody", "Zo\u00eb Bell")


def test_ids_name_the_people_where_folders_do_not():
    found = listing(
        json.dumps({"path": ["images/001A02.JPG", "images/001A05.JPG", "images/002A03.JPG"], "id": [1, 1, 2]})
    )
    assert found.people == ("1", "1", "2")
    assert listing(json.dumps({"path": ["001A02.JPG", "002A05.JPG"], "id": ["1", "2"]})).people == ("1", "2")
    flickr = listing(json.dumps({"path": ["901/9019583@N08/8032652775_0.jpg", "901/9019583@N08/1_0.jpg"]}))
    assert flickr.people == ("901/9019583@N08",) * 2


def test_a_list_with_boxes_and_points_names_its_images():
    text = f"A/A_1.jpg 1,2,3,4 {POINTS}\nB/B_2.jpg 1.5,2,3,4 {POINTS}\n"
    assert listing(text).names == ("A/A_1.jpg", "B/B_2.jpg") and listing(text).people == ("A", "B")
    with pytest.raises(RequestError, match=r"list.json line 2: expected `path x0,y0,x1,y1` and 106 points"):
        listing(text.replace("B/B_2.jpg 1.5,2,3,4", "B/B_2.jpg 1.5,2,3"))
    with pytest.raises(RequestError, match="line 2"):
        listing(text.replace(f"4 {POINTS}\nB", f"4 {POINTS}\nB/B_3.jpg\nB"))


def test_five_points_of_each_image_name_its_images():
    text = json.dumps({"Adam Brody_260": [1.5] * 10, "Zo\u00eb B_ell_7": [1] * 10})
    assert listing(text).names == ("Adam Brody/Adam Brody_260", "Zo\u00eb B_ell/Zo\u00eb B_ell_7")
    assert listing(text).people == ("Adam Brody", "Zo\u00eb B_ell")
    for bad in ({"A_1": [1] * 9}, {"A_1": ["x"] * 10}, {"A": [1] * 10}, {"../A_1": [1] * 10}, {}):
        with pytest.raises(RequestError, match=r"expected the lists `path` and `id`|lists no images"):
            listing(json.dumps(bad))


def test_lists_lie_in_folders_archives_and_packed(tmp_path):
    text = json.dumps({"path": PATHS})
    (tmp_path / "templatelists").mkdir()
    (tmp_path / "templatelists" / "a.json").write_text(text)
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(text.encode()))
    with zipfile.ZipFile(tmp_path / "devkit.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("devkit/templatelists/c.json", text)
        archive.writestr("d.json.gz", gzip.compress(text.encode()))
    with tarfile.open(tmp_path / "devkit.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "templatelists" / "a.json", "devkit/templatelists/e.json")
    for root, name in [
        (tmp_path, "a.json"),
        (tmp_path, "b.json.gz"),
        (tmp_path / "devkit.zip", "c.json"),
        (tmp_path / "devkit.zip", "d.json.gz"),
        (tmp_path / "devkit.tar.gz", "e.json"),
    ]:
        place = _devkit_lists.find(root, name)
        assert place and _devkit_lists.listing(root, place).names == tuple(PATHS), name
    assert (
        _devkit_lists.find(tmp_path, "none.json") is None and _devkit_lists.find(tmp_path / "devkit.zip", "z") is None
    )


# --- sizes ---


def test_a_json_of_40_gb_is_refused_unread(tmp_path):
    with (tmp_path / "big.json").open("wb") as file:
        file.write(b'{"path": ["')
        file.truncate(40 << 30)
    with pytest.raises(
        RequestError, match=r"big.json holds 42,949,672,960 bytes: a list of a million images has under"
    ):
        _devkit_lists.listing(tmp_path, "big.json")


def test_a_packed_list_is_refused_when_it_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(_devkit_lists, "LARGEST", 3 << 20)
    bomb = gzip.compress(b'{"path": [' + b" " * (4 << 20))
    (tmp_path / "bomb.json.gz").write_bytes(bomb)
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.json", b" " * (4 << 20))
        archive.writestr("bomb.json.gz", bomb)
    for root, name in [
        (tmp_path, "bomb.json.gz"),
        (tmp_path / "z.zip", "bomb.json"),
        (tmp_path / "z.zip", "bomb.json.gz"),
    ]:
        with pytest.raises(RequestError, match=r"holds (more than )?4,194,\d+ bytes: a list of a million images"):
            _devkit_lists.listing(root, name)
    (tmp_path / "cut.json.gz").write_bytes(bomb[:-20])
    with pytest.raises(RequestError, match="cut.json.gz is no list"):
        _devkit_lists.listing(tmp_path, "cut.json.gz")


def test_more_entries_than_a_list_can_have_are_refused(monkeypatch):
    monkeypatch.setattr(_flat_json, "MOST", 5)
    assert _flat_json.read('{"a": [1, 2, 3], "b": [4, 5]}', "x") == {"a": [1, 2, 3], "b": [4, 5]}
    for text in ('{"a": [1, 2, 3, 4, 5, 6]}', '{"a": [1, 2, 3], "b": [4, 5, 6]}'):
        with pytest.raises(RequestError, match="x lists more than 5 things: it is no list of images"):
            _flat_json.read(text, "x")


# --- damage ---


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"path": ["a/1.jpg", "a/2.jpg"', r"list.json line 1: expected a json object of flat lists"),
        (
            '{"path": ["a/1.jpg",\n "a/2.jpg"\n "id"]}',
            r"line 2: expected a json object .* got '\"a/2.jpg\"\\n \"id\"\]}'",
        ),
        ('{"path": [["a/1.jpg"]]}', "expected a json object of flat lists"),
        ('{"path": {"a": 1}}', "expected a json object of flat lists"),
        ('{"path": ["a/1.jpg"]} more', "expected a json object of flat lists"),
        ('{"path": ["a/1.jpg"], "path": ["b/1.jpg"]}', "has two lists 'path'"),
        ('{"path": ["a/1.jpg", "a/1.jpg"]}', "'a/1.jpg' stands twice"),
        ('{"path": []}', "lists no images"),
        ('{"path": [7]}', "'7' is no relative path"),
        ('{"path": ["/etc/passwd"]}', "'/etc/passwd' is no relative path"),
        ('{"path": ["a/../../x.jpg"]}', "'a/../../x.jpg' is no relative path"),
        ('{"path": ["a/\\u0000.jpg"]}', r"'a/\\x00.jpg' is no relative path"),
        ('{"path": ["a/\\ud800.jpg"]}', r"'a/\\ud800.jpg' is no relative path"),
        ('{"path": ["a/\\q.jpg"]}', "is no string of json"),
        ('{"path": ["a/1.jpg"], "id": [1, 2]}', "has 1 paths and 2 ids"),
        ('{"path": ["a/1.jpg", "a/2.jpg"], "id": ["", "x"]}', "list.json: '' is no id of a person"),
        ('{"path": ["a/1.jpg"], "id": ["\\ud800"]}', r"'\\ud800' is no id of a person"),
        ("{}", "lists no images"),
        ("[" * 100_000, "expected a json object of flat lists"),
        ('{"a":' + "[" * 100_000, "expected a json object of flat lists"),
    ],
)
def test_a_damaged_list_is_answered(text, sentence):
    with pytest.raises(RequestError, match=sentence):
        listing(text)


def test_a_list_of_another_length_than_its_name_says_is_refused():
    lists = {"d.json_3_1": json.dumps({"path": PATHS}), "d.json_2_1": json.dumps({"path": PATHS})}
    assert list(_devkit_lists.galleries(lists, "d.json", [3], (1,))[1]) == [3]
    with pytest.raises(RequestError, match="d.json_2_1 lists 3 images: its name says 2"):
        _devkit_lists.galleries(lists, "d.json", [2, 3], (1,))


VALUES = st.one_of(
    st.text(max_size=8), st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False)
)


@given(
    st.dictionaries(st.text(max_size=5), st.lists(VALUES, max_size=6), max_size=4),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_flat_lists_are_read_as_json_reads_them(columns, indent, ascii_only):
    assert _flat_json.read(json.dumps(columns, indent=indent, ensure_ascii=ascii_only), "x") == columns


@settings(max_examples=300)
@given(st.text(st.sampled_from('{}[]",:\\/ \n\t-+.eE019aun\u00a0\u0663'), max_size=30))
@example('"a":[007]}')
@example('"a":[1.]}')
@example('"a":[\u0663]}')
@example('\u00a0"a":[1]}')
def test_what_is_read_is_json(tail):
    text = "{" + tail
    try:
        found = _flat_json.read(text, "x")
    except RequestError:
        return
    assert found == json.loads(text)


@settings(max_examples=200)
@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(
                [
                    "{",
                    "}",
                    '"path"',
                    ":",
                    "[",
                    "]",
                    ",",
                    '"a/b"',
                    '"id"',
                    '"\\ud800"',
                    "1",
                    "a/b 1,2,3,4 " + POINTS,
                    "\n",
                ]
            ),
            max_size=14,
        ).map("".join),
    )
)
def test_any_text_is_a_list_or_a_sentence(text):
    try:
        found = listing(text)
    except RequestError as error:
        assert "list.json" in str(error) or "json" in str(error)
    else:
        assert found.names and len(found.names) == len(found.people) == len(set(found.names))
        assert len(_lists.sha256(found.names) + _lists.sha256(found.people)) == 128


# --- noise lists ---


def test_noisy_images_are_told_by_file_name_or_by_path():
    images = [
        "Adam_Brody/Adam_Brody_260.jpg",
        "Adam Brody/Adam Brody_261.png",
        "Zoe/Zoe_1.png",
        "901/90@N08/8_0.jpg",
        "902/90@N08/8_0.jpg",
    ]
    lines = (
        "# a remark\nAdam_Brody_260.png\nAdam Brody_261.png\n",
        "12\t901/90@N08/8_0.jpg\nother/901/90@N08/9_0.jpg\n",
    )
    noise = _noise.of("exclusion", lines, images, 3)
    assert noise.probes.tolist() == [True, True, False] and noise.distractors.tolist() == [True, False]
    assert noise.searched.tolist() == [2]
    assert _noise.of("insightface", lines, images, 3).searched.tolist() == [0, 1, 2]
    assert not _noise.of("exclusion", ("# nothing\n", ""), images, 3).probes.any(), (
        "the empty lists of insightface's pack"
    )


@given(st.text(max_size=40), st.text(max_size=40))
@example("a\t", "\t\t")
def test_any_text_is_a_noise_list(first, second):
    images = ["A/A_1.png", "A/A_2.png", "b/c/d.jpg"]
    try:
        noise = _noise.of("exclusion", (first, second), images, 2)
    except RequestError as error:
        assert "refined figures would be the raw ones" in str(error)
    else:
        assert noise.probes.shape == (2,) and noise.distractors.shape == (1,)


# --- the real lists ---


@real
def test_the_facescrub_lists_have_3530_images_of_80_people():
    boxes = _devkit_lists.listing(DATA, "protocols/facescrub_face_info.txt.gz")
    points = _devkit_lists.listing(DATA, "protocols/facescrub_80_landmark5.json.gz")
    for found in (boxes, points):
        assert (len(found.names), len(set(found.people))) == (3_530, 80)
        each = [found.people.count(person) for person in set(found.people)]
        assert (min(each), max(each)) == (27, 50)
    assert boxes.names[0] == "Daniel_Radcliffe/Daniel_Radcliffe_14684.jpg"
    plain = [{"/".join(_noise._plain(name)) for name in found.names} for found in (boxes, points)]
    assert plain[0] == plain[1], "the two lists name the same images"


@given(st.text(st.sampled_from("ab./\u00a0\n\ud800 \x7f"), max_size=6))
def test_the_quick_look_at_a_name_misses_nothing(name):
    assert _devkit_lists._is_bad(name) == (_devkit_lists._BAD.search(name) is not None)
