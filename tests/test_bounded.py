"""What was packed by strangers: archives that inflate without end, names that lead out, claims beyond the file."""

import gzip
import io
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from fuzzing import NUMBER, damaged, reads_or_refuses
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_files import picture, write_tar

from bench import bounded, datasets, pictures
from bench.datasets import mnist
from bench.errors import RequestError
from bench.files import FileImages, Tree
from bench.images import Unreadable
from bench.protocols import _lists

FAST = settings(max_examples=100)


def load(path):
    return datasets.load("folder", paths=[str(path)])


def write_zip(path, files, how=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def bomb(path, size):
    """A zip whose one picture inflates to `size` zeros; its directory says what it likes."""
    return write_zip(path, [("Ann/0.png", bytes(size)), ("Ann/1.png", picture(1)[0])])


def test_a_zip_member_that_inflates_beyond_the_limit_is_unreadable(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded, "PICTURE", 1 << 16)
    path = bomb(tmp_path / "bomb.zip", 1 << 24)
    assert path.stat().st_size < 1 << 16
    faces = load(path)
    bad, good = faces.source.images(faces.names)
    assert "16,777,216 bytes, and at most 65,536 are read" in bad.reason and isinstance(good, np.ndarray)
    with pytest.raises(RequestError, match=r"bomb.zip/Ann/0.png holds 16,777,216 bytes, and at most 1,000"):
        Tree(path).read("Ann/0.png", 1000)


def test_a_zip_member_gives_no_more_than_it_says(tmp_path):
    """The directory claims 100 bytes; what follows is never inflated, and the checksum tells."""
    path = bomb(tmp_path / "bomb.zip", 1 << 24)
    content = path.read_bytes().replace(struct.pack("<I", 1 << 24), struct.pack("<I", 100))
    path.write_bytes(content)
    faces = load(path)
    bad, _ = faces.source.images(faces.names)
    assert isinstance(bad, Unreadable) and "CRC" in bad.reason


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_without_a_bound_are_refused(tmp_path, how):
    faces = load(write_zip(tmp_path / "odd.zip", [("Ann/0.png", picture()[0])], how))
    (bad,) = faces.source.images(faces.names)
    assert "expected stored or deflated files" in bad.reason


@pytest.mark.parametrize("name", ["../Ann/0.png", "/Ann/0.png", "Ann/../../0.png", "..\\Ann\\0.png", "\\Ann\\0.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_name_that_leads_out_is_refused_and_nothing_is_written(tmp_path, name, kind):
    folder = tmp_path / "in"
    folder.mkdir()
    files = [("Bob/0.png", picture()[0]), (name, picture()[0])]
    path = (write_zip if kind == "zip" else write_tar)(folder / f"evil.{kind}", files)
    with pytest.raises(RequestError, match=r"evil.* holds the name .*, which leads out of it"):
        load(path)
    assert [file.name for file in tmp_path.rglob("*")] == ["in", path.name]


def test_links_in_a_tar_are_passed_over(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture()[0])
    links = []
    for kind, target in ((tarfile.SYMTYPE, str(secret)), (tarfile.LNKTYPE, "Ann/0.png"), (tarfile.FIFOTYPE, "")):
        info = tarfile.TarInfo(f"Ann/{kind.decode()}.png")
        info.type, info.linkname = kind, target
        links.append(info)
    faces = load(write_tar(tmp_path / "links.tar", [("Ann/0.png", picture()[0]), *links]))
    assert faces.names == ("Ann/0.png",)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_compressed_tar_that_inflates_beyond_measure_is_refused(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(bounded, "SMALL", 1 << 20)
    path = tmp_path / f"bomb.tar.{suffix}"
    with tarfile.open(path, f"w:{suffix}") as archive:
        info = tarfile.TarInfo("Ann/0.png")
        info.size = 1 << 25
        archive.addfile(info, io.BytesIO(bytes(1 << 25)))
    with pytest.raises(RequestError, match=r"cannot hold the 33,554,432 bytes that it claims for 'Ann/0.png'"):
        load(path)


def test_a_tar_that_claims_more_than_it_has_is_refused(tmp_path):
    path = write_tar(tmp_path / "cut.tar", [("Ann/0.png", picture(size=80)[0])])
    path.write_bytes(path.read_bytes()[:2048])
    with pytest.raises(RequestError, match=r"cut.tar cannot hold the [\d,]+ bytes that it claims for 'Ann/0.png'"):
        load(path)


def header(name, size, kind=b"0"):
    """A tar header with a true checksum and a size of any sign and length."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (0x80 << 88 | size).to_bytes(12, "big") if size >= 0 else size.to_bytes(12, "big", signed=True)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "content",
    [
        header("Ann/0.png", 1 << 60),
        header("x" * 50, 1 << 40, b"L"),  # a long name of a terabyte
        header("x", 1 << 40, b"x"),  # a pax header of a terabyte
        header("Ann/0.png", -512),  # the next header is this one again
        header("Ann/0.png", -1024) * 3,
        header("x", 8, b"L") + bytes(512),
        (header("x", 1, b"L") + b"a".ljust(512, b"\0")) * 3000,  # a long name of a long name of a ...
    ],
)
def test_a_tar_header_that_claims_nonsense_is_refused_at_once(tmp_path, content):
    path = tmp_path / "odd.tar"
    path.write_bytes(content + bytes(1024))
    with pytest.raises(RequestError, match="odd.tar"):
        load(path)


def test_a_tar_header_never_has_more_read_than_a_file_may_hold(tmp_path):
    path = tmp_path / "odd.tar"
    path.write_bytes(header("x" * 50, 1 << 40, b"L") + bytes(1024))
    with pytest.raises(RequestError, match=r"a header claims 1,099,511,627,776 bytes"):
        load(path)


def test_a_large_file_is_refused_by_its_size_alone(tmp_path):
    """A list of 40 GB (of holes, here) is never read."""
    path = tmp_path / "features.json"
    with path.open("wb") as file:
        file.truncate(40 << 30)
    with pytest.raises(RequestError, match=r"features.json holds 42,949,672,960 bytes, and at most 1,073,741,824"):
        _lists.read(tmp_path, "features.json")
    (tmp_path / "Ann").mkdir()
    path.rename(tmp_path / "Ann" / "0.png")
    (bad,) = FileImages([("", Tree(tmp_path))]).images(["Ann/0.png"])
    assert "at most 268,435,456 are read" in bad.reason


def test_a_gzip_list_that_inflates_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    (tmp_path / "pairs.txt.gz").write_bytes(gzip.compress(bytes(1 << 22)))
    monkeypatch.setattr(bounded.gunzip, "__defaults__", (1 << 20,))
    with pytest.raises(RequestError, match=r"pairs.txt.gz holds more than 1,048,576 bytes"):
        _lists.read(tmp_path, "pairs.txt.gz")
    for number, content in enumerate((b"no gzip", gzip.compress(b"abc")[:-6], b"\x1f\x8b\x08\0" + b"x" * 20)):
        (tmp_path / f"{number}.gz").write_bytes(content)
        with pytest.raises(RequestError, match="is no list: expected UTF-8 text, or such text packed by gzip"):
            _lists.read(tmp_path, f"{number}.gz")


def test_a_damaged_member_that_is_a_list_is_answered(tmp_path):
    path = write_zip(tmp_path / "lists.zip", [("pairs.txt", "Ann\t1\t2\n" * 50)])
    content = bytearray(path.read_bytes())
    content[45] ^= 255
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"'pairs.txt' in .*lists.zip cannot be read"):
        _lists.read(tmp_path, "lists.zip/pairs.txt")


def png(width, height):
    """A picture that says it is so large; its header's checksum is true."""
    import zlib

    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    parts = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (chunk, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("side", [10_000, 20_000, 2**31 - 1])
def test_a_picture_that_claims_too_many_pixels_is_unreadable(side):
    bad = pictures.decode("a", png(side, side))
    assert isinstance(bad, Unreadable) and "decompression bomb" in bad.reason


def test_only_the_named_kinds_of_picture_are_decoded():
    """What people keep faces in; no stranger's bytes reach the other decoders (PostScript would start a program)."""
    assert "begins like no picture of a known kind" in pictures.decode("a", picture(kind="pcx")[0]).reason


@pytest.mark.parametrize(
    "content", [b"", b"%!PS-Adobe-3.0 EPSF\n", b"SIMPLE  =", b"\xff\xd8\xff\xe0junk", b"P5 9999 9999 255\n"]
)
def test_what_is_no_picture_is_unreadable(content):
    assert isinstance(pictures.decode("a", content), Unreadable)


@FAST
@given(damaged(picture(kind="jpeg", size=20)[0]))
def test_whatever_happened_to_a_jpeg_is_decoded_or_unreadable(content):
    image = pictures.decode("a", content)
    assert isinstance(image, Unreadable) or image.shape[2] == 3


@pytest.mark.parametrize("kind", ["png", "bmp", "webp", "tiff", "ppm", "gif"])
@settings(max_examples=30)
@given(data=st.data())
def test_whatever_happened_to_a_picture_is_decoded_or_unreadable(kind, data):
    image = pictures.decode("a", data.draw(damaged(picture(kind=kind, size=8)[0])))
    assert isinstance(image, Unreadable) or image.shape[2] == 3


def packed_faces(kind):
    out = io.BytesIO()
    files = [("Ann/0.png", picture(0)[0]), ("Bob/0.png", picture(1)[0])]
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=out, mode="w:gz" if kind == "tar.gz" else "w") as archive:
            for name, content in files:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@FAST
@given(data=st.data())
def test_whatever_happened_to_an_archive_is_read_or_refused(tmp_path_factory, kind, data):
    path = tmp_path_factory.getbasetemp() / f"archive{next(NUMBER)}.{kind}"
    path.write_bytes(data.draw(damaged(packed_faces(kind))))
    reads_or_refuses(lambda: load(path))


IDX = struct.pack(">IIII", 2051, 3, 28, 28) + bytes(3 * 784)


@FAST
@given(data=st.data())
def test_whatever_happened_to_mnists_files_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / f"mnist{next(NUMBER)}"
    folder.mkdir()
    mnist._part.cache_clear()
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(IDX, mtime=0))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 3) + b"\1\2\3")
    which = data.draw(st.sampled_from(sorted(folder.iterdir())))
    which.write_bytes(data.draw(damaged(which.read_bytes())))
    reads_or_refuses(lambda: datasets.load("mnist", path=str(folder)))
