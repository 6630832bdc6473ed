"""What is this? A path is told apart, read as a data set where it is one, counted, and a sample of its images is decoded."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import datasets, places, protocols
from bench.datasets import _sniff, recordio
from bench.errors import RequestError
from bench.files import Tree, is_image
from bench.images import Faces, Unreadable

SAMPLE = 200

# Which protocol reads a file that is no data set.
_PROTOCOLS = {
    "insightface-bin": "bins",
    "megaface-features": "megaface",
    "megaface-list": "megaface",
    "lfw-pairs": "lfw",
    "lfw-people": "lfw",
    "identification-list": "rank_k",
    "ytf-splits": "ytf",
    "ijb-templates": "ijb",
    "ijb-pairs": "ijb",
}


@dataclass(frozen=True)
class Inspection:
    """What was found at a path, as plain data (`dataclasses.asdict` gives JSON).

    Attributes:
        path, kind, what: where it lies, which of `bench.datasets._sniff.KINDS` it is, and that in words.
        dataset, options: `bench.datasets.load(dataset, **options)` reads it; empty for a protocol's file.
        protocol: the one that a protocol's file is for; empty where none is known.
        identities, images: their numbers.
        images_per_identity: `min`, `median`, `max`.
        sizes: `HEIGHTxWIDTH` -> images of the sample, the most frequent first.
        sampled, unreadable: how many images were decoded, spread evenly over all, and how many of them could not be.
        first_unreadable: the first of these, with the reason.
        warnings: sentences on what may surprise.
    """

    path: str
    kind: str
    what: str
    dataset: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    protocol: str = ""
    identities: int = 0
    images: int = 0
    images_per_identity: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    sampled: int = 0
    unreadable: int = 0
    first_unreadable: str = ""
    warnings: tuple[str, ...] = ()


def inspect(path: str | Path, options: Mapping[str, Any] | None = None, sample: int = SAMPLE) -> Inspection:
    """Tell apart what lies at `path`, and count and sample it where it is a data set.

    Args:
        path: a file or folder; a relative one is looked for here, then below `$FACEBENCH_DATA`.
        options: more options for the data set (`label`, `split`, `root` ...).
        sample: how many images are decoded.

    Raises:
        RequestError: nothing is there, nothing known or things of several kinds, or the data set refuses it (in its words).
    """
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
        raise RequestError(f"the sample is a whole number from 1 on, got {sample!r}")
    where = _found(path)
    kind = _sniff.kind(where)
    what = _sniff.KINDS[kind]
    if kind not in _sniff.DATASETS:
        protocol = _PROTOCOLS.get(kind, "")
        return Inspection(str(where), kind, what, protocol=protocol if protocol in protocols.names() else "")
    asked = {**_place(kind, where), **(options or {})}
    faces = datasets.load(kind, **asked)
    each = np.bincount(faces.labels, minlength=len(faces.identities))
    spread = {"min": int(each.min()), "median": float(np.median(each)), "max": int(each.max())}
    sizes, bad, sampled = _sampled(faces, sample)
    return Inspection(
        path=str(where),
        kind=kind,
        what=what,
        dataset=kind,
        options=asked,
        identities=len(faces.identities),
        images=len(faces.names),
        images_per_identity=spread,
        sizes=sizes,
        sampled=sampled,
        unreadable=len(bad),
        first_unreadable=f"{bad[0].name}: {bad[0].reason}" if bad else "",
        warnings=tuple(_warnings(kind, where, faces, each, sizes, len(bad))),
    )


def reader(path: str | Path) -> tuple[str, dict[str, Any]]:
    """The data set that reads what lies at `path`, and the option that says where.

    Raises:
        RequestError: nothing is there, or it is no data set.
    """
    where = _found(path)
    kind = _sniff.kind(where)
    if kind not in _sniff.DATASETS:
        raise RequestError(f"{where} is {_sniff.KINDS[kind]}, no data set: expected {', '.join(_sniff.DATASETS)}")
    return kind, _place(kind, where)


def _found(path: str | Path) -> Path:
    return places.data(Path(path).resolve() if Path(path).exists() else path)


def _place(kind: str, path: Path) -> dict[str, Any]:
    """The option that says where the data set lies."""
    if kind == "mnist":
        return {"path": str(path if path.is_dir() else path.parent)}
    if kind != "folder":
        return {"path": str(path)}
    packed = sorted(path.glob("*.zip")) + sorted(path.glob("*.tar")) if path.is_dir() else []
    loose = path.is_file() or any(is_image(name) for name in Tree(path).files())
    return {"paths": [str(path)] if loose else [str(file) for file in packed]}


def _sampled(faces: Faces, sample: int) -> tuple[dict[str, int], list[Unreadable], int]:
    rows = np.unique(np.linspace(0, len(faces.names) - 1, min(sample, len(faces.names))).astype(int))
    sizes: Counter[str] = Counter()
    bad = []
    for image in faces.source.images([faces.names[row] for row in rows]):
        if isinstance(image, Unreadable):
            bad.append(image)
        else:
            sizes["x".join(map(str, image.shape[:2]))] += 1
    return dict(sizes.most_common()), bad, len(rows)


def _warnings(kind: str, path: Path, faces: Faces, each: np.ndarray, sizes: dict[str, int], bad: int) -> list[str]:
    said = []
    if alone := int((each == 1).sum()):
        said.append(f"{alone:,} of {len(each):,} identities have one image only: nothing pulls it anywhere in training")
    if len(each) == 1:
        said.append(f"all images are of one identity, {faces.identities[0]!r}: is a folder below meant?")
    if bad:
        said.append(f"{bad} of the sampled images cannot be read: training leaves such images out and says so")
    if kind == "folder":
        said += _passed_over(faces)
    if kind == "recordio":
        said += _records(path, faces, sizes)
    return said


def _passed_over(faces: Faces) -> list[str]:
    trees = getattr(faces.source, "trees", [])
    others = [name for tree in trees for name in tree.files() if not is_image(name)]
    bare = [name for tree in trees for name in tree.files() if is_image(name) and "/" not in name]
    said = []
    if others:
        said.append(
            f"{len(others):,} files are no images by their names and are passed over, the first is {others[0]!r}"
        )
    if bare:
        said.append(f"{len(bare):,} images lie in no identity's folder and are passed over, the first is {bare[0]!r}")
    return said


def _records(path: Path, faces: Faces, sizes: dict[str, int]) -> list[str]:
    rec = recordio.rec_file(path)
    said = []
    if not rec.with_suffix(".idx").is_file():
        said.append(f"{rec.with_suffix('.idx').name} is missing: the records were found by going through {rec.name}")
    classes = recordio.classes(rec)
    if classes is not None and classes != len(faces.identities):
        said.append(f"property speaks of {classes:,} identities, and {len(faces.identities):,} have images")
    stated = recordio.size(rec)
    if stated and sizes and stated not in sizes:
        said.append(f"property says that images are {stated}, and the sampled ones are {', '.join(sizes)}")
    return said
