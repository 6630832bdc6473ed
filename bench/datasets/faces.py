"""A procedural generator of face images: the embedded default data, at any scale, without storing an image.

Every identity is a set of parameters (head and jaw, eyes, brows, nose, mouth, skin, hair ...), every image of it
another pose, light, expression, dress, occlusion and camera. The head is a surface in three dimensions that is turned
and lit. An image depends on (seed, difficulty, size) and its own name: not on what else is asked for, nor on threads.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.datasets import _face_lists, _face_names, _face_render
from bench.errors import RequestError
from bench.images import Faces, Source, Unreadable


@dataclass(frozen=True)
class Generator:
    """The source of generated faces; see `bench.images.Source`. It has every well-formed name (`_face_names`)."""

    size: int = 64
    difficulty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or not 16 <= self.size <= 512:
            raise RequestError(f"size of faces is the side in pixels, a whole number from 16 to 512, got {self.size!r}")
        if not isinstance(self.difficulty, int | float) or not 0 <= self.difficulty <= 4:
            raise RequestError(
                f"difficulty of faces is a number from 0 to 4 (1: as calibrated), got {self.difficulty!r}"
            )
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise RequestError(f"seed of faces must be a whole number from 0 to 2**63 - 1, got {self.seed!r}")

    @property
    def fingerprint(self) -> str:
        """A hash of the generator's version and settings."""
        settings = ["faces", _face_render.VERSION, self.size, float(self.difficulty), self.seed]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def images(self, names: Sequence[str]) -> Iterator[np.ndarray | Unreadable]:
        """(size, size, 3) uint8 arrays, in order.

        Raises:
            RequestError: a name that no generated face has.
        """
        parsed = _face_names.parse(names)
        batch = _face_render.batch_size(self.size)
        for start in range(0, len(parsed), batch):
            yield from _face_render.render(parsed[start : start + batch], self.size, float(self.difficulty), self.seed)


def load(
    *, identities: int = 200, per_identity: int = 25, size: int = 64, difficulty: float = 1.0, seed: int = 0
) -> Faces:
    """A training set of `identities` x `per_identity` images.

    Args:
        size: the side of an image, in pixels.
        difficulty: 0 (all photographs of a person alike but for dress and background) to 4: it scales the spread of
            every nuisance and the rates of occlusion and of bad photographs, and brings the identities closer together.
            At 1 a plain-softmax net of four convolutions (16-32-64-128; 250 identities x 25 images, 32 px, 10 epochs)
            reaches 0.937 to 0.939 on `lfw` and finds 0.49 to 0.50 at rank 1 among 10,000 distractors (3 seeds).
        seed: other seeds, other people.

    Raises:
        RequestError: a number out of its range.
    """
    for name, value in (("identities", identities), ("per_identity", per_identity)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise RequestError(f"{name} of faces must be a whole number of at least 1, got {value!r}")
    source = Generator(size, difficulty, seed)
    people = tuple(_face_names.person("train", identity) for identity in range(identities))
    names = tuple(
        _face_names.still("train", identity, image)
        for identity in range(identities)
        for image in range(1, per_identity + 1)
    )
    labels = np.repeat(np.arange(identities, dtype=np.int64), per_identity)
    return Faces(names, labels, people, source, {person: person for person in people})


def protocol(
    name: str,
    *,
    size: int = 64,
    difficulty: float = 1.0,
    seed: int = 0,
    identities: int | None = None,
    per_identity: int | None = None,
    folds: int | None = None,
    pairs: int | None = None,
    videos: int | None = None,
    frames: int | None = None,
    distractors: int | None = None,
) -> tuple[dict[str, str], Source]:
    """The lists of a test protocol (file name -> text) and the source of its images; identities as in no other part.

    Args:
        name: `lfw` (takes folds, pairs, identities, per_identity), `ytf` (folds, pairs, identities, videos, frames),
            `megaface` (identities, per_identity, distractors) or `heldout` (identities, per_identity).
        identities: people; the folds share them out, so no person is in two folds.
        per_identity: images of each.
        folds, pairs: `pairs` genuine and as many impostor pairs in each fold.
        videos, frames: videos of each person and frames of each video.
        distractors: people beside the probes, one image each.
        size, difficulty, seed: as in `load`.

    Raises:
        RequestError: an unknown protocol, an option it does not take, or numbers that do not fit together.
    """
    scale = {
        "identities": identities,
        "per_identity": per_identity,
        "folds": folds,
        "pairs": pairs,
        "videos": videos,
        "frames": frames,
        "distractors": distractors,
    }
    source = Generator(size, difficulty, seed)
    return _face_lists.lists(name, scale, seed), source
