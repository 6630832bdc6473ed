"""`facebench data fetch`: public data sets through scikit-learn's and torchvision's own downloaders, which know their checksums.

What they carry of use here: scikit-learn LFW (funneled or original, with its pair lists) and the Olivetti faces, torchvision
MNIST. Not offered: LFW by torchvision (it has withdrawn the download) and CelebA by torchvision (from Google Drive, by a
package that may wait forever).

A set is fetched in a hidden folder beside its place and renamed to it when all of it is there, with a list of the SHA-256 of
every file; so what stands under its name is whole. The downloaders resume by whole files: what came stays in the hidden
folder for the next call.
"""

import http.client
import shutil
import socket
import ssl
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from bench import locks
from bench.errors import RequestError, Unreachable
from bench.files import sha256

SUMS = "sha256.txt"
_SILENT = (URLError, TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException)


@dataclass(frozen=True)
class Fetched:
    """A set on the disk.

    Attributes:
        path: its folder, ready for `use`.
        files, bytes: what lies there, the list of checksums left out.
        state: `fetched` by this call, or `complete` before it.
        use: how a command is told of it.
    """

    name: str
    path: Path
    files: int
    bytes: int
    state: str
    use: str


@dataclass(frozen=True)
class _Set:
    """How a set is fetched.

    Attributes:
        download: (hidden folder) -> the folder within it that holds the set; it can be called again after a failure.
        suffix, count: of the files that make the set; lists beside them are not counted.
        use: with {path} in it.
    """

    download: Callable[[Path], Path]
    suffix: str
    count: int
    use: str


def fetch(name: str, folder: str | Path, *, timeout: float = 30.0) -> Fetched:
    """The set `name` in `folder/name`; nothing is fetched where it is there already.

    Args:
        name: `lfw` (funneled, as scikit-learn's default), `lfw_original`, `olivetti` or `mnist`.
        timeout: seconds without a byte after which a server counts as silent; none is asked more than twice.

    Raises:
        RequestError: another name, another process that fetches it, something else at its place, or files there that are
            not as they came.
        Unreachable: there is no network, the server is silent or refuses, what it sends has another checksum.
    """
    if name not in SETS:
        raise RequestError(f"no set {name!r} to be fetched; there are: {', '.join(SETS)}")
    if not timeout > 0:
        raise RequestError(f"timeout is a number of seconds above 0, got {timeout!r}")
    place = Path(folder) / name
    if place.exists():
        return _told(name, place, "complete", check(place))
    hidden = place.with_name(f".{name}.fetching")
    hidden.mkdir(parents=True, exist_ok=True)
    with locks.alone(hidden, f"another process fetches {name} to {folder}: wait for it"):
        if place.exists():  # that other process has just ended
            return _told(name, place, "complete", check(place))
        made = _downloaded(name, hidden, timeout)
        files = sorted(path for path in made.rglob("*") if path.is_file() and path.name != SUMS)
        found, count = sum(path.suffix == SETS[name].suffix for path in files), SETS[name].count
        if found != count:
            shutil.rmtree(made)
            raise Unreachable(
                f"{name} came with {found:,} {SETS[name].suffix} files, expected {count:,}: fetch it again"
            )
        sums = {path.relative_to(made).as_posix(): sha256(path) for path in files}
        (made / SUMS).write_text("".join(f"{digest}  {path}\n" for path, digest in sums.items()))
        made.replace(place)  # last: what stands there is whole
    shutil.rmtree(hidden)
    return _told(name, place, "fetched", list(sums))


