"""A figure's interval against a bound: PASS where all of it is on the right side, FAIL where all of it is not."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from reports import _words
from reports.criteria._finding import FAIL, NOT_DECIDABLE, PASS, Finding
from reports.statistics import LEAST, LEVEL, Comparison

Side = Literal["at least", "at most", "above", "below"]
_ROUNDING = 1e-9  # rank correlations lie on their bounds, but for rounding


def decide(low: float, high: float, side: Side, bound: float) -> str:
    """The verdict on a figure known to lie in [low, high]; NaN decides nothing."""
    if side in ("at most", "below"):
        low, high, bound = -high, -low, -bound
    strict = side in ("above", "below")
    if low > bound + _ROUNDING or (not strict and low >= bound - _ROUNDING):
        return PASS
    if high < bound - _ROUNDING or (strict and high <= bound + _ROUNDING):
        return FAIL
    return NOT_DECIDABLE


def over_seeds(
    statement: str,
    values: Sequence[float],
    side: Side,
    bound: float,
    show: Callable[[float], str] | None = None,
    unit: str = "seed",
) -> Finding:
    """A figure that each training run has one of, by the one-sample t interval of its mean over seeds.

    It speaks of other seeds on the same images: features have no identities to draw anew.

    Args:
        values: (k,) one figure a seed; NaN where a run has none, which leaves the part undecided.
        show: how the figure is written; None: as a number of three digits.
        unit: what the values are of, where that is not one run each.
    """
    show = show or number
    said = f"{statement}: {side} {show(bound)}"
    seeds = len(values)
    if undefined := sum(not math.isfinite(value) for value in values):
        return Finding(
            NOT_DECIDABLE,
            said,
            f"undefined in {undefined} of {_words.many(seeds, 'run' if unit == 'seed' else unit)}",
            seeds,
        )
    low, high = t_interval(values)
    text = f"mean {show(float(np.mean(values)))}"
    if seeds > 1:
        text += f" ± {show(float(np.std(values, ddof=1)))}, 95 % interval {show(low)} to {show(high)}"
    text = f"{text} ({_words.many(seeds, unit)})"
    return stamped(Finding(decide(low, high, side, bound), said, text, seeds), unit)


def number(value: float) -> str:
    """Three significant digits; rounding errors of a zero are zero."""
    return "0" if abs(value) < 1e-12 else _words.value(float(value)).replace("-", _words.MINUS)


def between_rows(statement: str, found: Comparison | str, side: Side, bound: float = 0.0) -> Finding:
    """A difference of two rows, by the two-way t interval over training seeds and test identities.

    Args:
        found: the comparison, or the reason why there is none.
        bound: in fractions; said in percentage points.
    """
    said = f"{statement}: {side} {_points(bound)}"
    if isinstance(found, str):
        return Finding(NOT_DECIDABLE, said, found)
    finding = Finding(decide(found.low, found.high, side, bound), said, in_words(found), found.seeds)
    return stamped(finding, found.unit)


def by_default_test(statement: str, found: Comparison | str) -> Finding:
    """A claim that one row is better than another, by the Holm-adjusted default test: a tie decides nothing."""
    said = f"{statement}: better by the default test"
    if isinstance(found, str):
        return Finding(NOT_DECIDABLE, said, found)
    verdict = {"better": PASS, "worse": FAIL}.get(found.verdict, NOT_DECIDABLE)
    missed = f"; {_words.percent(found.detectable, 1)} points would have been found with 80 % power"
    text = in_words(found, holm=True) + (missed if verdict == NOT_DECIDABLE else "")
    return stamped(Finding(verdict, said, text, found.seeds), found.unit)


def in_words(found: Comparison, *, holm: bool = False) -> str:
    """The difference with its interval and p; in a pilot without p, which would be read as a verdict."""
    places = _words.digits([found.se])
    said = [f"difference {_words.percent(found.difference, places, sign=True)} points"]
    said.append(f"95 % interval {_words.interval(found.low, found.high, places)}")
    if not found.pilot:
        said.append(f"Holm {_words.p_is(found.adjusted)}" if holm else _words.p_is(found.p))
    return f"{', '.join(said)}, {found.df:.1f} d.f. ({_words.many(found.seeds, found.unit)} each)"


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean; (NaN, NaN) for fewer than two values."""
    from scipy import stats

    if len(values) < 2:
        return math.nan, math.nan
    half = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    middle = float(np.mean(values))
    return middle - half, middle + half


def stamped(finding: Finding, unit: str = "seed") -> Finding:
    """The finding of a measured part: below five seeds, or three searches, the figures are shown and nothing is decided."""
    least = LEAST[unit]
    if finding.seeds is not None and finding.seeds < least:
        pilot = f"pilot, a verdict needs {_words.many(least, unit)}"
        return replace(finding, verdict=NOT_DECIDABLE, statistic=f"{pilot}: {finding.statistic}")
    return finding


def _points(bound: float) -> str:
    return "0" if bound == 0 else f"{_words.percent(bound, 1, sign=True)} points"
