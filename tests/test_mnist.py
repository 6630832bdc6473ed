"""MNIST's idx files, made up and real."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from bench import datasets
from bench.errors import RequestError

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"


def write(folder: Path, name: str, array: np.ndarray, packed: bool) -> None:
    magic = 2048 + array.ndim
    content = struct.pack(f">I{array.ndim}I", magic, *array.shape) + array.tobytes()
    path = folder / (name + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture
def idx(tmp_path):
    random = np.random.default_rng(0)
    for part, count, packed in (("train", 50, True), ("t10k", 20, False)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write(tmp_path, f"{part}-images-idx3-ubyte", images, packed)
        write(tmp_path, f"{part}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8), packed)
    return tmp_path


def test_training_and_test_images_are_read(idx):
    found = datasets.load("mnist", path=str(idx))
    assert len(found.names) == 70 and found.test.sum() == 20 and len(found.identities) == 10
    for name, label, test in zip(found.names, found.labels, found.test, strict=True):
        row = int(name.split("-")[-1].removesuffix(".png"))
        assert row % 10 == label and test == ("/test-" in name)
    content = gzip.decompress((idx / "train-images-idx3-ubyte.gz").read_bytes())[16:]
    (image,) = found.source.images(["digit-3/train-00013.png"])
    assert image.shape == (28, 28, 1) and image.tobytes() == content[13 * 784 : 14 * 784]


def test_fewer_classes_and_images(idx):
    found = datasets.load("mnist", path=str(idx), classes=[7, 2], train_per_class=3)
    assert found.identities == ("digit-2", "digit-7")
    assert np.bincount(found.labels[~found.test]).tolist() == [3, 3] and found.test.sum() == 4
    assert found.source.fingerprint == datasets.load("mnist", path=str(idx)).source.fingerprint


def test_what_is_no_mnist_is_refused(idx, monkeypatch):
    monkeypatch.delenv("FACEBENCH_DATA", raising=False)
    with pytest.raises(RequestError, match="is relative and no data folder is named"):
        datasets.load("mnist")
    with pytest.raises(RequestError, match="classes of mnist are different digits"):
        datasets.load("mnist", path=str(idx), classes=[1, 1])
    with pytest.raises(RequestError, match="train_per_class of mnist is 0"):
        datasets.load("mnist", path=str(idx), train_per_class=-1)
    with pytest.raises(RequestError, match="mnist has no image 'digit-0/train-00099.png'"):
        list(datasets.load("mnist", path=str(idx)).source.images(["digit-0/train-00099.png"]))
    (idx / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x09")
    _forget()
    with pytest.raises(RequestError, match="t10k-labels-idx1-ubyte is no idx file of MNIST"):
        datasets.load("mnist", path=str(idx))
    (idx / "t10k-labels-idx1-ubyte").unlink()
    _forget()
    with pytest.raises(RequestError, match="no t10k-labels-idx1-ubyte"):
        datasets.load("mnist", path=str(idx))


def _forget():
    from bench.datasets import mnist

    mnist._part.cache_clear()


@pytest.mark.skipif(not REAL.is_dir(), reason="no real MNIST beside the project (../shared/data/mnist)")
def test_the_real_files_hold_70000_digits(monkeypatch):
    monkeypatch.setitem(os.environ, "FACEBENCH_DATA", str(REAL))
    found = datasets.load("mnist")
    assert len(found.names) == 70_000 and found.test.sum() == 10_000
    assert np.bincount(found.labels[~found.test]).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]
