"""The development figures of a search's trials: which is best, in which order."""

from collections.abc import Iterable
from statistics import fmean


class Figures:
    """Of each search trial, by number, its figure and those of its repetitions on other seeds."""

    def __init__(self, minimise: bool):
        self._sign = 1 if minimise else -1
        self._of: dict[int, list[float]] = {}
        self._means: dict[int, float] = {}
        self._best: int | None = None

    def add(self, number: int, figure: float) -> None:
        """A run of trial `number` finished."""
        self._of.setdefault(number, []).append(figure)
        self._means[number] = fmean(self._of[number])
        if self._best == number:  # it may have become worse
            self._best = self.ranked()[0]
        elif self._best is None or self._place(number) < self._place(self._best):
            self._best = number

    def first(self) -> list[float]:
        """The figure of each trial of the search itself."""
        return [figures[0] for figures in self._of.values()]

    def best(self) -> float | None:
        """The best mean so far."""
        return None if self._best is None else self._means[self._best]

    def ranked(self, numbers: Iterable[int] | None = None) -> list[int]:
        """Trials by their mean figure, the best first; the earlier trial on a tie."""
        return sorted(self._of if numbers is None else numbers, key=self._place)

    def winner(self) -> int | None:
        """The best mean among those that were run on the most seeds."""
        most = max(map(len, self._of.values()), default=0)
        return next(iter(self.ranked(n for n, figures in self._of.items() if len(figures) == most)), None)

    def _place(self, number: int) -> tuple[float, int]:
        return self._sign * self._means[number], number
