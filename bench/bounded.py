"""What strangers packed is read up to stated limits, whatever it claims and however far it inflates.

Nothing is ever unpacked to the disk. An archive with a name that leads out of it (`../x`, `/x`) is refused as a whole; what is
no plain file in it (links, devices, folders) is passed over.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.errors import RequestError

PICTURE = 1 << 28  # bytes of one picture's file: 256 MiB
LIST = 1 << 30  # bytes of a list, packed or not: 1 GiB
INFLATION = 100  # a compressed tar holds at most so many times its own size, or `SMALL` bytes if that is more
SMALL = 1 << 28
_CHUNK = 1 << 18

# What a broken file raises, from the archive around it to the picture in it.
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
)


def file(path: Path, most: int = LIST) -> bytes:
    """The bytes of a file.

    Raises:
        RequestError: there are more than `most`.
    """
    size = path.stat().st_size
    if size > most:
        raise RequestError(f"{path} holds {size:,} bytes, and at most {most:,} are read of such a file")
    return path.read_bytes()


def stream(opened: Any, most: int, where: Path | str) -> bytes:
    """All that `opened` gives, of which at most a byte more than `most` is ever held.

    Raises:
        RequestError: it gives more than `most` bytes.
    """
    parts: list[bytes] = []
    left = most + 1
    while left and (part := opened.read(min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
    if not left:
        raise RequestError(f"{where} holds more than {most:,} bytes, and no more are read of such a file")
    return b"".join(parts)


def gunzip(packed: bytes, where: Path | str, most: int = LIST) -> bytes:
    """The content of a gzip file.

    Raises:
        RequestError: it inflates to more than `most` bytes.
        OSError, EOFError, zlib.error: it is no gzip file, or a damaged one.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as opened:
        return stream(opened, most, where)


def opened_zip(path: Path) -> zipfile.ZipFile:
    """The zip file at `path`.

    Raises:
        RequestError: it is damaged, or holds a name that leads out of it.
    """
    archive = _opened(path, "zip", lambda: zipfile.ZipFile(path))
    for name in archive.namelist():
        check_name(path, name)
    return archive


def zip_member(archive: zipfile.ZipFile, name: str, most: int = LIST) -> bytes:
    """The bytes of one file in a zip.

    Raises:
        KeyError: there is no such file.
        RequestError: it holds more than `most` bytes, or is packed by something else than deflate.
    """
    info = archive.getinfo(name)
    where = f"{archive.filename}/{name}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Python inflates the others block by block without an upper bound for a block.
        raise RequestError(f"{where} is packed by method {info.compress_type}: expected stored or deflated files")
    if info.file_size > most:
        raise RequestError(f"{where} holds {info.file_size:,} bytes, and at most {most:,} are read of such a file")
    with archive.open(info) as opened:
        return stream(opened, most, where)


def opened_tar(
    path: Path, packed: bool = True, first: int | None = None
) -> tuple[tarfile.TarFile, dict[str, tarfile.TarInfo]]:
    """The tar file at `path` and its plain files by name.

    Args:
        packed: a tar inside gzip, bzip2 or xz is accepted.
        first: only so many files are looked for (None: all).

    Raises:
        RequestError: it is damaged, inflates beyond all measure, or holds a name that leads out of it.
    """
    return _opened(path, "tar", lambda: _listed(path, packed, first))


def tar_member(archive: tarfile.TarFile, member: tarfile.TarInfo, most: int = LIST) -> bytes:
    """The bytes of one plain file in a tar.

    Raises:
        RequestError: it holds more than `most` bytes.
    """
    where = f"{archive.name!s}/{member.name}"
    if member.size > most:
        raise RequestError(f"{where} holds {member.size:,} bytes, and at most {most:,} are read of such a file")
    opened = archive.extractfile(member)
    if opened is None:
        raise KeyError(member.name)
    with opened:
        return opened.read()


def close(archive: zipfile.ZipFile | tarfile.TarFile) -> None:
    """Close what `opened_zip` or `opened_tar` opened."""
    archive.close()
    if isinstance(archive, tarfile.TarFile) and archive.fileobj is not None:
        archive.fileobj.close()  # a TarFile leaves a stream open that it was given


def check_name(path: Path, name: str) -> None:
    """Refuse a name that leads out of the archive at `path`.

    Raises:
        RequestError: it is absolute or goes up.
    """
    plain = name.replace("\\", "/")
    if plain.startswith("/") or ".." in plain.split("/") or "\0" in plain:
        raise RequestError(
            f"{path} holds the name {name!r}, which leads out of it: pack it anew with names below its root"
        )


def _opened(path: Path, kind: str, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except RequestError:
        raise
    except Exception as error:  # the standard library's archive readers raise nearly anything on garbage
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        raise RequestError(f"{path} is neither a folder nor a readable .zip or .tar file ({kind}: {reason})") from error


def _listed(path: Path, packed: bool, first: int | None) -> tuple[tarfile.TarFile, dict[str, tarfile.TarInfo]]:
    size = path.stat().st_size
    raw, inflated = _inflating(path, packed)
    try:
        archive = tarfile.open(fileobj=_Measured(raw), mode="r:")  # type: ignore[call-overload]  # noqa: SIM115
        archive.name = str(path)
        return archive, _plain_files(archive, path, max(SMALL, INFLATION * size) if inflated else size, first)
    except BaseException:
        raw.close()
        raise


def _plain_files(archive: tarfile.TarFile, path: Path, most: int, first: int | None) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    last = -1
    for member in archive:
        if member.offset <= last or member.size < 0:
            raise RequestError(f"{path} is a damaged tar: the header of {member.name!r} leads back")
        last = member.offset
        if not member.isfile() or member.issparse():
            continue
        check_name(path, member.name)
        if member.offset_data + member.size > most:
            raise RequestError(
                f"{path} cannot hold the {member.size:,} bytes that it claims for {member.name!r} (at most {most:,} in all): "
                "it is truncated or no honest archive"
            )
        found[member.name.removeprefix("./")] = member
        if len(found) == first:
            break
    return found


def _inflating(path: Path, packed: bool) -> tuple[Any, bool]:
    """The tar's bytes as a stream, and whether they are inflated on the way."""
    with path.open("rb") as file:
        magic = file.read(6)
    for start, opener in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open)):
        if magic.startswith(start):
            if not packed:
                raise RequestError(
                    f"{path} is a compressed tar, which cannot be read at any place: unpack it to a .tar"
                )
            return opener(path), True
    return path.open("rb"), False


class _Measured:
    """A stream that refuses to read more at once than any file in it may hold (a tar's headers claim any length)."""

    def __init__(self, raw: Any):
        self._raw = raw
        self.seek, self.tell, self.close = raw.seek, raw.tell, raw.close

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LIST:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return self._raw.read(size)

    def seekable(self) -> bool:
        return True
