"""Any tree of image files whose first folder level is the identity: a folder, a .zip or a .tar, or several of them."""

from collections.abc import Sequence

import numpy as np

from bench import bounded, places
from bench.datasets._labelled import column, is_persons_name, split
from bench.errors import RequestError
from bench.files import FileImages, Tree, is_image
from bench.images import Faces


def load(*, paths: Sequence[str], exclude: str | None = None, people: str | None = None, min_images: int = 1) -> Faces:
    """The images below `paths`; identity = the first folder below a path, deeper levels allowed, other files ignored.

    Args:
        paths: folders or archives, absolute or relative to `$FACEBENCH_DATA`. Of several, each identity is named
            `<path's name>/<folder>`, so that two data sets never share one by accident.
        exclude: `FILE:COLUMN`, a csv whose first column is the identity: those with a value in COLUMN are left out (COLUMN
            may be the first one: all that are listed). A FILE inside a tree speaks of that tree's identities; one that is a
            data path, of all trees'.
        people: `FILE:COLUMN`, the same for the person's name; without it a folder's name is the person's where it has
            letters and no digit (`Adam_Sandler`; `n000123` and `m.0107_f` are nobody's name).
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
    listed, named = _columns(prefixed, exclude), _columns(prefixed, people)
    left_out: set[str] = set()
    known: dict[str, str] = {}
    for prefix, tree in prefixed.items():
        left_out |= {prefix + identity for identity in listed.get(prefix, {})}
        folders = {path.split("/")[0] for path in tree.files() if is_image(path) and "/" in path}
        said = named.get(prefix, {}) if people else {i: i for i in folders if is_persons_name(i)}
        known |= {prefix + identity: said[identity] for identity in folders if said.get(identity)}
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


def _columns(trees: dict[str, Tree], wanted: str | None) -> dict[str, dict[str, str]]:
    """Prefix of a tree -> identity -> its value in a csv column, for the trees that the csv speaks of."""
    if wanted is None:
        return {}
    file, name = split(wanted)
    inside = {prefix: tree.read(file) for prefix, tree in trees.items() if file in tree.files()}
    if not inside:
        where = ", ".join(str(tree.path) for tree in trees.values())
        try:
            inside = dict.fromkeys(trees, bounded.file(places.data(file)))
        except (RequestError, OSError) as error:
            raise RequestError(
                f"no csv file {file!r}, neither in {where} nor as a data path: give FILE:COLUMN"
            ) from error
    return {prefix: column(text, file, name) for prefix, text in inside.items()}
