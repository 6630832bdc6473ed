"""The comparisons that a study declares: each loss against the reference, the reference against itself, the ranks."""

from dataclasses import dataclass

from bench.errors import RequestError
from reports import _figures, _rows
from reports._rows import Row
from reports._study import Study
from reports.statistics import Comparison, Sample, all_pairs, compare, compare_within, holm_family, rank_ranges

Key = tuple[str, str]


@dataclass(frozen=True)
class Line:
    """One comparison of a study, or the sentence that says why there is none."""

    row: Row
    against: Row
    comparison: Comparison | None
    refused: str = ""


def against_reference(study: Study, metric: str) -> list[Line]:
    """Each tuned loss against the tuned reference on the same backbone: one family, under one Holm."""
    references = {row.backbone: row for row in _rows.rows(study, "tuned") if row.label == study.reference}
    lines = [
        _line(study, metric, row, references[row.backbone])
        for row in _rows.rows(study, "tuned")
        if row.label != study.reference and row.backbone in references
    ]
    corrected = iter(holm_family([line.comparison for line in lines if line.comparison]))
    return [Line(one.row, one.against, next(corrected)) if one.comparison else one for one in lines]


def against_itself(study: Study, metric: str) -> list[Line]:
    """The A/A rows: the reference on other seeds against the reference; no part of the family, so not corrected.

    Where there are several searches these are pairs: the same winners were run on other seeds.
    """
    tuned = {(row.backbone, row.label): row for row in _rows.rows(study, "tuned")}
    lines = [
        _line(study, metric, row, tuned[row.backbone, row.label], within=True)
        for row in _rows.rows(study, "again")
        if (row.backbone, row.label) in tuned
    ]
    return [Line(one.row, one.against, holm_family([one.comparison])[0]) if one.comparison else one for one in lines]


def ranks(study: Study, metric: str) -> dict[Key, tuple[int, int]]:
    """(backbone, loss) of each tuned row -> its rank range; empty where the rows cannot all be compared."""
    samples, keys = _tuned_samples(study, metric)
    try:
        found = rank_ranges(samples, higher_is_better=_figures.higher_is_better(metric))
    except RequestError:
        return {}
    return {keys[name]: found[name] for name in samples}


def pairs(study: Study, metric: str) -> dict[tuple[Key, Key], str]:
    """(row, row), each its (backbone, loss) -> the first one's verdict against the second, under a Holm over all pairs."""
    samples, keys = _tuned_samples(study, metric)
    try:
        found = all_pairs(samples, higher_is_better=_figures.higher_is_better(metric))
    except RequestError:
        return {}
    turned = {"better": "worse", "worse": "better"}
    verdicts = {(keys[a], keys[b]): test.verdict for (a, b), test in found.items()}
    return verdicts | {(b, a): turned.get(verdict, verdict) for (a, b), verdict in verdicts.items()}


def _tuned_samples(study: Study, metric: str) -> tuple[dict[str, Sample], dict[str, Key]]:
    """The figures of the tuned rows by their names, and (backbone, loss) of each; nothing where one of them has none."""
    samples: dict[str, Sample] = {}
    keys: dict[str, Key] = {}
    for row in _rows.rows(study, "tuned"):
        cell = _rows.cell(study, row, metric)
        if cell.sample is None or cell.marks:
            return {}, {}
        samples[cell.sample.name] = cell.sample
        keys[cell.sample.name] = row.backbone, row.label
    return samples, keys


def detectable(study: Study, metric: str) -> float | None:
    """The largest of the minimum detectable effects of a column: what every comparison in it would have found."""
    effects = [line.comparison.detectable for line in against_reference(study, metric) if line.comparison]
    return max(effects, default=None)


def _line(study: Study, metric: str, row: Row, against: Row, within: bool = False) -> Line:
    a, b = _rows.cell(study, row, metric), _rows.cell(study, against, metric)
    for one, cell in ((row, a), (against, b)):
        if cell.marks:
            return Line(row, against, None, f"not ranked: {metric} of {one.name} is marked: {cell.marks[0]}")
        if cell.sample is None:
            return Line(row, against, None, f"{metric} of {one.name}: {cell.missing}")
    assert a.sample is not None and b.sample is not None  # a cell without a sample was answered above
    test = compare_within if within and a.sample.searches else compare
    try:
        return Line(row, against, test(a.sample, b.sample, higher_is_better=_figures.higher_is_better(metric)))
    except RequestError as error:
        return Line(row, against, None, str(error))
