"""insightface's verification files as files: their pixels, and what damaged and malicious ones are answered."""

import io
import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from made_up_bins import PROTOCOLS, Calls, tiny, write
from PIL import Image

from bench import bin_images, protocols
from bench.bin_images import BinFile
from bench.errors import RequestError
from bench.images import Unreadable
from bench.protocols import bins


def create(root, **options):
    return protocols.create("bins", root=root, **options)


# --- pixels ---


def encoded(number):
    picture = np.random.default_rng(number).integers(0, 256, (6, 5, 3), np.uint8)
    Image.fromarray(picture).save(out := io.BytesIO(), "PNG")
    return out.getvalue(), picture


def column(data):
    return np.frombuffer(data, np.uint8).reshape(-1, 1)


@pytest.mark.parametrize(
    ("pack", "protocol"), [(pack, n) for pack in (bytes, column) for n in PROTOCOLS] + [(bytearray, 5)]
)
def test_the_source_gives_the_pixels_of_each_row(tmp_path, protocol, pack):
    drawn = [encoded(number) for number in range(4)]
    write(tmp_path / "b.bin", [pack(data) for data, _ in drawn], [True, False], protocol)
    write(tmp_path / "a.bin", [b"broken", drawn[3][0]], [True], protocol)
    source = pickle.loads(pickle.dumps(bin_images.source(tmp_path)))
    assert source.names == ["a/00000.jpg", "a/00001.jpg", *(f"b/0000{n}.jpg" for n in range(4))]
    bad, *found = source.images(source.names)
    assert isinstance(bad, Unreadable) and bad.name == "a/00000.jpg"
    for picture, (_, wanted) in zip(found, [drawn[3], *drawn], strict=True):
        assert (picture == wanted).all()
    with pytest.raises(
        RequestError, match=r"1 of 1 images are missing in .*a.bin, .*b.bin, the first is 'a/00002.jpg'"
    ):
        list(source.images(["a/00002.jpg"]))


def test_the_fingerprint_is_of_the_files(tmp_path):
    path = write(tmp_path / "a.bin", *tiny())
    before = bin_images.source(tmp_path).fingerprint
    assert bin_images.source(path).fingerprint == before
    write(path, [b"x", *tiny()[0][1:]], tiny()[1])
    os.utime(path, ns=(1, 1))
    assert bin_images.source(path).fingerprint != before


# --- wrong requests and wrong files ---


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(RequestError, match="no .bin file at .*: expected a verification file, or a folder of them"):
        create(tmp_path)
    write(tmp_path / "a.bin", *tiny())
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep" / "a.bin", *tiny())
    with pytest.raises(RequestError, match="no file at .*b.bin: check the protocol's root and its files"):
        create(tmp_path, files=["a.bin", "b.bin"])
    with pytest.raises(RequestError, match="two files are called 'a', and both would give a-bin/accuracy"):
        create(tmp_path, files=["a.bin", "deep/a.bin"])
    for files in ([], 3, [3], {"a.bin": 1}):
        with pytest.raises(RequestError, match=r"files is one file, or a list of files, for example \[lfw.bin\], got"):
            create(tmp_path, files=files)
    with pytest.raises(RequestError, match="bins reads its own files: give the folder of them as its root"):
        create({"a.bin": ""})
    write(tmp_path / "a@1.bin", *tiny())
    with pytest.raises(RequestError, match="a@1.bin gives its figures their name: rename it to letters, digits"):
        create(tmp_path, files="a@1.bin")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            [[b"a"]],
            "it holds something else than two lists; expected a pickle of a list of encoded images and a list of",
        ),
        (None, "it holds something else than two lists"),
        (([b"a", b"b"], [True, False]), "it holds 2 images and 2 labels"),
        ((4 * [b"a"], [True]), "it holds 4 images and 1 labels"),
        (([], []), "it holds something else than a list of images and a list of labels"),
        ((b"ab", [True]), "it holds something else than a list of images"),
        (([b"a", b"b"], [None]), "it holds labels that are neither true nor false"),
        (([b"a", b"b"], [2]), "it holds labels that are neither true nor false"),
        (([b"a", b"b"], [b"x"]), "it holds labels that are neither true nor false"),
        (([b"a", b"b"], np.array([2], np.uint8)), "it holds labels that are neither true nor false"),
        (([b"a", 3], [True]), "it holds an image that is no bytes of an encoded image"),
        (([b"a", b""], [True]), "it holds an image that is no bytes of an encoded image"),
        (([b"a", np.zeros((2, 2), np.uint8)], [True]), "it holds an image that is no bytes of an encoded image"),
        (([b"a", np.zeros(2, bool)], [True]), "it holds an image that is no bytes of an encoded image"),
        (([b"a", {}], [True]), "it has opcode EMPTY_DICT, which plain data do not need, before byte "),
    ],
)
def test_a_pickle_of_something_else_is_answered_in_a_sentence(tmp_path, value, sentence):
    path = tmp_path / "a.bin"
    path.write_bytes(pickle.dumps(value, protocol=4))
    with pytest.raises(RequestError, match=f"^{path} is no verification .bin: {sentence}"):
        create(path)


def test_labels_may_be_an_array_or_numbers(tmp_path):
    for labels in (np.array([True, False]), [1, 0], [np.True_, np.False_]):
        (tmp_path / "a.bin").write_bytes(pickle.dumps((tiny()[0][:4], labels)))
        assert create(tmp_path, folds=2).pairs.same.tolist() == [True, False]


def test_a_program_in_a_pickle_is_refused_with_its_name_and_does_not_run(tmp_path):
    path, made = tmp_path / "lfw.bin", tmp_path / "made"
    path.write_bytes(pickle.dumps(([b"a", b"b", Calls(os.system, f"touch {made}")], [True]), protocol=2))
    with pytest.raises(
        RequestError, match=rf"lfw.bin is refused: its pickle names {os.system.__module__}\.system, and"
    ):
        create(path)
    assert not made.exists()


def test_truncated_and_empty_files(tmp_path):
    path = write(tmp_path / "a.bin", *tiny())
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(RequestError, match=f"a.bin is no verification .bin: it is cut off: .* of {length};"):
            bins.load(path, folds=2)
    path.write_bytes(b"")
    with pytest.raises(RequestError, match=r"a.bin cannot be read \(cannot mmap an empty file\); expected a pickle"):
        create(path)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(some.binary(max_size=6), some.integers(0, 80), some.integers(0, 4), some.sampled_from(PROTOCOLS))
def test_a_changed_file_is_a_protocol_or_one_sentence(tmp_path_factory, new, place, length, protocol):
    path = tmp_path_factory.getbasetemp() / "fuzzed.bin"
    data = bytearray(pickle.dumps(tiny(1), protocol=protocol))
    data[place : place + length] = new
    path.write_bytes(bytes(data))
    try:
        made = bins.load(path, folds=2)
        file = BinFile(path)
        assert len(made.images) == 2 * len(file.same) and all(isinstance(file.read(name), bytes) for name in file.names)
    except RequestError as error:
        assert str(path) in str(error) and "\n" not in str(error)
