"""What lies at a path is told apart, counted and sampled."""

import gzip
import json
import os
import pickle
import struct
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fuzzing import NUMBER, damaged
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_files import insightface, packed, picture, shard, table, write_arrow, write_mat, write_recordio, write_tar
from made_up_lists import lfw_pairs
from pyarrow import parquet
from test_folder import packed as archived

from bench import datasets, protocols
from bench.datasets import _sniff
from bench.errors import RequestError
from bench.inspection import inspect

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
FAST = settings(max_examples=100)


def idx_files(folder):
    folder.mkdir()
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">IIII", 2051, 3, 28, 28) + bytes(2352))
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 3) + b"\1\1\2")
    return folder


def hugging_face(folder, kind):
    folder.mkdir()
    if kind == "parquet":
        (folder / "data").mkdir()
        parquet.write_table(table([0, 0, 1]), folder / "data" / "train-0.parquet")
    else:
        write_arrow(folder / "train" / "data-00000-of-00001.arrow", table([0, 0, 1]))
        (folder / "dataset_dict.json").write_text("{}")
    return folder


def a_list(tree):
    (tree / "train.lst").write_text("0\t3\tAnn/0.png\n1\t3\tAnn/1.png\n2\t5\tBob/0.png\n")
    return tree / "train.lst"


# What is made at a path -> its kind, identities, images, and the sizes in the sample.
DATA = {
    "tree": (lambda tree, new: tree, "folder", 4, 12, {"20x16": 12}),
    "zip": (lambda tree, new: archived(tree, "zip"), "folder", 4, 12, {"20x16": 12}),
    "tar": (lambda tree, new: archived(tree, "tar"), "folder", 4, 12, {"20x16": 12}),
    "tar.gz": (lambda tree, new: archived(tree, "tar.gz"), "folder", 4, 12, {"20x16": 12}),
    "recordio": (lambda tree, new: write_recordio(new, insightface(), prop="3,12,14"), "recordio", 3, 12, {"12x14": 12}),
    "rec": (lambda tree, new: write_recordio(new, insightface()) / "train.rec", "recordio", 3, 12, {"12x14": 12}),
    "parquet": (lambda tree, new: hugging_face(new, "parquet"), "parquet", 2, 3, {"6x8": 3}),
    "one parquet": (lambda tree, new: hugging_face(new, "parquet") / "data" / "train-0.parquet", "parquet", 2, 3, {"6x8": 3}),
    "saved": (lambda tree, new: hugging_face(new, "arrow"), "parquet", 2, 3, {"6x8": 3}),
    "shards": (lambda tree, new: write_tar(new / "a.tar", shard(3, 2)).parent, "webdataset", 3, 6, {"12x14": 6}),
    "shard": (lambda tree, new: write_tar(new / "a.tar", shard(3, 2)), "webdataset", 3, 6, {"12x14": 6}),
    "list": (lambda tree, new: a_list(tree), "lst", 2, 3, {"20x16": 3}),
    "mnist": (lambda tree, new: idx_files(new), "mnist", 2, 6, {"28x28": 6}),
}  # fmt: skip


@pytest.mark.parametrize("what", DATA)
def test_a_data_set_is_told_apart_counted_and_read_by_its_options(tree, tmp_path, what):
    make, kind, identities, images, sizes = DATA[what]
    found = inspect(make(tree, tmp_path / "new"))
    if kind == "mnist":
        found.options["classes"] = [1, 2]
    assert found.kind == found.dataset == kind and found.images == images and found.sizes == sizes
    assert found.identities == identities or kind == "mnist"
    assert found.sampled == images and not found.unreadable and not found.protocol
    json.dumps(asdict(found))
    faces = datasets.load(found.dataset, **found.options)
    assert len(faces.names) == images and len(faces.identities) == identities


