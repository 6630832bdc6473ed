"""Feature files of the MegaFace devkit: read back number for number, and refused where they are damaged."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import devkit
from bench.errors import RequestError

NAMES = ["Adam Brody/Adam Brody_260.png", "Adam Brody/Adam Brody_261.png", "901/9019583@N08/8032652775_0.jpg"]


def written(folder, width=6, suffix="_net.bin"):
    array = np.random.default_rng(0).normal(size=(len(NAMES), width)).astype(np.float32) * 7
    devkit.write_features(folder, NAMES, array, suffix)
    return array


def as_the_devkit_reads(path):
    """Its matio.py: rows x bytes-a-row bytes, as a matrix."""
    data = path.read_bytes()
    rows, columns, stride, kind = struct.unpack("iiii", data[:16])
    assert kind == 5
    return np.frombuffer(data[16 : 16 + rows * stride], np.float32).reshape(rows, columns)


def as_insightface_reads(path):
    """Its remove_noises.py: as many floats as the first number of the header."""
    data = path.read_bytes()
    (count,) = struct.unpack("i", data[:4])
    return np.array(struct.unpack(f"{count}f", data[16 : 16 + 4 * count]))


def test_written_features_have_length_1_and_are_what_both_readers_find(tmp_path):
    array = written(tmp_path)
    unit = array / np.linalg.norm(array, axis=1, keepdims=True)
    for name, row in zip(NAMES, unit, strict=True):
        path = tmp_path / f"{name}_net.bin"
        assert as_the_devkit_reads(path).shape == (6, 1)
        assert np.allclose(as_the_devkit_reads(path)[:, 0], row, atol=1e-7)
        assert np.array_equal(as_insightface_reads(path), as_the_devkit_reads(path)[:, 0])
    assert np.array_equal(
        devkit.read_features(tmp_path, NAMES, "_net.bin"),
        devkit.read_features(tmp_path, NAMES, devkit.suffix_of("net")),
    )
    assert np.allclose(devkit.read_features(tmp_path, NAMES[::-1], "_net.bin"), unit[::-1], atol=1e-7)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        f"{name.split('/')[-1]}_net.bin" for name in NAMES
    )


def test_what_was_read_may_lie_in_a_file_instead_of_memory(tmp_path):
    written(tmp_path / "features")
    mapped = devkit.read_features(tmp_path / "features", NAMES, "_net.bin", out=tmp_path / "all.npy")
    assert isinstance(mapped, np.memmap) and np.array_equal(mapped, np.load(tmp_path / "all.npy"))
    assert np.array_equal(mapped, devkit.read_features(tmp_path / "features", NAMES, "_net.bin"))
    (tmp_path / "features" / f"{NAMES[2]}_net.bin").write_bytes(b"short")
    with pytest.raises(RequestError, match="has 5 bytes and is no feature file"):
        devkit.read_features(tmp_path / "features", NAMES, "_net.bin", out=tmp_path / "again.npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.npy", "features"], "nothing half-written"


def test_probes_and_distractors_may_lie_in_two_folders(tmp_path):
    array = np.random.default_rng(1).normal(size=(3, 4))
    devkit.write_features(tmp_path / "facescrub", NAMES[:2], array[:2], "_net.bin")
    devkit.write_features(tmp_path / "megaface", NAMES[2:], array[2:], "_net.bin")
    beside = devkit.read_features([tmp_path / "megaface", tmp_path / "facescrub"], NAMES, "_net.bin")
    assert np.array_equal(devkit.read_features(tmp_path, NAMES, "_net.bin"), beside) and beside.shape == (3, 4)


def test_a_feature_in_a_row_is_read_as_well(tmp_path):
    (tmp_path / "a.png_x.bin").write_bytes(struct.pack("<4i3f", 1, 3, 12, 5, 1, 2, 3))
    assert devkit.read_features(tmp_path, ["a.png"], "_x.bin").tolist() == [[1, 2, 3]]


def test_missing_features_are_counted_and_the_first_is_named(tmp_path):
    array = written(tmp_path)
    for name in NAMES[1:]:
        (tmp_path / f"{name}_net.bin").unlink()
    with pytest.raises(
        RequestError,
        match=r"2 of 3 images have no feature file \.\.\._net.bin in .*, the first is 'Adam Brody/Adam Brody_261.png'",
    ):
        devkit.read_features(tmp_path, NAMES, "_net.bin")
    assert devkit.missing_features(tmp_path, NAMES, "_net.bin") == NAMES[1:]
    left = devkit.read_features(tmp_path, NAMES, "_net.bin", allow_missing=True)
    assert np.allclose(left, array[:1] / np.linalg.norm(array[0]), atol=1e-7)
    with pytest.raises(RequestError, match="no image has a feature file"):
        devkit.read_features(tmp_path, NAMES[1:], "_net.bin", allow_missing=True)
    with pytest.raises(RequestError, match="no folder of feature files at"):
        devkit.read_features(tmp_path / "none", NAMES, "_net.bin")


def test_the_suffixes_that_an_image_has(tmp_path):
    for suffix in ("_b.bin", "_a_c.bin"):
        written(tmp_path, suffix=suffix)
    assert devkit.suffixes(tmp_path, NAMES[0]) == ["_a_c.bin", "_b.bin"]
    assert devkit.suffixes(tmp_path, "Nobody/1.png") == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "has 0 bytes and is no feature file of the devkit"),
        (struct.pack("<4i", 2, 1, 4, 6) + b"\0" * 16, r"numbers of type 6 \(CV_64F\): expected type 5"),
        (struct.pack("<4i", 2, 1, 4, 77) + b"\0" * 8, "numbers of type 77: expected type 5"),
        (struct.pack("<4i", 2, 2, 8, 5) + b"\0" * 16, "2 x 2 numbers with 8 bytes a row"),
        (struct.pack("<4i", 2, 1, 8, 5) + b"\0" * 8, "2 x 1 numbers with 8 bytes a row"),
        (struct.pack("<4i", -2, 1, 4, 5), "-2 x 1 numbers"),
        (struct.pack("<4i", 2**30, 1, 4, 5), "1073741824 x 1 numbers"),
        (struct.pack("<4i", 2, 1, 4, 5) + b"\0" * 7, "has 23 bytes, its header says 24: it was cut or added to"),
        (struct.pack("<4i", 2, 1, 4, 5) + b"\0" * 9, "has 25 bytes, its header says 24"),
        (struct.pack("<4i3f", 3, 1, 4, 5, 1, 2, 3), "holds 3 numbers, the first feature file 2"),
        (struct.pack("<4i2f", 2, 1, 4, 5, 1, float("nan")), "holds nan or infinity"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name(tmp_path, content, sentence):
    (tmp_path / "a.png_x.bin").write_bytes(struct.pack("<4i2f", 2, 1, 4, 5, 1, 2))
    (tmp_path / "b.png_x.bin").write_bytes(content)
    with pytest.raises(RequestError, match=sentence) as caught:
        devkit.read_features(tmp_path, ["a.png", "b.png"], "_x.bin")
    assert "b.png_x.bin" in str(caught.value)


@settings(max_examples=200)
@given(
    st.one_of(
        st.binary(max_size=40),
        st.builds(
            lambda head, rest: struct.pack("<4i", *head) + rest,
            st.tuples(*[st.integers(-2, 6)] * 4),
            st.binary(max_size=40),
        ),
    )
)
def test_any_bytes_are_a_feature_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzzed_x.bin"
    path.write_bytes(content)
    try:
        feature = devkit.read_feature(path)
    except RequestError as error:
        assert str(path) in str(error)
    else:
        assert feature.dtype == np.float32 and content[16:] == feature.astype("<f4").tobytes()


def test_bad_arrays_and_names_are_refused_before_anything_is_written(tmp_path):
    array = np.ones((3, 4))
    for bad, sentence in [
        (0.0, r"embedding 1 \(Adam Brody/Adam Brody_261.png\) is zero"),
        (np.inf, "embedding 1 .* not finite"),
        (np.nan, "embedding 1 .* not finite"),
    ]:
        spoilt = array.copy()
        spoilt[1] = bad
        with pytest.raises(RequestError, match=sentence):
            devkit.write_features(tmp_path / "out", NAMES, spoilt, "_x.bin")
    with pytest.raises(RequestError, match=r"for each of 3 images, got an array of shape \(2, 4\)"):
        devkit.write_features(tmp_path / "out", NAMES, array[:2], "_x.bin")
    for name in ("../up.png", "/etc/up.png", "a/../../up.png", ""):
        with pytest.raises(RequestError, match="leads out of the folder"):
            devkit.write_features(tmp_path / "out", [*NAMES[:2], name], array, "_x.bin")
    assert not (tmp_path / "out").exists() and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_very_short_and_very_long_features_are_written_at_length_1(tmp_path, scale):
    devkit.write_features(tmp_path, ["a.png"], np.array([[3.0, 4.0]]) * scale, "_x.bin")
    assert np.allclose(devkit.read_feature(tmp_path / "a.png_x.bin"), [0.6, 0.8])
