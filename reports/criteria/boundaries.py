"""Criterion: the decision margins of four losses between two classes are what the paper says."""

import math

from reports import _words
from reports._decisions import Margin, Panel, four, measure
from reports._study import Study
from reports.boundaries import two_classes
from reports.criteria._finding import FAIL, PASS, Finding, undecided

ID = "A11"
CLAIM = (
    "Between two classes the margin is negative under softmax, nothing under NSL, grows from nothing with the angle under "
    "A-Softmax, and is √2 m everywhere under LMCL (Wang et al. 2018, Figure 2)."
)


def judge(study: Study) -> list[Finding]:
    """Each loss's margin, measured on the loss itself, against its formula and the claim: exact, so no seeds are asked."""
    found = two_classes(study)
    if not found:
        return undecided("The decision margins of two classes", "no row has two-dimensional features of two classes")
    return [_finding(panel, measure(panel)) for panel in four(found)]


def _finding(panel: Panel, found: Margin) -> Finding:
    unit, scale = ("°", 180 / math.pi) if panel.plane == "angle" else ("", 1.0)
    measured, formula = (_words.value(round(scale * margin, 6) + 0.0) for margin in (found.measured, found.formula))
    return Finding(
        PASS if found.passed else FAIL,
        f"{panel.title}: the margin is {panel.claim}",
        f"measured {measured}{unit}, by the formula {formula}{unit}; at most {found.off:.0e} apart on any level",
    )
