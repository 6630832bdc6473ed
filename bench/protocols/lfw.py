"""Labeled Faces in the Wild: verification of image pairs in ten folds (Huang et al., UMass TR 07-49).

Metrics: `lfw/accuracy`, `lfw/accuracy_se`, `lfw/auc`, `lfw/eer`, `lfw/tar_at_far_...`; of View 1 files `lfw-view1/...`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics import best_threshold
from bench.metrics.similarity import Rows
from bench.protocols import _lists, _pairs, _partial
from bench.scorers import Scorer
from bench.scores import Scores

FARS = (1e-1, 1e-2, 1e-3)


@dataclass(frozen=True, eq=False)
class Lfw:
    """Image pairs in folds; see `bench.protocols.Comparisons`.

    Attributes:
        pairs: the comparisons (rows of `images`).
        train: pairs (rows of `images` too) that the threshold of a single fold is chosen on, if there are any.
    """

    name: str
    images: tuple[str, ...]
    people: tuple[str, ...]
    pairs: _pairs.Pairs = field(repr=False)
    train: _pairs.Pairs | None = field(repr=False)
    spec: dict[str, Any]

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)

    @property
    def primary(self) -> str:
        known = len(np.unique(self.pairs.folds)) > 1 or self.train is not None
        return f"{self.name}/{'accuracy' if known else 'auc'}"

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """A score each pair; accuracy, AUC, EER and TAR at FAR 0.1, 0.01 and 0.001.

        Args:
            scorer: how two embeddings are compared; without one by their cosine.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        rows = _pairs.prepared(embeddings, self.images, self.name, scorer)
        scores = rows.scores(self.pairs.first, rows, self.pairs.second)
        answer = _pairs.joined(self._accuracy(rows, scores), _pairs.verification(self.name, scores, self.pairs, FARS))
        answer.counts["images"] = len(self.images)
        return _partial.marked(answer, self.spec)

    def without(self, missing: Collection[str]) -> "Lfw":
        """See `bench.protocols.Comparisons`."""
        keep = _partial.kept(self.name, self.images, missing)
        images = _partial.chosen(self.images, keep)
        pairs = self.pairs.without(keep)
        spec = _partial.lacking(self.spec, "images", missing, len(keep))
        spec = _partial.lacking(spec, "pairs", len(self.pairs.same) - len(pairs.same), len(self.pairs.same))
        train = self.train and self.train.without(keep)
        return replace(self, images=images, people=pairs.people, pairs=pairs, train=train, spec=spec)

    def _accuracy(self, rows: Rows, scores: np.ndarray) -> Scores:
        if len(np.unique(self.pairs.folds)) > 1:
            return _pairs.accuracy(self.name, scores, self.pairs)
        no_spread = {f"{self.name}/accuracy_se": "one set of pairs has no folds to take a standard error over"}
        if self.train is None:
            reason = "one set of pairs leaves none to choose the threshold on: give pairs=[train file, test file]"
            return Scores({}, undefined={f"{self.name}/accuracy": reason, **no_spread})
        known = rows.scores(self.train.first, rows, self.train.second)
        right = (scores > best_threshold(known, self.train.same)) == self.pairs.same
        return Scores({f"{self.name}/accuracy": float(right.mean())}, undefined=no_spread)


