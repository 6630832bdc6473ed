"""The two halves of BLUFR's trials: scores in, the rates of every trial out, with each cluster of people left out too."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.metrics.exact import block, float32, gallery, steps
from bench.metrics.open_set import dir_at_far
from bench.metrics.similarity import Rows
from bench.metrics.tail import Tail
from bench.metrics.verification import allowed_false_accepts
from bench.protocols._blufr_lists import Trial
from bench.waiting import bar


@dataclass(frozen=True)
class People:
    """Who is on each image.

    Attributes:
        owner: (N,) the number of the person.
        cluster: (N,) the number of the person's cluster, 0..G-1.
    """

    owner: np.ndarray
    cluster: np.ndarray

    @property
    def clusters(self) -> int:
        return int(self.cluster.max()) + 1

    @cached_property
    def pairs(self) -> np.ndarray:
        """(2, n) the rows of all genuine pairs, the first before the second."""
        order = np.argsort(self.owner, kind="stable")
        groups = np.split(order, np.cumsum(np.bincount(self.owner))[:-1])
        sides = [rows[np.stack(np.triu_indices(len(rows), 1))] for rows in groups]
        return np.concatenate(sides, axis=1)

    def genuine(self, trials: Sequence[Trial], without: int | None = None) -> list[int]:
        """How many genuine pairs each trial has, without a cluster if asked."""
        sizes = [np.bincount(self.owner[self._left(trial.test, without)]) for trial in trials]
        return [int(np.sum(size * (size - 1) // 2)) for size in sizes]

    def impostors(self, trials: Sequence[Trial], without: int | None = None) -> list[int]:
        """How many impostor pairs each trial has, without a cluster if asked."""
        counts = [len(self._left(trial.test, without)) for trial in trials]
        return [n * (n - 1) // 2 - g for n, g in zip(counts, self.genuine(trials, without), strict=True)]

    def _left(self, rows: np.ndarray, without: int | None) -> np.ndarray:
        return rows if without is None else rows[self.cluster[rows] != without]


def verification(
    rows: Rows, people: People, trials: Sequence[Trial], fars: Sequence[float], name: str
) -> dict[float, np.ndarray]:
    """For each FAR (T, 1 + G) the verification rate of each trial: of all people, and without each cluster of them.

    A column that some trial has no genuine or no impostor pair in is left out with all the others but the first.
    """
    everybody: list[int | None] = [None, *range(people.clusters)]
    allowed = {
        one: [[allowed_false_accepts(far, n) for far in fars] for n in people.impostors(trials, one)]
        for one in everybody
    }
    whole = all(min(people.genuine(trials, one)) and min(people.impostors(trials, one)) for one in everybody)
    columns = everybody if whole else [None]
    first, second = people.pairs
    scores = rows.scores(first, rows, second)
    member = _members(trials, len(people.owner))
    found = np.empty((len(fars), len(trials), len(columns)))
    levels = _levels(
        rows, people, member, [{one: allowed[one][t] for one in columns} for t in range(len(trials))], name
    )
    for t, of_trial in enumerate(levels):
        inside = member[t, first] & member[t, second]
        own, cluster = scores[inside], people.cluster[first[inside]]
        for column, one in enumerate(columns):
            kept = own if one is None else own[cluster != one]
            found[:, t, column] = [np.mean(kept > level) for level in of_trial[one]]
    return dict(zip(fars, found, strict=True))


_Asked = dict[int | None, list[int]]  # left-out cluster -> numbers of false accepts


def _levels(
    rows: Rows, people: People, member: np.ndarray, asked: list[_Asked], name: str
) -> list[dict[int | None, list[float]]]:
    """For each trial, left-out cluster and allowed number of false accepts: the impostor score that must be exceeded.

    With a cluster left out the threshold lies deeper; twice as many scores are kept as are needed without, and more where
    a cluster has so many of the highest that this is not enough.
    """
    spare = 2
    while True:
        tails = [Tail(spare * (1 + max(one[None])), people.clusters) for one in asked]
        _stream(rows, people, member, tails, name)
        found = []
        for tail, of_trial in zip(tails, asked, strict=True):
            found.append({one: tail.to_exceed(numbers, one) for one, numbers in of_trial.items()})
        if not any(level is None for part in found for levels in part.values() for level in levels):
            return found  # type: ignore[return-value]
        spare *= 4


def _stream(rows: Rows, people: People, member: np.ndarray, tails: list[Tail], name: str) -> None:
    """All impostor pairs of all trials through their tails: one product for the ten trials, which share most pairs."""
    count = len(people.owner)
    made = gallery(rows, np.arange(count))
    with bar(name) as advance:
        for part in steps(count, count):
            here, there = np.arange(part.start, part.stop), np.arange(part.start, count)
            scores = block(rows, here, rows, there, made[part.start :])
            twice = there[None, : len(here)] <= here[:, None]  # each pair once, and no image with itself
            scores.values[:, : len(here)][twice] = -np.inf
            scores.values[people.owner[here][:, None] == people.owner[there]] = -np.inf
            floor = min(tail.floor for tail in tails)
            row, column = np.nonzero(scores.values >= float32(floor - scores.margin))
            exact = scores.exact(row, column)
            first, second = here[row], there[column]
            for inside, tail in zip(member, tails, strict=True):
                chosen = inside[first] & inside[second] & (exact >= tail.floor)
                tail.add(exact[chosen], people.cluster[np.stack([first[chosen], second[chosen]])])
            advance(part.stop, count)
    for tail in tails:
        tail.close()


def _members(trials: Sequence[Trial], count: int) -> np.ndarray:
    """(T, N) whether an image is in the test set of a trial."""
    member = np.zeros((len(trials), count), bool)
    for inside, trial in zip(member, trials, strict=True):
        inside[trial.test] = True
    return member


def identification(
    rows: Rows, people: People, trials: Sequence[Trial], fars: Sequence[float]
) -> dict[float, np.ndarray]:
    """For each FAR (T, 1 + G) the rank-1 detection and identification rate of each trial: of all people, and without each
    cluster of them, in the gallery and among the probes. Without a cluster none is left out if a trial then lacks probes.
    """
    found: list[list[list[float]]] = []
    whole = True
    for trial in trials:
        closest = _Closest.of(rows, people, trial)
        values = [closest.rates(fars, one) for one in (None, *range(people.clusters))]
        whole &= all(value is not None for value in values)
        found.append([value or [np.nan] * len(fars) for value in values])
    table = np.array(found).transpose(2, 0, 1)
    return dict(zip(fars, table if whole else table[:, :, :1], strict=True))


@dataclass(frozen=True)
class _Closest:
    """What each probe of a trial found in the gallery: its mate's score (-inf: no mate), the highest score of another
    person with that person's cluster, and the highest of the people outside that cluster (-inf: nobody)."""

    mate: np.ndarray
    best: np.ndarray
    whose: np.ndarray
    other: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, rows: Rows, people: People, trial: Trial) -> "_Closest":
        columns = trial.gallery[np.argsort(people.cluster[trial.gallery], kind="stable")]
        clusters, starts = np.unique(people.cluster[columns], return_index=True)
        made = gallery(rows, columns)
        count = len(trial.probes)
        found = cls(
            np.full(count, -np.inf), np.full(count, -np.inf), np.full(count, -1), np.full(count, -np.inf),
            people.cluster[trial.probes],
        )  # fmt: skip
        for part in steps(count, len(columns)):
            probes = trial.probes[part]
            scores = block(rows, probes, rows, columns, made)
            row, column = np.nonzero(people.owner[probes][:, None] == people.owner[columns])
            scores.values[row, column] = -np.inf
            found.mate[part][row] = scores.exact(row, column)
            # The best of each cluster; the two best clusters are among those whose value reaches the second of these.
            of_cluster = np.maximum.reduceat(scores.values, starts, axis=1)
            second = (
                np.partition(of_cluster, -2, axis=1)[:, [-2]]
                if len(clusters) > 1
                else np.full((len(probes), 1), -np.inf)
            )
            row, column = np.nonzero(scores.values >= float32(second - 2 * scores.margin))
            table = np.full((len(probes), len(clusters)), -np.inf)
            place = np.searchsorted(clusters, people.cluster[columns])[column]
            np.maximum.at(table, (row, place), scores.exact(row, column))
            top = table.argmax(axis=1)
            every = np.arange(len(probes))
            found.best[part], found.whose[part] = table[every, top], clusters[top]
            table[every, top] = -np.inf
            found.other[part] = table.max(axis=1)
        return found

    def rates(self, fars: Sequence[float], without: int | None) -> list[float] | None:
        """DIR at each FAR, without a cluster of people if asked; None where no mated probe or no other is left."""
        keep = np.ones(len(self.own), bool) if without is None else self.own != without
        best = self.best if without is None else np.where(self.whose == without, self.other, self.best)
        mated = np.isfinite(self.mate)
        mate, strangers = self.mate[keep & mated], best[keep & ~mated]
        if not len(mate) or not len(strangers):
            return None
        return [dir_at_far(mate, mate > best[keep & mated], strangers, far) for far in fars]
