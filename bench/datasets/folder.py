"""Any tree of image files whose first folder level is the identity: a folder, a .zip or a .tar, or several of them."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from bench import places
from bench.errors import RequestError
from bench.files import FileImages, Tree, is_image
from bench.images import Faces


def load(*, paths: Sequence[str], exclude: str | None = None, people: str | None = None, min_images: int = 1) -> Faces:
    """The images below `paths`; identity = the first folder below a path, deeper levels allowed, other files ignored.

    Args:
        paths: folders or archives, absolute or relative to `$FACEBENCH_DATA`. Of several, each identity is named
            `<path's name>/<folder>`, so that two data sets never share one by accident.
        exclude: `FILE:COLUMN`, a csv in the trees (or a data path) whose first column is the identity: those with a value in
            COLUMN are left out. (COLUMN may be the first one: all that are listed.)
        people: `FILE:COLUMN`, the same for the person's name; without it a folder name that has a letter is the name.
        min_images: identities with fewer images are left out.

    Raises:
        RequestError: nothing there, no identity left, or a csv or column that does not exist.
    """
    if isinstance(paths, str):
        paths = [paths]
    trees = {str(path): Tree(places.data(path)) for path in paths}
    if len({tree.path.name for tree in trees.values()}) < len(trees) or not trees:
        raise RequestError(f"folder data need one or more paths with different names, got {list(paths)}")
    prefixed = {(f"{tree.path.stem}/" if len(trees) > 1 else ""): tree for tree in trees.values()}
    left_out: set[str] = set()
    known: dict[str, str] = {}
    for prefix, tree in prefixed.items():
        left_out |= {prefix + identity for identity in _column(tree, exclude)}
        names = _column(tree, people)
        folders = {path.split("/")[0] for path in tree.files() if is_image(path) and "/" in path}
        found = {i: names.get(i, i if not people and any(c.isalpha() for c in i) else "") for i in folders}
        known |= {prefix + identity: name for identity, name in found.items() if name}
    if (exclude and not left_out) or (people and not known):
        raise RequestError(
            f"no csv file {exclude or people!r} in {', '.join(map(str, paths))}: give FILE:COLUMN of one of them"
        )
    depth = 2 if len(trees) > 1 else 1
    source = FileImages(list(prefixed.items()))
    return _label(source, depth, left_out, known, min_images)


def _label(source: FileImages, depth: int, left_out: set[str], known: dict[str, str], min_images: int) -> Faces:
    owner = {name: "/".join(name.split("/")[:depth]) for name in source.names if name.count("/") >= depth}
    per: dict[str, list[str]] = {}
    for name, identity in owner.items():
        if identity not in left_out:
            per.setdefault(identity, []).append(name)
    per = {identity: names for identity, names in sorted(per.items()) if len(names) >= min_images}
    if not per:
        raise RequestError(
            f"no identity with at least {min_images} images in {source.where}: expected IDENTITY/.../image files"
        )
    names = tuple(name for group in per.values() for name in group)
    labels = np.repeat(np.arange(len(per)), [len(group) for group in per.values()]).astype(np.int64)
    return Faces(names, labels, tuple(per), source, {i: known[i] for i in per if i in known})


def _column(tree: Tree, wanted: str | None) -> dict[str, str]:
    """Identity -> its value in a csv column, those without a value left out; empty where the tree has no such file."""
    if wanted is None:
        return {}
    file, _, column = wanted.rpartition(":")
    if not file or not column:
        raise RequestError(f"{wanted!r} names no csv column: expected FILE:COLUMN")
    if file not in tree.files():
        return {}
    rows = list(csv.DictReader(io.StringIO(tree.read(file).decode("utf-8-sig"))))
    if rows and column not in rows[0]:
        raise RequestError(f"{file} in {tree.path} has no column {column!r}; it has: {', '.join(rows[0])}")
    return {next(iter(row.values())): row[column].strip() for row in rows if row[column] and row[column].strip()}
