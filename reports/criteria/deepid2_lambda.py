"""Criterion: the weight of DeepID2's verification signal trades intra- against inter-class variance."""

from dataclasses import replace

from reports import _figures, _toy, _words
from reports._rows import Row
from reports._study import Study
from reports._toy import Features, Scatter
from reports.criteria import _arms, _limits
from reports.criteria._finding import Finding, undecided

ID = "A17"
CLAIM = (
    "The verification signal reduces intra-class variance as its weight λ grows, while inter-class variance stays nearly "
    "flat up to λ = 0.05 and falls beyond it, so accuracy is best near 0.05 (Sun et al. 2014, DeepID2)."
)
LAMBDA = "verification_weight"
BEST = 0.05
FLAT = 0.8  # "nearly flat": the share of the inter-class variance of the smallest lambda that must be left (ours)
RHO = "\N{GREEK SMALL LETTER RHO}"
FEWEST = 4


def judge(study: Study) -> list[Finding]:
    """Scatter of the training features by lambda, and the accuracy at 0.05 against the largest lambda."""
    return _arms.each_backbone(study, _judge)


def _judge(study: Study, rows: list[Row]) -> list[Finding]:
    arms = _arms.sweep(study, rows, "deepid2", LAMBDA)
    statement = "Intra- and inter-class variance as λ grows"
    if missing := _arms.lacking(arms, (BEST,), "λ"):
        return undecided(statement, missing)
    if len(arms) < FEWEST or BEST in (min(arms), max(arms)):
        return undecided(statement, f"needs at least {FEWEST} weights λ, some below and some above {BEST}")
    runs = _arms.runs(study, arms)
    variance = undecided(statement, runs) if isinstance(runs, str) else _variance(runs)
    return [*variance, _accuracy(study, arms)]


def _variance(runs: list[dict[float, Features]]) -> list[Finding]:
    scatters = [{weight: _toy.scatter(one.train, one.train_labels) for weight, one in run.items()} for run in runs]
    order = [_toy.spearman(list(run), [s.within for s in run.values()]) for run in scatters]
    least, largest = min(runs[0]), max(runs[0])
    kept = [_toy.share(run[BEST].between, run[least].between) for run in scatters]
    left = [_toy.share(run[largest].between, run[BEST].between) for run in scatters]
    found = [
        _limits.over_seeds(f"Spearman's {RHO} of λ and the intra-class variance tr(S_w)", order, "at most", -0.9),
        _limits.over_seeds(
            f"Inter-class variance tr(S_b) at λ = {BEST} over that at λ = {least:g}", kept, "at least", FLAT
        ),
        _limits.over_seeds(f"tr(S_b) at λ = {largest:g} over that at λ = {BEST}", left, "below", 1.0),
    ]
    return [replace(found[0], details=_table(scatters)), *found[1:]]


def _table(scatters: list[dict[float, Scatter]]) -> tuple[tuple[str, ...], ...]:
    lines = []
    for weight in scatters[0]:
        parts = [[getattr(run[weight], part) for run in scatters] for part in ("within", "between")]
        lines.append((_words.value(weight), *[_words.measure(*_toy.over_seeds(values)) for values in parts]))
    return ("λ, training images", "tr(S_w)", "tr(S_b)"), *lines


def _accuracy(study: Study, arms: dict[float, Row]) -> Finding:
    metric, largest = _arms.figure(study, "accuracy"), max(arms)
    found = (
        _arms.compared(study, metric, arms[BEST], arms[largest]) if metric else "no verification accuracy was scored"
    )
    said = f"{_figures.full_title(metric) if metric else 'Accuracy'}, λ = {BEST} {_words.MINUS} λ = {largest:g}"
    return _limits.between_rows(said, found, "above")
