"""Hugging Face `datasets` on the disk: parquet shards and the arrow files of save_to_disk."""

import io
import pickle
import struct

import numpy as np
import pyarrow as pa
import pytest
from fuzzing import NUMBER, damaged, reads_or_refuses
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_files import picture, table, write_arrow
from pyarrow import parquet

from bench import datasets
from bench.errors import RequestError
from bench.images import Unreadable

FAST = settings(max_examples=100)
LABELS = [0, 0, 1, 1, 2, 0, 1]
NAMES = ["Ann", "Bob", "Cy Dee"]


def load(path, **options):
    return datasets.load("parquet", path=str(path), **options)


def write(path, made, rows=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    (write_arrow if path.suffix == ".arrow" else write_parquet)(path, made, rows)
    return path


def write_parquet(path, made, rows):
    parquet.write_table(made, path, row_group_size=rows)


def row(name):
    return int(name.split("/")[-1].removesuffix(".jpg"))


@pytest.fixture(params=["parquet", "arrow"], scope="session")
def kind(request):
    return request.param


def test_a_table_of_pictures_is_read(tmp_path, kind):
    faces = load(write(tmp_path / f"faces.{kind}", table(LABELS, names=NAMES)))
    assert faces.identities == ("Ann", "Bob", "Cy Dee") == tuple(faces.people) and faces.labels.tolist() == LABELS
    assert faces.names[:3] == ("Ann/faces/0.jpg", "Ann/faces/1.jpg", "Bob/faces/2.jpg")
    images = faces.source.images(faces.names)
    assert all(np.array_equal(image, picture(number, 6)[1]) for number, image in enumerate(images))


def test_any_order_gives_the_same_pictures(tmp_path, kind):
    """Back and forth, over row groups, the same one twice; and in another process."""
    faces = load(write(tmp_path / f"faces.{kind}", table(LABELS)))
    source = pickle.loads(pickle.dumps(faces.source))
    names = [faces.names[n] for n in (6, 0, 2, 2, 5, 3, 4, 1, 0)]
    for name, image in zip(names, source.images(names), strict=True):
        assert np.array_equal(image, picture(row(name), 6)[1])


def test_many_rows_of_a_group_are_decoded_batch_by_batch(tmp_path, monkeypatch):
    """No more than 64 pictures at once, however large the row group; one way through the file for all of them."""
    from bench.datasets import _tables

    made = []
    real = _tables._bytes
    monkeypatch.setattr(_tables, "_bytes", lambda array: made.append(len(array)) or real(array))
    faces = load(write(tmp_path / "faces.parquet", table([k % 5 for k in range(150)], 2), rows=1000))
    assert len(list(faces.source.images(faces.names))) == 150 and made == [64, 64, 22]


def test_splits_lie_as_the_hub_and_as_save_to_disk_lay_them(tmp_path, kind):
    made = table(LABELS, names=NAMES)
    if kind == "parquet":
        places = ["data/train-00000-of-00002", "data/train-00001-of-00002", "data/test-00000-of-00001"]
    else:
        places = [
            "train/data-00000-of-00002",
            "train/data-00001-of-00002",
            "test/data-00000-of-00001",
            "train/cache-1f",
        ]
    for place in places:
        write(tmp_path / f"{place}.{kind}", made)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert len(load(tmp_path).names) == 3 * 7 and len(load(tmp_path, split="test").names) == 7
    faces = load(tmp_path, split="train")
    assert len(set(faces.names)) == 14 and {name.split("/", 1)[1].rpartition("/")[0] for name in faces.names} == set(
        places[:2]
    )
    assert [row(name) for name in faces.names] == [*range(7), *range(7)]
    for name, image in zip(faces.names, faces.source.images(faces.names), strict=True):
        assert np.array_equal(image, picture(row(name), 6)[1])
    with pytest.raises(RequestError, match=r"no .parquet or .arrow file of split 'dev' in .*; it has: "):
        load(tmp_path, split="dev")


def test_columns_are_found_or_asked_for(tmp_path):
    made = table(LABELS).append_column("who", [[f"n{label}" for label in LABELS]])
    path = write(tmp_path / "a.parquet", made)
    assert load(path).identities == ("0", "1", "2") and load(path, label="who").identities == ("n0", "n1", "n2")
    assert load(path, label="who").source.fingerprint != load(path).source.fingerprint
    one = write(tmp_path / "b.parquet", table(LABELS, column="jpg").rename_columns(["jpg", "person", "score"]))
    assert load(one).identities == ("0", "1", "2")
    bare = pa.table({"png": [picture(n, 6)[0] for n in range(2)], "who": pa.array(["x", "y"]).dictionary_encode()})
    faces = load(write(tmp_path / "c.parquet", bare))
    assert faces.identities == ("x", "y")
    assert np.array_equal(list(faces.source.images(faces.names))[1], picture(1, 6)[1])
    two = made.rename_columns(["image", "id", "score", "who"])
    with pytest.raises(
        RequestError, match=r"has 2 columns that could be it: give label=COLUMN; its columns are: image .*, id"
    ):
        load(write(tmp_path / "d.parquet", two))
    with pytest.raises(RequestError, match=r"has no column 'score' of that kind: give label=COLUMN"):
        load(path, label="score")
    with pytest.raises(RequestError, match=r"has 0 columns that could be it: give image=COLUMN"):
        load(write(tmp_path / "e.parquet", made.drop_columns("image")))


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        ([0, None], None, r"row 1 of .* has no label \(None\): choose the split that has"),
        ([0, -1], NAMES, r"row 1 of .* has no label \(-1\)"),
        ([0, 3], NAMES, r"row 1 of .* has the label 3, and the data set names 3 classes"),
        (["Ann", "a/b"], None, r"row 1 of .* names the identity 'a/b': expected a number or a word without slashes"),
        (["Ann", ".."], None, r"names the identity '\.\.'"),
        (["Ann", ""], None, r"names the identity ''"),
        (["Ann", "a\nb"], None, r"names the identity 'a\\nb'"),
    ],
)
def test_a_label_that_is_none_is_answered(tmp_path, kind, labels, names, message):
    with pytest.raises(RequestError, match=message):
        load(write(tmp_path / f"a.{kind}", table(labels, names=names)))


