"""Which pairs and probes the networks of a study fail on: the kept scores of every loss, side by side.

Numbers alone; nothing here knows of pictures or tables.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bench.metrics import Sorted
from bench.protocols._gallery_figures import DEPTH
from bench.record import Record
from bench.scores import Scores
from reports import _rows
from reports._rows import Row
from reports._study import Study

FOLDS = "each fold's own, chosen on the other folds"
EQUAL_ERRORS = "where as many genuine as impostor pairs are wrong, in per cent of each"
Raw = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Hard:
    """A set of pairs or of probes as L rows of the leaderboard judged them.

    Attributes:
        name: of the set: the protocol, or a part of it.
        rows: the L rows.
        images: (n, 2) the rows of images of each pair; (n, 1) those of the probes.
        same: (n,) bool, one person or two; of probes all true.
        shown: (L, n) the mean score, or the geometric mean of the rank of the mate.
        margin: (L, n) how right it is, below 0 wrong; the mean over seeds. Of pairs the distance of the score to the
            threshold in standard deviations of the run's scores; of probes minus the logarithm of the rank of the mate.
        wrong: (L, n) the share of the seeds (and of a probe's searches) that are wrong.
        threshold: how it was chosen; "" for probes.
        bound: (L, n) bool, of probes: a search was not counted to its end, so that the rank is at least the one shown.
    """

    name: str
    rows: tuple[Row, ...]
    images: np.ndarray
    same: np.ndarray
    shown: np.ndarray
    margin: np.ndarray
    wrong: np.ndarray
    threshold: str = ""
    bound: np.ndarray | None = None

    @cached_property
    def failing(self) -> np.ndarray:
        """(L, n) bool: wrong in more than half of the seeds."""
        return self.wrong > 0.5

    def hardest(self, among: np.ndarray, most: int) -> list[int]:
        """Those of (n,) `among` that most rows fail on, of these those that are furthest on the wrong side."""
        failed = self.failing.sum(axis=0)
        order = np.lexsort([self.margin.mean(axis=0), -failed])
        return order[(among & (failed > 0))[order]][:most].tolist()

    def alone(self, row: int, most: int) -> list[int]:
        """Those that this row alone fails on, of these those where the others are furthest away from it."""
        only = self.failing[row] & (self.failing.sum(axis=0) == 1)
        others = np.delete(self.margin, row, axis=0).min(axis=0, initial=np.inf)
        order = np.argsort(self.margin[row] - others, kind="stable")
        return order[only[order]][:most].tolist()


def pairs(study: Study, protocol: str) -> list[Hard]:
    """The sets of pairs whose scores the confirmed runs kept, each as all losses judged it."""
    return [made for made in (_pair_set(name, runs) for name, runs in _sets(study, protocol, _pair_sets)) if made]


def probes(study: Study, protocol: str) -> list[Hard]:
    """The probes that were searched for, as all losses found them."""
    depth = _depth(study, protocol)
    return [_probe_set(name, runs, depth) for name, runs in _sets(study, protocol, _probe_sets)]


def _depth(study: Study, protocol: str) -> float:
    """How many who score as much as the mate a search counts before it gives up: MegaFace's `depth`."""
    usual = version(study, protocol)
    scores = [r.scores[protocol] for r in study.of("tuned") if protocol in r.scores]
    spec: dict[str, Any] = next((score.get("spec", {}) for score in scores if str(score.get("hash")) == usual), {})
    depth = spec.get("depth", DEPTH) if spec.get("protocol") == "megaface" else "all"
    return math.inf if depth == "all" else float(depth)


def version(study: Study, protocol: str) -> str:
    """The hash of the protocol that most confirmed runs were scored with: row i of another one is another image."""
    seen = Counter(str(r.scores[protocol].get("hash")) for r in study.of("tuned") if protocol in r.scores)
    return seen.most_common(1)[0][0] if seen else ""


Runs = list[tuple[Row, list[Raw]]]  # the rows, each with what its seeds kept


def _sets(study: Study, protocol: str, parts: Callable[[str, Raw], Mapping[str, Raw]]) -> list[tuple[str, Runs]]:
    """Set name -> the rows with what their runs kept of it; runs of one version of the protocol alone."""
    usual = version(study, protocol)
    found: dict[str, Runs] = {}
    for row in _rows.rows(study, "tuned"):
        of_row: dict[str, list[Raw]] = {}
        for record in row.done("finished"):
            if record.scores.get(protocol, {}).get("hash") == usual:
                for name, raw in parts(protocol, _kept(record, protocol)).items():
                    of_row.setdefault(name, []).append(raw)
        for name, raws in of_row.items():
            found.setdefault(name, []).append((row, raws))
    return list(found.items())


def _kept(record: Record, protocol: str) -> Raw:
    """What a run kept of a protocol, under its names without the protocol's."""
    path = record.folder / "raw.npz"
    if not path.exists():
        return {}
    with np.load(path) as kept:  # an array is read when it is asked for
        return {name.partition("/")[2]: kept[name] for name in kept.files if name.partition("/")[0] == protocol}


def _pair_sets(protocol: str, raw: Raw) -> Mapping[str, Raw]:
    return Scores({}, raw=dict(raw)).pair_sets(protocol)


def _probe_sets(protocol: str, raw: Raw) -> Mapping[str, Raw]:
    kept = {"probe", "better", "mate_scores"} <= set(raw) and raw["better"].ndim == 1  # IJB searches several galleries
    return {protocol: raw} if kept else {}


def _means(judged: Sequence[Sequence[tuple[np.ndarray, ...]]]) -> list[np.ndarray]:
    """Of each of the arrays (n,) that are known of a run: (L, n), its mean over the seeds of each row."""
    parts = range(len(judged[0][0]))
    return [np.stack([np.mean([run[part] for run in seeds], axis=0) for seeds in judged]) for part in parts]


def _pair_set(name: str, runs: Runs) -> Hard | None:
    first = runs[0][1][0]
    same = first["same"].astype(bool)
    if same.all() or not same.any():
        return None
    shown, margin, wrong = _means([[_judged(raw) for raw in raws] for _, raws in runs])
    images = np.stack([first["first"], first["second"]], axis=1)
    rule = FOLDS if _has_folds(first) else EQUAL_ERRORS
    return Hard(name, tuple(row for row, _ in runs), images, same, shown, margin, wrong, rule)


def _judged(raw: Raw) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) scores, (n,) margins in standard deviations, (n,) bool wrong, of one run."""
    scores, same = raw["scores"].astype(float), raw["same"].astype(bool)
    if _has_folds(raw):
        place = np.unique(raw["folds"], return_inverse=True)[1]
        threshold = raw["thresholds"][place]
        wrong = (scores > threshold) != same
    else:
        threshold = np.full(len(scores), _equal_errors(scores, same))
        wrong = (scores >= threshold) != same
    far = np.where(same, scores - threshold, threshold - scores) / (scores.std() or 1.0)
    return scores, np.clip(far, -99, 99), wrong  # a threshold may be infinite


def _equal_errors(scores: np.ndarray, same: np.ndarray) -> float:
    """The highest threshold whose FAR is at least its FRR; what scores as much is accepted."""
    roc = Sorted.of(scores, same).roc()
    enough = roc.false_accepts / roc.impostors >= 1 - roc.true_accepts / roc.genuine
    return float(roc.thresholds[np.argmax(enough)])


def _has_folds(raw: Raw) -> bool:
    """Whether each pair has a threshold of its fold (held-out people have some of other pairs)."""
    return "folds" in raw and "thresholds" in raw and len(np.unique(raw["folds"])) == len(raw["thresholds"])


def _probe_set(name: str, runs: Runs, depth: float) -> Hard:
    searched = np.unique(runs[0][1][0]["probe"])
    rank, missed, cut = _means([[_found(raw, searched, depth) for raw in raws] for _, raws in runs])
    rows, same = tuple(row for row, _ in runs), np.ones(len(searched), bool)
    return Hard(name, rows, searched[:, None], same, np.exp(rank), -rank, missed, bound=cut > 0)


def _found(raw: Raw, searched: np.ndarray, depth: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each probe (P,): the mean logarithm of the rank of its mate, the share of its searches that missed, and the share
    that was given up after `depth`."""
    better = raw["better"]
    if len(better) != len(raw["probe"]):  # of probes without a mate too
        better = better[np.isfinite(raw["mate_scores"])]
    place = np.searchsorted(searched, raw["probe"])
    count = np.bincount(place, minlength=len(searched))
    rank, missed, cut = (
        np.bincount(place, each, minlength=len(searched)) / count
        for each in (np.log1p(better), better > 0, better >= depth)
    )
    return rank, missed, cut


def counts(found: Hard) -> Sequence[tuple[Row, float, int, int]]:
    """Of each row: the mean share that is wrong, on how many it alone fails, on how many it alone does not."""
    failing = found.failing
    how_many = failing.sum(axis=0)
    lines = []
    for place, row in enumerate(found.rows):
        alone = int((failing[place] & (how_many == 1)).sum())
        spared = int((~failing[place] & (how_many == len(found.rows) - 1)).sum())
        lines.append((row, float(found.wrong[place].mean()), alone, spared))
    return lines
