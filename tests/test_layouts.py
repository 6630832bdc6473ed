"""The layouts of LFW and ORL as folders, and Olivetti's mat file."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from fuzzing import NUMBER, damaged, reads_or_refuses
from hypothesis import given, settings
from made_up_files import picture, write_mat

from bench import datasets
from bench.errors import RequestError

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "olivettifaces.mat"
FAST = settings(max_examples=60)


def test_lfws_folders_are_a_folder_data_set(tmp_path):
    """NAME/NAME_0001.jpg: the folder is the person's name."""
    for name, count in (("Aaron_Eckhart", 1), ("AJ_Cook", 2)):
        for number in range(1, count + 1):
            path = tmp_path / "lfw" / name / f"{name}_{number:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(number, kind="jpeg")[0])
    faces = datasets.load("folder", paths=[str(tmp_path / "lfw")])
    assert faces.names == (
        "AJ_Cook/AJ_Cook_0001.jpg",
        "AJ_Cook/AJ_Cook_0002.jpg",
        "Aaron_Eckhart/Aaron_Eckhart_0001.jpg",
    )
    assert faces.people == {"AJ_Cook": "AJ_Cook", "Aaron_Eckhart": "Aaron_Eckhart"}
    assert [image.shape for image in faces.source.images(faces.names)] == [(12, 14, 3)] * 3


def test_orls_folders_are_a_folder_data_set(tmp_path):
    """s1/1.pgm: grey images, numbers for names."""
    shown = {}
    for person in (1, 2, 10):
        for number in (1, 2):
            content, pixels = picture(person * number, kind="ppm", colour=False)
            shown[f"s{person}/{number}.pgm"] = pixels
            path = tmp_path / "orl" / f"s{person}" / f"{number}.pgm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            assert content.startswith(b"P5")
    faces = datasets.load("folder", paths=[str(tmp_path / "orl")])
    assert set(faces.names) == set(shown) and set(faces.identities) == {"s1", "s2", "s10"} and not faces.people
    for name, image in zip(faces.names, faces.source.images(faces.names), strict=True):
        assert np.array_equal(image, np.repeat(shown[name][:, :, None], 3, 2))


def load(path, **options):
    return datasets.load("olivetti", path=str(path), **options)


@pytest.mark.parametrize("compressed", [False, True])
def test_olivettis_columns_are_images_column_by_column(tmp_path, compressed):
    columns = np.random.default_rng(0).integers(0, 256, (4096, 400), dtype=np.uint8)
    faces = load(write_mat(tmp_path / "olivettifaces.mat", {"faces": columns}, compressed).parent)
    assert faces.names[:2] == ("s1/1.png", "s1/2.png") and faces.names[-1] == "s40/10.png"
    assert np.bincount(faces.labels).tolist() == [10] * 40 and faces.identities[9] == "s10"
    source = pickle.loads(pickle.dumps(faces.source))
    for name, image in zip(("s3/4.png", "s40/10.png"), source.images(["s3/4.png", "s40/10.png"]), strict=True):
        column = columns[:, faces.names.index(name)]
        assert image.shape == (64, 64, 1)
        assert all(image[y, x, 0] == column[64 * x + y] for x in range(0, 64, 9) for y in range(0, 64, 7))
    with pytest.raises(RequestError, match="1 of 1 images are missing"):
        list(source.images(["s41/1.png"]))


def test_what_is_no_olivetti_is_answered(tmp_path):
    path = tmp_path / "olivettifaces.mat"
    for arrays in (
        {"faces": np.zeros((4096, 399))},
        {"images": np.zeros((4096, 400))},
        {"faces": np.full((4096, 400), 0.5)},
    ):
        with pytest.raises(
            RequestError, match=r"is no olivettifaces.mat: expected a variable `faces` of 4096 x 400 bytes"
        ):
            load(write_mat(path, arrays))
    path.write_bytes(b"no mat file")
    with pytest.raises(RequestError, match=r"is no olivettifaces.mat"):
        load(path)
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(RequestError, match="has more than 16,777,216 bytes"):
        load(path)
    path.unlink()
    with pytest.raises(RequestError, match="no olivettifaces.mat in"):
        load(tmp_path)


@pytest.fixture(scope="module")
def small_mat(tmp_path_factory):
    path = tmp_path_factory.mktemp("mat") / "whole.mat"
    return write_mat(path, {"faces": np.zeros((4096, 400), np.uint8)}, compressed=True).read_bytes()


@FAST
@given(damaged(bytes(4)))
def test_noise_is_no_mat_file(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / f"noise{next(NUMBER)}.mat"
    path.write_bytes(content)
    reads_or_refuses(lambda: load(path))


def test_whatever_happened_to_a_mat_file_is_read_or_refused(small_mat, tmp_path):
    @FAST
    @given(damaged(small_mat))
    def check(content):
        path = tmp_path / f"{next(NUMBER)}.mat"
        path.write_bytes(content)
        reads_or_refuses(lambda: load(path))

    check()


@pytest.mark.skipif(
    not REAL.is_file(), reason="no real Olivetti faces beside the project (../shared/data/olivettifaces.mat)"
)
def test_the_real_file_holds_forty_people(monkeypatch):
    monkeypatch.setitem(os.environ, "FACEBENCH_DATA", str(REAL.parent))
    faces = datasets.load("olivetti")
    rows = np.stack(list(faces.source.images(faces.names))).reshape(400, -1).astype(float)
    assert len(faces.identities) == 40
    alike = 2 * rows @ rows.T - (rows**2).sum(1)  # minus the squared distance, but for what is the same along a row
    np.fill_diagonal(alike, -np.inf)
    assert (faces.labels[alike.argmax(1)] == faces.labels).mean() > 0.9  # the nearest image is the same person's
