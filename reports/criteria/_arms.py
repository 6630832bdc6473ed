"""The arms of an experiment, found by what their trials were asked to do and never by a row's name."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from bench.errors import RequestError
from reports import _figures, _rows, _toy, _words
from reports._rows import Row
from reports._study import Study
from reports._toy import Features
from reports.criteria._finding import Finding
from reports.statistics import Comparison, compare

K = TypeVar("K")
# What names a run and does not decide what it does, and what stands in the loss's own options.
_NAMES = ("study", "stage", "role", "number", "seed", "search", "label", "loss", "loss_options")
_SEARCHED = ("learning_rate", "weight_decay")


def each_backbone(study: Study, judge: Callable[[Study, list[Row]], list[Finding]]) -> list[Finding]:
    """The findings on the confirmed rows of each backbone, which is named where there are several."""
    groups: dict[str, list[Row]] = {}
    for row in _rows.in_order(study, "tuned"):
        groups.setdefault(row.backbone, []).append(row)
    found = {backbone: judge(study, rows) for backbone, rows in (groups or {"": []}).items()}
    if len(found) < 2:
        return next(iter(found.values()))
    return [replace(one, statement=f"{name}: {one.statement}") for name, parts in found.items() for one in parts]


def options(row: Row) -> dict[str, Any]:
    """The hyper-parameters of a row's loss, those that were left at their defaults too.

    One that the row's searches chose differently is the tuple of their choices: no one value stands for the row.
    """
    import losses

    chosen = [row.of_search(number).records[0].trial.loss_options for number in row.searches]
    each = [{**losses.defaults(row.loss), **own} for own in chosen]
    return {
        key: own if all(one.get(key) == own for one in each) else tuple(one.get(key) for one in each)
        for key, own in each[0].items()
    }


def of(rows: Iterable[Row], loss: str, **wanted: Any) -> list[Row]:
    """The rows of a loss (under any alias) with these hyper-parameters."""
    import losses

    found = [row for row in rows if losses.canonical(row.loss) == loss]
    return [row for row in found if wanted.items() <= options(row).items()]


def sweep(study: Study, rows: Iterable[Row], loss: str, vary: str, **fixed: Any) -> dict[float, Row]:
    """Value of the hyper-parameter `vary` -> the row that has it, in rising order; the rows differ in nothing else.

    Of several such sets the largest is taken. Where the losses were tuned, learning rate and weight decay are each
    row's own.
    """
    groups: dict[str, dict[float, Row]] = {}
    for row in of(rows, loss, **fixed):
        own = options(row)
        if not isinstance(own[vary], tuple):
            groups.setdefault(setting(study, row, own, vary), {})[float(own[vary])] = row
    largest = max(groups.values(), key=len, default={})
    return dict(sorted(largest.items()))


def setting(study: Study, row: Row, own: Mapping[str, Any], *without: str) -> str:
    """All that decides what a row's runs do, but its loss's name and the hyper-parameters `without`."""
    plain = row.records[0].trial.plain()
    left_out = (*_NAMES, *(_SEARCHED if study.searched else ()))
    kept = {key: value for key, value in plain.items() if key not in left_out}
    return json.dumps([kept, {key: value for key, value in own.items() if key not in without}], sort_keys=True)


def center_weights(study: Study, rows: list[Row], **fixed: Any) -> dict[float, Row]:
    """lambda -> row of softmax and center loss under joint supervision; plain softmax is lambda = 0 where no row is."""
    joint = of(rows, "center", softmax_weight=1.0)
    arms = sweep(study, joint, "center", "center_weight", **fixed)
    if arms and 0.0 not in arms:
        wanted = setting(study, next(iter(arms.values())), {})
        bias = options(next(iter(arms.values())))["bias"]
        plain = [row for row in of(rows, "softmax", bias=bias) if setting(study, row, {}) == wanted]
        arms = {0.0: plain[0], **arms} if len(plain) == 1 else arms
    return arms


def margins(study: Study, rows: list[Row]) -> dict[float, Row]:
    """m -> row of LMCL at one scale; NSL at that scale is m = 0 where no row is."""
    arms = sweep(study, rows, "lmcl", "margin")
    first = next(iter(arms.values()), None)
    if first and 0.0 not in arms and options(first)["normalize_features"]:  # NSL normalises its features
        wanted = setting(study, first, {})
        equal = [row for row in of(rows, "nsl", scale=options(first)["scale"]) if setting(study, row, {}) == wanted]
        arms = {0.0: equal[0], **arms} if len(equal) == 1 else arms
    return arms


def lacking(arms: Mapping[float, Row], wanted: Iterable[float], name: str) -> str:
    """Why a sweep cannot be judged: which values it lacks; "" where it lacks none."""
    missing = [_words.value(value) for value in wanted if value not in arms]
    if not missing:
        return ""
    there = _words.listing([_words.value(value) for value in arms]) or "none"
    return (
        f"no row with {name} {_words.listing(missing, 'or')} among rows that differ in nothing else ({name} is there "
        f"with: {there})"
    )


def runs(study: Study, arms: Mapping[K, Row]) -> list[dict[K, Features]] | str:
    """The features of all arms, one entry a seed (in the order of the runs), or the reason why they cannot be judged.

    A run that diverged is part of its arm's answer and has no features, so an arm with one is not judged without it. Seeds
    of one search are no units where there are several, and the claims about features are judged run by run.
    """
    if anew := [row.name for row in arms.values() if row.searched_anew(study)]:
        return (
            f"{_words.listing(anew)} {'was' if len(anew) == 1 else 'were'} tuned by several searches, and features are judged "
            "by seeds of one configuration: judge this in a study without `tune: searches`"
        )
    if diverged := [row.name for row in arms.values() if row.done("failed")]:
        return f"runs of {_words.listing(diverged)} diverged and have no features"
    kept = {key: _numbered(row) for key, row in arms.items()}
    if empty := [arms[key].name for key, found in kept.items() if not found]:
        return f"no features of {_words.listing(empty)}: no finished run that keeps them (keep: [features])"
    common = set.intersection(*(set(found) for found in kept.values()))
    if not common:
        return "no run number is finished in every arm"
    return [{key: found[number] for key, found in kept.items()} for number in sorted(common)]


def _numbered(row: Row) -> dict[int, Features]:
    return {record.trial.number: one for record in row.records if (one := _toy.features(record))}


def figure(study: Study, kind: str) -> str:
    """The test figure of a kind (`accuracy`, `rank1`) on people not trained on: the primary if it is one, else the
    first; "" for none."""
    known = [m for p in _rows.protocols(study) if not _figures.closed(p) for m in _rows.figures(study, p)]
    return next((m for m in [_rows.primary(study), *known] if m in known and _figures.bare(m) == kind), "")


def compared(study: Study, metric: str, a: Row, b: Row) -> Comparison | str:
    """A against B by the two-way t interval, or the reason why they cannot be compared."""
    cells = [_rows.cell(study, row, metric) for row in (a, b)]
    for row, cell in zip((a, b), cells, strict=True):
        if cell.sample is None:
            return f"{metric} of {row.name}: {cell.missing or 'not scored'}"
        if cell.marks:
            return f"{metric} of {row.name} is marked and not ranked: {cell.marks[0]}"
    first, second = (cell.sample for cell in cells)
    assert first is not None and second is not None  # answered above
    try:
        return compare(first, second, higher_is_better=_figures.higher_is_better(metric))
    except RequestError as error:
        return str(error)
