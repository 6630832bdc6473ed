"""What the search of a cell has spent, and why it ended before all was spent."""

from collections import Counter
from typing import NamedTuple

from bench.index import Entry
from bench.plain import Trial
from bench.record import Record


class Cut(NamedTuple):
    """Why a search ended before its epochs were spent: `by` names the limit, or is `early_stop`; `reason` is for people."""

    by: str
    reason: str


class Tally:
    """Of the search's trials that ended: how many `finished`, `pruned`, `failed`, the epochs and seconds of all of them.

    Attributes:
        spent: the epochs as the budget counts them. A trial that dies in its first epoch costs one, else a loss that always
            fails would be asked for ever.
        weight: the epochs as turns count them: a failed trial weighs as a whole one.
    """

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.spent = 0
        self.epochs = 0
        self.seconds = 0.0
        self.weight = 0

    def add(self, trial: Trial, record: Record | Entry) -> None:
        """A trial of the search ended."""
        self.states[record.state] += 1
        self.spent += max(1, record.epochs)
        self.epochs += record.epochs
        self.seconds += record.seconds
        self.weight += trial.epochs if record.state == "failed" else record.epochs
