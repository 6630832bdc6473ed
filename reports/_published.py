"""Published figures as the papers print them, and which of our rows stands for which row of CosFace's Table 2."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

from reports import _rows
from reports._rows import Row
from reports._study import Study
from reports.criteria import _arms
from reports.statistics import Sample

COSFACE = "Wang2018 (CosFace, arXiv 1801.09414v2)"
# CASIA-WebFace as CosFace prints it (Sec. 4.1 and Table 2).
IMAGES, IDENTITIES = 490_000, 10_575
LFW, YTF = ("LFW", "accuracy_pct"), ("YTF", "accuracy_pct")
RANK1 = ("MegaFace MF1 FaceScrub", "rank1_pct")
VERIFICATION = ("MegaFace MF1 FaceScrub", "tar_pct_at_far_1e-6")
COLUMNS = {"LFW": LFW, "YTF": YTF, "MF1 rank-1": RANK1, "MF1 ver.": VERIFICATION}


@dataclass(frozen=True)
class Entry:
    """A row of CosFace's Table 2, and what a trial must be asked for to stand for it."""

    system: str
    loss: str
    options: Mapping[str, Any] = field(default_factory=dict)


TABLE_2 = (
    Entry("Softmax", "softmax"),
    Entry("Softmax+Contrastive", "deepid2"),
    Entry("Triplet", "triplet"),
    Entry("L-Softmax", "lsoftmax"),
    Entry("Softmax+Center", "center", {"softmax_weight": 1}),
    Entry("A-Softmax (SphereFace)", "asoftmax", {"normalize_features": False}),
    Entry("A-Softmax-NormFea", "asoftmax", {"normalize_features": True}),
    Entry("LMCL (CosFace)", "lmcl", {"normalize_features": True}),
)


@dataclass(frozen=True)
class Match:
    """One of our rows and the published row that it stands for; `figures` are fractions, by (dataset, metric)."""

    row: Row
    entry: Entry
    figures: Mapping[tuple[str, str], float]


@lru_cache(maxsize=1)
def figures() -> tuple[dict[str, str], ...]:
    """Every published figure, a dictionary each: `paper`, `system`, `loss`, `training_set`, `backbone`, `dataset`,
    `protocol`, `metric`, `value` (as printed: percent where the metric ends in `_pct` or holds it) and `source`."""
    text = files("reports").joinpath("_published.csv").read_text()
    return tuple(csv.DictReader(text.splitlines()))


def table_2(system: str) -> dict[tuple[str, str], float]:
    """(dataset, metric) -> fraction of one row of CosFace's Table 2."""
    return {
        (line["dataset"], line["metric"]): float(line["value"]) / 100
        for line in figures()
        if line["paper"] == COSFACE and line["source"] == "Table 2" and line["system"] == system
    }


def matches(rows: Iterable[Row]) -> tuple[list[Match], list[str]]:
    """The rows of one backbone that stand for rows of Table 2, in its order; and what could not be matched, in words.

    A row stands for a published one by its loss and hyper-parameters; it must be of whole images compared by cosine,
    with one supervised layer.
    """
    plain = [row for row in rows if _single(row)]
    found, notes = [], []
    for entry in TABLE_2:
        ours = _arms.of(plain, entry.loss, **entry.options)
        if len(ours) == 1:
            found.append(Match(ours[0], entry, table_2(entry.system)))
        elif ours:
            names = ", ".join(row.name for row in ours)
            notes.append(f"{entry.system}: {len(ours)} rows could stand for it ({names}), so none is compared.")
    return found, notes


def samples(study: Study, metric: str, found: Iterable[Match]) -> list[tuple[Match, Sample]]:
    """The matched rows that have a figure which may be ranked, with it."""
    cells = [(match, _rows.cell(study, match.row, metric)) for match in found]
    return [(match, cell.sample) for match, cell in cells if cell.sample is not None and not cell.marks]


def _single(row: Row) -> bool:
    trials = [record.trial for record in row.records]
    return all(t.scorer == "cosine" and t.patch is None and not t.patches and not t.supervise for t in trials)
