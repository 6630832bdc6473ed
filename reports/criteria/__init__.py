"""The papers' claims as acceptance criteria: one file is one criterion, found by its name.

    from reports import criteria
    criteria.names()                        # -> ["beyond_bound", "collapse", ...]
    criteria.find("compactness").judge(study)

A criterion has `ID` (its number among the project's acceptance criteria), `CLAIM` (one sentence with its source) and
`judge(study) -> list[Finding]`: the parts of the claim, each PASS, FAIL or NOT DECIDABLE. All parts must hold for the
claim to hold (`overall`). Every part is judged by a 95 % interval, uncorrected unless it says otherwise: a PASS of the
whole needs every part, so it is no likelier by chance than the least likely of them.
"""

import pkgutil
from importlib import import_module
from types import ModuleType

from bench.errors import RequestError
from reports.criteria._finding import FAIL as FAIL
from reports.criteria._finding import NOT_DECIDABLE as NOT_DECIDABLE
from reports.criteria._finding import PASS as PASS
from reports.criteria._finding import REPORTED as REPORTED
from reports.criteria._finding import Finding as Finding
from reports.criteria._finding import overall as overall


def names() -> list[str]:
    """The known criteria, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def find(name: str) -> ModuleType:
    """The module of a criterion.

    Raises:
        RequestError: there is no such criterion (the sentence lists the known ones).
    """
    if name not in names():
        raise RequestError(f"no criterion {name!r}; there is: {', '.join(names())}")
    return import_module(f"reports.criteria.{name}")
