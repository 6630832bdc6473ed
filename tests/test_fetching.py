"""Fetching through the libraries' own downloaders, from a server in this process: whole, resumed, damaged, silent, offline."""

import gzip
import hashlib
import io
import struct
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from bench import datasets, fetching
from bench.errors import RequestError, Unreachable
from bench.fetching import fetch

LISTS = ("pairsDevTrain.txt", "pairsDevTest.txt", "pairs.txt")
PEOPLE = ("Ann_Lee", "Bo_Ek")


class Server(ThreadingHTTPServer):
    """Serves `files`; `mood` says how a path is answered: whole, cut (half of it), silent, missing."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.mood, self.asked, self.over = {}, {}, [], threading.Event()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        server, name = self.server, self.path[1:]
        server.asked.append(name)
        mood = server.mood.get(name, "whole")
        if mood == "silent":
            server.over.wait(20)
            return
        if mood == "missing":
            self.send_error(404)
            return
        body = server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if mood == "cut" else body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.over.set()
        made.shutdown()


def picture(seed):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 20, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def lfw(server, monkeypatch):
    """A LFW of two people and three photographs, and its lists; a list beside the people in the archive, as in the real one."""
    from sklearn.datasets import _lfw
    from sklearn.datasets._base import RemoteFileMetadata

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        members = {
            f"lfw_funneled/{who}/{who}_{n:04d}.jpg": picture(n)
            for who, n in zip((*PEOPLE, PEOPLE[0]), (1, 1, 2), strict=True)
        }
        for name, body in {**members, "lfw_funneled/pairs_01.txt": b"more"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    server.files = {"lfw-funneled.tgz": packed.getvalue(), **{name: name.encode() for name in LISTS}}

    def remote(name):
        return RemoteFileMetadata(name, server.address + name, hashlib.sha256(server.files[name]).hexdigest())

    monkeypatch.setattr(_lfw, "TARGETS", tuple(map(remote, LISTS)))
    monkeypatch.setattr(_lfw, "FUNNELED_ARCHIVE", remote("lfw-funneled.tgz"))
    monkeypatch.setitem(fetching.SETS, "lfw", replace(fetching.SETS["lfw"], count=3))
    return members


def there(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_lfw_comes_whole_with_its_lists_and_sums(lfw, server, tmp_path, capsys):
    made = fetch("lfw", tmp_path)
    assert made.path == tmp_path / "lfw" and (made.state, made.files) == ("fetched", 7)
    assert there(made.path) == sorted([*lfw, "lfw_funneled/pairs_01.txt", *LISTS, "sha256.txt"])
    lines = (made.path / "sha256.txt").read_text().splitlines()
    for line in lines:
        digest, path = line.split("  ")
        assert hashlib.sha256((made.path / path).read_bytes()).hexdigest() == digest
    assert len(lines) == 7 and made.bytes == sum(
        (made.path / p).stat().st_size for p in there(made.path) if p != "sha256.txt"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["lfw"], "nothing hidden is left"
    assert str(made.path) in made.use and capsys.readouterr().out == ""
    assert datasets.load("folder", paths=[str(made.path / "lfw_funneled")]).identities == PEOPLE


def test_a_second_call_asks_nobody(lfw, server, tmp_path):
    first = fetch("lfw", tmp_path)
    asked = len(server.asked)
    assert fetch("lfw", tmp_path) == replace(first, state="complete") and len(server.asked) == asked


def test_what_was_interrupted_goes_on(lfw, server, tmp_path):
    server.mood["lfw-funneled.tgz"] = "missing"
    with pytest.raises(Unreachable, match=r"cannot be fetched, is there no network\? \(.*Not Found.*command goes on"):
        fetch("lfw", tmp_path)
    assert not (tmp_path / "lfw").exists()
    server.mood, server.asked = {}, []
    assert fetch("lfw", tmp_path).state == "fetched" and server.asked == ["lfw-funneled.tgz"], "the lists were there"


def test_half_unpacked_images_are_not_taken_for_all(lfw, server, tmp_path):
    """scikit-learn looks only whether the folder exists: here it does, with one image, beside the archive."""
    home = tmp_path / ".lfw.fetching/lfw_home"
    (home / "lfw_funneled/Ann_Lee").mkdir(parents=True)
    (home / "lfw_funneled/Ann_Lee/half.jpg").write_bytes(b"x")
    (home / "lfw-funneled.tgz").write_bytes(server.files["lfw-funneled.tgz"])
    made = fetch("lfw", tmp_path)
    assert made.files == 7 and "half.jpg" not in str(there(made.path)) and "lfw-funneled.tgz" not in server.asked


def test_too_few_images_are_no_set(lfw, server, tmp_path, monkeypatch):
    monkeypatch.setitem(fetching.SETS, "lfw", replace(fetching.SETS["lfw"], count=4))
    with pytest.raises(Unreachable, match=r"lfw came with 3 \.jpg files, expected 4"):
        fetch("lfw", tmp_path)
    assert not (tmp_path / "lfw").exists()


@pytest.mark.parametrize("mood", ["cut", "silent"])
def test_a_server_that_breaks_off_or_says_nothing_is_given_up(lfw, server, tmp_path, mood):
    server.mood["pairs.txt"] = mood
    with pytest.raises(Unreachable, match="lfw cannot be fetched"):
        fetch("lfw", tmp_path, timeout=0.3)
    assert server.asked.count("pairs.txt") == 2 and not (tmp_path / "lfw").exists()
    hidden = tmp_path / ".lfw.fetching/lfw_home"
    assert there(hidden) == ["pairsDevTest.txt", "pairsDevTrain.txt"], "no part of a file"


def test_another_checksum_is_said(lfw, server, tmp_path):
    server.files["pairs.txt"] = b"other"
    with pytest.raises(Unreachable, match=r"came damaged \(The SHA256 checksum of pairs.txt .* differs"):
        fetch("lfw", tmp_path)
    assert not (tmp_path / "lfw").exists() and "pairs.txt" not in str(there(tmp_path))


def test_offline_is_one_sentence(lfw, server, tmp_path, monkeypatch):
    from sklearn.datasets import _lfw

    monkeypatch.setattr(_lfw, "TARGETS", tuple(one._replace(url="http://127.0.0.1:1/x") for one in _lfw.TARGETS))
    with pytest.raises(Unreachable) as error:
        fetch("lfw", tmp_path)
    assert "is there no network? (" in str(error.value) and "Connection refused" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_fetched_set_that_was_changed_is_refused(lfw, server, tmp_path):
    fetch("lfw", tmp_path)
    (tmp_path / "lfw/pairs.txt").write_text("changed")
    (tmp_path / "lfw/lfw_funneled/pairs_01.txt").unlink()
    with pytest.raises(RequestError, match=r"2 of 7 files in .* the first is 'lfw_funneled/pairs_01"):
        fetch("lfw", tmp_path)
    (tmp_path / "lfw/sha256.txt").unlink()
    with pytest.raises(RequestError, match="was not fetched by this command: move it away"):
        fetch("lfw", tmp_path)


def test_wrong_requests_are_answered(tmp_path):
    with pytest.raises(
        RequestError, match="no set 'celeba' to be fetched; there are: lfw, lfw_original, olivetti, mnist"
    ):
        fetch("celeba", tmp_path)
    with pytest.raises(RequestError, match="seconds above 0, got 0"):
        fetch("lfw", tmp_path, timeout=0)


def test_the_patience_of_other_sockets_is_given_back(lfw, server, tmp_path):
    import socket

    before = socket.getdefaulttimeout()
    fetch("lfw", tmp_path, timeout=5)
    assert socket.getdefaulttimeout() == before


def test_olivetti_comes_as_it_was_published(server, tmp_path, monkeypatch):
    from sklearn.datasets import _olivetti_faces
    from sklearn.datasets._base import RemoteFileMetadata

    faces = np.random.default_rng(0).integers(0, 243, (4096, 400)).astype(np.uint8)
    faces[:3, 0] = 0, 1, 242
    file = io.BytesIO()
    savemat(file, {"faces": faces})
    server.files["o.mat"] = file.getvalue()
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    monkeypatch.setattr(
        _olivetti_faces, "FACES", RemoteFileMetadata("olivettifaces.mat", server.address + "o.mat", digest)
    )
    made = fetch("olivetti", tmp_path)
    assert there(made.path) == ["olivettifaces.mat", "sha256.txt"] and made.files == 1
    assert np.array_equal(loadmat(made.path / "olivettifaces.mat")["faces"], faces)
    assert fetch("olivetti", tmp_path).state == "complete"


def idx(array):
    return gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.fixture
def mnist(server, monkeypatch):
    from torchvision.datasets import MNIST

    random = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 10)):
        server.files[f"{part}-images-idx3-ubyte.gz"] = idx(random.integers(0, 256, (count, 28, 28)).astype(np.uint8))
        server.files[f"{part}-labels-idx1-ubyte.gz"] = idx((np.arange(count) % 10).astype(np.uint8))
    md5 = {name: hashlib.md5(body, usedforsecurity=False).hexdigest() for name, body in server.files.items()}
    monkeypatch.setattr(MNIST, "mirrors", [server.address])
    monkeypatch.setattr(MNIST, "resources", list(md5.items()))
    return list(md5)


def test_mnist_comes_and_is_a_data_set(mnist, server, tmp_path):
    made = fetch("mnist", tmp_path)
    assert there(made.path) == sorted([*mnist, "sha256.txt"]) and (made.state, made.files) == ("fetched", 4)
    assert len(datasets.load("mnist", path=str(made.path)).names) == 40


def test_mnist_goes_on_and_takes_no_half_file(mnist, server, tmp_path):
    server.mood[mnist[2]] = "cut"
    with pytest.raises(Unreachable, match="mnist cannot be fetched"):
        fetch("mnist", tmp_path)
    raw = tmp_path / ".mnist.fetching/MNIST/raw"
    for name in mnist:
        (raw / name.removesuffix(".gz")).write_bytes(b"half")  # torchvision would take them for whole
    server.mood, server.asked = {}, []
    made = fetch("mnist", tmp_path)
    assert sorted(set(server.asked)) == sorted(mnist[2:]), "the first two were there and are checked, not fetched"
    assert len(datasets.load("mnist", path=str(made.path)).names) == 40
    assert [p.name for p in tmp_path.iterdir()] == ["mnist"]


def test_mnist_without_a_network(mnist, tmp_path, monkeypatch):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:1/"])
    with pytest.raises(Unreachable, match="mnist cannot be fetched.*Connection refused"):
        fetch("mnist", tmp_path)
    assert not (tmp_path / "mnist").exists()
