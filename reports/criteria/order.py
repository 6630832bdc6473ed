"""Criterion: the order of the losses is that of CosFace's Table 2."""

from bench.errors import RequestError
from reports import _figures, _words
from reports import _published as published
from reports._agreement import agreement, in_words
from reports._published import Match
from reports._rows import Row
from reports._study import Study
from reports.criteria import _arms, _limits
from reports.criteria._finding import NOT_DECIDABLE, Finding, undecided
from reports.statistics import Comparison, holm_family

ID = "A13"
CLAIM = (
    "On MegaFace identification the losses rank as in Wang et al. 2018, Table 2, where LMCL and softmax + center are "
    "both better than softmax."
)
REQUIRED = ("lmcl", "center")
TAU = 0.6
FEWEST = 5  # losses: of four, even the same order has an exact p above .05


def judge(study: Study) -> list[Finding]:
    """Kendall's tau of the rank-1 order, and the two required differences by the default test."""
    return _arms.each_backbone(study, _judge)


def _judge(study: Study, rows: list[Row]) -> list[Finding]:
    metric = _arms.figure(study, "rank1")
    if not metric:
        return undecided("The order of the losses on identification", "no rank-1 figure was scored")
    found, _ = published.matches(rows)
    by_loss = {match.entry.loss: match for match in found}
    tests = family(study, metric, rows, by_loss.get("softmax"))
    parts = [_tau(study, metric, found)]
    for loss in REQUIRED:
        name = by_loss[loss].entry.system if loss in by_loss else loss
        missing = f"no single row stands for {name}" if loss not in by_loss else "no single row of plain softmax"
        one = tests.get(by_loss[loss].row.label, missing) if loss in by_loss else missing
        parts.append(_limits.by_default_test(f"{name} against softmax on {_figures.full_title(metric)}", one))
    return parts


def family(study: Study, metric: str, rows: list[Row], reference: Match | None) -> dict[str, Comparison | str]:
    """Label -> each row against softmax, the p-values adjusted over all rows of the backbone."""
    if reference is None:
        return {}
    others = [row for row in rows if row.label != reference.row.label]
    found = {row.label: _arms.compared(study, metric, row, reference.row) for row in others}
    tests = {label: one for label, one in found.items() if isinstance(one, Comparison)}
    return {**found, **dict(zip(tests, holm_family(list(tests.values())), strict=True))}


def _tau(study: Study, metric: str, found: list[Match]) -> Finding:
    said = f"Kendall's τ of our {_figures.full_title(metric)} and the published MF1 rank-1: at least {TAU}"
    ours = published.samples(study, metric, found)
    if len(ours) < FEWEST:
        return Finding(
            NOT_DECIDABLE, said, f"{len(ours)} losses of the table have the figure, at least {FEWEST} are needed"
        )
    try:
        seen = agreement([sample for _, sample in ours], [match.figures[published.RANK1] for match, _ in ours])
    except RequestError as error:
        return Finding(NOT_DECIDABLE, said, str(error))
    head = ("loss", f"our {_figures.full_title(metric)}, %", "published MF1 rank-1, %")
    lines = [
        (m.row.name, _words.plus_minus(s.mean, s.spread), _words.percent(m.figures[published.RANK1])) for m, s in ours
    ]
    verdict = _limits.decide(seen.low, seen.high, "at least", TAU)
    return _limits.stamped(Finding(verdict, said, in_words(seen), seen.seeds, (head, *lines)), seen.unit)
