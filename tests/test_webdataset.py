"""WebDataset's tar shards."""

import gzip
import json
import pickle
import tarfile

import numpy as np
import pytest
from fuzzing import NUMBER, damaged, reads_or_refuses
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_files import picture, shard, write_tar

from bench import bounded, datasets
from bench.datasets import webdataset
from bench.errors import RequestError
from bench.images import Unreadable

FAST = settings(max_examples=100)


def load(path, **options):
    return datasets.load("webdataset", path=path if isinstance(path, list) else str(path), **options)


def number(name):
    return int(name.split("/")[-1].split(".")[0])


@pytest.fixture
def two(tmp_path):
    write_tar(tmp_path / "faces-000.tar", shard(3, 2))
    write_tar(tmp_path / "faces-001.tar", shard(4, 2, first=6))
    return tmp_path


def test_shards_are_read(two):
    faces = load(two)
    assert faces.identities == ("0", "1", "2", "3") and np.bincount(faces.labels).tolist() == [4, 4, 4, 2]
    assert faces.names[0] == "0/faces-000/000000.png" and faces.names[-1] == "3/faces-001/000013.png"
    for name, image in zip(faces.names, faces.source.images(faces.names), strict=True):
        assert np.array_equal(image, picture(number(name))[1])
    assert load([str(two / "faces-001.tar"), str(two / "faces-000.tar")]).names[:1] == ("0/faces-001/000006.png",)
    assert len(load(two / "faces-000.tar").names) == 6


def test_any_order_in_another_process_gives_the_same_pictures(two):
    faces = load(two)
    source = pickle.loads(pickle.dumps(faces.source))
    names = [faces.names[n] for n in (13, 0, 7, 1, 7)]
    for name, image in zip(names, source.images(names), strict=True):
        assert np.array_equal(image, picture(number(name))[1])
    with pytest.raises(RequestError, match=r"1 of 2 images are missing in .*, the first is '1/faces-000/000000.png'"):
        list(source.images([faces.names[0], "1/faces-000/000000.png"]))


@pytest.mark.parametrize(
    ("said", "option"), [({"label": 3}, None), ({"name": "Ann"}, "json.name"), ({"identity": "Ann"}, None)]
)
def test_a_json_says_whose_it_is(tmp_path, said, option):
    files = [("a/b.c.jpg", b""), ("a/b.json", b"")]  # `c.jpg` is no picture's suffix: the key ends at the first dot
    files = [("a/b.json", json.dumps(said).encode()), ("a/b.JPG", picture()[0]), ("a/.hidden", b""), ("README", b"")]
    faces = load(write_tar(tmp_path / "s.tar", files), label=option)
    who = str(next(iter(said.values())))
    assert faces.names == (f"{who}/s/a/b.jpg",) and np.array_equal(
        next(iter(faces.source.images(faces.names))), picture()[1]
    )


def test_what_was_found_is_kept_and_found_anew_when_a_shard_changes(two, monkeypatch):
    before = load(two)
    webdataset._opened.cache_clear()
    monkeypatch.setattr(webdataset, "_read", lambda *_: pytest.fail("the shards were read again"))
    assert load(two).names == before.names
    monkeypatch.undo()
    write_tar(two / "faces-001.tar", shard(2, 3, first=6))
    after = load(two)
    assert len(after.names) == 12 and after.source.fingerprint != before.source.fingerprint


PNG = picture()[0]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("a.png", PNG)], r"is no WebDataset with labels: .* its first sample has png"),
        ([], r"is no WebDataset with labels: .* its first sample has no files"),
        ([("a.cls", b"1")], r"sample 'a' of .* has 0 pictures \(cls\): expected one, as a.jpg"),
        ([("a.png", PNG), ("a.jpg", PNG), ("a.cls", b"1")], r"sample 'a' of .* has 2 pictures \(cls, jpg, png\)"),
        (
            [("a.png", PNG), ("a.cls", b"1"), ("b.png", PNG)],
            r"sample 'b' of .* says nothing under label=cls .*; it has: png",
        ),
        ([("a.png", PNG), ("a.cls", b"1/2")], r"a.cls of .* names the identity '1/2'"),
        ([("a.png", PNG), ("a.cls", b"")], r"a.cls of .* names the identity ''"),
        ([("a.png", PNG), ("a.cls", b"\xff")], r"a.cls of .* is no text"),
        ([("a.png", PNG), ("a.cls", b"1" * (1 << 20) + b"1")], r"a.cls of .* holds 1,048,577 bytes, and at most"),
        ([("a.png", PNG), ("a.json", b"{")], r"a.json of .* is no JSON"),
        ([("a.png", PNG), ("a.json", b"[" * 100_000)], r"a.json of .* is no JSON"),
        ([("a.png", PNG), ("a.json", b"[1]")], r"a.json of .* should hold an object with the sample's label, got list"),
        ([("a.png", PNG), ("a.json", b'{"age": 3}')], r"give label=json.FIELD: a.json of .* has the fields age"),
        ([("a.png", PNG), ("a.json", b'{"label": 0.5}')], r"a.json of .* has no number or word under 'label', got 0.5"),
        ([("a.png", PNG), ("a.png", PNG), ("a.PNG", PNG), ("a.cls", b"1")], r"holds a.png twice"),
        ([("../a.png", PNG), ("a.cls", b"1")], r"holds the name '../a.png', which leads out of it"),
        ([("a\nb.png", PNG), ("a\nb.cls", b"1")], r"expected one without control characters"),
    ],
)
def test_what_is_no_sample_is_answered(tmp_path, files, message):
    with pytest.raises(RequestError, match=message) as refusal:
        load(write_tar(tmp_path / "s.tar", files))
    assert "\n" not in str(refusal.value)


def test_shards_that_cannot_be_read_at_any_place_are_refused(two):
    path = two / "faces-001.tar"
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(
        RequestError, match="is a compressed tar, which cannot be read at any place: unpack it to a .tar"
    ):
        load(two)
    path.write_bytes(b"no tar")
    with pytest.raises(RequestError, match="faces-001.tar is neither a folder nor a readable .zip or .tar file"):
        load(two)
    with pytest.raises(RequestError, match="two shards of .* have the same name"):
        load([str(two / "faces-000.tar")] * 2)
    (two / "empty").mkdir()
    with pytest.raises(RequestError, match=r"no .tar in .*empty"):
        load(two / "empty")


def test_links_are_no_samples(tmp_path):
    link = tarfile.TarInfo("b.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    faces = load(write_tar(tmp_path / "s.tar", [("a.png", PNG), ("a.cls", b"1"), link]))
    assert faces.names == ("1/s/a.png",)


def test_a_picture_that_is_too_large_or_gone_is_unreadable(two, monkeypatch):
    faces = load(two)
    monkeypatch.setattr(bounded, "PICTURE", 100)
    assert "at most 100 are read" in next(iter(faces.source.images(faces.names))).reason
    monkeypatch.undo()
    path = two / "faces-000.tar"
    path.write_bytes(path.read_bytes()[:600])
    assert all(isinstance(image, Unreadable) for image in faces.source.images(faces.names[:6]))


@FAST
@given(st.data())
def test_whatever_happened_to_a_shard_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / f"shard{next(NUMBER)}.tar"
    how = data.draw(st.sampled_from(["cls", "json"]))
    files = [("a.png", PNG), (f"a.{how}", b'{"label": 1}' if how == "json" else b"1")]
    write_tar(path, [*files, ("b.png", PNG), (f"b.{how}", b'{"label": 2}' if how == "json" else b"2")])
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    reads_or_refuses(lambda: load(path))
