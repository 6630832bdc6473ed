"""The figures of template pairs and of searches, each with its spread over clusters of subjects."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.metrics import Rate, Roc, Shares, cmc, far_name, rate_at_far
from bench.metrics.levels import Counts, tar_at_nearest_far
from bench.metrics.searches import Searches, open_set, rate_at_fpir
from bench.protocols import _pairs
from bench.scores import Clusters, Scores

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
FPIRS = (1e-1, 1e-2)
RANKS = (1, 5, 10)
DEPTH = 50
NEAREST = (
    "the point of the ROC nearest to this FAR (insightface's rule), which may lie above it: for comparison with figures that "
    "are made so"
)


def verification(name: str, counts: Counts) -> Scores:
    """`auc`, `eer` and `tar_at_far_...`; `tar_at_far_..._nearest` where it differs; their jackknife over subjects."""
    roc = counts.roc()
    figures: dict[str, Callable[[Roc], float]] = {f"{name}/auc": Roc.auc, f"{name}/eer": Roc.eer}
    answer = Scores({key: figure(roc) for key, figure in figures.items()}, curves={"roc": roc.curve()})
    for far in FARS:
        key = f"{name}/tar_at_far_{far_name(far)}"
        if not _pairs.enter(answer, key, rate_at_far(roc, far)):
            continue
        figures[key] = partial(Roc.tar_at_far, far=far)
        nearest = tar_at_nearest_far(roc, far)
        if nearest != answer.metrics[key]:
            answer.metrics[f"{key}_nearest"], answer.marks[f"{key}_nearest"] = nearest, NEAREST
    parts = [counts.roc(without=cluster) for cluster in range(len(counts.genuine_of))]
    if len(parts) > 1 and all(part.genuine and part.impostors for part in parts):
        for key, figure in figures.items():
            answer.clusters[key] = Clusters("jackknife", tuple(figure(part) for part in parts))
    return answer


@dataclass(frozen=True, eq=False)
class Gallery:
    """The searches against one gallery.

    Attributes:
        label: as it stands in the metrics' names: g1, g2, s1, s2.
        size: how many subjects it enrols.
        mated, others: the probes whose subject is enrolled, and those whose subject is not.
    """

    label: str
    size: int
    mated: np.ndarray
    others: np.ndarray


def identification(
    name: str, found: Searches, galleries: list[Gallery], subject: np.ndarray, cluster: np.ndarray
) -> Scores:
    """`rank1`, `rank5`, `rank10` and `dir_at_fpir_...`: the mean over the galleries, and each gallery's own.

    `rankK_joined` searches one gallery of all subjects, as some report it; `rankK_optimistic` (ties win) where it differs.

    Args:
        subject, cluster: (P,) the subject of each probe, and its cluster.
    """
    answer = Scores({}, raw={"mate_scores": found.mate_scores, "better": found.better})
    if empty := [gallery.label for gallery in galleries if not len(gallery.mated)]:
        names = [*(f"rank{k}" for k in RANKS), *(f"dir_at_fpir_{far_name(fpir)}" for fpir in FPIRS)]
        answer.undefined.update({f"{name}/{figure}": f"gallery {empty[0]} has no mated search" for figure in names})
        return answer
    figures = _Figures(name, galleries, cluster, answer)
    mated = [gallery.mated for gallery in galleries]
    mark = Shares.of(subject[np.concatenate(mated)]).mark()
    small = min(galleries, key=lambda gallery: gallery.size)
    for k in RANKS:
        if small.size <= k:
            answer.undefined[f"{name}/rank{k}"] = (
                f"gallery {small.label} enrols {small.size} subjects: every search is a hit at rank {k}"
            )
            continue
        hits = [found.better[rows, place] < k for place, rows in enumerate(mated)]
        figures.means(f"rank{k}", mated, hits, mark)
        lucky = np.mean([(found.above[rows, place] < k).mean() for place, rows in enumerate(mated)])
        if lucky != answer.metrics[f"{name}/rank{k}"]:
            answer.metrics[f"{name}/rank{k}_optimistic"] = float(lucky)
            answer.marks[f"{name}/rank{k}_optimistic"] = "ties count as hits"
        everybody = np.concatenate(mated)
        answer.raw[f"rank{k}_joined"] = found.better[everybody].sum(1) < k
        figures.mean(f"rank{k}_joined", everybody, answer.raw[f"rank{k}_joined"], mark)
    curves = [cmc(found.better[rows, place], DEPTH) for place, rows in enumerate(mated)]
    answer.curves["cmc"] = {"rank": list(range(1, DEPTH + 1)), "rate": np.mean(curves, axis=0).tolist()}
    figures.open_sets(found)
    return answer


@dataclass(frozen=True, eq=False)
class _Figures:
    """Enters figures, with their spread over clusters of subjects, into an answer."""

    name: str
    galleries: list[Gallery]
    cluster: np.ndarray
    answer: Scores

    def mean(self, figure: str, rows: np.ndarray, hits: np.ndarray, mark: str | None) -> np.ndarray:
        """The share of hits of some searches; and (G,) that share without each cluster."""
        count = int(self.cluster.max()) + 1
        total, own = hits.sum(), np.bincount(self.cluster[rows], weights=hits, minlength=count)
        left = len(hits) - np.bincount(self.cluster[rows], minlength=count)
        without = np.divide(total - own, left, out=np.full(count, np.nan), where=left > 0)
        self._enter(figure, float(hits.mean()), without, mark)
        return without

    def means(self, figure: str, rows: list[np.ndarray], hits: list[np.ndarray], mark: str | None) -> None:
        """A figure of each gallery, and their mean."""
        labels = [f"{figure}_{gallery.label}" for gallery in self.galleries]
        parts = [self.mean(label, of, found, mark) for label, of, found in zip(labels, rows, hits, strict=True)]
        value = float(np.mean([part.mean() for part in hits]))
        self._enter(figure, value, np.mean(parts, axis=0), mark)

    def open_sets(self, found: Searches) -> None:
        """`dir_at_fpir_...` of each gallery and their mean, thresholds anew without each cluster."""
        count, parts = int(self.cluster.max()) + 1, []
        for place, gallery in enumerate(self.galleries):
            whole = self._open_set(found, place, None)
            curve = whole.curve()
            finite = [n for n, threshold in enumerate(curve["threshold"]) if np.isfinite(threshold)]
            self.answer.curves[f"dir_{gallery.label}"] = {
                "fpir": [curve["far"][n] for n in finite],
                "dir": [curve["tar"][n] for n in finite],
                "threshold": [curve["threshold"][n] for n in finite],
            }
            parts.append((whole, [self._open_set(found, place, cluster) for cluster in range(count)]))
        for fpir in FPIRS:
            figure, rates, lefts = f"dir_at_fpir_{far_name(fpir)}", [], []
            for gallery, (whole, left_out) in zip(self.galleries, parts, strict=True):
                rate = rate_at_fpir(whole, fpir)
                rates.append(rate)
                lefts.append(
                    np.array([roc.tar_at_far(fpir) if roc.genuine and roc.impostors else np.nan for roc in left_out])
                )
                self._rate(f"{figure}_{gallery.label}", rate, lefts[-1])
            self._rate(figure, _mean(rates), np.mean(lefts, axis=0))

    def _open_set(self, found: Searches, place: int, without: int | None) -> Roc:
        gallery = self.galleries[place]
        mated, others = (rows[self.cluster[rows] != without] for rows in (gallery.mated, gallery.others))
        return open_set(found.mate_scores[mated], found.better[mated, place], found.best[others, place])

    def _rate(self, figure: str, rate: Rate, without: np.ndarray) -> None:
        if rate.value is None:
            self.answer.undefined[f"{self.name}/{figure}"] = rate.undefined or ""
        else:
            self._enter(figure, rate.value, without, rate.mark)

    def _enter(self, figure: str, value: float, without: np.ndarray, mark: str | None) -> None:
        key = f"{self.name}/{figure}"
        self.answer.metrics[key] = value
        if mark:
            self.answer.marks[key] = mark
        if len(without) > 1 and np.isfinite(without).all():
            self.answer.clusters[key] = Clusters("jackknife", tuple(without.tolist()))


def _mean(rates: list[Rate]) -> Rate:
    """The mean rate: undefined, or marked, where one of them is."""
    if missing := [rate for rate in rates if rate.value is None]:
        return missing[0]
    value = float(np.mean([rate.value for rate in rates if rate.value is not None]))
    return Rate(value, mark=next((rate.mark for rate in rates if rate.mark), None))


def primary(name: str, impostors: int) -> str:
    """TAR at FAR 1e-4, or (where fewer than 30 false accepts are allowed there) at the next FAR that has so many; else AUC."""
    known = [far for far in FARS if far >= 1e-4 and far * impostors >= 30]
    return f"{name}/tar_at_far_{far_name(min(known))}" if known else f"{name}/auc"
