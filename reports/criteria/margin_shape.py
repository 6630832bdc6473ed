"""Criterion: accuracy rises with LMCL's margin and saturates."""

from reports import _figures, _words
from reports._rows import Row
from reports._study import Study
from reports.criteria import _arms, _limits
from reports.criteria._finding import Finding, undecided

ID = "A12"
CLAIM = (
    "Verification accuracy rises with LMCL's margin m from its lowest value at m = 0 and saturates at m = 0.35 (Wang et "
    "al. 2018, Fig. 5)."
)
NONE, BEST, MORE = 0.0, 0.35, 0.45
GAIN = 0.01  # of a larger margin, which the figure rules out


def judge(study: Study) -> list[Finding]:
    """m = 0.35 against 0, and 0.45 against 0.35. The paper prints no digits, so no level can be compared."""
    return _arms.each_backbone(study, _judge)


def _judge(study: Study, rows: list[Row]) -> list[Finding]:
    arms = _arms.margins(study, rows)
    metric = _arms.figure(study, "accuracy")
    statement = "Accuracy rises to m = 0.35 and no further"
    if missing := _arms.lacking(arms, (NONE, BEST, MORE), "m"):
        return undecided(statement, missing)
    if not metric:
        return undecided(statement, "no verification accuracy was scored")
    rise = _arms.compared(study, metric, arms[BEST], arms[NONE])
    more = _arms.compared(study, metric, arms[MORE], arms[BEST])
    return [
        _limits.between_rows(f"{_figures.full_title(metric)}, m = {BEST} {_words.MINUS} m = 0", rise, "above"),
        _limits.between_rows(
            f"{_figures.full_title(metric)}, m = {MORE} {_words.MINUS} m = {BEST}", more, "below", GAIN
        ),
    ]
