"""`facebench plan`: from what a study varied by, the seeds and identities that a wanted effect needs, and their cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import RequestError
from bench.record import Record
from reports import _comparisons, _power, _rows
from reports._comparisons import Line
from reports._power import Spread
from reports._rows import Row
from reports._study import Study, read
from reports.statistics import POWER

SEEDS = {"seed": (5, 10, 20), "search": (3, 5, 10)}  # at which the identities that would be needed are told
_OF_A_SEARCH = ("search", "finalist", "tuned")  # roles


@dataclass(frozen=True)
class Need:
    """What one comparison needs.

    Attributes:
        a, b: its rows.
        seeds: training seeds that it has of each.
        clusters, folds: clusters of test identities that it has; whether they are folds.
        detectable: what it finds now with the wanted power, a fraction.
        needed: seeds of each that find the wanted effect; None: no number of them does.
        at_worst: the same where the spread over seeds is at the upper end of what was seen (one chance in five is beyond).
        identities: seeds of each -> how many times as many identities find it; None: none do.
        runs: of both rows with `needed`, in a new study, tuning among them (another number of seeds or searches is another
            study); None: no number of them helps.
        seconds: what these take one after another, by what the rows' runs took in training; None: not known.
        unit: what is called seeds here: `seed`, or `search` where each loss was tuned by several; one of these has its
            tuning trials among its runs.
    """

    a: str
    b: str
    seeds: int
    clusters: int
    folds: bool
    detectable: float
    needed: int | None
    at_worst: int | None
    identities: dict[int, float | None]
    runs: int | None
    seconds: float | None
    unit: str = "seed"


@dataclass(frozen=True)
class Plan:
    """What a study's declared comparisons need to find a true difference of `effect` (a fraction) with `power`.

    Attributes:
        seeds: of every row (searches where the comparisons' unit is these), that serve all comparisons; None: no number does.
        runs, seconds: what that means together, each row's runs counted once.
    """

    study: str
    metric: str
    effect: float
    power: float
    comparisons: tuple[Need, ...]
    refused: tuple[str, ...]
    seeds: int | None
    runs: int | None
    seconds: float | None


def plan(study_folder: str | Path, effect: float, metric: str | None = None, power: float = POWER) -> Plan:
    """Raises:
    RequestError: the effect or the power is none, or no two rows of the study can be compared on the figure.
    """
    if not 0 < effect < 1:
        raise RequestError(f"an effect is a fraction between 0 and 1, 0.01 for one percentage point; got {effect:g}")
    if not 0.5 <= power < 1:
        raise RequestError(f"a power is a probability from 0.5 to below 1, got {power:g}")
    study = read(study_folder)
    metric = metric or _rows.primary(study)
    if not metric:
        raise RequestError(f"study {study.name!r} has no test figures yet to plan by: run it, with 3 seeds as a pilot")
    if metric.partition("/")[0] not in _rows.protocols(study) or metric not in _rows.figures(
        study, metric.partition("/")[0]
    ):
        known = ", ".join(_rows.leading_figure(study, protocol) for protocol in _rows.protocols(study))
        raise RequestError(f"study {study.name!r} has no figure {metric!r}; leading ones are: {known}")
    lines = _comparisons.against_reference(study, metric)
    refused = tuple(f"{line.row.name}: {line.refused}" for line in lines if not line.comparison)
    found = [line for line in lines if line.comparison]
    if not found:
        why = refused[0] if refused else f"no loss stands beside the reference {study.reference}"
        raise RequestError(f"study {study.name!r} has no comparison on {metric} to plan by ({why})")
    needs = tuple(_need(study, line, metric, effect, power) for line in found)
    seeds = None if any(need.needed is None for need in needs) else max(need.needed or 0 for need in needs)
    rows = list({id(row): row for line in found for row in (line.row, line.against)}.values())
    runs, seconds = _cost(study, rows, seeds)
    return Plan(study.name, metric, effect, power, needs, refused, seeds, runs, seconds)


def _need(study: Study, line: Line, metric: str, effect: float, power: float) -> Need:
    a, b = _rows.cell(study, line.row, metric).sample, _rows.cell(study, line.against, metric).sample
    assert a is not None and b is not None  # they were compared
    spread = Spread.of(a, b)
    needed = _power.seeds_needed(spread, effect, power)
    runs, seconds = _cost(study, [line.row, line.against], needed)
    return Need(
        a=_rows.label(study, line.row.name, line.row.backbone),
        b=line.against.name,
        seeds=spread.seeds,
        clusters=spread.clusters,
        folds=spread.folds,
        detectable=_power.detectable(spread, spread.seeds, power=power),
        needed=needed,
        at_worst=_power.seeds_needed(spread.widest(), effect, power),
        identities={seeds: _power.identities_needed(spread, effect, seeds, power) for seeds in SEEDS[spread.unit]},
        runs=runs,
        seconds=seconds,
        unit=spread.unit,
    )


def _cost(study: Study, rows: Sequence[Row], units: int | None) -> tuple[int | None, float | None]:
    """The runs of these rows in a study of so many seeds, or searches, and their seconds."""
    if units is None:
        return None, None
    parts = [part for row in rows for part in _made(study, row, units)]
    known = [count * seconds for count, seconds in parts if seconds is not None]
    return round(sum(count for count, _ in parts)), sum(known) if len(known) == len(parts) else None


def _made(study: Study, row: Row, units: int) -> Sequence[tuple[float, float | None]]:
    """(runs, seconds of one) that a row takes: its tuning and its seeds, or searches that mean as many as they did here."""
    runs = [r for r in study.of(*_OF_A_SEARCH) if (r.trial.backbone, r.trial.name) == (row.backbone, row.label)]
    if row.searched_anew(study):
        return [(units * len(runs) / len(row.searches), _seconds(runs))]
    tuning = [record for record in runs if record.trial.role != "tuned"]
    return [(len(tuning), _seconds(tuning))] * bool(tuning) + [(units, _seconds(row.done("finished")))]


def _seconds(records: Sequence[Record]) -> float | None:
    known = [float(r.cost.get("train_seconds", r.seconds)) for r in records if r.cost or r.seconds]
    return sum(known) / len(known) if known else None
