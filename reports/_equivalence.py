"""Whether a difference is small enough not to matter, and whether it is larger than that."""

import math

from reports.statistics import Comparison


def equivalent(found: Comparison, margin: float) -> float:
    """p of the two one-sided tests (TOST): below .05, the true difference lies within +-margin.

    The larger of the p-values of `difference <= -margin` and `difference >= margin`, by the t of the two-way interval;
    the same as asking whether the 90 % interval lies within the margin.
    """
    return _upper(found, margin - abs(found.difference))


def beyond(found: Comparison, margin: float) -> float:
    """p of the test that the true difference is larger than the margin, on the side where it was seen."""
    return _upper(found, abs(found.difference) - margin)


def _upper(found: Comparison, distance: float) -> float:
    """P(T > distance / SE); without any spread the distance itself decides."""
    from scipy import stats

    if found.se == 0:
        return 0.0 if distance > 0 else 1.0
    return float(stats.t.sf(distance / found.se, found.df)) if math.isfinite(distance) else math.nan
