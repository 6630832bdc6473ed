"""MXNet's .rec/.idx as insightface ships them: written here by the format, read by bench.datasets.recordio."""

import multiprocessing
import pickle
import struct

import numpy as np
import pytest
from fuzzing import NUMBER, damaged, reads_or_refuses
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_files import MAGIC, insightface, packed, picture, record, sums, write_recordio

from bench import datasets
from bench.datasets import _records
from bench.errors import RequestError
from bench.pixels import pixels
from bench.trial import Options, Result, Trial, run

FAST = settings(max_examples=100)


def load(path, **options):
    return datasets.load("recordio", path=str(path), **options)


def shown(faces):
    """Key -> pixels."""
    names = [int(name.split("/")[1].removesuffix(".jpg")) for name in faces.names]
    return dict(zip(names, faces.source.images(faces.names), strict=True))


def test_insightface_files_are_read(tmp_path):
    faces = load(write_recordio(tmp_path, insightface(), prop="3,112,112"))
    assert faces.identities == ("0", "1", "2") and faces.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert faces.names[0] == "0/1.jpg" and faces.names[-1] == "2/12.jpg" and faces.people == {}
    assert all(np.array_equal(image, picture(key)[1]) for key, image in shown(faces).items())


def test_images_are_read_in_any_order_and_more_than_once(tmp_path):
    faces = load(write_recordio(tmp_path, insightface()))
    names = [faces.names[row] for row in (7, 0, 11, 0)]
    for name, image in zip(names, faces.source.images(names), strict=True):
        assert np.array_equal(image, picture(int(name.split("/")[1][:-4]))[1])


def test_without_an_idx_the_records_are_found_in_the_rec(tmp_path):
    """And bear the numbers of their headers, as in the .idx that MXNet's tools write."""
    listed = [(7, packed(3, 7, picture(7)[0])), (2, packed(4, 2, picture(2)[0]))]
    with_idx = load(write_recordio(tmp_path / "with", listed))
    without = load(write_recordio(tmp_path / "without", listed, idx=False))
    assert with_idx.names == without.names == ("3/7.jpg", "4/2.jpg")
    assert np.array_equal(shown(without)[7], picture(7)[1])
    same_ids = [(7, packed(3, 0, picture(7)[0])), (2, packed(4, 0, picture(2)[0]))]
    assert load(write_recordio(tmp_path / "ids", same_ids, idx=False)).names == ("3/0.jpg", "4/1.jpg")


