"""Section: by how much a figure varies, and with what: training seed, test identities, hyper-parameters, backbone, loss."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from reports import _figures, _rows, _tuning, _words
from reports import _markup as html
from reports._rows import Cell, Row
from reports._sample import Sample
from reports._study import Study

TITLE = "What a figure varies by"
ORDER = 22
SEED, SEARCH, SEARCH_AND_SEED, IDENTITIES = "Training seed", "Search", "Search and seed", "Test identities"
_CAPTION = (
    "Standard deviations, in points. Seed: the same training repeated. Test identities: the standard error of one run that comes "
    "from the finite set of people it is tested on. Search: the same loss tuned anew. "
    "Loss and backbone: between the means of their rows, less what the seeds "
    "put into these means (zero where they explain all of it). Hyper-parameters: between the finished trials of one search, on "
    "the development figure, which is another figure on other people. Rows with a run that diverged are left out."
)


@dataclass(frozen=True)
class Part:
    """One source: its standard deviation (a fraction), and what it was estimated from."""

    name: str
    spread: float
    over: str


def render(records: Study) -> Markup:
    """A table, the largest source first."""
    metric = _rows.primary(records)
    found = sorted(parts(records, metric), key=lambda part: -part.spread) if metric else []
    if not found:
        return html.paragraph("No row has two seeds with a test figure: what it varies by is not known yet.")
    places = _words.digits(part.spread for part in found)
    span = (0.0, found[0].spread)
    body: list[list[html.Shown]] = [
        [
            part.name,
            html.Item(_words.percent(part.spread, places), part.spread),
            html.whisker(part.spread, 0.0, part.spread, span),
            part.over,
        ]
        for part in found
    ]
    columns = [html.Column("Source", "short"), html.Column("SD, points"), html.Column("", "short")]
    columns.append(html.Column("Estimated from", "text"))
    said = html.paragraph(_sentence(records, metric, found))
    return html.join([said, html.table(columns, [body], caption=f"{_figures.full_title(metric)}. {_CAPTION}")])


def parts(study: Study, metric: str) -> list[Part]:
    """The sources that this study can tell apart."""
    rows = [row for row in _rows.rows(study) if row.role in ("tuned", "default", "again")]
    samples = _samples((row, _rows.cell(study, row, metric)) for row in rows)
    # Seeds vary within a search: each is looked at by itself.
    alone = [row.of_search(number) for row in rows for number in row.searches]
    runs = _samples((row, _rows.cell(study, row, metric, runs_apart=True)) for row in alone)
    found = _seeds(runs)
    seed = found[0].spread if found else 0.0  # of one seed a search it is not known, and stays in what varies by search
    found += _anew([s for row, s in samples if row.role == "tuned" and s.searches], runs, seed)
    if not found:
        return []
    found += _identities([sample for _, sample in runs])
    tuned = {(row.backbone, row.label): s for row, s in samples if row.role == "tuned"}
    found += _between(
        "Loss", [[s for (net, _), s in tuned.items() if net == one] for one in _order(net for net, _ in tuned)], seed
    )
    found += _between(
        "Backbone",
        [[s for (_, label), s in tuned.items() if label == one] for one in _order(label for _, label in tuned)],
        seed,
    )
    return found + _searched(study)


def _samples(cells: Iterable[tuple[Row, Cell]]) -> list[tuple[Row, Sample]]:
    """Those without a run that diverged, which scores chance: that is a finding of its own, and no spread."""
    return [(row, cell.sample) for row, cell in cells if cell.sample and not cell.marks and not cell.diverged]


def _seeds(runs: Sequence[tuple[Row, Sample]]) -> list[Part]:
    """The same training repeated; nothing where no row, or search of one, has two seeds."""
    several = [(row, sample) for row, sample in runs if sample.seeds > 1]
    if not several:
        return []
    variance = pooled((float(np.var(s.values, ddof=1)), s.seeds - 1) for _, s in several)
    rows = len({(row.backbone, row.label, row.role) for row, _ in several})
    freedom = sum(sample.seeds - 1 for _, sample in several)
    over = f"{_words.many(rows, 'row')}, {_words.many(freedom, 'degree')} of freedom"
    return [Part(SEED, math.sqrt(variance), over)]


def _identities(runs: Sequence[Sample]) -> list[Part]:
    """The finite set of people that a run is tested on."""
    known = [sample for sample in runs if math.isfinite(sample.within)]
    if not known:
        return []
    size = known[0].clusters.shape[1]
    over = f"{size} folds" if known[0].kind == "folds" else f"{size:,} identities, a jackknife"
    return [Part(IDENTITIES, float(np.sqrt(np.mean([sample.within**2 for sample in known]))), over)]


def _anew(samples: Sequence[Sample], runs: Sequence[tuple[Row, Sample]], seed: float) -> list[Part]:
    """What tuning a loss anew changes: between its searches' means, less what the seeds put into these.

    What is left may be less than nothing in one row: it is pooled as it is, else chance would make it too much.
    """
    several = [sample for sample in samples if sample.seeds > 1]
    if not several:
        return []
    noise = seed**2 * float(np.mean([1 / sample.seeds for row, sample in runs if row.role == "tuned"]))
    spread = root(pooled((between(s.values.tolist(), noise), s.seeds - 1) for s in several))
    searches = sum(s.seeds for s in several)
    over = f"{_words.many(searches, 'search')} of {_words.many(len(several), 'row')}"
    return [Part(SEARCH if seed else SEARCH_AND_SEED, spread, over)]


def pooled(variances: Iterable[tuple[float, int]]) -> float:
    """The mean of (variance, degrees of freedom), weighted by the latter."""
    known = [(variance, df) for variance, df in variances if df > 0]
    return sum(variance * df for variance, df in known) / sum(df for _, df in known)


def between(means: Sequence[float], noise: float) -> float:
    """The variance between levels whose means hold so much variance of noise each, by the method of moments; by
    chance it may be below 0."""
    return float(np.var(means, ddof=1)) - noise


def root(variance: float) -> float:
    """The standard deviation; 0 of a variance that was estimated below it."""
    return math.sqrt(max(0.0, variance))


def _between(name: str, groups: Sequence[Sequence[Sample]], seed: float) -> list[Part]:
    wide = [group for group in groups if len(group) > 1]
    if not wide:
        return []
    variance = pooled(
        (between([s.mean for s in group], float(np.mean([_noise(s, seed) for s in group]))), len(group) - 1)
        for group in wide
    )
    rows = _words.many(sum(map(len, wide)), "row")
    return [Part(name, root(variance), rows + (f" in {len(wide)} groups" if len(wide) > 1 else ""))]


def _noise(sample: Sample, seed: float) -> float:
    """The variance of a row's mean that comes from its units."""
    one = float(np.var(sample.values, ddof=1)) if sample.searches and sample.seeds > 1 else seed**2
    return one / sample.seeds


