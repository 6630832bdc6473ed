"""facebench's own packages: where they lie, and a hash by which two machines find out whether they run the same code."""

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("backbones", "bench", "losses", "reports", "sweeps")


def folders() -> dict[str, Path]:
    """The packages -> the folders that this process imports them from; they need not lie side by side."""
    found = {}
    for package in PACKAGES:
        spec = find_spec(package)
        assert spec is not None and spec.submodule_search_locations, f"package {package} is not importable"
        found[package] = Path(next(iter(spec.submodule_search_locations))).resolve()
    return found


def files(folder: Path) -> Iterator[Path]:
    """All files of a package, its yaml, tables and templates among them, sorted; nothing that Python compiled."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield path


def digest() -> str:
    """16 hex digits of the hash of all files of all packages."""
    found = hashlib.sha256()
    for package, folder in folders().items():
        for path in files(folder):
            name = f"{package}/{path.relative_to(folder).as_posix()}"
            found.update(repr((name, hashlib.sha256(path.read_bytes()).hexdigest())).encode())
    return found.hexdigest()[:16]
