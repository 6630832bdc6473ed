"""`facebench data overlap`: the people and images that a training set and a test set share, and what is left without them.

Found by name, by what images look like (`bench.hashes`), and by embeddings (`bench.lookalikes`), each on its own; the
answer is plain data. What of it counts as contaminated is decided by who reads it: `Overlap.contaminated`.
"""

import csv
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import hashes, lookalikes
from bench import overlap as by_name
from bench.errors import RequestError
from bench.images import Faces, Source
from bench.pixels import pixels

KINDS = ("name", "exact", "near", "mirrored", "embedding")
_HEADER = ("kind", "test", "train", "test_identity", "train_identity", "value", "count")


@dataclass(frozen=True)
class Match:
    """Something of the test set that is in the training set.

    Attributes:
        kind: `name`; `exact` (the same pixels), `near` or `mirrored` (nearly the same, perhaps as a mirror image);
            `embedding`.
        test, train: image names, or identities where identities were compared; of several in training, the nearest.
        test_identity, train_identity: whose they are.
        value: the Hamming distance of the hashes, or the cosine; of names 0.
        count: how many of the training set match.
    """

    kind: str
    test: str
    train: str
    test_identity: str
    train_identity: str
    value: float
    count: int


@dataclass(frozen=True)
class Overlap:
    """What training and test share.

    Attributes:
        matches: by kind, in the order of the test set; of each image or identity one a kind.
        train_images: those of the training set that are nearly the same as one of the test set.
        counts: of images and identities of both sets, of images without a hash (flat or unreadable), of each kind.
        settings: how it was found; with embeddings the threshold, and `expected_by_chance`.
    """

    matches: tuple[Match, ...]
    train_images: tuple[str, ...]
    counts: dict[str, int]
    settings: dict[str, Any]
    test: Faces

    @property
    def identities(self) -> tuple[str, ...]:
        """The identities of the test set that any match concerns, in its order."""
        return self._concerned(KINDS)

    def contaminated(self, by: str = "identity", kinds: Collection[str] = KINDS) -> tuple[str, ...]:
        """The test images to be left out of a decontaminated score, in the test set's order.

        Args:
            by: `identity`: all images of every identity that a match concerns (a person who is in training was seen,
                whichever photograph it was). `image`: only the images that are in training themselves; of matches
                between identities, all of theirs.
            kinds: the matches that count.

        Raises:
            RequestError: another `by` or kind.
        """
        if by not in ("identity", "image") or not set(kinds) <= set(KINDS):
            raise RequestError(
                f"contaminated is by identity or image, of kinds {', '.join(KINDS)}; got {by!r}, {sorted(kinds)}"
            )
        images = {match.test for match in self.matches if match.kind in kinds}
        # A match of identities stands there by their names, so `images` holds these too.
        people = set(self._concerned(kinds)) if by == "identity" else images
        names, labels = self.test.names, self.test.labels
        whose = [self.test.identities[label] for label in labels]
        return tuple(name for name, who in zip(names, whose, strict=True) if who in people or name in images)

    def _concerned(self, kinds: Collection[str]) -> tuple[str, ...]:
        people = {match.test_identity for match in self.matches if match.kind in kinds}
        return tuple(identity for identity in self.test.identities if identity in people)


def of_protocol(protocol: Any, source: Source) -> Faces:
    """The images of a protocol as a labelled set; its people's names are names."""
    people, labels = np.unique(np.array(protocol.people), return_inverse=True)
    names = tuple(str(person) for person in people)
    return Faces(
        tuple(protocol.images),
        labels.astype(np.int64),
        names,
        source,
        {name: name for name in names if not name.startswith("?")},
    )


def overlap(
    train: Faces,
    test: Faces,
    *,
    names: bool = True,
    images: bool = True,
    distance: int = hashes.NEAR,
    crop: int | None = None,
    embeddings: tuple[np.ndarray, np.ndarray] | None = None,
    threshold: float | None = None,
    level: str = "identity",
    progress: Callable[[int, int], None] | None = None,
) -> Overlap:
    """The people and images of `test` that are in `train`.

    Args:
        names: compare the names of the people whose name is known, however they are written (`Adam_Sandler`).
        images: compare hashes of the images. They see the central square of each image, so both sets have to show faces
            in the same frame: aligned the same way, or both as they were published.
        distance: the largest Hamming distance (of 255 bits) of two images that are nearly the same. 44 has found no
            two people among 202 million pairs, see `bench.hashes`.
        crop: the side of that central square in pixels (None: the largest).
        embeddings: (train's, test's), one row an image, of one network.
        threshold: the cosine from which on two are taken for one person; None: such that a share 1e-6 of the pairs of
            different people of the test set would be (see `bench.lookalikes.threshold`).
        level: `identity` (the means of their embeddings are compared) or `image`.
        progress: called with (done, total) at each step.

    Raises:
        RequestError: a number out of its range, embeddings that do not fit the sets, nothing to be compared.
    """
    if not (names or images or embeddings is not None):
        raise RequestError("nothing to compare: train and test are compared by names, images or embeddings")
    if isinstance(distance, bool) or not isinstance(distance, int) or not 0 <= distance < 128:
        raise RequestError(f"the distance of hashes is a whole number from 0 to 127, got {distance!r}")
    found: list[Match] = []
    counts = {"train_images": len(train.names), "test_images": len(test.names)}
    counts |= {"train_identities": len(train.identities), "test_identities": len(test.identities)}
    settings: dict[str, Any] = {"names": names, "images": images}
    shared: np.ndarray = np.zeros(len(train.names), bool)
    if names:
        found += _by_name(train, test)
        counts["train_identities_without_a_name"] = len(train.identities) - len(train.people)
    if images:
        settings |= {"distance": distance, "crop": crop}
        more, shared, flat = _by_image(train, test, distance, crop, progress)
        found += more
        counts |= flat
    if embeddings is not None:
        more, said = _by_embedding(train, test, embeddings, threshold, level, progress)
        found += more
        settings |= said
    found.sort(key=lambda match: KINDS.index(match.kind))
    counts |= {kind: sum(match.kind == kind for match in found) for kind in KINDS}
    rows = np.flatnonzero(shared)
    return Overlap(tuple(found), tuple(train.names[row] for row in rows), counts, settings, test)


