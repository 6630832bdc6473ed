"""The development figures of a search's trials: which is best, in which order."""

from collections.abc import Iterable
from statistics import fmean


class Figures:
    """Of each search trial, by number, its figure and those of its repetitions on other seeds."""

    def __init__(self, minimise: bool):
        self._sign = 1 if minimise else -1
        self._of: dict[int, list[float]] = {}
        self._best: float | None = None  # None: to be found anew

    def add(self, number: int, figure: float) -> None:
        """A run of trial `number` finished."""
        self._of.setdefault(number, []).append(figure)
        self._best = None

    def first(self) -> list[float]:
        """The figure of each trial of the search itself."""
        return [figures[0] for figures in self._of.values()]

    def best(self) -> float | None:
        """The best mean so far."""
        if self._best is None and self._of:  # asked for at every event, changed by few
            self._best = fmean(self._of[self.ranked()[0]])
        return self._best

    def ranked(self, numbers: Iterable[int] | None = None) -> list[int]:
        """Trials by their mean figure, the best first; the earlier trial on a tie."""
        given = self._of if numbers is None else numbers
        return sorted(given, key=lambda number: (self._sign * fmean(self._of[number]), number))

    def winner(self) -> int | None:
        """The best mean among those that were run on the most seeds."""
        most = max(map(len, self._of.values()), default=0)
        return next(iter(self.ranked(n for n, figures in self._of.items() if len(figures) == most)), None)
