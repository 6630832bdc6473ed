"""Criterion: verification accuracy is flat over a wide range of alpha, and lambda = 0.003 is no worse than 0."""

from itertools import combinations

from reports import _figures, _words
from reports._equivalence import beyond, equivalent
from reports._rows import Row
from reports._study import Study
from reports.criteria import _arms, _limits
from reports.criteria._finding import FAIL, NOT_DECIDABLE, PASS, Finding, undecided
from reports.statistics import LEVEL, Comparison, holm

ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
ID = "A6"
CLAIM = (
    f"Verification accuracy stays stable over a wide range of the center loss's weight λ and rate {ALPHA}, and λ = 0 (softmax) "
    "is no better (Wen et al. 2016, Fig. 5)."
)
RATES = (0.01, 0.1, 0.5, 1.0)
WEIGHT, RATE = 0.003, 0.5
MARGIN = 0.01


def judge(study: Study) -> list[Finding]:
    """The range over alpha at lambda = 0.003, and lambda = 0.003 against 0 at alpha = 0.5."""
    return _arms.each_backbone(study, _judge)


def _judge(study: Study, rows: list[Row]) -> list[Finding]:
    metric = _arms.figure(study, "accuracy")
    if not metric:
        return undecided("Plateau of the verification accuracy", "no verification accuracy was scored")
    return [*_rates(study, metric, rows), *_weight(study, metric, rows)]


def _rates(study: Study, metric: str, rows: list[Row]) -> list[Finding]:
    """Flat if every two rates are equivalent (all must be, so no correction); not flat if some two are not (Holm)."""
    said = f"Range of {_figures.full_title(metric)} over {ALPHA} at λ = {WEIGHT}: at most {_words.percent(MARGIN, 1)} point"
    arms = _arms.sweep(study, rows, "center", "center_rate", center_weight=WEIGHT)
    if missing := _arms.lacking(arms, RATES, ALPHA):
        return undecided(said, missing)
    pairs: dict[tuple[float, float], Comparison] = {}
    for low, high in combinations(RATES, 2):
        found = _arms.compared(study, metric, arms[high], arms[low])
        if isinstance(found, str):
            return undecided(said, found)
        pairs[low, high] = found
    same = max(equivalent(one, MARGIN) for one in pairs.values())
    apart = min(holm([beyond(one, MARGIN) for one in pairs.values()]))
    verdict = PASS if same < LEVEL else FAIL if apart < LEVEL else NOT_DECIDABLE
    (low, high), widest = max(pairs.items(), key=lambda item: abs(item[1].difference))
    text = (
        f"range {_words.percent(abs(widest.difference))} points, {ALPHA} = {high:g} {_words.MINUS} {ALPHA} = {low:g}: "
    )
    text += _limits.in_words(widest)
    text += "" if widest.pilot else f"; least equivalent two rates: TOST {_words.p_is(same)}"
    return [_limits.stamped(Finding(verdict, said, text, min(one.seeds for one in pairs.values())), widest.unit)]


def _weight(study: Study, metric: str, rows: list[Row]) -> list[Finding]:
    """Superiority, or equivalence within the margin: which of the two is said."""
    said = (
        f"{_figures.full_title(metric)} at λ = {WEIGHT} against λ = 0: better, or equivalent within "
        f"{_words.percent(MARGIN, 1)} point (no strict optimum is asked for)"
    )
    arms = _arms.center_weights(study, rows, center_rate=RATE)
    if missing := _arms.lacking(arms, (0.0, WEIGHT), "λ"):
        return undecided(said, missing)
    found = _arms.compared(study, metric, arms[WEIGHT], arms[0.0])
    if isinstance(found, str):
        return undecided(said, found)
    same = equivalent(found, MARGIN)
    verdict, word = _read(found, same)
    text = _limits.in_words(found) if found.pilot else f"{word}: {_limits.in_words(found)}, TOST {_words.p_is(same)}"
    return [_limits.stamped(Finding(verdict, said, text, found.seeds), found.unit)]


def _read(found: Comparison, same: float) -> tuple[str, str]:
    if found.p < LEVEL and found.difference > 0:
        return PASS, "better"
    if same < LEVEL:
        return PASS, "equivalent, so the paper's gain over softmax is not seen here"
    if found.p < LEVEL:
        return FAIL, "worse"
    return NOT_DECIDABLE, "neither better nor equivalent nor worse"
