"""What a trial learns from and is examined on: images of its data set, and the protocols with their pixels."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import datasets, overlap, scoring, waiting
from bench.closed import Closed
from bench.errors import RequestError
from bench.identities import held_out
from bench.images import Faces, Source
from bench.pixels import Pixels, pixels, row_hashes, whole
from bench.plain import Trial
from bench.protocols.heldout import Heldout


@dataclass(frozen=True)
class Exam:
    """A test protocol with its pixels, and whether it shares people or images with the training."""

    protocol: Any
    pixels: Pixels
    overlap: dict[str, str]


@dataclass(frozen=True)
class Material:
    """A trial's images, and its exams.

    Attributes:
        faces, pixels: all images of the data set.
        train, develop, closed: the rows of them that are trained on, those of the held-out identities, and the
            closed-set test's (of identities that are trained on).
        exams: the test protocols.
    """

    faces: Faces
    pixels: Pixels
    train: np.ndarray
    develop: np.ndarray
    closed: np.ndarray
    exams: tuple[Exam, ...]

    @property
    def key(self) -> str:
        """What a checkpoint must agree with: the pixels, and who of them is trained on."""
        parts = (self.pixels.key.encode(), self.train.tobytes(), self.faces.labels[self.train].tobytes())
        return hashlib.sha256(b"".join(parts)).hexdigest()[:16]

    @property
    def train_labels(self) -> np.ndarray:
        """The labels of the training part renumbered 0..C-1."""
        return np.unique(self.faces.labels[self.train], return_inverse=True)[1].astype(np.int64)

    @property
    def classes(self) -> int:
        """C, the number of identities that are trained on."""
        return len(np.unique(self.faces.labels[self.train]))

    def development(self) -> Heldout | None:
        """The protocol among the images of the held-out identities; None where nobody is held out."""
        if not len(self.develop):
            return None
        names = tuple(self.faces.names[row] for row in self.develop)
        people = tuple(self.faces.identities[self.faces.labels[row]] for row in self.develop)
        return Heldout(names, people, name="dev")

    def closed_test(self) -> Closed:
        """The closed-set test, its labels numbered as `train_labels` are."""
        known = np.unique(self.faces.labels[self.train])
        labels = np.searchsorted(known, self.faces.labels[self.closed]).astype(np.int64)
        return Closed([self.faces.names[row] for row in self.closed], labels)


def load(trial: Trial) -> Material:
    """Everything that a trial needs to see, decoded.

    Raises:
        RequestError: data or lists that do not exist, an image of a protocol that cannot be read, shared people.
    """
    options = dict(trial.data)
    faces = datasets.load(options.pop("name", ""), **options)
    opened = [scoring.open_protocol(spec) for spec in trial.protocols]
    names = [protocol.name for protocol, _ in opened]
    if twice := [name for name in names if names.count(name) > 1]:
        raise RequestError(
            f"two of the trial's protocols are called {twice[0]!r}: their figures would be one; give one only"
        )
    shown = _shown(trial, faces.source, faces.names)
    readable = np.ones(len(faces.names), bool)
    position = {name: row for row, name in enumerate(faces.names)}
    readable[[position[bad.name] for bad in shown.unreadable]] = False
    held = np.isin(faces.labels, held_out(len(faces.identities), trial.holdout, trial.holdout_seed))
    test = closed_rows(faces, trial.closed_every)
    train, develop = np.flatnonzero(readable & ~held & ~test), np.flatnonzero(readable & held & ~test)
    known = np.isin(faces.labels, faces.labels[train])
    closed = np.flatnonzero(readable & ~held & test & known)
    hashes = row_hashes(shown.array) if opened else []
    exams = tuple(_exam(trial, faces, hashes, protocol, source) for protocol, source in opened)
    return Material(faces, shown, train, develop, closed, exams)


def _shown(trial: Trial, source: Source, names: tuple[str, ...]) -> Pixels:
    """The pixels as the trial's network sees them."""
    with waiting.bar("decoding images") as advance:
        return pixels(source, names, trial.image_size, trial.crop, trial.channels, trial.patch, advance)


def _exam(trial: Trial, faces: Faces, hashes: list[bytes], protocol: Any, source: Source) -> Exam:
    shown = _shown(trial, source, protocol.images)
    whole(shown, protocol.name)
    found = overlap.compare(faces, hashes, protocol.name, protocol.people, row_hashes(shown.array), trial.allow_overlap)
    return Exam(protocol, shown, found)


def closed_rows(faces: Faces, every: int) -> np.ndarray:
    """(N,) bool: the data set's own test images, and each `every`-th image of each identity."""
    test = np.zeros(len(faces.names), bool) if faces.test is None else faces.test.copy()
    if every:
        order = np.argsort(faces.labels, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(faces.labels))])[:-1]
        place = np.arange(len(order)) - starts[faces.labels[order]]  # of an image among its identity's
        test[order] |= place % every == every - 1
    return test
