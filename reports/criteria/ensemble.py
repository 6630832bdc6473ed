"""Criterion: Joint Bayesian on concatenated patches is no worse than cosine, and more patches are better."""

import json
from dataclasses import replace

import numpy as np

from reports import _figures, _rows, _words
from reports._rows import Row
from reports._study import Study
from reports.criteria import _arms, _limits
from reports.criteria._finding import NOT_DECIDABLE, Finding, undecided

ID = "A18"
CLAIM = (
    "On the concatenated features of many patches Joint Bayesian verifies at least as well as cosine, and more patches "
    "verify better (Sun et al. 2014, DeepID2: 25 networks)."
)
MARGIN = 0.01  # "at least as well": no worse by a point, as feature normalisation is judged
SCORERS = {"cosine": "cosine", "joint_bayesian": "Joint Bayesian"}


def judge(study: Study) -> list[Finding]:
    """Joint Bayesian against cosine at the most patches; accuracy against the number of patches under each."""
    return _arms.each_backbone(study, _each_loss)


def _each_loss(study: Study, rows: list[Row]) -> list[Finding]:
    """The networks of one ensemble share a loss and its options; several losses are several ensembles."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(json.dumps([row.loss, _arms.options(row)], sort_keys=True), []).append(row)
    if len(groups) < 2:
        return _judge(study, rows)
    found = [(group[0].loss, _judge(study, group)) for group in groups.values()]
    return [replace(one, statement=f"{loss}: {one.statement}") for loss, parts in found for one in parts]


def _judge(study: Study, rows: list[Row]) -> list[Finding]:
    metric = _arms.figure(study, "accuracy")
    statement = "Joint Bayesian against cosine, and accuracy by the number of patches"
    if not metric:
        return undecided(statement, "no verification accuracy was scored")
    arms = {scorer: _by_patches(rows, scorer) for scorer in SCORERS}
    common = sorted(set.intersection(*(set(found) for found in arms.values())))
    if not common or max(common) < 2:
        there = "; ".join(
            f"{SCORERS[key]}: {_words.listing([str(n) for n in found]) or 'none'}" for key, found in arms.items()
        )
        return undecided(statement, f"no number of patches above 1 has a row of each scorer (patches with {there})")
    most = max(common)
    found = _arms.compared(study, metric, arms["joint_bayesian"][most], arms["cosine"][most])
    said = f"{_figures.full_title(metric)} of {most} patches, Joint Bayesian {_words.MINUS} cosine"
    trends = [part for scorer, found in arms.items() for part in _trend(study, metric, SCORERS[scorer], found)]
    return [_limits.between_rows(said, found, "at least", -MARGIN), *trends]


def _by_patches(rows: list[Row], scorer: str) -> dict[int, Row]:
    """Number of patches -> the ensemble of so many networks, under one scorer; one of one patch is an ensemble too."""
    counted: dict[int, Row] = {}
    for row in rows:
        trial = row.records[0].trial
        if trial.scorer == scorer and trial.patches:
            counted[len(trial.patches)] = row
    return dict(sorted(counted.items()))


def _trend(study: Study, metric: str, scorer: str, arms: dict[int, Row]) -> list[Finding]:
    """Kendall's tau of patches and accuracy run by run, and the two ends by the two-way interval."""
    counts = _words.listing([str(count) for count in arms])
    said = f"{_figures.full_title(metric)} by the number of patches ({counts}), {scorer}"
    if len(arms) < 3:
        return undecided(said, "a trend needs at least 3 numbers of patches")
    cells = [_rows.cell(study, row, metric).sample for row in arms.values()]
    samples = [sample for sample in cells if sample is not None]
    if len(samples) < len(arms) or len({sample.seeds for sample in samples}) > 1:
        return [Finding(NOT_DECIDABLE, said, "some number of patches has no figure, or fewer seeds")]
    taus = _taus(list(arms), [sample.values for sample in samples])
    low, high = min(arms), max(arms)
    ends = _arms.compared(study, metric, arms[high], arms[low])
    return [
        _limits.over_seeds(f"Kendall's τ of {said}", taus, "above", 0.0, unit=samples[0].unit),
        _limits.between_rows(
            f"{_figures.full_title(metric)}, {high} {_words.MINUS} {low} patches, {scorer}", ends, "above"
        ),
    ]


def _taus(counts: list[int], samples: list[np.ndarray]) -> list[float]:
    """One tau a run; 0 where every number of patches scores the same."""
    from scipy import stats

    found = [float(stats.kendalltau(counts, values).statistic) for values in np.transpose(samples)]
    return [tau if np.isfinite(tau) else 0.0 for tau in found]
