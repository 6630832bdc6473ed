"""Section: every trial that failed, with its reason; a report that hides them is no report."""

from collections import Counter

from markupsafe import Markup

from bench.record import Record
from reports import _markup as html
from reports import _rows, _tuning, _words
from reports._study import Study

TITLE = "Failures"
ORDER = 80
_COUNTED = "A confirmation run that diverged stands in the means with the score of chance."
_LOST = (
    "An error is one of the machine or the request and not of the training; such a run stands in no figure. "
    "Run the sweep again: it retries them."
)


def render(records: Study) -> Markup:
    """How the trials ended, and a line for each that failed."""
    states = Counter(record.state for record in records)
    order = ("finished", "pruned", "failed", "running", "waiting")
    counted = _words.listing([f"{states[state]} {state}" for state in order if states[state]])
    parts = [html.paragraph(f"Of {_words.many(len(records), 'trial')}, {counted}.")]
    failed = [record for record in records if record.state == "failed"]
    if not failed:
        return html.join([*parts, html.paragraph("No trial failed.")])
    columns = [html.Column(title, "short") for title in ("Trial", "Role", "Loss", "Backbone", "Kind")]
    columns += [html.Column("Seed"), html.Column("Epochs done")]
    columns += [html.Column("Settings", "text"), html.Column("Reason", "text")]
    parts.append(html.table(columns, [[_line(record) for record in failed]], sortable=True))
    kinds = {record.kind for record in failed if record.trial.role in _rows.ROLES}
    parts += [
        html.paragraph(note, kind="note") for kind, note in (("diverged", _COUNTED), ("error", _LOST)) if kind in kinds
    ]
    return html.join(parts)


def _line(record: Record) -> list[html.Shown]:
    trial = record.trial
    return [
        html.identifier(trial.id),
        html.Item(trial.role, trial.role),
        html.Item(trial.name, trial.name),
        html.Item(trial.backbone, trial.backbone),
        html.Item(record.kind, record.kind),
        html.Item(str(trial.seed), trial.seed),
        html.Item(str(_tuning.epochs(record)), _tuning.epochs(record)),
        _words.settings(_tuning.parameters(record)),
        record.reason or "no reason recorded",
    ]
