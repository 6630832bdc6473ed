"""What lies at a path: which data set reads it, or which protocol's file it is; told by content, by name where that is mute."""

import json
import re
import struct
import zipfile
import zlib
from pathlib import Path

from bench import bounded
from bench.datasets import lst
from bench.errors import RequestError
from bench.files import IMAGE_SUFFIXES, is_image

# Kind -> what it is, in words; those in `DATASETS` are read by the data set of that name.
KINDS = {
    "folder": "images in folders, one an identity",
    "recordio": "MXNet's .rec (insightface's training sets)",
    "parquet": "a Hugging Face data set (parquet shards, or what save_to_disk wrote)",
    "webdataset": "WebDataset shards (KEY.jpg with KEY.cls or KEY.json)",
    "lst": "a list of images with labels",
    "mnist": "MNIST's idx files",
    "olivetti": "the Olivetti faces (olivettifaces.mat)",
    "insightface-bin": "insightface's verification set (a pickle of pictures and of same-or-not)",
    "megaface-features": "a feature file of the MegaFace devkit",
    "megaface-list": "an image list of the MegaFace devkit (json)",
    "lfw-pairs": "a list of pairs as LFW's pairs.txt",
    "lfw-people": "a list of people with their numbers of images, as LFW's people.txt",
    "identification-list": "a gallery or probe list (path, index, label)",
    "ytf-splits": "a list of video pairs as YTF's splits.txt",
    "ijb-templates": "IJB's list of images with template and media",
    "ijb-pairs": "IJB's list of template pairs",
    "embeddings": "an array of numbers (embeddings)",
    "csv": "a table",
}
DATASETS = ("folder", "recordio", "parquet", "webdataset", "lst", "mnist", "olivetti")

_HEAD = 1 << 16  # bytes from which a file is told
_IDX = (2051, 2049)
_MAT = struct.Struct("<4i")
_LABELLED = re.compile(rf"\S.*({'|'.join(re.escape(s) for s in sorted(IMAGE_SUFFIXES))})\s+\S+", re.IGNORECASE)


def kind(path: Path) -> str:
    """Which of `KINDS` lies at `path`.

    Raises:
        RequestError: none of them does, or things of several kinds lie there (it names them).
    """
    found = _folder(path) if path.is_dir() else _file(path)
    if not found:
        raise RequestError(f"{path} is nothing that is known here; known are: {', '.join(KINDS)}")
    return found


def _folder(path: Path) -> str:
    inside = sorted(path.iterdir())
    by_kind: dict[str, str] = {}
    for file in inside:
        if file.is_file() and (found := _listed(file)):
            by_kind.setdefault(found, file.name)
    if any(_has_image(below) for below in inside if below.is_dir()):
        by_kind.setdefault("folder", "its folders")
    if not by_kind and any(file.suffix in (".parquet", ".arrow") for file in path.rglob("*")):
        by_kind["parquet"] = "shards in its folders"
    if "recordio" in by_kind:  # insightface ships verification sets and lists beside the training set
        return "recordio"
    if len(by_kind) > 1:
        things = "; ".join(f"{name} ({KINDS[found]})" for found, name in by_kind.items())
        raise RequestError(f"things of several kinds lie in {path}: {things}; name one of them")
    return next(iter(by_kind), "")


def _listed(file: Path) -> str:
    """The kind of a file in a folder: as data, or nothing (lists and tables beside images are no data set of their own)."""
    name = file.name
    if name in ("dataset_info.json", "state.json", "dataset_dict.json") or file.suffix == ".parquet":
        return "parquet"
    if name.startswith(("train-images", "t10k-images")):
        return "mnist"
    if file.suffix in (".rec", ".mat", ".arrow", ".tar", ".zip", ".bin"):
        return _file(file)
    return ""


def _has_image(folder: Path) -> bool:
    return any(is_image(file.name) for file in folder.rglob("*") if file.is_file())


