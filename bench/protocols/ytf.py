"""YouTube Faces: verification of video pairs in ten splits (Wolf, Hassner, Maoz, CVPR 2011).

Metrics: `ytf/accuracy` ... for the mean feature of a video's frames; `ytf-mean_score/...`, `ytf-max_score/...`,
`ytf-first_100_frames/...` otherwise. (Neither the center loss nor the CosFace paper says how frames are joined.)
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics.similarity import Rows, table
from bench.protocols import _lists, _pairs, _partial
from bench.scorers import Scorer
from bench.scores import Scores

FARS = (1e-1, 1e-2, 1e-3)
AGGREGATIONS = ("mean_feature", "mean_score", "max_score", "first_100_frames")
FIRST = 100  # of `first_100_frames`
FRAME_FOLDERS = ("frame_images_DB", "aligned_images_DB")  # as the data set is shipped


@dataclass(frozen=True, eq=False)
class Ytf:
    """Video pairs in splits; see `bench.protocols.Comparisons`.

    Attributes:
        pairs: the comparisons (numbers of videos).
        videos: (V + 1,) where each video's frames begin in `images`, and the end.
        aggregation: `mean_feature` (normalised frames averaged, cosine of the averages; of any other scorer the frames
            as they are, the average scored as if it were one image), `mean_score` or `max_score` (over all pairs of
            frames), or `first_100_frames` (`mean_score` over the first 100 frames of each video, as FaceNet, Sec. 5.7).
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
        return _partial.marked(answer, self.spec)

    def without(self, missing: Collection[str]) -> "Ytf":
        """See `bench.protocols.Comparisons`. A video without any of its frames left is missing too."""
        keep = _partial.kept(self.name, self.images, missing)
        frames = np.add.reduceat(keep.astype(int), self.videos[:-1])
        pairs = self.pairs.without(frames > 0)
        used = np.repeat(frames > 0, np.diff(self.videos)) & keep
        images, people = _partial.chosen(self.images, used), _partial.chosen(self.people, used)
        spec = _partial.lacking(self.spec, "frames", missing, len(keep))
        spec = _partial.lacking(spec, "pairs", len(self.pairs.same) - len(pairs.same), len(self.pairs.same))
        videos = np.concatenate([[0], np.cumsum(frames[frames > 0])])
        pairs = replace(pairs, rows=videos[:-1])
        return replace(self, images=images, people=people, pairs=pairs, videos=videos, spec=spec)

    def _accuracy(self, scores: np.ndarray) -> Scores:
        if reason := self.unbalanced():
            return Scores({}, undefined={f"{self.name}/{figure}": reason for figure in ("accuracy", "accuracy_se")})
        return _pairs.accuracy(self.name, scores, self.pairs)

    def _of_videos(self, rows: Rows) -> np.ndarray:
        """(n,) the score of each pair of videos."""
        spans = list(pairwise(self.videos.tolist()))
        if self.aggregation == "first_100_frames":
            spans = [(start, min(stop, start + FIRST)) for start, stop in spans]
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
    allow_missing: bool = False,
) -> Ytf:
    """YTF from its splits file.

    Args:
        root: the folder of the lists, or a mapping of file name -> text.
        splits: `splits.txt`, or the errata's `splits_corrected.txt`: csv with the header `split,pair,first,second,same`
            (the official file has none, or spaces), videos `PERSON/0`.
        frames: a list of the frames, `PERSON/0/....jpg` a line. Without it: all images of each video in `images`,
            without these in `frame_images_DB` or `aligned_images_DB`, and without these the list `images.txt`.
        images: folders or archives that hold the frames.
        aggregation: how the frames of a video are joined, see `Ytf`.
        allow_missing: leave out the pairs of videos without frames, and mark every figure as partial.

    Raises:
        RequestError: a file that is missing or malformed (with its line number), or a video without frames.
    """
    if aggregation not in AGGREGATIONS:
        raise RequestError(f"no aggregation {aggregation!r} in ytf; there is: {', '.join(AGGREGATIONS)}")
    text = _lists.read(root, splits)
    table = _parse(text, splits)
    listed, where, missing = _frames(root, frames, images, allow_missing)
    wanted = sorted({video for row in table for video in (row[1], row[2])})
    per_video: dict[str, list[str]] = {video: [] for video in wanted}
    for name in listed:
        video = name.rpartition("/")[0]
        if video in per_video:
            per_video[video].append(name)
    empty = [video for video in wanted if not per_video[video]]
    if empty and (not allow_missing or len(empty) == len(wanted)):
        raise RequestError(
            f"{len(empty)} of the {len(wanted):,} videos in {splits} have no frames, the first is {empty[0]!r}: "
            "give the folders or archives that hold them as images=[...], a splits file of the videos that you have, "
            "or allow_missing to leave them out and mark every figure as partial"
        )
    total = len(table)
    table = [row for row in table if per_video[row[1]] and per_video[row[2]]]
    absent, wanted = len(empty), sorted({video for row in table for video in (row[1], row[2])})
    if not wanted:
        raise RequestError(f"none of the {total:,} pairs in {splits} has frames of both of its videos")
    names = _lists.unique([name for video in wanted for name in sorted(per_video[video], key=_frame_order)], where)
    number = {video: place for place, video in enumerate(wanted)}
    videos = np.cumsum([0, *(len(per_video[video]) for video in wanted)])
    pairs = _pairs.Pairs(
        np.array([number[row[1]] for row in table]),
        np.array([number[row[2]] for row in table]),
        np.array([row[3] for row in table]),
        np.array([row[0] for row in table]),
        _lists.people(wanted, splits),
        videos[:-1],
    )
    label = "ytf" if aggregation == "mean_feature" else f"ytf-{aggregation}"
    spec = {"protocol": "ytf", "version": 1, "label": label, "score": "cosine", "aggregation": aggregation}
    spec |= {"splits": _lists.sha256(text), "images": _lists.sha256(names)}
    spec = _partial.lacking(
        _partial.lacking(spec, "videos", absent, absent + len(wanted)), "pairs", total - len(table), total
    )
    made = Ytf(label, names, _lists.people(names, where), pairs, videos, aggregation, spec)
    lost = set(missing) & set(names)
    return made.without(lost) if lost else made


def _frames(
    root: _lists.Root, frames: str | None, images: Sequence[str] | None, allow_missing: bool
) -> tuple[list[str], str, list[str]]:
    """The names of frames, where they come from, and those of them that are not there."""
    if frames is None and images is None and not isinstance(root, Mapping):
        images = [folder for folder in FRAME_FOLDERS if (Path(root) / folder).is_dir()][:1] or None
    if frames is None and images is not None:
        return _lists.images(root, images), "images", []
    frames = frames or "images.txt"
    listed = _lists.lines(_lists.read(root, frames, instead="images=[folder or archive of the frames, ...]"))
    return listed, frames, _lists.absent(listed, root, images, frames, allow_missing)


def _frame_order(name: str) -> list[tuple[int, str]]:
    """`0.99.jpg` comes before `0.100.jpg`: runs of digits are numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


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
