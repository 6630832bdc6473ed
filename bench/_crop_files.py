"""What lies on the disk of aligned crops: the images with a key of their inputs in them, two lists, perhaps a zip."""

import csv
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.alignment import Similarity
from bench.errors import RequestError

FORMS = {"png": ".png", "jpeg": ".jpg"}
_ALIGNED, _FAILED = "aligned.csv", "failed.csv"
_MARK = "facebench align "


@dataclass(frozen=True)
class Failed:
    """A picture without a crop, or landmarks without a picture, and why."""

    path: str
    reason: str


def encoded(picture: Any, key: str, form: str, quality: int) -> bytes:
    """A PIL picture as a PNG or JPEG file that carries `key`."""
    from PIL import PngImagePlugin

    file = io.BytesIO()
    if form == "png":
        notes = PngImagePlugin.PngInfo()
        notes.add_text("Comment", _MARK + key)
        picture.save(file, "PNG", pnginfo=notes, compress_level=1)  # a third of the time of 6, 7 % more bytes
    else:
        picture.save(file, "JPEG", quality=quality, subsampling=0, comment=_MARK + key)
    return file.getvalue()


def key_of(path: Path) -> str | None:
    """The key in a crop, by the file's first bytes (it was written whole or not at all); None for any other file."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            note = image.info.get("Comment" if image.format == "PNG" else "comment", "")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    note = note.decode("ascii", "replace") if isinstance(note, bytes) else str(note)
    return note.removeprefix(_MARK) if note.startswith(_MARK) else None


def forget_lists(folder: Path) -> None:
    """Without its lists a folder is not whole."""
    for name in (_ALIGNED, _FAILED):
        (folder / name).unlink(missing_ok=True)


def write_lists(folder: Path, made: Sequence[tuple[str, str, Similarity]], failed: Sequence[Failed]) -> None:
    """`aligned.csv` of (crop, picture, transform), and `failed.csv`."""
    rows = [
        (crop, name, f"{move.scale:.6f}", f"{move.degrees:.3f}", f"{move.residual:.4f}") for crop, name, move in made
    ]
    _table(folder / _FAILED, ("path", "reason"), [(one.path, one.reason) for one in failed])
    _table(folder / _ALIGNED, ("path", "source", "scale", "degrees", "residual"), rows)


def _table(path: Path, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    part.replace(path)


def pack(folder: Path, crops: Sequence[str], out: Path, key: str) -> None:
    """The crops and lists of a folder as one zip (stored: images do not shrink), the same bytes for the same content."""
    part = out.with_name(f".{out.name}.part")
    with zipfile.ZipFile(part, "w") as archive:
        archive.comment = (_MARK + key).encode()
        for name in (*crops, _ALIGNED, _FAILED):
            archive.writestr(zipfile.ZipInfo(name), (folder / name).read_bytes())
    part.replace(out)


def failed_of_zip(path: Path, key: str) -> list[Failed] | None:
    """What failed when a zip of this key was made; None where there is no zip, or one of another request.

    Raises:
        RequestError: there is a file that is no zip of crops.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            note = archive.comment.decode("ascii", "replace")
            text = archive.read(_FAILED).decode() if note == _MARK + key else ""
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise RequestError(f"{path} is there and no zip of crops ({error}): give another name") from error
    if not note.startswith(_MARK):
        raise RequestError(f"{path} is there and no zip of crops: give another name")
    if note != _MARK + key:
        return None
    return [Failed(row["path"], row["reason"]) for row in csv.DictReader(io.StringIO(text))]