def check(place: Path) -> list[str]:
    """The files of a fetched set, every one compared with the list of checksums (LFW: about a second).

    Raises:
        RequestError: there is no list, or a file is missing or not as it came.
    """
    try:
        lines = (place / SUMS).read_text().splitlines()
        sums = {path: digest for digest, path in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise RequestError(
            f"{place} is there and was not fetched by this command: move it away, or give another folder"
        ) from error
    wrong = [path for path, digest in sums.items() if not (place / path).is_file() or sha256(place / path) != digest]
    if wrong:
        raise RequestError(
            f"{len(wrong)} of {len(sums)} files in {place} are missing or not as they came, the first is {wrong[0]!r}: "
            "remove the folder and fetch it again"
        )
    return list(sums)


def _told(name: str, place: Path, state: str, files: list[str]) -> Fetched:
    size = sum((place / path).stat().st_size for path in files)
    return Fetched(name, place, len(files), size, state, SETS[name].use.format(path=place))


def _downloaded(name: str, hidden: Path, timeout: float) -> Path:
    """The set in the hidden folder; every way in which a download fails becomes one sentence."""
    again = (
        f"what came is kept, the same command goes on; or get it by hand: facebench reads it from any folder ({name})"
    )
    try:
        with _short_patience(timeout):
            return SETS[name].download(hidden)
    except _SILENT as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise Unreachable(f"{name} cannot be fetched, is there no network? ({reason}); {again}") from error
    except (OSError, RuntimeError) as error:
        # scikit-learn's and torchvision's own: a wrong checksum, or no mirror that answers.
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk
        reason = " ".join(str(error).split())
        raise Unreachable(f"{name} cannot be fetched or came damaged ({reason}); {again}") from error


@contextmanager
def _short_patience(timeout: float) -> Iterator[None]:
    """Sockets wait for `timeout` seconds and no longer; what the downloaders print goes to stderr."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Retry downloading from url"
            yield
    finally:
        socket.setdefaulttimeout(before)


def _lfw(hidden: Path, funneled: bool) -> Path:
    from sklearn.datasets import fetch_lfw_people

    home = hidden / "lfw_home"
    images, archive = (home / "lfw_funneled", "lfw-funneled.tgz") if funneled else (home / "lfw", "lfw.tgz")
    # Unpacking was interrupted if both are there: the archive goes when it is done. scikit-learn does not look.
    if (home / archive).exists() and images.exists():
        shutil.rmtree(images)
    try:
        # Nobody has so many photographs: the files come, and no image is decoded.
        fetch_lfw_people(data_home=hidden, funneled=funneled, min_faces_per_person=10**6, n_retries=1, delay=0.5)
    except ValueError as error:
        if "restrictive" not in str(error):
            raise Unreachable(f"lfw came damaged ({error}): remove {hidden} and fetch it again") from error
    shutil.rmtree(home / "joblib", ignore_errors=True)  # of joblib's cache, beside the set
    (home / ".gitignore").unlink(missing_ok=True)
    return home


def _olivetti(hidden: Path) -> Path:
    """`olivettifaces.mat` as it was published; scikit-learn keeps a pickle of it, and hands out shares of the largest value."""
    import numpy as np
    from scipy.io import savemat
    from sklearn.datasets import fetch_olivetti_faces

    shares = fetch_olivetti_faces(data_home=hidden, n_retries=1, delay=0.5).images
    levels = np.unique(shares)
    largest = round(1 / float(np.diff(levels).min())) if len(levels) > 1 else 0
    grey = np.rint(shares * largest)
    if shares.shape != (400, 64, 64) or not 0 < largest < 256 or np.abs(shares * largest - grey).max() > 1e-3:
        raise Unreachable(
            f"olivetti came as {shares.shape} with {len(levels)} levels: expected 400 grey images of 64 x 64"
        )
    made = hidden / "olivetti"
    made.mkdir(exist_ok=True)
    columns = grey.astype(np.uint8).transpose(0, 2, 1).reshape(400, -1).T  # a column an image, itself column by column
    savemat(made / "olivettifaces.mat", {"faces": columns})
    return made


def _mnist(hidden: Path) -> Path:
    from torchvision.datasets import MNIST

    raw = hidden / "MNIST" / "raw"
    for unpacked in raw.glob("*-ubyte"):
        unpacked.unlink()  # torchvision takes any file of that name for whole; the packed ones it checks
    MNIST(str(hidden), download=True)
    for unpacked in raw.glob("*-ubyte"):
        unpacked.unlink()
    return raw


SETS: dict[str, _Set] = {
    "lfw": _Set(lambda hidden: _lfw(hidden, True), ".jpg", 13_233, "--protocol lfw --root {path}"),
    "lfw_original": _Set(lambda hidden: _lfw(hidden, False), ".jpg", 13_233, "--protocol lfw --root {path}"),
    "olivetti": _Set(_olivetti, ".mat", 1, "--dataset olivetti, path={path}"),
    "mnist": _Set(_mnist, ".gz", 4, "--dataset mnist, path={path}"),
}
