"""Criterion: the empty arc between classes grows with LMCL's margin."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np

from reports import _toy, _words
from reports._rows import Row
from reports._study import Study
from reports._toy import Features
from reports.criteria import _arms, _limits
from reports.criteria._finding import Finding, undecided

ID = "A9"
CLAIM = (
    "With a larger cosine margin the gap between the classes becomes more apparent on the circle (Wang et al. 2018, "
    "Fig. 4: eight identities, 2-D features)."
)
MARGINS = (0.0, 0.1, 0.2)
SOFTMAX = "softmax"
KEPT = 0.9  # share of training samples that keep the largest margin

Arm = float | str  # a margin, or softmax


def judge(study: Study) -> list[Finding]:
    """The smallest empty arc between neighbours (1-99 % quantiles of the training angles) against g(m), by seed."""
    return _arms.each_backbone(study, _judge)


def _judge(study: Study, rows: list[Row]) -> list[Finding]:
    statement = "The smallest empty arc grows with m"
    arms = _arms.margins(study, rows)
    if missing := _arms.lacking(arms, MARGINS, "m"):
        return undecided(statement, missing)
    plain = _arms.of(rows, "softmax")
    if len(plain) != 1:
        return undecided(statement, f"needs one row of softmax to compare with, there are {len(plain)}")
    wanted: dict[Arm, Row] = {margin: arms[margin] for margin in MARGINS}
    runs = _arms.runs(study, {**wanted, SOFTMAX: plain[0]})
    if isinstance(runs, str):
        return undecided(statement, runs)
    first = runs[0][MARGINS[0]]
    if first.dimension != 2:
        return undecided(statement, f"features have {first.dimension} dimensions, arcs need 2")
    return _findings(runs, first.classes)


def _findings(runs: list[dict[Arm, Features]], classes: int) -> list[Finding]:
    arcs = {arm: [_arcs(run[arm]).min() for run in runs] for arm in runs[0]}
    top = MARGINS[-1]
    found = [_more(arcs, upper, lower) for lower, upper in pairwise(MARGINS)]
    found += [_enough(arcs[margin], margin, classes) for margin in MARGINS[1:]]
    kept = [_kept(run[top], top) for run in runs]
    found.append(_limits.over_seeds(f"Share of training samples that keep the margin {top}", kept, "at least", KEPT))
    found.append(_more(arcs, top, SOFTMAX))
    return [replace(found[0], details=_table(runs, classes)), *found[1:]]


def _more(arcs: Mapping[Arm, list[float]], a: Arm, b: Arm) -> Finding:
    rise = [one - other for one, other in zip(arcs[a], arcs[b], strict=True)]
    return _limits.over_seeds(f"Smallest arc, {_named(a)} {_words.MINUS} {_named(b)}", rise, "above", 0.0, degrees)


def _enough(arcs: list[float], margin: float, classes: int) -> Finding:
    said = f"Smallest arc at {_named(margin)} against g(m) / 2 for {classes} classes"
    least = _toy.gap(margin, classes)
    if math.isnan(least):
        return undecided(said, f"no features of {classes} classes in two dimensions keep a margin of {margin}")[0]
    return _limits.over_seeds(said, arcs, "at least", least / 2, degrees)


def _arcs(features: Features) -> np.ndarray:
    return _toy.empty_arcs(_toy.arcs(features.train, features.train_labels))


def _kept(features: Features, margin: float) -> float:
    """The share of training samples with cos t_y - max cos t_j >= m; NaN where no class weights were kept."""
    if features.weight is None:
        return math.nan
    return _toy.satisfied(features.train, features.train_labels, features.weight, margin)[0]


def _table(runs: list[dict[Arm, Features]], classes: int) -> tuple[tuple[str, ...], ...]:
    """Each arm's arcs beside the theory; a row's margin is that of its loss (0 for softmax)."""
    head = ("arm", "smallest arc", "median arc", "g(m)", "keep the margin")
    lines = []
    for arm in runs[0]:
        margin = 0.0 if arm == SOFTMAX else float(arm)
        arcs = [_arcs(run[arm]) for run in runs]
        kept = _spread([100 * _kept(run[arm], margin) for run in runs], _words.value)
        lines.append(
            (
                _named(arm),
                _spread([one.min() for one in arcs], degrees),
                _spread([float(np.median(one)) for one in arcs], degrees),
                _words.DASH if arm == SOFTMAX else degrees(_toy.gap(margin, classes)),
                f"{kept} %",
            )
        )
    return head, *lines


def _spread(values: list[float], show: Callable[[float], str]) -> str:
    mean, spread = _toy.over_seeds(values)
    return f"{show(mean)} ± {show(spread)}"


def _named(arm: Arm) -> str:
    return SOFTMAX if arm == SOFTMAX else f"m = {arm}"


def degrees(angle: float) -> str:
    return f"{math.degrees(angle):.1f}°".replace("-", _words.MINUS)
