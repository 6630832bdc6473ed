"""The rows of the leaderboard, and each row's figures as samples over seeds."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.record import Record
from reports import _figures
from reports._study import Study, remembered
from reports.statistics import Sample

ROLES = ("tuned", "default", "again", "untrained")


@dataclass(frozen=True)
class Row:
    """The runs of one (backbone, label) in one role; the label is the loss where the study gave no other name."""

    backbone: str
    label: str
    role: str
    records: tuple[Record, ...]

    @property
    def loss(self) -> str:
        return self.records[0].trial.loss

    @property
    def name(self) -> str:
        """The row in messages and tables: the label, and what it is if not the tuned one."""
        suffix = {"tuned": "", "default": ", untuned default", "again": " again (A/A)"}
        return "untrained network" if self.role == "untrained" else self.label + suffix[self.role]

    @property
    def searches(self) -> list[int]:
        """The numbers of the searches that its runs come from."""
        return sorted({record.trial.search for record in self.records})

    def of_search(self, number: int) -> "Row":
        """Its runs that come from one search."""
        return replace(self, records=tuple(record for record in self.records if record.trial.search == number))

    def searched_anew(self, study: Study) -> bool:
        """Whether its runs were tuned by several independent searches, which then are its units."""
        several = study.settings("tune").get("searches", 1) > 1 or self.searches[-1] > 1
        return several and self.role in ("tuned", "again")

    def done(self, state: str) -> list[Record]:
        """The runs in this state; one that an error ended (of the machine, not of the training) is in none."""
        return [record for record in self.records if record.state == state and record.kind != "error"]


@dataclass(frozen=True)
class Cell:
    """One figure of one row: the sample, or why there is none; and what a reader must know beside it."""

    sample: Sample | None
    missing: str = ""
    marks: tuple[str, ...] = ()
    diverged: int = 0


def rows(study: Study, role: str | None = None) -> list[Row]:
    """All rows that have a trial, tuned ones first, each role ordered by the primary figure, best first."""
    return [row for row in _all(study) if role in (None, row.role)]


@remembered
def _all(study: Study) -> tuple[Row, ...]:
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in study.of(*ROLES):
        groups.setdefault((record.trial.role, record.trial.backbone, record.trial.name), []).append(record)
    found = [Row(backbone, name, part, tuple(group)) for (part, backbone, name), group in groups.items()]
    metric = primary(study)

    def order(row: Row) -> tuple[int, float, str, str]:
        sample = cell(study, row, metric).sample if metric else None
        sign = -1 if _figures.higher_is_better(metric) else 1
        return ROLES.index(row.role), sign * sample.mean if sample else float("inf"), row.backbone, row.label

    return tuple(sorted(found, key=order))


def in_order(study: Study, role: str) -> list[Row]:
    """The rows of a role in the order of the study file; what it does not name comes last, by name."""
    named = [str(name) for name in study.facts.get("losses", ())]
    place = {name: position for position, name in enumerate(named)}
    return sorted(rows(study, role), key=lambda row: (row.backbone, place.get(row.label, len(named)), row.label))


def searches(study: Study) -> int:
    """By how many independent searches each tuned loss was tuned, as far as confirmed; 1 where the seeds are the units."""
    anew = [row for row in rows(study, "tuned") if row.searched_anew(study)]
    return min(map(searches_of, anew), default=1)


def searches_of(row: Row) -> int:
    """How many searches of a row have a confirmed run that ended."""
    return len({one.trial.search for state in ("finished", "failed") for one in row.done(state)})


def unit(study: Study) -> str:
    """What the deviations of a study are over: `search` where a row was tuned by several, else `seed`."""
    return "search" if any(row.searched_anew(study) for row in rows(study)) else "seed"


def one_run(study: Study, row: Row, metric: str) -> float:
    """The standard error of one run that comes from the test identities, whatever the row's units are; else NaN."""
    sample = cell(study, row, metric, runs_apart=True).sample
    return sample.within if sample else float("nan")


def label(study: Study, name: str, backbone: str) -> str:
    """A row's name, with its backbone where the study has several."""
    several = len({record.trial.backbone for record in study}) > 1
    return f"{name} ({backbone})" if several else name


def primary(study: Study) -> str:
    """The one figure that ranks: the study's, else the leading figure of its first scored protocol; "" for none."""
    if named := study.facts.get("primary"):
        return str(named)
    for protocol in protocols(study):
        if leading := leading_figure(study, protocol):
            return leading
    return ""


@remembered
def protocols(study: Study) -> tuple[str, ...]:
    """The test protocols that were scored, in the study's own order."""
    scored = {name for record in study.of(*ROLES) for name in record.scores}
    named = [p["name"] if isinstance(p, dict) else str(p) for p in study.facts.get("protocols", ())]
    return tuple(dict.fromkeys([name for name in named if name in scored] + sorted(scored)))


