"""YouTube Faces: verification of video pairs in ten splits (Wolf, Hassner, Maoz, CVPR 2011).

Metrics: `ytf/accuracy` ... for the mean feature of a video's frames; `ytf-mean_score/...`, `ytf-max_score/...`
otherwise. (Neither the center loss nor the CosFace paper says how frames are joined.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics.similarity import Rows, table
from bench.protocols import _lists, _pairs
from bench.scorers import Scorer
from bench.scores import Scores

FARS = (1e-1, 1e-2, 1e-3)
AGGREGATIONS = ("mean_feature", "mean_score", "max_score")


@dataclass(frozen=True, eq=False)
class Ytf:
    """Video pairs in splits; see `bench.protocols.Comparisons`.

    Attributes:
        pairs: the comparisons (numbers of videos).
        videos: (V + 1,) where each video's frames begin in `images`, and the end.
        aggregation: `mean_feature` (normalised frames averaged, cosine of the averages; of any other scorer the frames
            as they are, the average scored as if it were one image), `mean_score` or `max_score` (over all pairs of frames).
    """

    name: str
    images: tuple[str, ...]
    people: tuple[str, ...]
    pairs: _pairs.Pairs = field(repr=False)
    videos: np.ndarray = field(repr=False)
    aggregation: str
    spec: dict[str, Any]

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)

    @property
    def primary(self) -> str:
        return f"{self.name}/{'auc' if self.unbalanced() else 'accuracy'}"

    def unbalanced(self) -> str | None:
        """Why these lists carry no accuracy; None where they do."""
        folds = np.unique(self.pairs.folds)
        if len(folds) < 2:
            return "one split leaves none to choose the threshold on"
        for fold in folds:
            of_fold = self.pairs.same[self.pairs.folds == fold]
            if 2 * of_fold.sum() != len(of_fold):
                kinds = f"{of_fold.sum()} same and {(~of_fold).sum()} different pairs"
                return f"the classes are unbalanced: split {fold} has {kinds}"
        return None

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """One score a video pair; accuracy (balanced lists only), AUC, EER and TAR at FAR 0.1, 0.01 and 0.001.

        Args:
            scorer: how two embeddings are compared; without one by their cosine.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        rows = _pairs.prepared(embeddings, self.images, self.name, scorer)
        scores = self._of_videos(rows)
        answer = _pairs.joined(self._accuracy(scores), _pairs.verification(self.name, scores, self.pairs, FARS))
        answer.counts.update({"images": len(self.images), "videos": len(self.videos) - 1})
        return answer

    def _accuracy(self, scores: np.ndarray) -> Scores:
        if reason := self.unbalanced():
            return Scores({}, undefined={f"{self.name}/{figure}": reason for figure in ("accuracy", "accuracy_se")})
        return _pairs.accuracy(self.name, scores, self.pairs)

    def _of_videos(self, rows: Rows) -> np.ndarray:
        """(n,) the score of each pair of videos."""
        spans = list(pairwise(self.videos.tolist()))
        if self.aggregation == "max_score":
            return self._of_largest(rows, spans)
        videos = rows.means(spans) if self.aggregation == "mean_feature" else rows.mean_scores(spans)
        return videos.scores(self.pairs.first, videos, self.pairs.second)

    def _of_largest(self, rows: Rows, spans: list[tuple[int, int]]) -> np.ndarray:
        parts = [slice(*ends) for ends in spans]
        gallery = [rows.gallery(part) for part in parts]
        sides = zip(self.pairs.first, self.pairs.second, strict=True)
        return np.array([table(rows, parts[a], rows, parts[b], gallery[b]).max() for a, b in sides])


def load(
    root: _lists.Root,
    *,
    splits: str = "splits.txt",
    frames: str | None = None,
    images: Sequence[str] | None = None,
    aggregation: str = "mean_feature",
) -> Ytf:
    """YTF from its splits file.

    Args:
        root: the folder of the lists, or a mapping of file name -> text.
        splits: csv with the header `split,pair,first,second,same` (the official file has none, or spaces), videos
            `PERSON/0`.
        frames: a list of the frames, `PERSON/0/....jpg` a line. Without it: all images of each video in `images`, and
            without these the list `images.txt`.
        images: folders or archives that hold the frames.
        aggregation: how the frames of a video are joined, see `Ytf`.

    Raises:
        RequestError: a file that is missing or malformed (with its line number), or a video without frames.
    """
    if aggregation not in AGGREGATIONS:
        raise RequestError(f"no aggregation {aggregation!r} in ytf; there is: {', '.join(AGGREGATIONS)}")
    text = _lists.read(root, splits)
    table = _parse(text, splits)
    listed, where = _frames(root, frames, images)
    wanted = sorted({video for row in table for video in (row[1], row[2])})
    per_video: dict[str, list[str]] = {video: [] for video in wanted}
    for name in listed:
        video = name.rpartition("/")[0]
        if video in per_video:
            per_video[video].append(name)
    if empty := [video for video in wanted if not per_video[video]]:
        raise RequestError(
            f"{len(empty)} of the {len(wanted):,} videos in {splits} have no frames, the first is {empty[0]!r}: "
            "give the folders or archives that hold them as images=[...], or a splits file of the videos that you have"
        )
    names = _lists.unique([name for video in wanted for name in sorted(per_video[video])], where)
    number = {video: place for place, video in enumerate(wanted)}
    pairs = _pairs.Pairs(
        np.array([number[row[1]] for row in table]),
        np.array([number[row[2]] for row in table]),
        np.array([row[3] for row in table]),
        np.array([row[0] for row in table]),
        _lists.people(wanted, splits),
    )
    videos = np.cumsum([0, *(len(per_video[video]) for video in wanted)])
    label = "ytf" if aggregation == "mean_feature" else f"ytf-{aggregation}"
    spec = {"protocol": "ytf", "version": 1, "label": label, "score": "cosine", "aggregation": aggregation}
    spec |= {"splits": _lists.sha256(text), "images": _lists.sha256(names)}
    return Ytf(label, names, _lists.people(names, where), pairs, videos, aggregation, spec)


def _frames(root: _lists.Root, frames: str | None, images: Sequence[str] | None) -> tuple[list[str], str]:
    """The names of frames, and where they come from."""
    if frames is None and images is not None:
        return _lists.images(root, images), "images"
    frames = frames or "images.txt"
    listed = _lists.lines(_lists.read(root, frames, instead="images=[folder or archive of the frames, ...]"))
    _lists.check_present(listed, root, images, frames)
    return listed, frames


def _parse(text: str, where: str) -> list[tuple[int, str, str, bool]]:
    """(split, first, second, same) of each pair."""
    columns = ("split", "pair", "first", "second", "same")
    if text[:1].isdigit():  # the official file has no header
        text, shift = f"{','.join(columns)}\n{text}", 1
    else:
        shift = 0
    found = []
    for number, row in _lists.rows(text, where, columns):
        line, first, second, same = f"{where} line {number - shift}", row["first"], row["second"], row["same"]
        if not row["split"].isdigit() or same not in ("0", "1") or "/" not in first or "/" not in second:
            got = ",".join(row.values())
            raise RequestError(f"{line}: expected split,pair,PERSON/VIDEO,PERSON/VIDEO,0 or 1, got {got!r}")
        if (first.split("/")[0] == second.split("/")[0]) != (same == "1") or first == second:
            raise RequestError(f"{line}: {first} and {second} cannot be a pair with same={same}")
        found.append((int(row["split"]), first, second, same == "1"))
    if not found:
        raise RequestError(f"{where} lists no pairs")
    return found
