"""Lists of images as the MegaFace devkit and the face toolkits ship them.

    facescrub_features_list.json                {"path": ["Adam Brody/Adam Brody_260.png", ...], "id": ["Adam Brody", ...]}
    megaface_features_list.json_1000000_1       {"path": ["901/9019583@N08/8032652775_0.jpg", ...]}: size 1000000, set 1
    facescrub_face_info.txt                     `path x0,y0,x1,y1 106 points`, one face a line
    facescrub_80_landmark5.json                 {"Andrea Bowen_8994": [x1, ..., x5, y1, ..., y5], ...}

A list is refused where it is larger than one can be, before it is read.
"""

import gzip
import io
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import RequestError
from bench.files import Tree
from bench.protocols import _flat_json, _lists

SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
SETS = (1, 2, 3)
DISTRACTORS = "megaface_features_list.json"
OFFICIAL = {  # name -> (file, images, people)
    "facescrub": ("facescrub_features_list.json", 3_530, 80),
    "facescrub_uncropped": ("facescrub_uncropped_features_list.json", 3_530, 80),
    "fgnet": ("fgnet_features_list.json", 1_002, 82),
}
LARGEST = 1 << 28  # bytes of a list, unpacked: the devkit's million of paths has under 100 MB

_FLOAT = r"-?\d+(?:\.\d+)?"
_FACE = re.compile(rf"(\S+)\s+((?:{_FLOAT},){{3}}{_FLOAT})\s+((?:{_FLOAT},){{211}}{_FLOAT})")
_BAD_ID = re.compile(r"[\x00-\x1f\ud800-\udfff]|^$")
_BAD = re.compile(r"[\x00-\x1f\ud800-\udfff]|^/|/$|^$|(?:^|/)\.\.(?:/|$)")


@dataclass(frozen=True)
class Listing:
    """A list of images.

    Attributes:
        names: (n,) unique paths.
        people: (n,) the person on each.
    """

    names: tuple[str, ...]
    people: tuple[str, ...]


def find(root: _lists.Root, file: str, challenge: int = 1) -> str | None:
    """Where a list of the devkit lies below `root`: there, or in its folder of template lists; None where nowhere."""
    inner = ["challenge2/"] if challenge == 2 else [""]
    places = [f"{outer}{folder}{file}" for outer in ("", "templatelists/", "devkit/templatelists/") for folder in inner]
    return next((place for place in places if _is_there(root, place)), None)


def read(root: _lists.Root, file: str, instead: str = "") -> str:
    """`_lists.read` of a list that has a size which a list can have.

    Raises:
        RequestError: there is no such file, or it holds more than `LARGEST` bytes.
    """
    if not isinstance(root, Mapping):
        path = Path(root) / file
        size = _size(path)
        if size > LARGEST:
            least = "more than " if path.suffix == ".gz" else ""
            raise RequestError(
                f"{path} holds {least}{size:,} bytes: a list of a million images has under {LARGEST:,}, so this is none"
            )
    return _lists.read(root, file, instead)


def listing(root: _lists.Root, file: str, instead: str = "") -> Listing:
    """A list of images in any of the forms above, or one path `PERSON/.../image` a line.

    Raises:
        RequestError: no such file, or it has none of these forms (with the line or the place).
    """
    text = read(root, file, instead)
    if text.lstrip()[:1] in ("{", "["):
        return _from_json(text, file)
    names = _lists.lines(text)
    if names and (found := [_FACE.fullmatch(line) for line in names])[0]:
        if None in found:
            raise RequestError(f"{file} line {found.index(None) + 1}: expected `path x0,y0,x1,y1` and 106 points")
        names = [match[1] for match in found if match]
    unique = _lists.unique(names, file)
    return Listing(unique, _lists.people(unique, file))


def official(root: _lists.Root, name: str) -> Listing:
    """A probe list of the devkit by its name, with its counts asserted.

    Raises:
        RequestError: no such list, or not the images and people that it has.
    """
    file, images, people = OFFICIAL[name]
    place = find(root, file)
    if place is None:
        raise RequestError(f"no {file} in {_said(root)} or in its folder templatelists: give probes=FILE")
    made = listing(root, place)
    if (len(made.names), len(set(made.people))) != (images, people):
        raise RequestError(
            f"{place} lists {len(made.names):,} images of {len(set(made.people)):,} people, and {name} has {images:,} of "
            f"{people}: give a list of your own as probes=FILE"
        )
    return made


