"""Section: our figures beside those of the papers, for the order of the losses and never for their level."""

from markupsafe import Markup

from bench.errors import RequestError
from reports import _figures, _rows, _words
from reports import _markup as html
from reports import _published as published
from reports._agreement import agreement, in_words
from reports._published import Match
from reports._rows import Row
from reports._study import Study
from reports.criteria import _arms
from reports.statistics import LEAST, Sample

TITLE = "Published figures"
ORDER = 34
TABLES = ("cosface-table-2",)
MARK = "published, other data: order comparable, level not"
_PAIRS = (("rank1", "MF1 rank-1"), ("accuracy", "LFW"))  # our kind of figure, and the published column of its kind
_NOTES = (
    "LMCL is not the best of the table on LFW: 99.33 against 99.42 of A-Softmax.",
    "The rows of the table other than LMCL and A-Softmax-NormFea equal SphereFace's own figures, cut to two decimals "
    "(A-Softmax: 72.729 and 85.561 there, 72.72 and 85.56 here), so they were apparently copied and not run again.",
    "SphereFace's text on its Fig. 6 gives 97.75 for softmax with 64 layers on LFW, this table 97.88.",
    "Softmax + center is 65.49 and 80.14 here; the Center Loss paper has 65.234 and 76.516 with its own network and "
    "data, and CosFace's Table 4 gives the latter as 76.72.",
    "The scale s of A-Softmax-NormFea is not printed.",
)


def render(records: Study) -> Markup:
    """The table that the study names beside ours, for each backbone; nothing where it names none.

    Raises:
        RequestError: the study names a table that there is not.
    """
    named = records.facts.get("published")
    if not named:
        return Markup("")
    if named not in TABLES:
        raise RequestError(f"no published table {named!r}; there is: {', '.join(TABLES)}")
    groups: dict[str, list[Row]] = {}
    for row in _rows.in_order(records, "tuned"):
        groups.setdefault(row.backbone, []).append(row)
    parts = [_backbone(records, backbone, rows, len(groups) > 1) for backbone, rows in groups.items()]
    return html.join([html.paragraph(_head(records)), *parts, html.bullets(_NOTES, "note")])


def _head(study: Study) -> str:
    return (
        f"Wang et al. 2018 (CosFace), Table 2: {MARK}. The paper trained a 64-layer network on CASIA-WebFace, "
        f"{published.IMAGES / 1e6:g} million images of {_words.count(published.IDENTITIES)} identities; {_size(study)}."
    )


def _size(study: Study) -> str:
    """The size of our training data, and its share of the paper's."""
    known = [r.provenance for r in study.of("tuned") if r.state == "finished" and "train_images" in r.provenance]
    if not known:
        return "how many images these losses were trained on is not recorded"
    images, people = known[0]["train_images"], known[0]["train_identities"]
    return (
        f"these losses were trained on {_words.count(images)} images ({_share(images / published.IMAGES)} of that) of "
        f"{_words.count(people)} identities ({_share(people / published.IDENTITIES)})"
    )


def _share(ratio: float) -> str:
    return f"{100 * ratio:.2g} %"


def _backbone(study: Study, backbone: str, rows: list[Row], several: bool) -> Markup:
    found, unmatched = published.matches(rows)
    if not found:
        return html.paragraph(f"No row of this study stands for a row of the table ({backbone}).", *unmatched)
    metrics = {kind: metric for kind, _ in _PAIRS if (metric := _arms.figure(study, kind))}
    ours = {metric: published.samples(study, metric, found) for metric in metrics.values()}
    columns = [
        html.Column("Row", "short"),
        *[html.Column(f"ours: {_figures.full_title(metric)}, %") for metric in ours],
    ]
    columns += [
        html.Column("In the table", "short"),
        *[html.Column(f"published {name}, %") for name in published.COLUMNS],
    ]
    body = [_line(match, ours) for match in found]
    caption = f"{backbone}: ours beside the published" if several else f"Ours beside the published ({MARK})"
    said = [_agreed(ours[metrics[kind]], column, metrics[kind]) for kind, column in _PAIRS if kind in metrics]
    return html.join([html.table(columns, [body], caption=caption, sortable=True), html.bullets([*said, *unmatched])])


def _line(match: Match, ours: dict[str, list[tuple[Match, Sample]]]) -> list[html.Shown]:
    line: list[html.Shown] = [html.Item(match.row.name, match.row.name)]
    for known in ours.values():
        sample = next((sample for other, sample in known if other is match), None)
        shown = _words.plus_minus(sample.mean, sample.spread) if sample else _words.DASH
        line.append(html.Item(shown, sample.mean if sample else None))
    line.append(html.Item(match.entry.system, match.entry.system))
    figures = [match.figures[key] for key in published.COLUMNS.values()]
    return [*line, *[html.Item(_words.percent(figure), figure) for figure in figures]]


def _agreed(known: list[tuple[Match, Sample]], column: str, metric: str) -> str:
    """Kendall's tau of the two orders, in words."""
    said = f"Order by {_figures.full_title(metric)} against the published {column}"
    if len(known) < 2:
        return f"{said}: {len(known)} matched rows, no order to compare."
    theirs = [match.figures[published.COLUMNS[column]] for match, _ in known]
    try:
        seen = agreement([sample for _, sample in known], theirs)
    except RequestError as error:
        return f"{said}: {error}."
    pilot = " (pilot)" if any(sample.seeds < LEAST[sample.unit] for _, sample in known) else ""
    return f"{said}{pilot}: Kendall's {in_words(seen)}."
