"""insightface's verification files, `lfw.bin`, `cfp_fp.bin`, `agedb_30.bin`, `calfw.bin`, `cplfw.bin`, ...: image pairs.

Of one file `lfw-bin/accuracy`, `lfw-bin/accuracy_se`, `lfw-bin/auc`, `lfw-bin/eer`, `lfw-bin/tar_at_far_...`; of several
these of each, and `bins/accuracy_mean`, the average that papers print beside them. An image is named by its place in its
file, `lfw/00000.jpg`, `lfw/00001.jpg` (a pair) ...: the rows in which insightface's own tools write embeddings.

The folds are insightface's: ten equal parts in the file's order. The thresholds are the rule of every protocol here
(`bench.metrics.fold_accuracy`); `convention="insightface"` adds `accuracy_insightface`, by its own grid of thresholds.

Nobody is named in such a file. Images that genuine pairs or equal bytes join are of one person, and no more is known:
so `people` are these groups, `people_at_most` counts them, the jackknife leaves out groups of them, and folds that share
one of them are marked as "at least" that. Where a file stores each image anew for each pair, folds may share people
unseen, and the spread is then too small.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.bin_images import BinFile, found
from bench.errors import RequestError
from bench.metrics.similarity import Rows
from bench.protocols import _lists, _pairs, _partial
from bench.protocols._verification import Verification, consecutive, known_convention, linked, nobodies
from bench.scorers import Scorer
from bench.scores import Clusters, Scores


@dataclass(frozen=True, eq=False)
class Bins:
    """Several files as one protocol; see `bench.protocols.Comparisons`. Its images are theirs, file after file.

    It ranks by `bins/accuracy_mean`: the files are named by nobody in an order that makes one of them the first, and a
    mean over several sets of pairs is steadier than any of them. It is a mean of files, not of pairs.
    """

    parts: tuple[Verification, ...]
    spec: dict[str, Any]
    name: str = "bins"

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)

    @property
    def primary(self) -> str:
        return f"{self.name}/accuracy_mean"

    @cached_property
    def images(self) -> tuple[str, ...]:
        return tuple(image for part in self.parts for image in part.images)

    @cached_property
    def people(self) -> tuple[str, ...]:
        return tuple(person for part in self.parts for person in part.people)

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """The figures of each file, and the mean of their accuracies; counts, curves and raw scores as `lfw-bin/...`.

        Args:
            scorer: how two embeddings are compared; without one by their cosine.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        rows = _pairs.prepared(embeddings, self.images, self.name, scorer)
        answers = self._each(rows)
        answer = _pairs.joined(self._mean(answers), *answers)
        answer.counts.update({"files": len(self.parts), "images": len(self.images)})
        return _partial.marked(answer, self.spec)

    def without(self, missing: Collection[str]) -> "Bins":
        """See `bench.protocols.Comparisons`. Two folds of each file must be left."""
        keep = _partial.kept(self.name, self.images, missing)
        parts = []
        for part in self.parts:
            lost = set(missing) & set(part.images)
            parts.append(part.without(lost) if lost else part)
            if parts[-1].undecided:
                raise RequestError(f"less than two folds of {part.name} are left: leave the file out")
        spec = _partial.lacking(self.spec, "images", missing, len(keep))
        before, after = (sum(len(part.pairs.same) for part in some) for some in (self.parts, parts))
        return replace(self, parts=tuple(parts), spec=_partial.lacking(spec, "pairs", before - after, before))

    def _each(self, rows: Rows) -> list[Scores]:
        """The figures of each file, its counts, curves and raw scores under its name."""
        answers, start = [], 0
        for part in self.parts:
            answer = part.figures(rows, start)
            answer.raw.update({side: answer.raw[side] + start for side in ("first", "second")})  # rows of all images
            under = {what: _under(part.name, getattr(answer, what)) for what in ("counts", "curves", "raw")}
            answers.append(replace(answer, **under))
            start += len(part.images)
        return answers

    def _mean(self, answers: list[Scores]) -> Scores:
        """The mean of the files' accuracies; fold k of all files together is its k-th cluster.

        (CALFW and CPLFW have the people of LFW, in LFW's folds; so the folds of all files are taken together.)
        """
        keys = [f"{part.name}/accuracy" for part in self.parts]
        each = [answer.clusters[key].values for key, answer in zip(keys, answers, strict=True)]
        mean = float(np.mean([answer.metrics[key] for key, answer in zip(keys, answers, strict=True)]))
        answer = Scores({self.primary: mean})
        marks = [f"{key}: {found.marks[key]}" for key, found in zip(keys, answers, strict=True) if key in found.marks]
        if marks:
            answer.marks[self.primary] = "; ".join(marks)
        if len({tuple(np.unique(part.pairs.folds)) for part in self.parts}) > 1:
            answer.undefined[f"{self.primary}_se"] = "the files do not have the same folds"
            return answer
        folds = np.mean(each, axis=0)
        answer.metrics[f"{self.primary}_se"] = float(np.std(folds, ddof=1) / np.sqrt(len(folds)))
        answer.clusters[self.primary] = Clusters("folds", tuple(folds.tolist()))
        return answer


def _under(name: str, mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}/{key}": value for key, value in mapping.items()}


def load(
    root: _lists.Root,
    *,
    files: str | Path | Sequence[str | Path] | None = None,
    folds: int = 10,
    convention: str = "standard",
) -> Verification | Bins:
    """The verification files of insightface.

    Args:
        root: one file, or a folder of them.
        files: which files of the folder; without it all that end in `.bin`, by name.
        folds: into how many equal parts each file's pairs fall, in their order.
        convention: `standard`, or `insightface`: `accuracy_insightface` stands beside the rest, see
            `bench.metrics.grid.grid_accuracy`.

    Raises:
        RequestError: a file that is missing, damaged, or more than plain data (it is not unpickled, see `bench._pickled`).
    """
    if isinstance(root, Mapping):
        raise RequestError("bins reads its own files: give the folder of them as its root")
    known_convention(convention)
    _lists.whole("folds", folds, 2)
    parts = tuple(_part(file, folds, convention) for file in found(Path(root), files))
    if len(parts) == 1:
        return parts[0]
    spec = {**parts[0].spec, "label": "bins", "files": [part.spec["files"][0] for part in parts]}
    return Bins(parts, spec)


def _part(file: BinFile, folds: int, convention: str) -> Verification:
    """One file as a protocol."""
    same, digests = file.same, file.digests()
    first, second = np.arange(0, 2 * len(same), 2), np.arange(1, 2 * len(same), 2)
    pictures = np.unique(np.array([digest.hex() for digest in digests]), return_inverse=True)[1]
    people = nobodies(linked(first, second, same, pictures), file.label)
    pairs = _pairs.Pairs(first, second, same, consecutive(len(same), folds, str(file.path)), people)
    labels = ["01"[label] for label in same.tolist()]
    spec = {
        "protocol": "bins",
        "version": 1,
        "label": f"{file.label}-bin",
        "score": "cosine",
        "convention": convention,
        "folds": folds,
        "people": "joined by genuine pairs and equal images",
        "files": [{"name": file.label, "sha256": _lists.sha256([*labels, *(digest.hex() for digest in digests)])}],
    }
    return Verification(f"{file.label}-bin", file.names, people, pairs, pictures, spec, named=False)
