"""Section: the answer in three sentences, written from the numbers, and what a reader must hold against it."""

from markupsafe import Markup

from reports import _comparisons, _figures, _rows, _words
from reports import _markup as html
from reports._caveats import caveats
from reports._comparisons import Line
from reports._study import Study
from reports.statistics import LEAST, PILOT

TITLE = "Verdict"
ORDER = 10
_PHRASES = {
    "better": "better than {reference}",
    "worse": "worse than {reference}",
    "tie": "tied with {reference}",
    PILOT: "shown without a verdict, which needs {least} of both",
}


def render(records: Study) -> Markup:
    """Who is better and by how much; what the study could have seen; what the answer holds for."""
    said = html.join(html.paragraph(sentence) for sentence in sentences(records))
    against = caveats(records)
    head = html.paragraph("To be held against this:", kind="alert") if against else Markup("")
    return Markup('<div class="verdict">{}</div>{}{}').format(said, head, html.bullets(against, "alert"))


def sentences(study: Study) -> list[str]:
    """Those of the three that there are."""
    return [said for said in (answer(study), sensitivity(study), scope(study)) if said]


def answer(study: Study) -> str:
    """The first sentence: the declared comparisons, or why there are none."""
    tuned = _rows.rows(study, "tuned")
    ended = sum(len(row.done("finished")) + len(row.done("failed")) for row in tuned)
    metric = _rows.primary(study)
    if not ended or not metric:
        asked = sum(len(row.records) for row in tuned)
        how_far = f"{ended} of {asked} confirmation runs have ended" if asked else "no confirmation run was started"
        return f"There are no test figures yet: {how_far}."
    lines = _comparisons.against_reference(study, metric)
    tests = [line for line in lines if line.comparison]
    name = _figures.full_title(metric)
    if not tests:
        refused = f" ({lines[0].refused})" if lines else ""
        return f"On {name} no loss can be compared with the reference {study.reference}{refused}."
    groups: dict[str, list[Line]] = {}
    for line in tests:
        groups.setdefault(line.comparison.verdict if line.comparison else "", []).append(line)
    if set(groups) == {PILOT}:
        return _pilot(study, name, tests)
    said = [_group(study, groups[word], phrase) for word, phrase in _PHRASES.items() if word in groups]
    return f"On {name}, {'; '.join(said)}."


def _pilot(study: Study, name: str, tests: list[Line]) -> str:
    fewest = min((line.comparison for line in tests if line.comparison), key=lambda c: c.seeds)
    units = _words.many(fewest.seeds, "independent search" if fewest.unit == "search" else "training seed")
    return (
        f"Pilot, no verdict: with {units} a loss (a verdict needs {fewest.least}), the differences to "
        f"{study.reference} on {name} are shown and nothing is claimed: {_listed(study, tests)}."
    )


def _group(study: Study, lines: list[Line], phrase: str) -> str:
    said = phrase.format(reference=study.reference, least=_least(lines))
    return f"{_listed(study, lines)} {'is' if len(lines) == 1 else 'are'} {said}"


def _least(lines: list[Line]) -> str:
    """`5 seeds`, or `3 searches`."""
    return next(_words.many(c.least, c.unit) for line in lines if (c := line.comparison))


def _listed(study: Study, lines: list[Line]) -> str:
    """Each loss with its difference, the interval and p; in a pilot without p, which would be read as a verdict."""
    said = []
    for line in lines:
        c = line.comparison
        assert c is not None
        places = _words.digits([c.se])
        numbers = [f"{_words.percent(c.difference, places, sign=True)} points"]
        numbers.append(f"95 % interval {_words.interval(c.low, c.high, places)}")
        numbers += [] if c.pilot else [f"Holm {_words.p_is(c.adjusted)}"]
        said.append(f"{_rows.label(study, line.row.name, line.row.backbone)} ({', '.join(numbers)})")
    return _words.listing(said)


def sensitivity(study: Study) -> str:
    """The second sentence: the minimum detectable effect, and how the A/A row came out."""
    metric = _rows.primary(study)
    size = _comparisons.detectable(study, metric) if metric else None
    if size is None:
        return ""
    said = (
        f"A true difference of {_words.percent(size, 1)} points would have been found with 80 % power, a smaller one "
        "more likely missed"
    )
    again = [line.comparison for line in _comparisons.against_itself(study, metric) if line.comparison]
    if not again:
        return f"{said}; there is no A/A row to check that by."
    worst = min(again, key=lambda c: c.p)
    came = "is NOT a tie, which happens by chance once in twenty and otherwise means a defect"
    if not worst.significant:
        came = "is a tie, as it must be"
    numbers = f"difference {_words.percent(worst.difference, sign=True)} points, {_words.p_is(worst.p)}"
    return f"{said}; the reference against itself on other seeds {came} ({numbers})."


def scope(study: Study) -> str:
    """The third sentence: what the answer holds for."""
    records = study.of("tuned") or list(study.records)
    data = _words.listing(sorted({str(record.trial.data.get("name", "unknown")) for record in records}))
    nets = _words.listing(sorted({record.trial.backbone for record in records}))
    epochs = _words.listing(sorted({str(record.trial.epochs) for record in records}), "or")
    return (
        f"All of this holds for these losses {_tuned(study)}, with {nets} trained for {epochs} epochs on {data}, "
        f"and not for {_beyond(study)}larger data or longer training."
    )


def _tuned(study: Study) -> str:
    if not study.searched:
        return "as set in the study file"
    budget = study.settings("tune").get("budget_epochs")
    epochs = f" of {_words.count(budget)} epochs" if budget else ""
    if (count := _rows.searches(study)) > 1:
        each = f", each{epochs}" if budget else ""
        return f"over {count} independent searches a loss{each}{_lacking(study)}"
    return f"as tuned by one search{epochs} a loss"


def _lacking(study: Study) -> str:
    """The rows that have fewer searches than were asked for: a search without a winner, or to come, is in no figure."""
    asked = study.settings("tune").get("searches", 1)
    counted = [(row, _rows.searches_of(row)) for row in _rows.rows(study, "tuned")]
    said = [f"{count} of {_rows.label(study, row.name, row.backbone)}" for row, count in counted if count < asked]
    if not said:
        return ""
    return f" (of {asked} that were asked for {_words.listing(said)} confirmed a winner: the others are in no figure)"


def _beyond(study: Study) -> str:
    """What several searches speak of and one does not."""
    return "other budgets of tuning, " if _rows.searches(study) >= LEAST["search"] else "the losses as such, "