def test_rows_without_a_picture_are_unreadable(tmp_path, kind):
    faces = load(write(tmp_path / f"a.{kind}", table([0, 1], paths=True)))
    assert [bad.reason for bad in faces.source.images(faces.names)] == [
        "the row holds no bytes of a picture (a path alone is not followed)"
    ] * 2


def test_an_image_that_is_not_there_is_named(tmp_path, kind):
    faces = load(write(tmp_path / f"a.{kind}", table(LABELS)))
    for wrong in ("1/a/0.jpg", "0/a/7.jpg", "0/b/0.jpg", "0/a/-1.jpg", "0/a/x.jpg", "0"):
        with pytest.raises(RequestError, match="1 of 1 images are missing"):
            list(faces.source.images([wrong]))


def test_identities_are_chosen_as_in_a_folder(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", table(LABELS, names=NAMES))
    faces = load(path, min_images=3)
    assert faces.identities == ("Ann", "Bob") and [row(name) for name in faces.names] == [0, 1, 2, 3, 5, 6]
    (tmp_path / "out.csv").write_text("id,drop\nAnn,x\n")
    assert load(path, exclude="out.csv:drop").identities == ("Bob", "Cy Dee")


def test_what_is_no_table_is_answered(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", table(LABELS))
    whole = path.read_bytes()
    for content in (b"", b"PAR1", b"no table at all", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(RequestError, match=r"is no parquet or arrow file, or a damaged one \(.*\): get it again"):
            load(path)
    path.write_bytes(whole.replace(b"image", b"im\xe7ge"))  # a column's name that is no UTF-8
    with pytest.raises(RequestError, match=r"is no parquet or arrow file, or a damaged one"):
        load(path)
    write(path, table([]))
    with pytest.raises(RequestError, match="has no rows|has 0 columns that could be it"):
        load(path)
    with pytest.raises(RequestError, match="no .parquet or .arrow file in"):
        (tmp_path / "empty").mkdir()
        load(tmp_path / "empty")
    write(tmp_path / "b.parquet", table(LABELS))
    write(tmp_path / "b.arrow", table(LABELS))
    with pytest.raises(RequestError, match="has .parquet and .arrow files: name the folder or file of one kind"):
        load(tmp_path)


def test_a_table_of_a_billion_equal_labels_is_not_decoded(tmp_path):
    """A few bytes of run lengths can say so many rows; each row has a picture, so the file's size bounds them."""
    many = pa.DictionaryArray.from_arrays(pa.array(np.zeros(300_000, np.int32)), pa.array([b"x"]))
    made = pa.table({"image": many.cast(pa.binary()), "label": np.zeros(300_000, np.int64)})
    path = write(tmp_path / "a.parquet", made, rows=300_000)
    assert path.stat().st_size < 300_000
    with pytest.raises(RequestError, match=r"claims 300,000 rows in [\d,]+ bytes: it is no honest parquet file"):
        load(path)


def packed(kind):
    out = io.BytesIO()
    made = table(LABELS[:4], 3, names=NAMES)
    if kind == "parquet":
        parquet.write_table(made, out, row_group_size=2)
    else:
        with pa.ipc.new_stream(out, made.schema) as stream:
            stream.write_table(made, max_chunksize=2)
    return out.getvalue()


@FAST
@given(st.data())
def test_whatever_happened_to_a_table_is_read_or_refused(kind, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / f"table{next(NUMBER)}.{kind}"
    path.write_bytes(data.draw(damaged(packed(kind))))
    reads_or_refuses(lambda: load(path))


def test_an_arrow_file_whose_offsets_lead_out_of_it_is_refused(tmp_path):
    """Nothing of the memory behind the file is ever shown as a picture."""
    path = write(tmp_path / "a.arrow", table(LABELS[:2]))
    sizes = [len(picture(number, 6)[0]) for number in range(2)]
    offsets = struct.pack("<3i", 0, sizes[0], sum(sizes))
    content = path.read_bytes()
    assert content.count(offsets) == 1
    path.write_bytes(content.replace(offsets, struct.pack("<3i", 0, sizes[0], 1 << 30)))
    with pytest.raises(RequestError, match="is no parquet or arrow file, or a damaged one"):
        load(path)


def test_damage_within_a_picture_stays_within_it(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", table(LABELS, 8))
    faces = load(path)
    content = bytearray(path.read_bytes())
    content[content.find(b"IDAT") + 12] ^= 255
    path.write_bytes(content)
    images = list(load(path).source.images(faces.names))
    assert [isinstance(image, Unreadable) for image in images].count(True) in (
        1,
        3,
    )  # the picture, or its page's checksum