def write(found: Overlap, folder: Path, by: str = "identity") -> tuple[Path, Path]:
    """`overlap.csv`, a line a match, and `contaminated.csv`, a test image a line, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [tuple(getattr(match, name) for name in _HEADER) for match in found.matches]
    whose = dict(zip(found.test.names, (found.test.identities[label] for label in found.test.labels), strict=True))
    images = [(name, whose[name]) for name in found.contaminated(by)]
    return (
        _table(folder / "overlap.csv", _HEADER, lines),
        _table(folder / "contaminated.csv", ("image", "identity"), images),
    )


def _table(path: Path, header: tuple[str, ...], lines: list[tuple]) -> Path:
    part = path.with_name(f"{path.name}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])
    part.replace(path)
    return path


def _by_name(train: Faces, test: Faces) -> list[Match]:
    pairs = by_name.shared(train.people, test.people)
    return [Match("name", one, others[0], one, others[0], 0.0, len(others)) for one, others in pairs.items()]


def _by_image(
    train: Faces, test: Faces, distance: int, crop: int | None, progress: Callable[[int, int], None] | None
) -> tuple[list[Match], np.ndarray, dict[str, int]]:
    first, second = (
        hashes.hashed(pixels(one.source, one.names, hashes.SIDE, crop, 1, progress=progress).array[..., 0])
        for one in (test, train)
    )
    rows, columns = np.flatnonzero(first.known), np.flatnonzero(second.known)
    straight = hashes.nearest(first.bits[rows], second.bits[columns], distance, progress)
    turned = hashes.nearest(first.mirrored[rows], second.bits[columns], distance, progress)
    order = np.argsort(second.exact[columns], kind="stable")
    pixel_hashes = second.exact[columns][order]
    found = []
    for place, row in enumerate(rows):
        same = (
            np.searchsorted(pixel_hashes, first.exact[row], "left"),
            np.searchsorted(pixel_hashes, first.exact[row], "right"),
        )
        if same[0] < same[1]:
            found.append(_match("exact", test, row, train, columns[order[same[0]]], 0, same[1] - same[0]))
        elif straight.row[place] >= 0 and not 0 <= turned.distance[place] < straight.distance[place]:
            at = columns[straight.row[place]]
            found.append(_match("near", test, row, train, at, straight.distance[place], straight.count[place]))
        elif turned.row[place] >= 0:
            at = columns[turned.row[place]]
            found.append(_match("mirrored", test, row, train, at, turned.distance[place], turned.count[place]))
    shared = np.zeros(len(train.names), bool)
    shared[columns] = straight.hit | turned.hit
    flat = {"train_without_hash": len(train.names) - len(columns), "test_without_hash": len(test.names) - len(rows)}
    return found, shared, flat


def _match(kind: str, test: Faces, row: Any, train: Faces, other: Any, value: float, count: int) -> Match:
    who, whom = test.identities[test.labels[row]], train.identities[train.labels[other]]
    return Match(kind, test.names[row], train.names[other], who, whom, float(value), int(count))


def _by_embedding(
    train: Faces,
    test: Faces,
    embeddings: tuple[np.ndarray, np.ndarray],
    threshold: float | None,
    level: str,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Match], dict[str, Any]]:
    # Identities without an image (a set that was cut down) have no row.
    (asked_by, asked_labels), (known_by, known_labels) = (
        np.unique(one.labels, return_inverse=True) for one in (test, train)
    )
    known = lookalikes.rows(embeddings[0], known_labels, "training", level)
    asked = lookalikes.rows(embeddings[1], asked_labels, "test", level)
    owners = np.arange(len(asked_by)) if level == "identity" else asked_labels
    limit, chance = (threshold, None) if threshold is not None else lookalikes.threshold(asked, owners)
    found = lookalikes.find(asked, known, limit, chance, progress)
    matches = []
    for row in np.flatnonzero(found.row >= 0):
        other, value, count = int(found.row[row]), float(found.cosine[row]), int(found.count[row])
        if level == "image":
            matches.append(_match("embedding", test, row, train, other, value, count))
        else:
            one, another = test.identities[asked_by[row]], train.identities[known_by[other]]
            matches.append(Match("embedding", one, another, one, another, value, count))
    return matches, {"level": level, "threshold": found.threshold, "expected_by_chance": found.chance}
