"""Probes against galleries that enrol each person once: rank-k of mated searches, open-set DIR at FPIR.

A search is one probe against one gallery. It is mated if the probe's person is enrolled there. Ties lose.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bench.metrics.rounding import rounded_product
from bench.metrics.similarity import DECIMALS, Rows
from bench.metrics.verification import FEW_FALSE_ACCEPTS, Rate, Roc, Sorted, allowed_false_accepts

_NUMBERS = 1 << 20  # scores made at a time: 8 MB of float64


@dataclass(frozen=True)
class Searches:
    """What all probes find in each gallery.

    Attributes:
        mate_scores: (P,) each probe's score with its mate, nan for a probe that has none.
        better: (P, G) others in each gallery that score >= the mate (ties lose); 0 where there is no mate.
        above: the same with > (ties win).
        best: (P, G) the highest score in each gallery of others than the mate.
    """

    mate_scores: np.ndarray
    better: np.ndarray
    above: np.ndarray
    best: np.ndarray


def search_galleries(
    rows: Rows,
    probes: np.ndarray,
    mates: np.ndarray,
    galleries: list[np.ndarray],
    advance: Callable[[int, int], None] = lambda done, total: None,
    chunk: int | None = None,
) -> Searches:
    """Compare every probe with every gallery, in float64; as exact as `Rows.scores`, whatever the chunks.

    Args:
        rows: probes and galleries alike.
        probes: (P,) rows.
        mates: (P,) the row of each probe's mate, which stands in one of the galleries; -1: it has none.
        galleries: the rows of each.
        advance: told of the probes that are done, and of how many there are.
        chunk: probes at a time, for tests: no figure depends on it.
    """
    columns = np.concatenate(galleries)
    starts = np.cumsum([0, *(len(gallery) for gallery in galleries[:-1])])
    mated = np.flatnonzero(mates >= 0)
    levels = np.full(len(probes), np.nan)
    levels[mated] = rows.scores(probes[mated], rows, mates[mated])
    place = np.full(int(max(columns.max(), mates.max())) + 1, -1)
    place[columns] = np.arange(len(columns))

    shape = len(probes), len(galleries)
    found = Searches(levels, np.zeros(shape, int), np.zeros(shape, int), np.empty(shape))
    right, step = rows.gallery(columns), chunk or max(1, _NUMBERS // len(columns))
    for start in range(0, len(probes), step):
        part = slice(start, min(start + step, len(probes)))
        scores = _exact(rows, probes[part], columns, right, levels[part], starts)
        mine = np.flatnonzero(mates[part] >= 0)
        scores[mine, place[mates[part][mine]]] = -np.inf  # nobody competes with himself
        level = levels[part, None]  # nan is below nothing and above nothing
        found.better[part] = np.add.reduceat(scores >= level, starts, axis=1, dtype=int)
        found.above[part] = np.add.reduceat(scores > level, starts, axis=1, dtype=int)
        found.best[part] = np.maximum.reduceat(scores, starts, axis=1)
        advance(part.stop, len(probes))
    return found


def _exact(
    rows: Rows, probes: np.ndarray, columns: np.ndarray, right: np.ndarray, levels: np.ndarray, starts: np.ndarray
) -> np.ndarray:
    """(p, K) scores by a product; those that its rounding error leaves in doubt, and that may decide, one by one."""
    limits = np.maximum(rows.reach[probes][:, None], rows.reach[columns][None, :])
    scores, certain = rounded_product(rows.probe(probes) @ right.T, right.shape[1], limits)
    margin = 2 * 10.0**-DECIMALS * limits
    best = np.repeat(np.maximum.reduceat(scores, starts, axis=1), np.diff([*starts, len(columns)]), axis=1)
    decides = (np.abs(scores - levels[:, None]) <= margin) | (scores >= best - margin)
    first, second = np.nonzero(decides & ~certain)
    scores[first, second] = rows.scores(probes[first], rows, columns[second])
    return scores


def open_set(mate_scores: np.ndarray, better: np.ndarray, best: np.ndarray) -> Roc:
    """DIR over FPIR as a `Roc`: detected and identified at rank 1 among mated searches, alarms among the others.

    Args:
        mate_scores, better: (m,) of the mated searches.
        best: (n,) the highest score of each non-mated search.
    """
    identified = np.where(better == 0, mate_scores, -np.inf)
    return Sorted.of(np.concatenate([identified, best]), np.arange(len(better) + len(best)) < len(better)).roc()


def rate_at_fpir(roc: Roc, fpir: float) -> Rate:
    """The DIR at the smallest threshold whose FPIR is at most `fpir`: undefined below one non-mated search, marked below
    30 false alarms."""
    allowed, of = allowed_false_accepts(fpir, roc.impostors), f"{roc.impostors:,} non-mated searches"
    if not roc.genuine or allowed < 1:
        return Rate(None, undefined=f"FPIR {fpir:.0e} is undefined on {roc.genuine:,} mated and {of}")
    if Fraction(repr(float(fpir))) * roc.impostors >= FEW_FALSE_ACCEPTS:
        return Rate(roc.tar_at_far(fpir))
    count = f"{allowed} false alarm{'s' if allowed > 1 else ''}"
    return Rate(roc.tar_at_far(fpir), mark=f"hangs on {count} (FPIR {fpir:.0e} of {of})")
