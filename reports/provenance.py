"""Section: the code, versions, machine, data and protocols behind the figures, and the command that redoes them."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from reports import _markup as html
from reports import _rows, _words
from reports._study import Study

TITLE = "Provenance"
ORDER = 900


def render(records: Study) -> Markup:
    """Commands, what the records say of their origin, and the protocols with their hashes and scorings."""
    return html.join([_commands(records), _origin(records), _protocols(records)])


def _commands(study: Study) -> Markup:
    command = study.facts.get("command")
    lines = [str(command)] if command else []
    lines.append(f"facebench report {study.name}")
    return Markup("<pre><code>{}</code></pre>").format("\n".join(lines))


def _origin(study: Study) -> Markup:
    """Every fact with its values; where runs differ, each value with the number of runs that have it."""
    found: dict[str, Counter[str]] = {}
    for record in study:
        computed = {key: record.cost.get(key) for key in ("device", "precision")}
        for key, value in _facts(record.provenance | computed):
            found.setdefault(key, Counter())[value] += 1
    if not found:
        return html.paragraph("No finished run, so nothing is recorded of code, versions and machine.")
    body = []
    for key, values in found.items():
        shown = [
            value if len(values) == 1 else f"{value} ({_words.many(n, 'run')})" for value, n in values.most_common(12)
        ]
        more = [f"and {len(values) - 12} more values"] * (len(values) > 12)
        body.append([key.replace("_", " "), html.join([html.code(text) for text in [*shown, *more]], ", ")])
    columns = [html.Column("What", "short"), html.Column("Value", "text")]
    return html.table(columns, [body], caption="As recorded by the finished runs.")


def _facts(provenance: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """`key, text` pairs; a nested mapping (package versions) is one text."""
    for key, value in provenance.items():
        if isinstance(value, dict):
            yield key, ", ".join(f"{name} {inner}" for name, inner in value.items())
        elif key == "members":
            continue  # an ensemble's networks: dozens of ids a run, kept in its record
        elif key == "dirty":
            yield "uncommitted changes", "yes" if value else "no"
        elif isinstance(value, (list, tuple)):
            yield from [(key, json.dumps(value))] if value else []
        elif value is not None and value != "":
            yield key, str(value)


def _protocols(study: Study) -> Markup:
    columns = [html.Column("Protocol", "short"), html.Column("Hash", "short")]
    columns += [html.Column(t) for t in ("Scored here", "In the ledger, this study", "In the ledger, all studies")]
    columns += [html.Column("Overlap with training", "text"), html.Column("What the hash is of", "text")]
    body = []
    for protocol in _rows.protocols(study):
        scores = [record.scores[protocol] for record in study if protocol in record.scores]
        for version, count in Counter(str(score.get("hash", "")) for score in scores).items():
            score = next(s for s in scores if str(s.get("hash", "")) == version)
            own, every = study.scorings(protocol, version)
            overlap = {"verdict": "unknown", "detail": ""} | score.get("overlap", {})
            said = ": ".join(word for word in (overlap["verdict"], overlap["detail"]) if word)
            spec = html.small(html.code(json.dumps(score.get("spec", {}), sort_keys=True)))
            counts = [str(count), str(own), str(every)]
            body.append([protocol, html.identifier(version), *counts, said, spec])
    if not body:
        return Markup("")
    caption = (
        "A hash names a version of a protocol, its lists and options. Figures of different hashes are never compared. "
        "The ledger counts every scoring, those of runs that were thrown away too."
    )
    return html.join([html.heading("Test protocols"), html.table(columns, [body], caption=caption)])