@remembered
def figures(study: Study, protocol: str) -> tuple[str, ...]:
    """The figures of a protocol, in the order in which it gives them; what says a spread is no figure of its own.

    A figure that these data cannot carry is in the list too, so that its reason is shown.
    """
    found: dict[str, None] = {}
    for score in _scores(study.of(*ROLES), protocol):
        found |= dict.fromkeys([*score.get("metrics", ()), *score.get("undefined", ())])
    plain = [metric for metric in found if not metric.endswith(_figures.SPREAD)]
    return tuple(sorted(plain, key=_figures.is_further))  # the protocol's own figures first


def leading_figure(study: Study, protocol: str) -> str:
    """The figure that stands for a protocol: the study's primary, its own primary, else the first of `LEADING`."""
    known = figures(study, protocol)
    own = [str(score["primary"]) for score in _scores(study.of(*ROLES), protocol) if score.get("primary")]
    wanted = [str(study.facts.get("primary")), *own]
    by_kind = [metric for kind in _figures.LEADING for metric in known if _figures.bare(metric) == kind]
    return next((metric for metric in [*wanted, *by_kind, *known] if metric in known), "")


def protocol_of(study: Study, metric: str) -> str:
    """The protocol that gives a figure (`ytf-mean_score/accuracy` is given by `ytf`)."""
    return next((name for name in protocols(study) if metric in figures(study, name)), "")


def score_of(study: Study, metric: str) -> dict[str, Any]:
    """Any one scoring that has the figure: its counts and clusters tell what chance and divergence would look like."""
    scores = _scores(study.of(*ROLES), protocol_of(study, metric))
    return next((score for score in scores if metric in score.get("metrics", ())), {})


def cell(study: Study, row: Row, metric: str, *, runs_apart: bool = False) -> Cell:
    """A figure of a row. Runs that diverged score chance and stay in; those not done or lost to errors are left out.

    Args:
        runs_apart: the runs are the units, though they come from several searches.
    """
    protocol = protocol_of(study, metric)
    runs = [one for one in row.done("finished") if metric in one.scores.get(protocol, {}).get("metrics", ())]
    finished = _scores(runs, protocol)
    failed = len(row.done("failed"))
    marks = tuple(dict.fromkeys(score["marks"][metric] for score in finished if metric in score.get("marks", ())))
    reasons = [s["undefined"][metric] for s in _scores(row.records, protocol) if metric in s.get("undefined", ())]
    if not finished and reasons:
        return Cell(None, reasons[0])
    if not finished and not failed:
        lost = any(record.kind == "error" for record in row.records)
        waits = row.done("running") or row.done("waiting")
        return Cell(None, "not scored yet" if waits else "lost to errors" if lost else "not scored")
    try:
        sample = _sample(study, row, metric, finished, failed)
        if row.searched_anew(study) and not runs_apart:
            sample = sample.by_search([one.trial.search for one in (*runs, *row.done("failed"))])
        return Cell(sample, marks=marks, diverged=failed)
    except RequestError as error:
        return Cell(None, str(error), marks, failed)


def _sample(study: Study, row: Row, metric: str, finished: list[dict[str, Any]], failed: int) -> Sample:
    name = f"{row.name} ({row.backbone})"
    hashes = sorted({str(score.get("hash", "")) for score in finished})
    if len(hashes) > 1:
        raise RequestError(
            f"{metric} of {name} has no mean: its seeds were scored with different versions of the protocol "
            f"({' and '.join(hashes)}); score all of them with the same lists and options"
        )
    pattern = finished[0] if finished else score_of(study, metric)
    kept = pattern.get("clusters", {}).get(metric, {"kind": "folds", "values": ()})
    values = [float(score["metrics"][metric]) for score in finished]
    clusters = [list(score.get("clusters", {}).get(metric, {}).get("values", ())) for score in finished]
    if failed:
        level = _figures.chance(metric, pattern.get("counts", {}))
        if level is None:
            raise RequestError(
                f"{metric} of {name} has no mean: {failed} run(s) failed, and what chance scores is not known"
            )
        values += [level] * failed
        clusters += [[level] * len(kept["values"])] * failed
    if len({len(one) for one in clusters}) > 1:
        if not all(metric in score.get("marks", ()) for score in finished):
            raise RequestError(
                f"{metric} of {name} has no mean: its seeds kept different numbers of identity clusters; score them again"
            )
        clusters = [[] for _ in clusters]  # never ranked: each network had people of its own left out, say
    return Sample(
        name,
        metric,
        hashes[0] if hashes else "",
        kept["kind"],
        np.array(values),
        np.array(clusters).reshape(len(values), -1),
    )


def _scores(records: Iterable[Record], protocol: str) -> list[dict[str, Any]]:
    return [record.scores[protocol] for record in records if protocol in record.scores]