def _searched(study: Study) -> list[Part]:
    found = []
    for trials in _tuning.searches(study).values():
        figures = [_tuning.reached(record, study.objective) for record in trials if record.state == "finished"]
        known = [figure for figure in figures if math.isfinite(figure)]
        if len(known) > 1:
            found.append((float(np.var(known, ddof=1)), len(known) - 1))
    if not found:
        return []
    count = sum(df + 1 for _, df in found)
    over = f"{count} trials of {len(found)} {'search' if len(found) == 1 else 'searches'}, {_figures.full_title(study.objective)}"
    return [Part("Hyper-parameters", math.sqrt(pooled(found)), over)]


def _sentence(study: Study, metric: str, found: Sequence[Part]) -> str:
    spread = {part.name: part.spread for part in found}
    sources = {SEED: "seed", SEARCH: "search", SEARCH_AND_SEED: "search with its seed", IDENTITIES: "test identities"}
    known = {words: spread[name] for name, words in sources.items() if name in spread}
    what = f"{_words.listing(list(known))} {'together' if len(known) > 1 else 'alone'}"
    said = f"One run of one loss is known to ± {_words.percent(math.hypot(*known.values()))} points ({what})"
    if "Loss" not in spread:
        return f"{said}."
    return f"{said}; the losses differ by {_words.percent(spread['Loss'])} points (standard deviation between them)."


def _order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
