"""Image files as people have them: folders, archives, broken files, csv columns."""

import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from bench import datasets
from bench.errors import RequestError
from bench.files import FileImages, Tree, images_below
from bench.images import Unreadable
from bench.pixels import pixels


def packed(tree, kind):
    """The same tree as an archive."""
    path = tree.with_suffix(f".{kind}")
    files = [p for p in sorted(tree.rglob("*")) if p.is_file()]
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(tree))
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            for file in files:
                archive.add(file, f"./{file.relative_to(tree)}")
    return path


def load(*paths, **options):
    return datasets.load("folder", paths=[str(p) for p in paths], **options)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_gives_what_its_folder_gives(tree, kind):
    loose, inside = load(tree), load(packed(tree, kind))
    assert inside.names == loose.names and inside.identities == loose.identities == ("Ann", "Bob", "Cy", "Dee")
    assert inside.labels.tolist() == loose.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    pairs = zip(loose.source.images(loose.names), inside.source.images(inside.names), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_deeper_levels_belong_to_the_first_and_other_files_are_ignored(tree):
    faces = load(tree)
    assert "Ann/deep/2.png" in faces.names and len(faces.names) == 12


def test_a_source_travels_to_a_worker(tree):
    faces = load(packed(tree, "zip"))
    next(iter(faces.source.images(faces.names[:1])))  # the archive is open now
    again = pickle.loads(pickle.dumps(faces))
    assert np.array_equal(
        next(iter(again.source.images(again.names[:1]))), next(iter(faces.source.images(faces.names)))
    )


def test_identities_are_left_out_by_a_csv_column(tree):
    assert load(tree, exclude="who.csv:known").identities == ("Ann", "Cy", "Dee")
    assert load(tree, exclude="who.csv:id").identities == ("Dee",)


def test_a_csv_beside_the_trees_speaks_of_all_of_them(tree, tmp_path):
    """One inside a tree speaks of that tree alone."""
    second = packed(tree, "zip").rename(tree.parent / "other.zip")
    listed = tmp_path / "out.csv"
    listed.write_text("id,drop\nAnn,x\nBob,\n")
    everywhere = load(tree, second, exclude=f"{listed}:drop").identities
    assert everywhere == tuple(f"{t}/{i}" for t in ("faces", "other") for i in ("Bob", "Cy", "Dee"))
    (tree / "only.csv").write_text("id,drop\nAnn,x\n")
    inside = load(tree, second, exclude="only.csv:drop").identities
    assert "faces/Ann" not in inside and "other/Ann" in inside
    (tree / "nobody.csv").write_text("id,drop\nAnn,\n")
    assert len(load(tree, exclude="nobody.csv:drop").identities) == 4
    (tree / "latin.csv").write_bytes("id,drop\nAnn,\xe9\n".encode("latin-1"))
    with pytest.raises(RequestError, match="latin.csv is no csv file in UTF-8"):
        load(tree, exclude="latin.csv:drop")


def test_a_damaged_member_of_an_archive_is_unreadable_like_a_damaged_file(tree):
    path = packed(tree, "zip")
    data = bytearray(path.read_bytes())
    middle = data.find(b"IDAT") + 40
    data[middle] ^= 255
    path.write_bytes(bytes(data))
    faces = load(path)
    bad = [image for image in faces.source.images(faces.names) if isinstance(image, Unreadable)]
    assert len(bad) == 1 and "CRC" in bad[0].reason


def test_a_tar_written_anew_is_another_source(tree):
    import os

    path = packed(tree, "tar")
    before = load(path).source.fingerprint
    os.utime(path, (1, 1))
    assert load(path).source.fingerprint != before


def test_people_are_named_by_a_column_or_by_their_folder(tree):
    assert load(tree, people="who.csv:name").people == {"Ann": "Ann Lee", "Bob": "Bob Ray"}
    assert load(tree).people["Dee"] == "Dee"
    for number, label in (("Dee", "0004"), ("Cy", "n000123")):
        (tree / number).rename(tree / label)
    assert set(load(tree).people) == {"Ann", "Bob"}  # a number is nobody's name, with or without a letter


def test_several_trees_keep_their_identities_apart(tree):
    faces = load(tree, packed(tree, "zip").rename(tree.parent / "other.zip"), people="who.csv:name")
    assert len(faces.identities) == 8 and {i.split("/")[0] for i in faces.identities} == {"faces", "other"}
    assert faces.people["other/Bob"] == "Bob Ray" and len(set(faces.names)) == 24


def test_an_unreadable_image_is_named_and_its_row_is_zero(tree):
    (tree / "Bob" / "1.png").write_bytes((tree / "Bob" / "1.png").read_bytes()[:60])
    faces = load(tree)
    shown = pixels(faces.source, faces.names, 16)
    assert [bad.name for bad in shown.unreadable] == ["Bob/1.png"] and shown.unreadable[0].reason
    assert shown.array[4].max() == 0 and all(shown.array[row].max() for row in range(12) if row != 4)
    assert isinstance(next(iter(faces.source.images(["Bob/1.png"]))), Unreadable)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exclude": "who.csv:nobody"}, "who.csv has no column 'nobody'; it has: id, name, known"),
        ({"exclude": "which.csv:id"}, "no csv file 'which.csv', neither in .*faces nor as a data path"),
        ({"people": "which.csv:id"}, "no csv file 'which.csv'"),
        ({"exclude": "who.csv"}, "expected FILE:COLUMN"),
        ({"min_images": 4}, "no identity with at least 4 images"),
        ({"colour": 1}, "dataset 'folder' has no option 'colour'; it has: paths"),
    ],
)
def test_a_wrong_option_is_answered(tree, options, message):
    with pytest.raises(RequestError, match=message):
        load(tree, **options)


def test_missing_data_are_answered(tree, monkeypatch):
    with pytest.raises(RequestError, match=r"no data folder is named: give --data FOLDER or set \$FACEBENCH_DATA"):
        datasets.load("folder", paths=["faces"])
    monkeypatch.setenv("FACEBENCH_DATA", str(tree.parent))
    assert len(datasets.load("folder", paths=["faces"]).names) == 12
    with pytest.raises(RequestError, match=r"no file or folder at .*nothing"):
        datasets.load("folder", paths=["nothing"])
    (tree.parent / "broken.zip").write_text("no archive")
    with pytest.raises(RequestError, match=r"broken.zip is neither a folder nor a readable .zip or .tar file"):
        datasets.load("folder", paths=["broken.zip"])
    with pytest.raises(RequestError, match=r"no 'folders' in datasets; there is: digits, faces, folder"):
        datasets.load("folders")


def test_missing_images_are_counted_and_the_first_is_named(tree):
    source = FileImages([("", Tree(tree))])
    with pytest.raises(RequestError, match=r"2 of 3 images are missing in .*, the first is 'Eve/0.png'"):
        list(source.images(["Ann/0.png", "Eve/0.png", "Eve/1.png"]))


def test_images_are_found_anywhere_below_a_root(tree):
    packed(tree, "zip").rename(tree.parent / "more.zip")
    (tree / "Ann").rename(tree.parent / "Ann")  # now Ann is loose and in the archive
    found = images_below(tree.parent, depth=2)
    with pytest.raises(RequestError, match=r"twice"):
        list(found.images(["Dee/0.png"]))
    with pytest.raises(RequestError, match=r"image 'Ann/0.png' is there twice"):
        list(found.images(["Ann/0.png"]))
