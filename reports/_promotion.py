"""Which network of a study is promoted, why this one, and what is said of it: `facebench promote`.

The loss is the one that is asked for, else the leader of the verdict: the tuned row with the best mean of the primary figure.
Its network is chosen among the row's seeds by the development figure, where the confirmed runs held people out; else it is the
first seed. Test figures choose no seed: the best of several would look better than it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import RequestError
from bench.record import Record
from reports import _comparisons, _figures, _rows, _words
from reports._cells import chosen
from reports._rows import Row
from reports._study import Study, read
from reports.statistics import LEAST, Sample, level_interval


@dataclass(frozen=True)
class Promotion:
    """One trial, and what the Model Registry is to say of it.

    `description` is markdown; `against` are sentences that speak against promoting it.
    """

    study: str
    trial: str
    description: str
    tags: dict[str, str]
    against: tuple[str, ...]


def promotion(folder: str | Path, loss: str | None = None, anyway: bool = False) -> Promotion:
    """The network of a study to promote.

    Args:
        loss: a row of the leaderboard; None: the leader.
        anyway: whether what speaks against it is written down instead of refusing it.

    Raises:
        RequestError: no such loss, no network of it, or something speaks against it.
    """
    study = read(folder)
    metric = _rows.primary(study)
    row = _row(study, metric, loss)
    against = tuple(_against(study, row, metric))
    if against and not anyway:
        raise RequestError(
            f"{row.name} of study {study.name!r} is not promoted: {'; '.join(against)}; give --anyway to do so, with that in "
            "its tags"
        )
    one, why = _seed(study, row)
    return Promotion(
        study.name,
        one.trial.id,
        _description(study, row, one, metric, why, against),
        _tags(study, row, one, metric, why) | ({"facebench.anyway": "; ".join(against)} if against else {}),
        against,
    )


def _row(study: Study, metric: str, loss: str | None) -> Row:
    """The best tuned row, or the best one of that name."""
    tuned = _rows.rows(study, "tuned")
    if not tuned:
        raise RequestError(f"study {study.name!r} has confirmed no loss yet: let the sweep go on until it has")
    named = [row for row in tuned if loss in (None, row.label, row.loss)]
    if not named:
        known = _words.listing(sorted({row.label for row in tuned}))
        raise RequestError(f"study {study.name!r} confirmed no loss {loss!r}; it confirmed: {known}")
    row = named[0]
    if not metric or _rows.cell(study, row, metric).sample is None:
        raise RequestError(f"{row.name} of study {study.name!r} has no test figure yet: let the sweep finish")
    if any(record.trial.patches for record in row.records):
        raise RequestError(f"{row.name} of study {study.name!r} is an ensemble of networks: a registered model is one")
    if not row.done("finished"):
        raise RequestError(f"no run of {row.name} in study {study.name!r} came to its end: there is no network of it")
    return row


def _seed(study: Study, row: Row) -> tuple[Record, str]:
    """The run that is promoted, and why this one."""
    runs = sorted(row.done("finished"), key=lambda record: (record.trial.search, record.trial.number))
    metric, several = study.objective, _words.many(len(runs), "run")
    if any(metric not in record.metrics for record in runs):
        why = f"the first of its {several}: they held nobody out to choose by, and test figures choose no seed"
        return runs[0], why
    sign = 1 if _figures.higher_is_better(metric) else -1
    best = max(runs, key=lambda record: sign * record.metrics[metric])  # of equal ones the first
    return best, f"the best of its {several} on development people, by {metric} ({best.metrics[metric]:.4f})"


def _against(study: Study, row: Row, metric: str) -> list[str]:
    cell = _rows.cell(study, row, metric)
    assert cell.sample is not None
    open_ = [record for record in row.records if record.state in ("waiting", "running") or record.kind == "error"]
    said = [f"{_words.many(len(open_), 'run')} of it not finished"] if open_ else []
    if not open_ and study.facts.get("state", "finished") != "finished":
        said.append(f"the study is {study.facts['state']}")
    if cell.sample.seeds < (least := LEAST[cell.sample.unit]):
        said.append(f"it is a pilot of {_units(cell.sample)}, a verdict needs {least}")
    if any(record.provenance.get("dirty") for record in row.records):
        said.append("its code had uncommitted changes")
    return said + [f"its figure is not ranked ({mark})" for mark in cell.marks]


def _units(sample: Sample) -> str:
    """`5 seeds`, or `3 searches`."""
    return _words.many(sample.seeds, sample.unit)


def _leading(study: Study, row: Row) -> list[tuple[str, Any]]:
    """The leading figure of each protocol, with the row's sample."""
    found = [metric for name in _rows.protocols(study) if (metric := _rows.leading_figure(study, name))]
    return [(metric, sample) for metric in found if (sample := _rows.cell(study, row, metric).sample)]


