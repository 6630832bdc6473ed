"""What a criterion answers: for each part of a claim a verdict, the statement judged and the figures behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

PASS = "PASS"
FAIL = "FAIL"
NOT_DECIDABLE = "NOT DECIDABLE"
REPORTED = "reported"


@dataclass(frozen=True)
class Finding:
    """One part of a claim, judged.

    Attributes:
        verdict: `PASS`, `FAIL` or `NOT DECIDABLE`; `reported` for figures that belong to the answer and decide nothing.
        statement: what was judged, with the bound that it must clear.
        statistic: the figures, with spread and interval; of an undecided part also why it is undecided.
        seeds: training seeds, or independent searches, behind the figures (the fewest of any arm); None where
            nothing was measured.
        details: rows of a small table, the first its head; empty for none.
    """

    verdict: str
    statement: str
    statistic: str
    seeds: int | None = None
    details: tuple[tuple[str, ...], ...] = ()


def overall(findings: Sequence[Finding]) -> str:
    """All parts must hold: FAIL where one fails, else NOT DECIDABLE where one is not decided or there is none."""
    verdicts = {finding.verdict for finding in findings} - {REPORTED} or {NOT_DECIDABLE}
    return next(verdict for verdict in (FAIL, NOT_DECIDABLE, PASS) if verdict in verdicts)


def undecided(statement: str, reason: str) -> list[Finding]:
    """The answer of a criterion that lacks what it would judge."""
    return [Finding(NOT_DECIDABLE, statement, reason)]