def load(
    root: _lists.Root,
    *,
    pairs: str | Path | Sequence[str | Path] = "pairs.txt",
    images: Sequence[str] | None = None,
    label: str | None = None,
    allow_missing: bool = False,
) -> Lfw:
    """LFW from its own pairs file.

    Args:
        root: the folder of the lists, or a mapping of file name -> text.
        pairs: View 2's `pairs.txt` (first line `10 300`), one View 1 file (first line a single number), or two files:
            the threshold is then chosen on the first and the second is scored.
        images: folders or archives that must hold every image named (any suffix); without them each is
            `NAME/NAME_0001.jpg`.
        label: stands before the metrics; default `lfw`, for a single set of pairs `lfw-view1`.
        allow_missing: leave out the pairs of images that are not there, and mark every figure as partial.

    Raises:
        RequestError: a file that is missing or malformed (with its line number), or images that are missing.
    """
    if not isinstance(pairs, str | Path | list | tuple):
        raise RequestError(f"pairs is one file, or a train file and a test file, got {pairs!r}")
    files = [pairs] if isinstance(pairs, str | Path) else list(pairs)
    if not 1 <= len(files) <= 2:
        raise RequestError(f"pairs is one file, or a train file and a test file, got {len(files)} files")
    texts = [_lists.read(root, file) for file in files]
    parsed = [_parse(text, str(file)) for text, file in zip(texts, files, strict=True)]
    if len(files) == 2 and parsed[1][-1].fold > 0:
        raise RequestError(f"{files[1]} has folds of its own: give it alone as pairs={str(files[1])!r}")
    stems = sorted({stem for found in parsed for pair in found for stem in (pair.first, pair.second)})
    listed = None if images is None else _lists.images(root, images)
    names, missing = _found(stems, listed, allow_missing)
    people = _lists.people(names, str(files[-1]))
    tables = [_table(found, {stem: row for row, stem in enumerate(stems)}, people) for found in parsed]
    label = label or ("lfw" if tables[-1].folds.max() > 0 else "lfw-view1")
    spec = {
        "protocol": "lfw",
        "version": 1,
        "label": label,
        "score": "cosine",
        "pairs": [_lists.sha256(t) for t in texts],
    }
    spec["images"] = _lists.sha256(names)
    made = Lfw(label, tuple(names), people, tables[-1], tables[0] if len(tables) == 2 else None, spec)
    return made.without(missing) if missing else made


@dataclass(frozen=True)
class _Pair:
    first: str
    second: str
    same: bool
    fold: int


def _parse(text: str, where: str) -> list[_Pair]:
    """LFW's format: `folds n` (View 1: `n`), then for each fold n lines `name i j` and n lines `name i other j`."""
    numbered = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    header = numbered[0][1] if numbered else []
    if not 1 <= len(header) <= 2 or not all(number.isdigit() and int(number) > 0 for number in header):
        raise RequestError(
            f"{where} line 1: expected `folds pairs-per-kind` (10 300) or `pairs-per-kind`, got {' '.join(header)!r}"
        )
    folds, each = (int(header[0]), int(header[1])) if len(header) == 2 else (1, int(header[0]))
    body = numbered[1:]
    if len(body) != folds * 2 * each:
        promised = f"{folds} x (2 x {each}) = {folds * 2 * each:,} pairs"
        raise RequestError(f"{where}: its first line promises {promised}, it has {len(body):,}")
    found = []
    for place, (number, fields) in enumerate(body):
        fold, within = divmod(place, 2 * each)
        found.append(_pair(fields, within < each, fold, f"{where} line {number}"))
    return found


def _pair(fields: list[str], same: bool, fold: int, where: str) -> _Pair:
    form = "NAME i j" if same else "NAME i OTHER j"
    numbers = fields[1:3] if same else fields[1::2]
    if len(fields) != (3 if same else 4) or not all(number.isdigit() for number in numbers):
        kind = "genuine" if same else "impostor"
        raise RequestError(f"{where}: expected {'a' if same else 'an'} {kind} pair `{form}`, got {' '.join(fields)!r}")
    first, second = (fields[0], fields[0]) if same else (fields[0], fields[2])
    if (first == second) != same or (same and int(numbers[0]) == int(numbers[1])):
        raise RequestError(
            f"{where}: {' '.join(fields)!r} compares {'an image with itself' if same else 'a person with itself'}"
        )
    return _Pair(f"{first}/{first}_{int(numbers[0]):04d}", f"{second}/{second}_{int(numbers[1]):04d}", same, fold)


def _found(stems: list[str], listed: list[str] | None, allow_missing: bool) -> tuple[list[str], list[str]]:
    """The listed image of each `NAME/NAME_0001`, whatever its suffix; and the names that are missing, as `.jpg`."""
    by_stem = {str(PurePosixPath(name).with_suffix("")): name for name in listed or ()}
    missing = [] if listed is None else [stem for stem in stems if stem not in by_stem]
    if missing and not allow_missing:
        raise RequestError(
            f"{len(missing)} of the {len(stems):,} images of the pairs are missing, the first is {missing[0]!r}: "
            f"{_lists.ADVICE}"
        )
    return [by_stem.get(stem, f"{stem}.jpg") for stem in stems], [f"{stem}.jpg" for stem in missing]


def _table(found: list[_Pair], row: dict[str, int], people: tuple[str, ...]) -> _pairs.Pairs:
    return _pairs.Pairs(
        np.array([row[pair.first] for pair in found]),
        np.array([row[pair.second] for pair in found]),
        np.array([pair.same for pair in found]),
        np.array([pair.fold for pair in found]),
        people,
    )
