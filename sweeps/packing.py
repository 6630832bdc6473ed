"""What a job takes along: the current folder without what is large or private, and facebench's own packages.

Left out are hidden files and folders, virtual environments, caches, runs and builds, images and files of arrays, weights and
tables in binary form, what git ignores where the folder is in a checkout, and facebench's own packages (they travel by
themselves, so that a cluster without facebench can run it).
"""

import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import places, source
from bench.errors import RequestError
from bench.files import IMAGE_SUFFIXES

LIMIT = 100 * 2**20  # bytes: Ray keeps every package in its head's memory, and takes none of more than 500 MB
MOST = 20_000  # files that are sent
LOOKED = 200_000  # files that are looked at: somebody's home folder shall not be read to its end
_FOLDERS = frozenset(
    {"__pycache__", "__MACOSX", "build", "data", "dist", "mlruns", "node_modules", "runs", "site-packages", "wandb"}
)
_ARRAYS = {".npy", ".npz", ".mat", ".h5", ".hdf5", ".parquet", ".arrow", ".feather", ".rec", ".idx", ".bin", ".db"}
_WEIGHTS = {".pt", ".pth", ".ckpt", ".safetensors", ".onnx", ".pkl", ".pickle"}
_ARCHIVES = {".tar", ".tgz", ".gz", ".zip", ".7z", ".rar", ".xz", ".bz2", ".zst"}
_SUFFIXES = IMAGE_SUFFIXES | _ARRAYS | _WEIGHTS | _ARCHIVES | {".pyc", ".pyo", ".so", ".log"}


@dataclass(frozen=True)
class Parcel:
    """Files to be sent.

    Attributes:
        folder: the folder that they lie in.
        names: their paths relative to it, sorted.
        bytes: of all of them, unpacked.
    """

    folder: Path
    names: tuple[str, ...]
    bytes: int


def parcel(folder: Path, needed: str | None = None) -> Parcel:
    """What of a folder is sent.

    Args:
        needed: a file in it that is sent whatever is left out: the study file.

    Raises:
        RequestError: it is too much: the sentence names the largest files.
    """
    sizes: dict[str, int] = {} if needed is None else {needed: (folder / needed).stat().st_size}
    for seen, name in enumerate(_listed(folder)):
        if name:
            sizes[name] = (folder / name).stat().st_size
        if len(sizes) > MOST or seen > LOOKED:
            raise RequestError(
                f"{folder} holds too many files to be sent with a job (at most {MOST:,}): go to a folder of your own for "
                "the study, or name what is not needed in .gitignore"
            )
    if (total := sum(sizes.values())) > LIMIT:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        named = ", ".join(f"{name} ({size(sizes[name])})" for name in largest)
        raise RequestError(
            f"{folder} has {size(total)} that would be sent with the job, at most {size(LIMIT)} are: the largest are "
            f"{named}; move data elsewhere, or name them in .gitignore"
        )
    return Parcel(folder, tuple(sorted(sizes)), total)


def write(what: Parcel, path: Path) -> None:
    """Write a zip file of a parcel; the same content gives the same bytes, so that Ray uploads it once."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir(".facebench")  # Ray takes no empty archive
        for name in what.names:
            file = what.folder / name
            entry = zipfile.ZipInfo(name)  # of 1980: a time would make it another package
            entry.external_attr = (file.stat().st_mode & 0o777) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


def packages(folder: Path) -> tuple[list[Path], int]:
    """Copy facebench's own packages below `folder`; their folders there, and the bytes of all."""
    made, total = [], 0
    for name, home in source.folders().items():
        for path in source.files(home):
            copy = folder / name / path.relative_to(home)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            total += path.stat().st_size
        made.append(folder / name)
    return made, total


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**20:,.1f} MB" if count >= 2**20 else f"{count / 2**10:,.1f} kB"


def _listed(folder: Path) -> Iterator[str]:
    """The files of a folder that are sent, as paths relative to it; "" for one that is not."""
    skipped = _skip(folder)
    known = _git(folder)
    for name in _walked(folder, skipped) if known is None else known:
        path = folder / name
        above = () if known is None else list(Path(name).parents)[:-1]  # a walk goes into no skipped folder at all
        usual = not path.name.startswith(".") and path.suffix.lower() not in _SUFFIXES
        yield name if usual and path.is_file() and not any(skipped(folder / one) for one in above) else ""


def _walked(folder: Path, skipped: Callable[[Path], bool]) -> Iterator[str]:
    for here, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not skipped(Path(here, name)))
        for name in names:
            yield Path(here, name).relative_to(folder).as_posix()


def _git(folder: Path) -> list[str] | None:
    """What git does not ignore; None where the folder is in no checkout."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return sorted(set(done.stdout.split("\0")) - {""}) if done.returncode == 0 else None


def _skip(folder: Path) -> Callable[[Path], bool]:
    """Whether nothing of a folder below `folder` is sent."""
    elsewhere = {places.runs(), places.cache()}
    if data := os.environ.get("FACEBENCH_DATA"):
        elsewhere.add(Path(data).resolve())
    known: dict[Path, bool] = {}

    def skip(path: Path) -> bool:
        if path not in known:
            own = path.parent == folder and path.name in source.PACKAGES and (path / "__init__.py").exists()
            usual = path.name in _FOLDERS or path.name.startswith(".") or path.name.endswith(".egg-info")
            known[path] = own or usual or path.resolve() in elsewhere or (path / "pyvenv.cfg").exists()
        return known[path]

    return skip
