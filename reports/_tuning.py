"""What the searches did: their trials, epochs and development figures."""

import math
from collections.abc import Iterable, Sequence

from bench.record import Record
from reports._study import Study

Key = tuple[str, str]


def searches(study: Study) -> dict[Key, list[Record]]:
    """(backbone, loss) -> the trials of its search, in order. Each of several searches stands by itself: `lmcl #2`."""
    found: dict[Key, list[Record]] = {}
    for record in study.of("search"):
        found.setdefault((record.trial.backbone, record.trial.arm), []).append(record)
    return {key: sorted(group, key=lambda r: r.trial.number) for key, group in sorted(found.items())}


def winner(study: Study, key: Key) -> Record | None:
    """A confirmed run of the configuration that the search of this key chose; None where it confirmed none."""
    return next((r for r in study.of("tuned") if (r.trial.backbone, r.trial.arm) == key), None)


def by_loss(study: Study) -> dict[Key, list[Record]]:
    """(backbone, loss) -> the trials of all its searches."""
    found: dict[Key, list[Record]] = {}
    for group in searches(study).values():
        found.setdefault((group[0].trial.backbone, group[0].trial.name), []).extend(group)
    return found


def epochs(record: Record) -> int:
    """The epochs that a trial trained, whatever became of it: one event an epoch."""
    return len(record.events)


def seconds(records: Iterable[Record]) -> float:
    """The time that trials trained, whatever became of them: to the end of each one's last epoch, loading included."""
    return sum(record.events[-1].seconds for record in records if record.events)


def stopped_early(study: Study) -> dict[Key, str]:
    """(backbone, loss) -> why its search ended before its epochs were spent."""
    cells = study.facts.get("cells", {})
    cut = {place: cell["stopped_early"]["reason"] for place, cell in cells.items() if cell.get("stopped_early")}
    return {(backbone, loss): why for (backbone, _, loss), why in ((k.rpartition("/"), v) for k, v in cut.items())}


def epochs_by_loss(study: Study) -> dict[Key, int]:
    """(backbone, loss) -> epochs of its search, those of pruned and failed trials counted."""
    return {key: sum(epochs(record) for record in group) for key, group in searches(study).items()}


def curve(record: Record, objective: str) -> tuple[list[int], list[float]]:
    """The development figure after each epoch, where it was measured."""
    seen = [(event.epoch, event.metrics[objective]) for event in record.events if objective in event.metrics]
    return [epoch for epoch, _ in seen], [figure for _, figure in seen]


def reached(record: Record, objective: str) -> float:
    """The development figure of a trial: its final one, a pruned trial's last one; NaN where none was measured."""
    if objective in record.metrics:
        return float(record.metrics[objective])
    figures = curve(record, objective)[1]
    return figures[-1] if figures else math.nan


def parameters(record: Record) -> dict[str, float]:
    """The numbers that a search may vary: the loss's own, the learning rate, the weight decay."""
    trial = record.trial
    own = {
        key: float(v)
        for key, v in trial.loss_options.items()
        if isinstance(v, (int, float)) and not isinstance(v, bool)
    }
    return {**own, "learning_rate": trial.learning_rate, "weight_decay": trial.weight_decay}


def logarithmic(values: Sequence[float]) -> bool:
    """Whether numbers that a search tried are drawn by their logarithm: positive, and a factor of eight apart or more."""
    return min(values) > 0 and max(values) / min(values) >= 8
