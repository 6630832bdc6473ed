"""Section: the papers' claims that the study set out to judge, each with its verdict and the figures behind it."""

from collections.abc import Sequence

from markupsafe import Markup

from reports import _markup as html
from reports import _rows, _words, criteria
from reports._study import Study
from reports.criteria import Finding

TITLE = "The papers' claims"
ORDER = 32
_METHOD = (
    "A claim holds (PASS) where all of its parts do, fails (FAIL) where one of them does, and is otherwise not decidable "
    "with these data. A part passes where the whole 95 % interval of its figure is on the claimed side of the bound, "
    "fails where all of it is on the other side, and is not decidable between, below five seeds (three searches), or where "
    "something is missing. Figures of test protocols have the two-way interval over {units} and test identities; figures of "
    "features have a t interval over training seeds. The intervals of the parts are not corrected for their number: "
    "for a PASS all must clear their bounds at once. A FAIL is a finding about these data and this training, and is shown "
    "like a PASS. The bounds are this project's, as the papers give pictures or single figures."
)


def render(records: Study) -> Markup:
    """A table of the claims with their parts, and the figures of each arm below; nothing where no claim is named."""
    named = [str(name) for name in records.facts.get("criteria") or ()]
    if not named:
        return Markup("")
    unit = _rows.unit(records)
    judged = {name: criteria.find(name).judge(records) for name in named}
    columns = [html.Column("", "short"), html.Column("Claim and its parts", "wide")]
    columns += [html.Column("Verdict", "short"), html.Column("Figures", "wide")]
    columns.append(html.Column("Seeds" if unit == "seed" else "Units"))
    bodies = [_claim(name, found) for name, found in judged.items()]
    tables = [_details(name, found, unit) for name, found in judged.items()]
    method = html.paragraph(_METHOD.format(units=_words.units(unit)), kind="note")
    return html.join([method, html.table(columns, bodies), *tables])


def _claim(name: str, found: Sequence[Finding]) -> list[list[html.Shown]]:
    module = criteria.find(name)
    said = Markup("<strong>{}</strong>")
    counts = [one.seeds for one in found if one.seeds is not None]
    seeds = str(min(counts)) if counts else _words.DASH
    head: list[html.Shown] = [said.format(module.ID), said.format(module.CLAIM), said.format(criteria.overall(found))]
    parts: list[list[html.Shown]] = [
        ["", one.statement, one.verdict, one.statistic, _words.DASH if one.seeds is None else str(one.seeds)]
        for one in found
    ]
    return [[*head, _summary(found), seeds], *parts]


def _summary(found: Sequence[Finding]) -> str:
    """How many parts came out how."""
    verdicts = [one.verdict for one in found if one.verdict != criteria.REPORTED]
    words = {criteria.PASS: "pass", criteria.FAIL: "fail", criteria.NOT_DECIDABLE: "not decidable"}
    counted = [f"{verdicts.count(verdict)} {word}" for verdict, word in words.items() if verdict in verdicts]
    return f"of {_words.many(len(verdicts), 'part')}: {', '.join(counted)}"


def _details(name: str, found: Sequence[Finding], unit: str) -> Markup:
    """The tables behind the parts."""
    tables = []
    for one in found:
        if one.details:
            head, *lines = one.details
            columns = [html.Column(title, "" if place else "short") for place, title in enumerate(head)]
            tables.append(html.table(columns, [[list(line) for line in lines]]))
    said = f"figures by arm, mean ± standard deviation over {_words.units(unit)}"
    heading = html.heading(f"{criteria.find(name).ID}: {said}")
    return html.join([heading, *tables]) if tables else Markup("")