def test_of_several_labels_the_first_counts(tmp_path):
    """im2rec's multi-label records: record 0 with labels AND a picture is an image, not a table of contents."""
    faces = load(write_recordio(tmp_path, [(k, packed([k // 2, 9, 9.5], k, picture(k)[0])) for k in range(4)]))
    assert faces.names == ("0/0.jpg", "0/1.jpg", "1/2.jpg", "1/3.jpg")
    assert np.array_equal(shown(faces)[3], picture(3)[1])


@pytest.mark.parametrize("idx", [True, False])
def test_a_record_that_holds_the_magic_number_is_put_together_again(tmp_path, idx):
    """Cut at every place where it stands at a multiple of 4: twice in a row, at the very begin of the picture, in the header."""
    noisy = picture(1)[0] + b"\0" * (-len(picture(1)[0]) % 4) + MAGIC * 2 + b"abc" + MAGIC
    contents = [
        packed(1, 5, MAGIC + b"x"),
        packed(0, 0xCED7230A, noisy),
        packed(0, 3, noisy),
    ]
    contents.append(struct.pack("<I", 0) + MAGIC + struct.pack("<QQ", 1, 2))  # as a label; it shows no picture
    folder = write_recordio(tmp_path, list(enumerate(contents)), idx=idx)
    with (folder / "train.rec").open("rb", buffering=0) as file:
        offsets = _records.found_offsets(folder / "train.rec")
        read = [_records.picture(file, folder / "train.rec", int(offset)) for offset in offsets]
    assert read == [content[24:] for content in contents]
    assert record(contents[2]).count(MAGIC) == 1 + 3
    faces = load(folder)
    keys = (0, 1, 2) if idx else (5, 0xCED7230A, 3)  # without an .idx, the numbers in the headers
    assert faces.names == tuple(f"{label}/{key}.jpg" for label, key in zip((1, 0, 0), keys, strict=True))
    assert np.array_equal(shown(faces)[keys[1]], picture(1)[1])  # PNG readers pass over what follows the picture


@FAST
@given(
    st.lists(
        st.lists(st.sampled_from([MAGIC, MAGIC[:3], b"a", b"bcde"]), max_size=8).map(b"".join), min_size=1, max_size=5
    )
)
def test_whatever_is_written_is_read_back(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("back")
    listed = [(k, packed(0, k, content)) for k, content in enumerate(contents)]
    rec = write_recordio(folder, listed) / "train.rec"
    offsets = _records.found_offsets(rec)
    keys, places = _records.keys_and_offsets(folder / "train.idx")
    assert offsets.tolist() == places.tolist() and keys.tolist() == list(range(len(contents)))
    said = _records.described(rec, keys, offsets)
    assert said.pictures.tolist() == [len(content) for content in contents]
    with rec.open("rb", buffering=0) as file:
        assert [_records.picture(file, rec, int(offset)) for offset in offsets] == contents


def test_headers_are_read_across_blocks(tmp_path, monkeypatch):
    whole = load(write_recordio(tmp_path / "a", insightface(5, 7)))
    monkeypatch.setattr(_records, "_BLOCK", 700)
    monkeypatch.setattr(_records, "_ROWS", 3)
    again = load(write_recordio(tmp_path / "b", insightface(5, 7)))
    assert again.names == whole.names and again.labels.tolist() == whole.labels.tolist()


def test_a_source_is_small_and_travels_to_a_worker(tmp_path):
    faces = load(write_recordio(tmp_path, insightface()))
    list(faces.source.images(faces.names[:2]))
    sent = pickle.dumps(faces.source)
    assert len(sent) < 1000
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = pool.starmap(sums, [(sent, faces.names[:6]), (sent, faces.names[6:])])
    assert [total for part in parts for total in part] == [int(picture(key)[1].sum()) for key in range(1, 13)]


def test_what_was_found_is_kept_and_found_anew_when_the_file_changes(tmp_path, monkeypatch):
    from bench.datasets import recordio

    folder = write_recordio(tmp_path, insightface())
    before = load(folder)
    recordio._opened.cache_clear()
    monkeypatch.setattr(_records, "described", lambda *_: pytest.fail("the headers were read again"))
    assert load(folder).names == before.names
    monkeypatch.undo()
    write_recordio(tmp_path, insightface(2, 5))
    after = load(folder)
    assert len(after.names) == 10 and after.source.fingerprint != before.source.fingerprint


def test_identities_are_chosen_as_in_a_folder(tmp_path):
    records = [(k, packed(label, k, picture(k)[0])) for k, label in enumerate([7, 7, 5, 4, 4, 4])]
    folder = write_recordio(tmp_path, records)
    (folder / "who.csv").write_text("id,name,drop\n7,Ann Lee,x\n4,Bob Ray,\n")
    faces = load(folder, min_images=2, people="who.csv:name")
    assert faces.identities == ("4", "7") and faces.people == {"4": "Bob Ray", "7": "Ann Lee"}
    assert faces.names == ("7/0.jpg", "7/1.jpg", "4/3.jpg", "4/4.jpg", "4/5.jpg")
    assert [faces.identities[label] for label in faces.labels] == [name.split("/")[0] for name in faces.names]
    assert load(folder, exclude="who.csv:drop").identities == ("4", "5")
    with pytest.raises(RequestError, match="no identity with at least 4 images is left of the 3"):
        load(folder, min_images=4)
    with pytest.raises(RequestError, match="min_images is a whole number from 1 on, got 0"):
        load(folder, min_images=0)
    with pytest.raises(RequestError, match="who.csv has no column 'sex'"):
        load(folder, exclude="who.csv:sex")


def test_a_broken_picture_is_unreadable_and_the_others_are_read(tmp_path):
    jpeg = picture(2, kind="jpeg")[0]
    records = [(0, packed(0, 0, picture(0)[0])), (1, packed(0, 1, jpeg[:-200])), (2, packed(0, 2, b"\xff\xd8garbage"))]
    faces = load(write_recordio(tmp_path, records))
    images = list(faces.source.images(faces.names))
    assert isinstance(images[0], np.ndarray) and [bad.name for bad in images[1:]] == ["0/1.jpg", "0/2.jpg"]
    assert all(bad.reason for bad in images[1:])
    assert [bad.name for bad in pixels(faces.source, faces.names, 8).unreadable] == ["0/1.jpg", "0/2.jpg"]


def test_a_file_that_shrinks_while_it_is_read_gives_unreadable_images(tmp_path):
    faces = load(write_recordio(tmp_path, insightface()))
    images = faces.source.images(faces.names)
    assert isinstance(next(images), np.ndarray)
    rec = tmp_path / "train.rec"
    rec.write_bytes(rec.read_bytes()[:1000])
    assert "is truncated" in list(images)[-1].reason


REC, IDX, PROPERTY = "train.rec", "train.idx", "property"
DAMAGES = {
    "truncated": (lambda f: cut(f / REC, 900), r"the .rec is truncated, or the .idx"),
    "cut": (lambda f: cut(f / REC, 20), r"train.rec is truncated: it has [\d,]+ bytes, and ends"),
    "no magic": (
        lambda f: (f / REC).write_bytes(b"x" + (f / REC).read_bytes()[1:]),
        r"byte 0 of .*, where record 0 should",
    ),
    "outside": (lambda f: idx(f, "3\t999999"), r"record 3 should lie at byte 999,999 of .*, which has [\d,]+ bytes"),
    "middle": (lambda f: idx(f, "3\t44"), r"no record begins at byte 44 of .*train.rec, where record 3 should"),
    "garbage": (
        lambda f: idx(f, "3\tx1"),
        r"train.idx line 4: expected KEY<tab>OFFSET in whole numbers, got b'3\\tx1'",
    ),
    "negative": (lambda f: idx(f, "3\t-8"), r"train.idx line 4: expected KEY"),
    "huge": (lambda f: idx(f, "3\t" + "9" * 30), r"train.idx line 4: expected KEY"),
    "three": (lambda f: idx(f, "3\t4\t5"), r"train.idx line 4: expected KEY"),
    "key twice": (lambda f: idx(f, "2\t4"), r"train.idx gives key 2 twice"),
    "offset twice": (lambda f: idx(f, "3\t0"), r"train.idx gives offset 0 twice"),
    "empty idx": (lambda f: (f / IDX).write_text(""), r"train.idx lists no records"),
    "fewer": (lambda f: idx(f, ""), r"record 0 of .* says that 12 records are images, and 11 are"),
    "property": (lambda f: (f / PROPERTY).write_text("2,112,112"), r"speaks of 2 identities, and .* has the label 2"),
    "no property": (lambda f: (f / PROPERTY).write_text("many"), r"CLASSES,HEIGHT,WIDTH, and begins with 'many'"),
    "two": (lambda f: (f / "other.rec").write_bytes(b""), r"it has other.rec, train.rec: name one of them"),
    "none": (lambda f: (f / REC).unlink(), r"one .rec file, or a folder with one, got .*: it has none"),
}


def cut(path, size):
    path.write_bytes(path.read_bytes()[:-size])


def idx(folder, line):
    """The fourth line of the .idx replaced."""
    lines = (folder / "train.idx").read_text().splitlines()
    lines[3] = line
    (folder / "train.idx").write_text("\n".join(lines))


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_file_is_answered_in_one_sentence(tmp_path, what):
    folder = write_recordio(tmp_path, insightface())
    damage, message = DAMAGES[what]
    damage(folder)
    with pytest.raises(RequestError, match=message) as refusal:
        load(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([packed(0.5, 0, b"x")], r"record 0 of .* has the label 0.5: expected whole numbers from 0 to 16,777,215"),
        ([packed(-1, 0, b"x")], r"has the label -1.0"),
        ([packed(float("nan"), 0, b"x")], r"has the label nan"),
        ([packed(2.0**24, 0, b"x")], r"has the label 16777216.0"),
        ([packed([1, 2], 0)], r"none of the 1 records of .* holds a picture"),
        ([b"short"], r"record 0 of .* is shorter than the labels that it claims"),
        (
            [struct.pack("<IfQQ", 1 << 31, 0, 0, 0) + b"x" * 99],
            r"record 0 of .* is shorter than the labels that it claims",
        ),
        ([MAGIC + b"short"], r"record 0 of .* is shorter than the labels that it claims"),
    ],
)
def test_a_record_that_says_nonsense_is_answered(tmp_path, contents, message):
    with pytest.raises(RequestError, match=message):
        load(write_recordio(tmp_path, list(enumerate(contents))))


def test_a_length_beyond_the_file_is_never_allocated(tmp_path):
    huge = MAGIC + struct.pack("<I", (1 << 29) - 1) + packed(0, 0, b"x")
    (tmp_path / "train.rec").write_bytes(huge)
    for idx_file in (None, "0\t0\n"):
        if idx_file:
            (tmp_path / "train.idx").write_text(idx_file)
        with pytest.raises(RequestError, match="is truncated"):
            load(tmp_path)


def test_an_image_that_is_not_there_is_named(tmp_path):
    faces = load(write_recordio(tmp_path, insightface()))
    wrong = ["0/5.jpg", "0/13.jpg", "0/0.jpg", "0/01.jpg", "0/x.jpg", "0", "99999999999999999999999/1.jpg", "0/-1.jpg"]
    for name in wrong:
        with pytest.raises(RequestError, match="1 of 2 images are missing in .*train.rec, the first is"):
            list(faces.source.images(["0/1.jpg", name]))


WHOLE = b"".join(record(content) for _, content in insightface(2, 2))


@FAST
@given(damaged(WHOLE), st.booleans())
def test_whatever_happened_to_a_rec_is_read_or_refused(tmp_path_factory, content, listed):
    folder = tmp_path_factory.getbasetemp() / f"rec{next(NUMBER)}"
    write_recordio(folder, insightface(2, 2), idx=listed)
    (folder / "train.rec").write_bytes(content)
    reads_or_refuses(lambda: load(folder))


@FAST
@given(st.data())
def test_whatever_happened_to_an_idx_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / f"idx{next(NUMBER)}"
    write_recordio(folder, insightface(2, 2), prop="2,112,112")
    which = folder / data.draw(st.sampled_from(["train.idx", "train.idx", "property"]))
    which.write_bytes(data.draw(damaged(which.read_bytes())))
    reads_or_refuses(lambda: load(folder))


def test_a_trial_trains_on_a_recordio_file(tmp_path):
    """Through bench.material and the pixel cache; the second run takes its pixels from the cache."""
    folder = write_recordio(tmp_path, insightface(6, 8, kind="jpeg"))
    trial = Trial(
        data=Options(name="recordio", path=str(folder)), holdout=0.4, channels=1, image_size=16, embedding_dim=8, epochs=2,
        backbone_options=Options(widths=[4, 4, 4, 4]), batch_size=8, precision="float32", loss="lmcl",
    )  # fmt: skip
    (*_, result), (*_, again) = run(trial), run(trial)
    assert isinstance(result, Result) and result.metrics == again.metrics and 0 <= result.metrics["dev/auc"] <= 1
    assert result.provenance["identities"] == 6 and result.provenance["images"] == 48
    assert result.provenance["train_identities"] == 4