def _verdict(study: Study, row: Row, metric: str) -> str:
    """How the row came out against the reference."""
    if row.label == study.reference:
        return "the reference itself"
    for line in _comparisons.against_reference(study, metric):
        if (line.row.backbone, line.row.label) == (row.backbone, row.label):
            found = line.comparison
            if found is None:
                return line.refused
            places = _words.digits([found.se])
            said = f"{_words.percent(found.difference, places, sign=True)} points to {study.reference}"
            return f"{found.verdict} ({said}, 95 % interval {_words.interval(found.low, found.high, places)})"
    return "not compared"


def _tags(study: Study, row: Row, one: Record, metric: str, why: str) -> dict[str, str]:
    """Plain facts; figures are fractions: of all seeds, with the interval, and of this network alone."""
    trial = one.trial
    tags = {"study": study.name, "trial": trial.id, "loss": trial.loss, "label": trial.name, "backbone": trial.backbone}
    tags |= {"seed": str(trial.seed), "chosen": why, "primary": metric, "verdict": _verdict(study, row, metric)}
    for figure, sample in _leading(study, row):
        low, high = level_interval(sample)
        ends = f" [{low:.6f}, {high:.6f}]" * math.isfinite(low)
        tags[f"mean/{figure}"] = f"{sample.mean:.6f}{ends} over {_units(sample)}"
        tags[f"own/{figure}"] = f"{one.metrics[figure]:.6f}" if figure in one.metrics else ""
    tags |= {f"protocol/{name}": str(score.get("hash", "")) for name, score in one.scores.items()}
    tags |= {key: str(one.provenance[key]) for key in ("data", "commit", "dirty") if key in one.provenance}
    return {f"facebench.{key}": value for key, value in tags.items() if value}


def _description(study: Study, row: Row, one: Record, metric: str, why: str, against: Sequence[str]) -> str:
    trial = one.trial
    rows = _rows.rows(study, "tuned")
    place = _comparisons.ranks(study, metric).get((row.backbone, row.label))
    rank = (
        f"rank {_words.ranks(place)} of {len(rows)}" if place else f"one of {_words.many(len(rows), 'row')}, unranked"
    )
    units = _words.plural("search" if row.searched_anew(study) else "seed")
    lines = [f"| figure | mean over {units}, % | 95 % interval | this network, % | protocol |", "|---|---|---|---|---|"]
    for figure, sample in _leading(study, row):
        low, high = level_interval(sample)
        own = _words.percent(one.metrics[figure]) if figure in one.metrics else _words.DASH
        version = one.scores.get(_rows.protocol_of(study, figure), {}).get("hash", "")
        mean = _words.plus_minus(sample.mean, sample.spread)
        ends = f"{_words.percent(low)} to {_words.percent(high)}" if math.isfinite(low) else _words.DASH
        lines.append(f"| {_figures.full_title(figure)} | {mean} | {ends} | {own} | `{version}` |")
    settings = _words.settings(chosen(row)[trial.search]).replace(_words.NARROW, " ")
    parts = [
        f"**{row.name}** on `{trial.backbone}`, study `{study.name}`, trial `{trial.id}`, seed {trial.seed}.",
        f"The loss: {rank} on {_figures.full_title(metric)}; {_verdict(study, row, metric)}. Settings: {settings}.",
        f"The network: {why}.",
        "\n".join(lines),
    ]
    parts += [f"Promoted although {'; '.join(against)}."] if against else []
    return "\n\n".join(parts)
