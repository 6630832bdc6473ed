"""Criterion: softmax alone gives features that are separable, not discriminative."""

from reports import _rows, _toy, _words
from reports._rows import Row
from reports._study import Study
from reports._toy import Features
from reports.criteria import _arms, _limits
from reports.criteria._finding import NOT_DECIDABLE, REPORTED, Finding, undecided
from reports.statistics import level_interval

ID = "A5"
CLAIM = (
    "Softmax alone makes features separable but not discriminative: some distances within a class exceed distances "
    "between classes, which the center loss mends (Wen et al. 2016, Fig. 2 and 3)."
)
JOINT = 0.1
ACCURACY = 0.97
NAMES = {"softmax": "softmax", "joint": f"λ = {JOINT}"}


def judge(study: Study) -> list[Finding]:
    """Closed-set accuracy, and V = P(random intra-class distance > random inter-class distance) on the test images."""
    return _arms.each_backbone(study, _judge)


def _judge(study: Study, rows: list[Row]) -> list[Finding]:
    statement = f"V under softmax, and under joint supervision with λ = {JOINT}"
    arms = _arms.center_weights(study, rows)
    if missing := _arms.lacking(arms, (0.0, JOINT), "λ"):
        return undecided(statement, missing)
    runs = _arms.runs(study, {"softmax": arms[0.0], "joint": arms[JOINT]})
    if isinstance(runs, str):
        return undecided(statement, runs)
    return [_accuracy(study, arms[0.0]), _confused(runs), *_reported(runs)]


def _accuracy(study: Study, row: Row) -> Finding:
    data = row.records[0].trial.data.get("name", "unknown")
    other = "" if data == "mnist" else " (the paper's data are MNIST)"
    said = f"Separable: closed-set accuracy of softmax on {data}{other}: at least {_words.percent(ACCURACY)} %"
    cell = _rows.cell(study, row, "closed/accuracy")
    if cell.sample is None:
        return Finding(NOT_DECIDABLE, said, cell.missing or "not scored")
    sample = cell.sample
    low, high = level_interval(sample)
    text = (
        f"{_words.plus_minus(sample.mean, sample.spread)} %, 95 % interval {_words.percent(low)} to {_words.percent(high)} over "
        f"{_words.plural(sample.unit)} and test images ({_words.many(sample.seeds, sample.unit)})"
    )
    verdict = _limits.decide(low, high, "at least", ACCURACY)
    return _limits.stamped(Finding(verdict, said, text, sample.seeds), sample.unit)


def _confused(runs: list[dict[str, Features]]) -> Finding:
    v = {arm: [_toy.confusion(run[arm].test, run[arm].test_labels) for run in runs] for arm in NAMES}
    share = [j / s if s else float("nan") for j, s in zip(v["joint"], v["softmax"], strict=True)]
    statement = f"Not discriminative: V (Euclidean, test images) at λ = {JOINT} over that of softmax"
    found = _limits.over_seeds(statement, share, "at most", 0.5)
    head = ("V, test images", "mean ± sd")
    lines = [
        (name, _words.measure(*_toy.over_seeds(v[arm])))
        for arm, name in (("softmax", "softmax"), ("joint", f"λ = {JOINT}"))
    ]
    return Finding(found.verdict, found.statement, found.statistic, found.seeds, (head, *lines))


def _reported(runs: list[dict[str, Features]]) -> list[Finding]:
    """V by cosine, and on the training images: part of the answer, no test."""
    found = []
    for split, metric, name in (("test", "cosine", "cosine, test"), ("train", "l2", "Euclidean, training")):
        told = [
            f"{name}: {_words.measure(*_toy.over_seeds([_toy.confusion(*run[arm].split(split), metric=metric) for run in runs]))}"
            for arm, name in NAMES.items()
        ]
        found.append(Finding(REPORTED, f"V ({name} images)", "; ".join(told), len(runs)))
    return found