def _file(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[:4] == b"PK\x03\x04" and not zipfile.is_zipfile(path):
        raise RequestError(f"{path} begins as a zip file and has no end: it was cut short, get it again")
    if head[:2] == b"\x1f\x8b" and not path.name.endswith((".tar.gz", ".tgz")):
        head = _unpacked(head)
    binary = _binary(path, head)
    if binary is not None:
        return binary
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return ""
        text = head[: error.start].decode("utf-8-sig")  # cut within a letter
    return _text([line for line in text.splitlines() if line.strip()][:50], whole=len(head) < _HEAD)


def _unpacked(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD)
    except zlib.error:
        return b""


def _binary(path: Path, head: bytes) -> str | None:
    """The kind by its magic number; empty: an unknown one; None: it may be text."""
    for magic, found in (
        (b"\x0a\x23\xd7\xce", "recordio"), (b"PAR1", "parquet"), (b"ARROW1", "parquet"), (b"\xff\xff\xff\xff", "parquet"),
        (b"\x93NUMPY", "embeddings"), (b"MATLAB 5.0", "olivetti"), (b"\x80", "insightface-bin"),
    ):  # fmt: skip
        if head.startswith(magic):
            return found
    if len(head) >= 4 and struct.unpack(">I", head[:4])[0] in _IDX:
        return "mnist"
    if zipfile.is_zipfile(path):
        return "embeddings" if path.suffix == ".npz" else "folder"
    if head[257:262] == b"ustar" or path.name.endswith((".tar", ".tar.gz", ".tgz")):
        return _tar(path)
    if len(head) >= _MAT.size:
        rows, columns, step, type_ = _MAT.unpack_from(head)
        if type_ == 5 and step > 0 and 0 < rows * columns == (path.stat().st_size - _MAT.size) / 4:
            return "megaface-features"
    return "" if b"\0" in head or not head else None


def _tar(path: Path) -> str:
    archive, members = bounded.opened_tar(path, first=64)
    bounded.close(archive)
    suffixes = {name.rpartition("/")[2].partition(".")[2].lower() for name in members}
    return "webdataset" if suffixes & {"cls", "json"} and any(f".{s}" in IMAGE_SUFFIXES for s in suffixes) else "folder"


def _text(lines: list[str], whole: bool) -> str:
    if not lines:
        return ""
    if lines[0].lstrip().startswith("{"):
        return "megaface-list" if _is_megaface("\n".join(lines), whole) else ""
    head, rest = lines[0], lines[1:]
    if re.fullmatch(r"\s*\d+(\s+\d+)?\s*", head) and rest and all(_is_pair(line) for line in rest[:-1] or rest):
        return "lfw-pairs"
    if all(re.fullmatch(r"\d+|\S+\t\d+", line.strip()) for line in lines[:-1] or lines) and "\t" in lines[-1]:
        return "lfw-people"
    if re.match(r"\s*split\b.*,.*pair|\d+\s*,\s*\d+\s*,\s*\S+/\d+\s*,\s*\S+/\d+\s*,", head, re.IGNORECASE):
        return "ytf-splits"
    if re.fullmatch(r"\d+\s+\d+\s+[01]", head.strip()):
        return "ijb-pairs"
    if re.fullmatch(r"\S+\.\w+ +\d+ +\d+", head.strip()):
        return "identification-list" if "/" in head else "ijb-templates"
    if lst.form(head) != "plain" or _LABELLED.fullmatch(head.strip()):
        return "lst"
    return "csv" if "," in head else ""


def _is_pair(line: str) -> bool:
    return bool(re.fullmatch(r"[^\t ]+\s+\d+\s+(\d+|[^\t ]+\s+\d+)", line.strip()))


def _is_megaface(text: str, whole: bool) -> bool:
    if not whole:
        return bool(re.search(r'"(path|id)"\s*:\s*\[', text))
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and isinstance(said.get("path"), list)
