"""Section: what one run of each row cost."""

from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from reports import _cells, _rows, _words
from reports import _markup as html
from reports._study import Study

TITLE = "Cost"
ORDER = 65
_COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("epochs", "Epochs", _words.count),
    ("train_seconds", "Training", _words.duration),
    ("images_per_second", "Images/s", lambda n: f"{n:,.0f}"),
    ("peak_memory_mb", "Peak memory", lambda n: f"{n:,.0f} MB"),
    ("parameters", "Parameters", _words.millions),
)
_NOT_REPORTED = "not reported"


def render(records: Study) -> Markup:
    """Training time, throughput, memory and size, averaged over the seeds of a row."""
    body: list[list[html.Shown]] = []
    for row in _rows.rows(records):
        costs = [record.cost for record in row.done("finished") if record.cost]
        if costs:
            devices = _words.listing(sorted({str(cost.get("device", "unknown")) for cost in costs}))
            shown = [_cell(costs, key, text) for key, _, text in _COLUMNS]
            body.append([_cells.label(records, row), *shown, _energy(costs), devices])
    if not body:
        return html.paragraph("No confirmation run has ended, so no cost is known.")
    columns = [html.Column("Loss", "short"), *[html.Column(title) for _, title, _ in _COLUMNS], html.Column("Energy")]
    caption = (
        "One run, averaged over seeds; training alone. Times depend on what else the machine did. Peak memory on a CPU is "
        "that of the whole worker process, the trials before it included. " + _whose(records)
    )
    return html.table([*columns, html.Column("Device", "short")], [body], caption=caption, sortable=True)


def _energy(costs: Sequence[dict[str, Any]]) -> html.Item:
    """The mean, where every run has it: runs on other devices would not be the same cost."""
    if not all("energy_joules" in cost for cost in costs):
        return html.Item(_NOT_REPORTED)
    return _cell(costs, "energy_joules", _words.energy)


def _whose(study: Study) -> str:
    """What the energy is that of."""
    sources = {str(r.cost["energy_of"]) for r in study.of(*_rows.ROLES) if "energy_of" in r.cost}
    if not sources:
        return "Energy: no device here reported it."
    whole = _words.listing(sorted(sources))
    return f"Energy: of the {whole} during the training steps, that of whatever else ran on it meanwhile included."


def mean(costs: Sequence[dict[str, Any]], key: str) -> float | None:
    """The mean of one entry over the runs that have it; None where none has."""
    known = [float(cost[key]) for cost in costs if isinstance(cost.get(key), (int, float))]
    return sum(known) / len(known) if known else None


def _cell(costs: Sequence[dict[str, Any]], key: str, text: Callable[[float], str]) -> html.Item:
    number = mean(costs, key)
    return html.Item(_words.DASH) if number is None else html.Item(text(number), number)
