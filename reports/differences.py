"""Section: each loss against the reference by the two-way t interval, and the reference against itself."""

from markupsafe import Markup

from reports import _comparisons, _figures, _rows, _words
from reports import _markup as html
from reports._comparisons import Line
from reports._study import Study

TITLE = "Differences"
ORDER = 21
_METHOD = (
    "Two-way t interval over training seeds and test identities, which are crossed: SE² is the variance over seeds of "
    "both losses plus the variance over identities of their difference, with Satterthwaite's degrees of freedom. "
    "Intervals are 95 % and not corrected; p is corrected by Holm over the losses compared. A difference that is not "
    "significant is called a tie, which is no proof of equality: the last column is the true difference that would "
    "have been found with 80 % power at p < .05, not corrected either."
)
_SEARCHES = (
    "Here each loss was tuned by several independent searches, and what is called seeds above are these: the unit is the "
    "search, with the mean over its seeds, because seeds of one search share its hyper-parameters. The A/A row pairs the "
    "searches, whose winners it runs on other seeds."
)
_CLOSED = "On a closed set the ten folds of its test images stand in for the test identities."
_AGAIN = (
    "The A/A row compares the reference with itself on other seeds, outside the family and without correction. It must "
    "be a tie; by construction about one such row in twenty is not."
)
_SHARED = (
    "These figures were not declared as the test of this study. Protocols built from the same people are not "
    "independent of one another, so agreement between them is no second confirmation."
)


def render(records: Study) -> Markup:
    """The declared family on the primary figure, then the same table, without a verdict, for the other protocols."""
    metric = _rows.primary(records)
    if not metric or not any(row.done("finished") for row in _rows.rows(records, "tuned")):
        return html.paragraph(f"No comparison yet: the {_tuned(records)}losses have no test figures.")
    if not _comparisons.against_reference(records, metric):
        return html.paragraph(
            f"No comparison: no other {_tuned(records)}loss stands beside the reference {records.reference}."
        )
    method = [_METHOD, *[_SEARCHES] * (_rows.searches(records) > 1), *[_CLOSED] * _figures.closed(metric), _AGAIN]
    parts = [_table(records, metric, declared=True), html.paragraph(*method, kind="note")]
    others = [m for p in _rows.protocols(records) if (m := _rows.leading_figure(records, p)) and m != metric]
    if others:
        parts += [html.heading("The same on the other protocols"), html.paragraph(_SHARED, kind="note")]
    return html.join([*parts, *[_table(records, other, declared=False) for other in others]])


def _tuned(study: Study) -> str:
    return "tuned " if study.searched else ""


def _table(study: Study, metric: str, *, declared: bool) -> Markup:
    lines, again = _comparisons.against_reference(study, metric), _comparisons.against_itself(study, metric)
    known = [line.comparison for line in (*lines, *again) if line.comparison]
    span = html.span([0.0, *[edge for c in known for edge in (c.low, c.high)]])
    places = _words.digits(c.se for c in known)
    columns = [
        html.Column(f"A {_words.MINUS} B", "short"),
        html.Column("Difference, points"),
        html.Column("95 % interval"),
    ]
    columns += [html.Column("", "short"), *[html.Column(title) for title in ("SE", "d.f.", "p (Holm)")]]
    columns += [html.Column("Verdict", "short"), html.Column("Detectable, points")]
    bodies = [[_line(study, line, span, places, declared) for line in block] for block in (lines, again)]
    direction = "" if _figures.higher_is_better(metric) else " Lower is better: a negative difference speaks for A."
    kind = "The declared test: " if declared else ""
    caption = Markup("<strong>{}{}.</strong>{}").format(kind, _figures.full_title(metric), direction)
    refused = [f"{_who(study, line)}: {line.refused}" for line in (*lines, *again) if line.refused]
    return html.join([html.table(columns, bodies, caption=caption, sortable=True), html.bullets(refused, "note")])


def _who(study: Study, line: Line) -> str:
    return _rows.label(study, f"{line.row.name} {_words.MINUS} {line.against.name}", line.row.backbone)


def _line(study: Study, line: Line, span: tuple[float, float], places: int, declared: bool) -> list[html.Shown]:
    who = _who(study, line)
    c = line.comparison
    if c is None:
        return [who, _words.DASH, _words.DASH, "", _words.DASH, _words.DASH, _words.DASH, "no comparison", _words.DASH]
    return [
        html.Item(who, who),
        html.Item(_words.percent(c.difference, places, sign=True), c.difference),
        _words.interval(c.low, c.high, places),
        html.whisker(c.difference, c.low, c.high, span, 0.0),
        html.Item(_words.percent(c.se, places), c.se),
        html.Item(f"{c.df:.1f}", c.df),
        html.Item(_words.p(c.adjusted), c.adjusted),
        verdict(line) if declared or c.pilot or line.row.role == "again" else "shown only",
        html.Item(_words.percent(c.detectable, places), c.detectable),
    ]


def verdict(line: Line) -> str:
    """A's verdict in words; the A/A row is said to be the tie that it must be, or not."""
    assert line.comparison is not None
    if line.row.role != "again":
        return line.comparison.verdict
    return "not a tie: see the note" if line.comparison.significant else "tie, as it must be"
