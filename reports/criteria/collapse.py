"""Criterion: center loss without softmax degenerates."""

import math
from dataclasses import replace

import numpy as np

from reports import _toy, _words
from reports._rows import Row
from reports._study import Study
from reports._toy import Features
from reports.criteria import _arms, _limits
from reports.criteria._finding import NOT_DECIDABLE, PASS, REPORTED, Finding, overall, undecided

ID = "A4"
CLAIM = (
    "Supervised by the center loss alone, features and centres degrade to a single point (Wen et al. 2016, "
    "Sec. 3.2: the necessity of joint supervision)."
)
BOUND = 1e-3
AT_START = "train/loss_at_start"  # the loss of the first batch, before any step


def judge(study: Study) -> list[Finding]:
    """L_C against its own value before training, and tr(S_t) against the softmax run of the same number."""
    return _arms.each_backbone(study, _judge)


def _judge(study: Study, rows: list[Row]) -> list[Finding]:
    alone = [row for row in _arms.of(rows, "center") if not _arms.options(row).get("softmax_weight", 1)]
    reference = _arms.of(rows, "softmax")
    statement = "Center loss alone collapses"
    if len(alone) != 1 or len(reference) != 1:
        return undecided(
            statement,
            f"needs one row of center with softmax_weight 0 and one of softmax, there are {len(alone)} and "
            f"{len(reference)}",
        )
    runs = _arms.runs(study, {"alone": alone[0], "softmax": reference[0]})
    if isinstance(runs, str):
        return undecided(statement, runs)
    spread = [_toy.share(_total(run["alone"]), _total(run["softmax"])) for run in runs]
    found = [_loss(alone[0], [run["alone"] for run in runs])]
    statement = "tr(S_t) of the features over that of the softmax run, training images"
    found.append(_limits.over_seeds(statement, spread, "below", BOUND))
    return [*found, _described(alone[0], runs, overall(found))]


def _total(features: Features) -> float:
    return _toy.scatter(features.train, features.train_labels).total


def _loss(row: Row, kept: list[Features]) -> Finding:
    """L_C at the end over L_C before the first step. Where a record has only the mean of the first epoch, which is no
    larger if the loss falls at once, that stands in: it can show the collapse, not refute it."""
    weight = float(_arms.options(row)["center_weight"])
    first = {record.trial.number: record.events[0].metrics for record in row.done("finished") if record.events}
    seen = [first.get(one.trial.number, {}) for one in kept]
    exact = all(AT_START in metrics for metrics in seen)
    started = [metrics.get(AT_START if exact else "train/loss", math.nan) for metrics in seen]
    share = [_toy.share(_center_loss(one) * weight, start) for one, start in zip(kept, started, strict=True)]
    since = "before the first step" if exact else "in the mean of the first epoch"
    found = _limits.over_seeds(f"L_C at the end over L_C {since}, training images", share, "below", BOUND)
    if exact or found.verdict == PASS:
        return found
    return replace(
        found, verdict=NOT_DECIDABLE, statistic=f"{found.statistic}; the loss before training was not recorded"
    )


def _center_loss(features: Features) -> float:
    """L_C = 1/2 mean ||x - c_y||^2; NaN where no centres were kept."""
    if features.centers is None:
        return math.nan
    return float(((features.train - features.centers[features.train_labels]) ** 2).sum(axis=1).mean() / 2)


def _described(row: Row, runs: list[dict[str, Features]], verdict: str) -> Finding:
    """What it collapsed to, in words, with the mean norm and the 1-NN accuracy."""
    norms = [float(_toy.norms(run["alone"].train).mean()) for run in runs]
    share = [
        _toy.share(norm, float(_toy.norms(run["softmax"].train).mean())) for norm, run in zip(norms, runs, strict=True)
    ]
    kind = "collapsed to zero" if max(share) ** 2 < BOUND else "collapsed to a constant that is not zero"
    said = kind if verdict == PASS else "no collapse is shown"
    nearest = [
        record.metrics["closed/nearest"] for record in row.done("finished") if "closed/nearest" in record.metrics
    ]
    told = f"1-NN accuracy {_words.percent(float(np.mean(nearest)))} %" if nearest else "1-NN accuracy not scored"
    return Finding(
        REPORTED,
        "What the features collapsed to",
        f"{said}: mean ‖x‖ {_words.measure(*_toy.over_seeds(norms))}, which is {_words.value(float(np.mean(share)))} of the "
        f"softmax run's; {told} ({_words.many(len(runs), 'seed')})",
        len(runs),
    )
