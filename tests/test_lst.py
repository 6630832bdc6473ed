"""Lists of images with their labels, in MXNet's, insightface's and the plain form."""

import gzip
import pickle
import zipfile

import numpy as np
import pytest
from fuzzing import NUMBER, damaged, reads_or_refuses
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_files import picture

from bench import datasets
from bench.errors import RequestError
from bench.images import Unreadable

FAST = settings(max_examples=100)
FORMS = {
    "mxnet": ["0\t7\tAnn/0.png", "1\t7.000000\tAnn/my 1.png", "2\t12\tBob/0.png"],
    "several labels": ["0\t7\t0.25\tAnn/0.png", "1\t7\t3\tAnn/my 1.png", "2\t12\t3\tBob/0.png"],
    "insightface": ["1\tAnn/0.png\t7", "0\tAnn/my 1.png\t7\t0\t0\t9\t9", "1\tBob/0.png\t12"],
    "plain": ["Ann/0.png 7", "", "Ann/my 1.png\t7", "./Bob//0.png  12"],
}


def load(path, **options):
    return datasets.load("lst", path=str(path), **options)


@pytest.fixture
def root(tmp_path):
    for number, name in enumerate(("Ann/0", "Ann/my 1", "Bob/0", "Cy/unlisted")):
        file = tmp_path / "faces" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number)[0])
    return tmp_path / "faces"


def listed(root, lines, name="train.lst"):
    (root / name).write_text("\n".join(lines) + "\n")
    return root / name


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(root, form):
    faces = load(listed(root, FORMS[form]))
    assert faces.names == ("7/Ann/0.png", "7/Ann/my 1.png", "12/Bob/0.png") and faces.identities == ("7", "12")
    assert faces.labels.tolist() == [0, 0, 1]
    source = pickle.loads(pickle.dumps(faces.source))
    for number, image in ((2, faces.names[2]), (0, faces.names[0])):
        assert np.array_equal(next(iter(source.images([image]))), picture(number)[1])


def test_a_list_may_lie_elsewhere_and_be_packed(root, tmp_path):
    path = tmp_path / "list.lst.gz"
    path.write_bytes(gzip.compress("\n".join(f"/home/x/{line}" for line in FORMS["plain"] if line).encode()))
    faces = load(path, root=str(root), strip="/home/x/")
    assert faces.names[2] == "12/Bob/0.png"
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for file in root.rglob("*.png"):
            archive.write(file, file.relative_to(root))
    packed = load(path, root=str(tmp_path / "faces.zip"), strip="/home/x")
    assert packed.names == faces.names and packed.source.fingerprint != faces.source.fingerprint
    images = zip(packed.source.images(faces.names), faces.source.images(faces.names), strict=True)
    assert all(np.array_equal(one, other) for one, other in images)


def test_absolute_paths_below_the_root_are_found(root):
    assert load(listed(root, [f"{root}/Ann/0.png Ann"])).names == ("Ann/Ann/0.png",)


def test_a_person_may_be_the_label(root):
    faces = load(listed(root, ["Ann/0.png Ann", "Bob/0.png Bob"]))
    assert faces.identities == ("Ann", "Bob") and faces.people == {"Ann": "Ann", "Bob": "Bob"}
    assert load(root / "train.lst", exclude=f"{listed(root, ['id,drop', 'Ann,x'], 'o.csv')}:drop").identities == (
        "Bob",
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([""], r"train.lst lists no images"),
        (["Ann/0.png"], r"train.lst line 1: expected path label as in the first line, .* got 'Ann/0.png'"),
        (["0\t7\tAnn/0.png", "1\tx\tBob/0.png"], r"train.lst line 2: expected index<tab>label<tab>path"),
        (["0\t7\tAnn/0.png", "1\t7.5\tBob/0.png"], r"train.lst line 2: .*with a whole label, got '1.+7.5.+Bob/0.png'"),
        (["0\t7\tAnn/0.png", "1\t-1\tBob/0.png"], r"train.lst line 2: .*with a whole label"),
        (["0\t7\tAnn/0.png", "1\t1e400\tBob/0.png"], r"train.lst line 2: .*with a whole label"),
        (["0\t7\tAnn/0.png", "1 7 Bob/0.png"], r"train.lst line 2: expected index<tab>label<tab>path"),
        (["1\tAnn/0.png\t7", "1\tBob/0.png"], r"train.lst line 2: expected aligned<tab>path<tab>label"),
        (["Ann/0.png 1", "./Ann/0.png 2"], r"train.lst line 2: image 'Ann/0.png' stands there twice"),
        (
            ["../Ann/0.png 1"],
            r"train.lst line 1: '../Ann/0.png' does not lie below .*: give root=FOLDER, and strip=PREFIX",
        ),
        (["/etc/passwd 1"], r"train.lst line 1: '/etc/passwd' does not lie below"),
        (["Ann/0.png a/b"], r"train.lst line 1 names the identity 'a/b'"),
        (
            ["Ann/0.png 1", "Ann/9.png 1"],
            r"1 of the 2 images in .*train.lst are missing in .*, the first is 'Ann/9.png'",
        ),
    ],
)
def test_a_line_that_is_none_is_answered(root, lines, message):
    with pytest.raises(RequestError, match=message):
        load(listed(root, lines))


def test_what_is_no_list_is_answered(root):
    path = root / "train.lst"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RequestError, match="train.lst is no list: expected UTF-8 text"):
        load(path)
    with pytest.raises(RequestError, match="is no list: expected a file of lines"):
        load(root)
    (root / "x.gz").write_bytes(b"no gzip")
    with pytest.raises(RequestError, match="x.gz is no list"):
        load(root / "x.gz")


def test_the_fingerprint_follows_list_and_images(root):
    path = listed(root, FORMS["plain"])
    before = load(path).source.fingerprint
    (root / "Cy" / "unlisted.png").write_bytes(b"another")
    assert load(path).source.fingerprint == before
    (root / "Bob" / "0.png").write_bytes(picture(9)[0])
    assert load(path).source.fingerprint != before


def test_broken_images_are_unreadable_and_unknown_ones_named(root):
    path = listed(root, FORMS["plain"])
    faces = load(path)
    (root / "Ann" / "0.png").write_bytes(b"no picture")
    (root / "Bob" / "0.png").unlink()
    first, second, third = faces.source.images(faces.names)
    assert isinstance(first, Unreadable) and isinstance(second, np.ndarray) and isinstance(third, Unreadable)
    with pytest.raises(RequestError, match=r"1 of 1 images are missing in .*train.lst, the first is '12/Ann/0.png'"):
        list(faces.source.images(["12/Ann/0.png"]))


@FAST
@given(st.data())
def test_whatever_happened_to_a_list_is_read_or_refused(tmp_path_factory, data):
    root = tmp_path_factory.getbasetemp() / f"list{next(NUMBER)}"
    for name in ("Ann/0.png", "Bob/0.png"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(picture(size=3)[0])
    form = data.draw(st.sampled_from(sorted(FORMS)))
    lines = [line for line in FORMS[form] if "my" not in line]
    path = root / "train.lst"
    path.write_bytes(data.draw(damaged("\n".join(lines).encode())))
    reads_or_refuses(lambda: load(path))
