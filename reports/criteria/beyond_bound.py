"""Criterion: a margin above its bound cannot be kept for all classes."""

import math

import numpy as np

from reports import _toy, _words
from reports._rows import Row
from reports._study import Study
from reports._toy import Features
from reports.criteria import _arms
from reports.criteria._finding import FAIL, PASS, REPORTED, Finding, undecided

ID = "A10"
CLAIM = (
    "A margin above its upper bound cannot be kept by all classes, so training does not converge (Wang et al. 2018, "
    "eq. 7: 1 - cos(2π/C) for C classes in two dimensions)."
)


def judge(study: Study) -> list[Finding]:
    """The bound of each LMCL row that exceeds it, and what its runs keep class by class."""
    return _arms.each_backbone(study, _judge)


def _judge(study: Study, rows: list[Row]) -> list[Finding]:
    statement = "A margin above the bound is kept by no choice of features and weights for all classes"
    found = []
    for row in _arms.of(rows, "lmcl"):
        runs = _arms.runs(study, {"lmcl": row})
        kept = [run["lmcl"] for run in runs] if not isinstance(runs, str) else _finished(row)
        margin = _arms.options(row)["margin"]
        if kept and not isinstance(margin, tuple) and (bound := _bound(kept[0])) < margin:
            found += _beyond(row, kept, float(margin), bound)
    return found or undecided(statement, "no row of lmcl with features kept has a margin above its bound")


def _finished(row: Row) -> list[Features]:
    """The runs that reached their end, where others diverged, which is what the claim expects."""
    return [one for record in row.done("finished") if (one := _toy.features(record))]


def _bound(features: Features) -> float:
    import losses

    return float(losses.margin_upper_bound(features.classes, features.dimension))


def _beyond(row: Row, kept: list[Features], margin: float, bound: float) -> list[Finding]:
    where = f"{kept[0].classes} classes in {kept[0].dimension} dimensions"
    shares = [
        _toy.satisfied(one.train, one.train_labels, one.weight, margin)[1] for one in kept if one.weight is not None
    ]
    if not shares:
        return undecided(f"m = {_words.value(margin)}", "no class weights were kept")
    least = [float(np.nanmin(each)) for each in shares]
    statement = (
        f"m = {_words.value(margin)} > {bound:.4f}, the bound for {where}: in every run some class keeps it nowhere "
        "(exact: one sample of each class that kept it would be a solution)"
    )
    text = (
        f"{sum(share == 0 for share in least)} of {_words.many(len(least), 'run')} have such a class; the share of samples "
        f"that keep m is {_words.percent(float(np.mean(np.concatenate(shares))), 1)} % over all classes"
    )
    exact = Finding(PASS if max(least) == 0 else FAIL, statement, text, len(least), _table(shares))
    return [exact, _convergence(row)]


def _table(shares: list[np.ndarray]) -> tuple[tuple[str, ...], ...]:
    """The share of each class's training samples that keep the margin, one line a run, in percent."""
    head = ("run", *[f"class {label}" for label in range(len(shares[0]))])
    lines = [(str(number), *[_percent(share) for share in each]) for number, each in enumerate(shares, 1)]
    return head, *lines


def _percent(share: float) -> str:
    return _words.DASH if math.isnan(share) else f"{_words.percent(share, 1)} %"


def _convergence(row: Row) -> Finding:
    """How the runs ended: their training loss, and how many diverged."""
    ended = [record.events[-1].metrics.get("train/loss", math.nan) for record in row.done("finished") if record.events]
    mean, spread = _toy.over_seeds(ended) if ended else (math.nan, math.nan)
    text = (
        f"{_words.many(len(row.done('finished')), 'run')} ended with a mean training loss of {_words.value(mean)} ± "
        f"{_words.value(spread)}, {len(row.done('failed'))} diverged"
    )
    return Finding(REPORTED, f"Convergence at {row.name}", text, len(ended))
