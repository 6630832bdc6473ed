"""Criterion: the larger lambda, the more compact the classes."""

from dataclasses import replace

from reports import _toy, _words
from reports._rows import Row
from reports._study import Study
from reports._toy import Features, Scatter
from reports.criteria import _arms, _limits
from reports.criteria._finding import Finding, undecided

ID = "A3"
CLAIM = (
    "The larger the weight λ of the center loss, the more compact the classes, without loss of accuracy for a moderate "
    "λ (Wen et al. 2016, Fig. 3)."
)
JUDGED = (0.01, 0.1)  # the weights that must halve tr(S_w) / tr(S_b)
RHO = "\N{GREEK SMALL LETTER RHO}"
FEWEST = 4  # arms: a rank correlation of fewer says nothing


def judge(study: Study) -> list[Finding]:
    """Rank correlation and ratio on training and test images, each run against lambda = 0 of the same number."""
    return _arms.each_backbone(study, _judge)


def _judge(study: Study, rows: list[Row]) -> list[Finding]:
    arms = _arms.center_weights(study, rows)
    statement = "tr(S_w) falls as λ rises, at no cost in accuracy"
    if missing := _arms.lacking(arms, (0.0, *JUDGED), "λ"):
        return undecided(statement, missing)
    if len(arms) < FEWEST:
        return undecided(statement, f"{len(arms)} weights λ, at least {FEWEST} are needed for a rank correlation")
    runs = _arms.runs(study, arms)
    if isinstance(runs, str):
        return undecided(statement, runs)
    found = []
    for split in ("train", "test"):
        found += _compact(runs, split)
    return found + _accuracy(study, arms)


def _compact(runs: list[dict[float, Features]], split: str) -> list[Finding]:
    images = {"train": "training", "test": "test"}[split] + " images"
    scatters = [{weight: _toy.scatter(*one.split(split)) for weight, one in run.items()} for run in runs]
    order = [_toy.spearman(list(run), [s.within for s in run.values()]) for run in scatters]
    found = [_limits.over_seeds(f"Spearman's {RHO} of λ and tr(S_w), {images}", order, "at most", -0.9)]
    for weight in JUDGED:
        share = [_toy.share(run[weight].ratio, run[0.0].ratio) for run in scatters]
        statement = f"tr(S_w) / tr(S_b) at λ = {weight} over that at λ = 0, {images}"
        found.append(_limits.over_seeds(statement, share, "at most", 0.5))
    return [replace(found[0], details=_table(scatters, images)), *found[1:]]


def _table(scatters: list[dict[float, Scatter]], images: str) -> tuple[tuple[str, ...], ...]:
    lines = []
    for weight in scatters[0]:
        parts = [[getattr(run[weight], part) for run in scatters] for part in ("within", "between", "ratio")]
        lines.append((_words.value(weight), *[_words.measure(*_toy.over_seeds(values)) for values in parts]))
    return (f"λ, {images}", "tr(S_w)", "tr(S_b)", "tr(S_w) / tr(S_b)"), *lines


def _accuracy(study: Study, arms: dict[float, Row]) -> list[Finding]:
    metric = "closed/accuracy"
    return [
        _limits.between_rows(
            f"Closed-set accuracy at λ = {_words.value(weight)} {_words.MINUS} that at λ = 0",
            _arms.compared(study, metric, row, arms[0.0]),
            "at least",
            -0.01,
        )
        for weight, row in arms.items()
        if 0 < weight <= max(JUDGED)
    ]