def test_olivetti_is_told_by_its_content(tmp_path):
    path = write_mat(tmp_path / "any.mat", {"faces": np.zeros((4096, 400), np.uint8)})
    found = inspect(path, sample=10)
    assert (found.kind, found.identities, found.images, found.sampled) == ("olivetti", 40, 400, 10)
    assert found.images_per_identity == {"min": 10, "median": 10.0, "max": 10} and found.sizes == {"64x64": 10}


LISTS = {
    "pairs.txt": (lfw_pairs().encode(), "lfw-pairs", "lfw"),
    "view1.txt": (lfw_pairs(folds=1).encode(), "lfw-pairs", "lfw"),
    "people.txt": (b"2\n1\nAnn_Lee\t3\n1\nBob\t1\n", "lfw-people", "lfw"),
    "gallery.txt": (b"Ann/Ann_0001.jpg 1 7\nBob/Bob_0001.jpg 2 8\n", "identification-list", "rank_k"),
    "splits.txt": (b"split number, pair number, first, second, same\n1, 1, A/1, B/2, 0\n", "ytf-splits", "ytf"),
    "bare.txt": (b"1, 1, Sadie_Frost/1, Sadie_Frost/5, 1\n", "ytf-splits", "ytf"),
    "meta.txt": (b"1.jpg 1 69544\n2.jpg 1 69544\n", "ijb-templates", "ijb"),
    "template_pairs.txt": (b"1 11065 1\n1 11066 0\n", "ijb-pairs", "ijb"),
    "list.json": (b'{"id": ["a"], "path": ["a/1.jpg"]}', "megaface-list", "megaface"),
    "lfw.bin": (pickle.dumps(([b"jpeg"] * 2, [True]), 2), "insightface-bin", "bins"),
    "face.bin": (struct.pack("<4i", 3, 1, 4, 5) + bytes(12), "megaface-features", "megaface"),
    "mine.csv": (b"image,x,y\n1,2,3\n", "csv", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("packed_too", [False, True])
def test_a_protocols_file_is_told_apart(tmp_path, name, packed_too):
    content, kind, protocol = LISTS[name]
    if packed_too and name.endswith(".bin"):
        pytest.skip("binary files are not packed")
    path = tmp_path / (name + ".gz" * packed_too)
    path.write_bytes(gzip.compress(content) if packed_too else content)
    found = inspect(path)
    assert found.kind == kind and found.what and not found.dataset and not found.images
    assert found.protocol == (protocol if protocol in protocols.names() else "")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RequestError, match="pipe is neither a file nor a folder"):
        inspect(tmp_path / "pipe")


def test_arrays_are_embeddings(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    np.savez(tmp_path / "b.npz", np.zeros((2, 3)))
    assert inspect(tmp_path / "a.npy").kind == inspect(tmp_path / "b.npz").kind == "embeddings"


def test_what_may_surprise_is_said(tmp_path, tree):
    (tree / "stray.png").write_bytes(picture()[0])
    (tree / "Ann" / "0.png").write_bytes(b"no picture")
    (tree / "Eve").mkdir()
    (tree / "Eve" / "0.png").write_bytes(picture()[0])
    found = inspect(tree)
    assert found.unreadable == 1 and found.first_unreadable.startswith("Ann/0.png: ")
    assert found.sizes == {"20x16": 11, "12x14": 1}
    assert found.images_per_identity == {"min": 1, "median": 3.0, "max": 3}
    assert [warning.split(" ")[0] for warning in found.warnings] == ["1", "1", "2", "1"]
    said = " ".join(found.warnings)
    for part in ("1 of 5 identities have one image only", "1 of the sampled", "2 files are no images", "'stray.png'"):
        assert part in said
    assert inspect(tree) == found
    lonely = tmp_path / "above"
    lonely.mkdir()
    tree.rename(lonely / "faces")
    assert "all images are of one identity, 'faces': is a folder below meant?" in inspect(lonely).warnings[0]


def test_recordio_is_held_against_its_property(tmp_path):
    found = inspect(write_recordio(tmp_path / "a", insightface(), idx=False, prop="4,112,112"))
    assert found.warnings == (
        "train.idx is missing: the records were found by going through train.rec",
        "property speaks of 4 identities, and 3 have images",
        "property says that images are 112x112, and the sampled ones are 12x14",
    )
    (tmp_path / "a" / "lfw.bin").write_bytes(pickle.dumps(([b""], [True]), 2))  # insightface ships these beside it
    assert inspect(tmp_path / "a").kind == "recordio"


def test_the_sample_is_spread_over_all_images(tmp_path):
    records = [(k, packed(k // 10, k, picture(k, size=4 + k // 10)[0])) for k in range(50)]
    found = inspect(write_recordio(tmp_path, records), sample=5)
    assert found.sampled == 5 and len(found.sizes) == 5 and found.images == 50


def test_options_reach_the_data_set(tmp_path):
    parquet.write_table(table([0, 1]).append_column("who", pa.array(["a", "b"])), tmp_path / "a.parquet")
    found = inspect(tmp_path / "a.parquet", {"label": "who"})
    assert found.options["label"] == "who" and datasets.load("parquet", **found.options).identities == ("a", "b")
    with pytest.raises(RequestError, match="dataset 'parquet' has no option 'colour'"):
        inspect(tmp_path / "a.parquet", {"colour": 1})


def test_what_is_nothing_known_is_answered(tmp_path, tree):
    for name, content in (
        ("a", b""),
        ("b.txt", b"hello"),
        ("c", b"\0\1\2"),
        ("d.json", b'{"a": 1}'),
        ("e.gz", b"\x1f\x8bxx"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RequestError, match=r"is nothing that is known here; known are: folder, recordio, parquet"):
            inspect(tmp_path / name)
    archived(tree, "zip")
    write_mat(tmp_path / "olivettifaces.mat", {"faces": np.zeros(3)})
    with pytest.raises(
        RequestError, match=r"things of several kinds lie in .*: faces.zip .*; olivettifaces.mat .*; name one"
    ):
        inspect(tmp_path)
    with pytest.raises(RequestError, match="no data folder is named"):
        inspect("nothing/here")
    with pytest.raises(RequestError, match="the sample is a whole number from 1 on, got 0"):
        inspect(tree, sample=0)


def test_a_folder_of_archives_is_read_as_one(tree, tmp_path):
    (tmp_path / "all").mkdir()
    for name in ("a.zip", "b.zip"):
        archived(tree, "zip").rename(tmp_path / "all" / name)
    found = inspect(tmp_path / "all")
    assert found.identities == 8 and [Path(path).name for path in found.options["paths"]] == ["a.zip", "b.zip"]


@FAST
@given(st.data())
def test_whatever_lies_there_is_told_apart_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / f"thing{next(NUMBER)}"
    path.write_bytes(data.draw(damaged(data.draw(st.sampled_from([content for content, *_ in LISTS.values()])))))
    try:
        assert _sniff.kind(path) in _sniff.KINDS
    except RequestError as refusal:
        assert "\n" not in str(refusal)


@pytest.mark.skipif(not REAL.is_dir(), reason="no real data beside the project (../shared/data)")
def test_the_real_data_are_told_apart():
    found = inspect(REAL / "lfw_view2_aligned112.zip", sample=20)
    assert (found.kind, found.identities, found.images, found.sizes) == ("folder", 4281, 7701, {"112x112": 20})
    kinds = {"lfw_pairs.txt": "lfw-pairs", "lfw_people.txt": "lfw-people", "ytf_splits.txt.gz": "ytf-splits"}
    kinds |= {"lfw_pairsDevTest.txt": "lfw-pairs", "lfw_test_ident_probe.txt.gz": "identification-list"}
    for name, kind in kinds.items():
        assert inspect(REAL / "protocols" / name).kind == kind
