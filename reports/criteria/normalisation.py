"""Criterion: LMCL is at least as good with normalised features as without."""

import numpy as np

from reports import _figures, _toy, _words
from reports._rows import Row
from reports._study import Study
from reports.criteria import _arms, _limits
from reports.criteria._finding import REPORTED, Finding, undecided

ID = "A14"
CLAIM = "LMCL with normalised features is better than without (Wang et al. 2018, Table 1)."
MARGIN = 0.01


def judge(study: Study) -> list[Finding]:
    """Non-inferiority on rank-1; the spread of the feature lengths is reported."""
    return _arms.each_backbone(study, _judge)


def _judge(study: Study, rows: list[Row]) -> list[Finding]:
    metric = _arms.figure(study, "rank1")
    statement = (
        f"{_figures.full_title(metric) if metric else 'rank-1'}, LMCL with {_words.MINUS} without feature normalisation"
    )
    if not metric:
        return undecided(statement, "no rank-1 figure was scored")
    pairs = _pairs(study, rows)
    if len(pairs) != 1:
        return undecided(
            statement,
            "needs one row of lmcl with and one without normalize_features that differ in nothing else, there are "
            f"{len(pairs)} such pairs",
        )
    found = _arms.compared(study, metric, *pairs[0])
    return [_limits.between_rows(statement, found, "at least", -MARGIN), *_lengths(rows)]


def _pairs(study: Study, rows: list[Row]) -> list[tuple[Row, Row]]:
    """LMCL with and without normalised features, all else equal."""
    normalised, free = (
        {_rest(study, row): row for row in _arms.of(rows, "lmcl", normalize_features=on)} for on in (True, False)
    )
    return [(normalised[key], free[key]) for key in normalised if key in free]


def _rest(study: Study, row: Row) -> str:
    """All that a row's runs do, but for the normalisation."""
    return _arms.setting(study, row, _arms.options(row), "normalize_features")


def _lengths(rows: list[Row]) -> list[Finding]:
    """Relative standard deviation of ||x|| where features were kept: what normalisation takes away."""
    found = []
    for row in rows:
        kept = [one for record in row.records if (one := _toy.features(record))]
        if kept:
            lengths = [_toy.norms(one.train) for one in kept]
            shares = [float(np.std(each) / np.mean(each)) for each in lengths]
            text = f"{_words.measure(*_toy.over_seeds(shares))} ({_words.many(len(shares), 'seed')})"
            found.append(Finding(REPORTED, f"Standard deviation of ‖x‖ over its mean, {row.name}", text, len(shares)))
    return found
