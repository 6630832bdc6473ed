"""Labeled Faces in the Wild: verification of image pairs in ten folds (Huang et al., UMass TR 07-49).

Metrics: `lfw/accuracy`, `lfw/accuracy_se`, `lfw/auc`, `lfw/eer`, `lfw/tar_at_far_...`; of View 1 files `lfw-view1/...`.
The accuracy of well-known code under the name of its convention: `lfw-sphereface/accuracy`, `lfw-insightface/accuracy`,
`lfw-all_pairs/accuracy` (no folds: optimistic), so that the same embeddings show the several "LFW accuracies".
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics import best_threshold
from bench.metrics.similarity import Rows
from bench.protocols import _conventions, _lfw_pairs, _lists, _pairs, _partial
from bench.protocols._verification import check_label
from bench.scorers import Scorer
from bench.scores import Scores

FARS = (1e-1, 1e-2, 1e-3)
VIEW_1 = ("pairsDevTrain.txt", "pairsDevTest.txt")
VIEW_2 = ("pairs.txt",)


@dataclass(frozen=True, eq=False)
class Lfw:
    """Image pairs in folds; see `bench.protocols.Comparisons`.

    Attributes:
        pairs: the comparisons (rows of `images`).
        train: pairs (rows of `images` too) that the threshold of a single fold is chosen on, if there are any.
        convention: whose accuracy, see `bench.protocols._conventions`.
        depth: how many parts of an image's path its name has, wherever in its tree it lies.
    """

    name: str
    images: tuple[str, ...]
    people: tuple[str, ...]
    pairs: _pairs.Pairs = field(repr=False)
    train: _pairs.Pairs | None = field(repr=False)
    spec: dict[str, Any]
    convention: str = "standard"
    depth: int = 2

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)

    @property
    def primary(self) -> str:
        known = len(np.unique(self.pairs.folds)) > 1 or self.train is not None or self.convention != "standard"
        return f"{self.name}/{'accuracy' if known else 'auc'}"

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """A score each pair; accuracy, AUC, EER and TAR at FAR 0.1, 0.01 and 0.001; of a named convention accuracy alone.

        Args:
            scorer: how two embeddings are compared; without one by their cosine.

        Raises:
            RequestError: not (N, D), a number that is not finite, or a scorer that the convention is not defined on.
        """
        if self.convention != "standard":
            array = _pairs.checked(embeddings, self.images, self.name, scorer)
            answer = _conventions.accuracy(self.convention, self.name, array, self.pairs, scorer)
            answer.counts.update({**self.pairs.counts, "images": len(self.images)})
            return _partial.marked(answer, self.spec)
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
        _conventions.check(self.convention, len(np.unique(pairs.folds)))
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
    pairs: str | Path | Sequence[str | Path] | None = None,
    images: Sequence[str] | None = None,
    label: str | None = None,
    allow_missing: bool = False,
    view: int | None = None,
    people: str | Path | Sequence[str | Path] | bool | None = None,
    convention: str = "standard",
) -> Lfw:
    """LFW from its own pairs file.

    Args:
        root: the folder of the lists, or a mapping of file name -> text.
        pairs: View 2's `pairs.txt` (first line `10 300`), one View 1 file (first line a single number), or two files:
            the threshold is then chosen on the first and the second is scored. Default: the files of `view`.
        images: folders or archives that must hold every image named (any suffix; `NAME/NAME_0001.jpg`, or below one more
            folder such as `lfw-deepfunneled`); without them each is `NAME/NAME_0001.jpg`.
        label: stands before the metrics; default `lfw`, for a single set of pairs `lfw-view1`; with the convention's name.
        allow_missing: leave out the pairs of images that are not there, and mark every figure as partial.
        view: 2 (`pairs.txt`, the default) or 1 (`pairsDevTrain.txt` chooses the threshold, `pairsDevTest.txt` is scored;
            for display: 758 of its 3,200 pairs are View 2 pairs).
        people: the file (for two files of pairs two) that every name, image number and fold of the pairs is checked
            against; default: `people.txt` (`peopleDevTrain.txt` ...) beside `pairs.txt`, where it is there; False: none.
        convention: `standard`, or whose accuracy is counted: `sphereface`, `insightface`, `all_pairs`.

    Raises:
        RequestError: a file that is missing or malformed (with its line number), images that are missing, an unknown view
            or convention, or pairs and people that do not fit together.
    """
    files = _files(pairs, view)
    texts = [_lists.read(root, file) for file in files]
    parsed = [_lfw_pairs.parse(text, str(file)) for text, file in zip(texts, files, strict=True)]
    folds = 1 + parsed[-1][-1].fold
    if len(files) == 2 and folds > 1:
        raise RequestError(f"{files[1]} has folds of its own: give it alone as pairs={str(files[1])!r}")
    if view and (folds > 1) != (view == 2):
        raise RequestError(
            f"{files[-1]} has {folds} fold{'s' * (folds > 1)} and is not of View {view}: leave `view` out"
        )
    _conventions.check(convention, folds)
    for found, file, source in zip(parsed, files, _people_files(root, files, people), strict=True):
        if source is not None:
            known = _lfw_pairs.parse_people(_lists.read(root, source), str(source))
            _lfw_pairs.check_people(found, str(file), known, str(source))
    stems = sorted({stem for found in parsed for pair in found for stem in (pair.first, pair.second)})
    names, missing = _lfw_pairs.located([f"{stem}.jpg" for stem in stems], root, images, allow_missing, "the pairs")
    owners = _lists.people(names, str(files[-1]))
    tables = [_table(found, {stem: row for row, stem in enumerate(stems)}, owners) for found in parsed]
    named = "" if convention == "standard" else convention
    if label is not None:
        check_label(label)
    label = label or "-".join(["lfw", *["view1"] * (folds == 1), *[named] * bool(named)])
    spec = {
        "protocol": "lfw",
        "version": 1,
        "label": label,
        "score": "cosine",
        "pairs": [_lists.sha256(t) for t in texts],
    }
    spec["images"] = _lists.sha256(names)
    if named:
        spec["convention"] = named
    made = Lfw(label, tuple(names), owners, tables[-1], tables[0] if len(tables) == 2 else None, spec, convention)
    return made.without(missing) if missing else made


def _files(pairs: str | Path | Sequence[str | Path] | None, view: int | None) -> list[str | Path]:
    if view is not None and (isinstance(view, bool) or view not in (1, 2)):
        raise RequestError(f"view is 1 (development) or 2 (performance reporting), got {view!r}")
    if pairs is None:
        return list(VIEW_1 if view == 1 else VIEW_2)
    if not isinstance(pairs, str | Path | list | tuple):
        raise RequestError(f"pairs is one file, or a train file and a test file, got {pairs!r}")
    files = [pairs] if isinstance(pairs, str | Path) else list(pairs)
    if not 1 <= len(files) <= 2:
        raise RequestError(f"pairs is one file, or a train file and a test file, got {len(files)} files")
    return files


def _people_files(
    root: _lists.Root, files: Sequence[str | Path], people: str | Path | Sequence[str | Path] | bool | None
) -> list[str | Path | None]:
    """For each file of pairs the file of its people, None where it is not checked."""
    if people is False:
        return [None] * len(files)
    if people is None or people is True:
        beside = [PurePath(file).with_name(PurePath(file).name.replace("pairs", "people")) for file in files]
        known = [str(p) in root if isinstance(root, Mapping) else (Path(root) / p).is_file() for p in beside]
        if people and not all(known):
            raise RequestError(f"no list of people at {beside[known.index(False)]}: name it as people=FILE")
        own = [str(p) == str(file) for p, file in zip(beside, files, strict=True)]
        return [str(p) if there and not same else None for p, there, same in zip(beside, known, own, strict=True)]
    given = [people] if isinstance(people, str | Path) else people
    if not isinstance(given, list | tuple) or len(given) != len(files):
        raise RequestError(f"people is one file for each of the {len(files)} files of pairs, got {people!r}")
    return list(given)


def _table(found: list[_lfw_pairs.Pair], row: dict[str, int], people: tuple[str, ...]) -> _pairs.Pairs:
    return _pairs.Pairs(
        np.array([row[pair.first] for pair in found]),
        np.array([row[pair.second] for pair in found]),
        np.array([pair.same for pair in found]),
        np.array([pair.fold for pair in found]),
        people,
    )
