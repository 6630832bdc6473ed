"""Image files in folders and archives, read without unpacking."""

import hashlib
import os
import tarfile
import weakref
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from bench import bounded, pictures
from bench.errors import RequestError
from bench.images import Unreadable

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"})


def sha256(path: Path) -> str:
    """Of a file's content, as `sha256sum` gives it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Files(Protocol):
    """Named files somewhere: a `Tree`, or one file that holds many (`bench.bin_images.BinFile`)."""

    path: Path

    def files(self) -> dict[str, tuple]: ...
    def read(self, name: str, most: int = bounded.LIST) -> bytes: ...


class Tree:
    """A folder, or a .zip or .tar file, as a tree of named files. Opened when read, so that it can be sent to a worker."""

    def __init__(self, path: Path):
        self.path = path
        self._archive: zipfile.ZipFile | tarfile.TarFile | None = None
        self._members: dict[str, tarfile.TarInfo] = {}

    def __reduce__(self) -> tuple:
        return Tree, (self.path,)

    def files(self) -> dict[str, tuple]:
        """Relative path -> what changes when the file changes (size and checksum or time), sorted by path."""
        archive = self._open()
        found: dict[str, tuple]
        if isinstance(archive, zipfile.ZipFile):
            found = {i.filename: (i.file_size, i.CRC) for i in archive.infolist() if not i.is_dir()}
        elif isinstance(archive, tarfile.TarFile):
            # A tar has no checksums: whatever is written anew there changes the archive's own time.
            whole = self.path.stat().st_mtime_ns
            found = {name: (m.size, m.offset_data, whole) for name, m in self._members.items()}
        else:
            # os.walk, as rglob leaves out the folders behind links.
            walked = os.walk(self.path, followlinks=True)
            paths = (p for folder, _, names in walked for name in names if (p := Path(folder, name)).is_file())
            found = {p.relative_to(self.path).as_posix(): (p.stat().st_size, p.stat().st_mtime_ns) for p in paths}
        return dict(sorted(found.items()))

    def read(self, name: str, most: int = bounded.LIST) -> bytes:
        """The bytes of one file.

        Raises:
            KeyError: there is no such file.
            RequestError: it holds more than `most` bytes.
        """
        archive = self._open()
        if isinstance(archive, zipfile.ZipFile):
            return bounded.zip_member(archive, name, most)
        if isinstance(archive, tarfile.TarFile):
            return bounded.tar_member(archive, self._members[name], most)
        path = self.path / name
        if not path.is_file():
            raise KeyError(name)
        return bounded.file(path, most)

    def _open(self) -> zipfile.ZipFile | tarfile.TarFile | None:
        if self._archive is None and self.path.is_file():
            if zipfile.is_zipfile(self.path):
                self._archive = bounded.opened_zip(self.path)
            else:
                self._archive, self._members = bounded.opened_tar(self.path)
            weakref.finalize(self, bounded.close, self._archive)
        return self._archive


def images_below(root: Path, depth: int) -> "FileImages":
    """The images anywhere below `root`, loose or in archives, named by the last `depth` parts of their paths."""
    if root.is_file():
        return FileImages([("", Tree(root))], depth)
    archives = sorted(
        p for p in root.rglob("*") if p.suffix in (".zip", ".tar") or p.name.endswith((".tar.gz", ".tgz"))
    )
    return FileImages([("", Tree(path)) for path in (root, *archives)], depth)


def is_image(name: str) -> bool:
    """Whether a file's name says that it is an image (hidden files and macOS leftovers are not)."""
    path = Path(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(p.startswith((".", "__MACOSX")) for p in path.parts)


class FileImages:
    """The images of several trees as one source; a name is a path relative to the tree that holds it.

    Args:
        trees: (prefix, tree) pairs; an image `a/b.jpg` of a tree with prefix `p/` is named `p/a/b.jpg`.
        depth: where given, a name is the last `depth` parts of the path, wherever in the tree the image lies.
    """

    def __init__(self, trees: Sequence[tuple[str, Files]], depth: int | None = None):
        self.trees = [tree for _, tree in trees]
        self._place: dict[str, tuple[Files, str]] = {}
        self._twice: dict[str, str] = {}
        digest = hashlib.sha256()
        for prefix, tree in trees:
            for path, mark in tree.files().items():
                if not is_image(path):
                    continue
                name = prefix + ("/".join(path.split("/")[-depth:]) if depth else path)
                if name in self._place:
                    self._twice[name] = f"{self._place[name][0].path}/{self._place[name][1]} and {tree.path}/{path}"
                self._place[name] = (tree, path)
                digest.update(repr((name, mark)).encode())
        self.fingerprint = digest.hexdigest()

    @property
    def names(self) -> list[str]:
        """All images, in the order of the trees and sorted within each."""
        return list(self._place)

    @property
    def where(self) -> str:
        """The trees, for a sentence."""
        return ", ".join(str(tree.path) for tree in self.trees)

    def images(self, names: Sequence[str]) -> Iterator[np.ndarray | Unreadable]:
        """(H, W, 3) uint8 arrays, in order; see `bench.images.Source`."""
        if missing := [name for name in names if name not in self._place]:
            raise RequestError(
                f"{len(missing)} of {len(names)} images are missing in {self.where}, the first is {missing[0]!r}"
            )
        if twice := [name for name in names if name in self._twice]:
            raise RequestError(f"image {twice[0]!r} is there twice, as {self._twice[twice[0]]}: keep one of them")
        for name in names:
            yield _decode(name, *self._place[name])


def _decode(name: str, tree: Files, path: str) -> np.ndarray | Unreadable:
    try:
        content = tree.read(path, bounded.PICTURE)
    except bounded.DAMAGED as error:
        return Unreadable(name, str(error) or type(error).__name__)
    return pictures.decode(name, content)