def galleries(
    root: _lists.Root, stem: str | None, sizes: Sequence[int] | None, sets: Sequence[int], challenge: int = 1
) -> dict[int, dict[int, Listing]]:
    """Set -> size -> the distractors of the list `STEM_<size>_<set>`.

    Args:
        stem: the file without size and set; None: the devkit's own.
        sizes: the sizes that are needed; None: those of 10, 100, ... 1,000,000 that are there.

    Raises:
        RequestError: a list that is missing, or that holds another number of images than its name says.
    """
    found: dict[int, dict[int, Listing]] = {}
    for number in sets:
        found[number] = {}
        for size in sorted(set(SIZES if sizes is None else sizes)):
            file = f"{stem or DISTRACTORS}_{size}_{number}"
            place = find(root, file, 1 if stem else challenge)
            if place is None and sizes is None:
                continue
            if place is None:
                folder = "templatelists/challenge2" if challenge == 2 and not stem else "templatelists"
                raise RequestError(f"no list {file} in {_said(root)} or in its folder {folder}")
            made = listing(root, place)
            if len(made.names) != size:
                raise RequestError(f"{place} lists {len(made.names):,} images: its name says {size:,}")
            found[number][size] = made
        if not found[number]:
            raise RequestError(f"no list {stem or DISTRACTORS}_<size>_{number} in {_said(root)}: check root and set")
    if len({tuple(lists) for lists in found.values()}) > 1:
        said = "; ".join(f"{number}: {', '.join(map(str, lists))}" for number, lists in found.items())
        raise RequestError(f"the sets have lists of other sizes ({said}): give sizes that all of them have")
    return found


def _from_json(text: str, where: str) -> Listing:
    columns = _flat_json.read(text, where)
    if "path" not in columns:
        return _from_landmarks(columns, where)
    names = columns["path"]
    if strange := [name for name in names if not isinstance(name, str) or _is_bad(name)]:
        raise RequestError(f"{where}: {str(strange[0])[:80]!r} is no relative path of an image")
    unique = _lists.unique([name for name in names if isinstance(name, str)], where)
    return Listing(unique, _people(unique, columns.get("id"), where))


def _is_bad(name: str) -> bool:
    """Whether a name is no relative path. (The first test passes nearly all of a million names, and costs little.)"""
    fine = name.isprintable() and ".." not in name and name[:1] not in ("", "/") and name[-1] != "/"
    return not fine and _BAD.search(name) is not None


def _people(names: Sequence[str], ids: Sequence[_flat_json.Value] | None, where: str) -> tuple[str, ...]:
    """The folder of each image where that says the same as its id, which may be a number; else the id.

    (An image without either, a distractor then, is of nobody else.)
    """
    folders = tuple(name.rpartition("/")[0] or name for name in names)
    if ids is None:
        return folders
    if len(ids) != len(names):
        raise RequestError(f"{where} has {len(names):,} paths and {len(ids):,} ids: one id belongs to each path")
    if strange := [name for name in ids if _BAD_ID.search(str(name))]:
        raise RequestError(f"{where}: {str(strange[0])[:80]!r} is no id of a person")
    pairs = set(zip(folders, ids, strict=True))
    same = len(pairs) == len(set(folders)) == len(set(ids)) and all("/" in name for name in names)
    return folders if same else tuple(map(str, ids))


def _from_landmarks(columns: Mapping[str, Sequence[_flat_json.Value]], where: str) -> Listing:
    """`Andrea Bowen_8994` is an image of Andrea Bowen."""
    for name, points in columns.items():
        numbers = [value for value in points if not isinstance(value, str) and math.isfinite(value)]
        if not re.fullmatch(r"[^/]+_\d+", name) or _BAD.search(name) or len(numbers) != 10 or len(points) != 10:
            raise RequestError(
                f"{where} is no list of images: expected the lists `path` and `id`, or 5 points for each `Person_number`; "
                f"{name!r} is neither"
            )
    people = tuple(name.rpartition("_")[0] for name in columns)
    names = [f"{person}/{name}" for person, name in zip(people, columns, strict=True)]
    return Listing(_lists.unique(names, where), people)


def _is_there(root: _lists.Root, file: str) -> bool:
    if isinstance(root, Mapping):
        return file in root
    path = Path(root) / file
    return path.is_file() or _archive(path) is not None


def _archive(path: Path) -> tuple[Tree, str] | None:
    """The archive that a path leads into, and the name there of what it holds."""
    for parent in path.parents:
        if parent.is_file():
            tree, name = Tree(parent), path.relative_to(parent).as_posix()
            return (tree, name) if name in tree.files() else None
    return None


def _size(path: Path) -> int:
    """The bytes that a file holds, unpacked; of a packed one at most one more than is allowed; 0 where there is none."""
    inside = None if path.is_file() else _archive(path)
    if not path.is_file() and inside is None:
        return 0
    size = path.stat().st_size if inside is None else int(inside[0].files()[inside[1]][0])
    if path.suffix != ".gz" or size > LARGEST:
        return size
    total = 0
    try:
        with gzip.open(path if inside is None else io.BytesIO(inside[0].read(inside[1]))) as stream:
            while total <= LARGEST and (block := stream.read(1 << 20)):
                total += len(block)
    except (OSError, EOFError, zlib.error):
        return 0  # what reads it says what is wrong with it
    return total


def _said(root: _lists.Root) -> str:
    return "this embedded protocol" if isinstance(root, Mapping) else str(root)
