"""Contact sheets of a study's data, for its report: what was trained on, and what each protocol tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench import contact, datasets, scoring
from bench.images import Faces, Source
from sweeps import checks
from sweeps.study import Study

FOLDER = "contact_sheets"


def draw(study: Study, folder: Path) -> None:
    """Write `contact_sheets/<what>.png` below the study's folder; those that are there are left."""
    for name, faces in _sets(study):
        path = folder / FOLDER / f"{name}.png"
        if not path.exists():
            contact.sheet(faces, path)


def _sets(study: Study) -> Iterator[tuple[str, Faces]]:
    options = dict(study.data)
    faces = datasets.load(options.pop("name"), **options)
    test = checks.closed_test(study, faces)
    yield "training", _part(faces, ~test) if test.any() else faces
    if test.any():
        yield "test closed", _part(faces, test)
    for spec in study.protocols:
        protocol, source = scoring.open_protocol(spec)
        yield f"test {protocol.name}", _often_seen(protocol, source)


def _part(faces: Faces, chosen: np.ndarray) -> Faces:
    """The (N,) chosen images of a set."""
    rows = np.flatnonzero(chosen)
    present, labels = np.unique(faces.labels[rows], return_inverse=True)
    identities = tuple(faces.identities[label] for label in present)
    return Faces(tuple(faces.names[row] for row in rows), labels, identities, faces.source)


def _often_seen(protocol: Any, source: Source) -> Faces:
    """The images of a protocol's people who are on more than one, where there are such people: they make the fuller rows."""
    people, count = np.unique(protocol.people, return_counts=True)
    kept = set(people[count > 1] if (count > 1).any() else people)
    rows = [row for row, person in enumerate(protocol.people) if person in kept]
    identities, labels = np.unique([protocol.people[row] for row in rows], return_inverse=True)
    return Faces(tuple(protocol.images[row] for row in rows), labels, tuple(identities.tolist()), source)
