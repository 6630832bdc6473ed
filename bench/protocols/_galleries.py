"""Galleries of distractors: nested ones are counted in one pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.metrics import Search, search
from bench.metrics.similarity import Rows
from bench.waiting import bar


@dataclass(frozen=True, eq=False)
class Chain:
    """Galleries of which each holds the one before.

    Attributes:
        order: (n,) rows of distractors.
        stops: of each gallery its size by name, rising, and how many it holds: the first so many of `order`.
        silent: how many further distractors stand in the largest gallery and can be taken for nobody (refined features).
    """

    order: np.ndarray
    stops: tuple[tuple[int, int], ...]
    silent: int = 0

    def without(self, gone: np.ndarray) -> "Chain":
        """Without the distractors of which `gone` (N,) is true; the others keep their rows."""
        keep = ~gone[self.order]
        before = np.concatenate([[0], np.cumsum(keep)])
        return replace(
            self, order=self.order[keep], stops=tuple((size, int(before[stop])) for size, stop in self.stops)
        )

    def silenced(self, gone: np.ndarray) -> "Chain":
        """The same, but those that are gone still count among the impostors, none of which is accepted."""
        return replace(self.without(gone), silent=self.silent + int(gone[self.order].sum()))

    def renumbered(self, keep: np.ndarray) -> "Chain":
        """Without the distractors of which `keep` (N,) is false, in rows of those that are kept."""
        left = self.without(~keep)
        return replace(left, order=(np.cumsum(keep) - 1)[left.order])


@dataclass(frozen=True, eq=False)
class Set:
    """All galleries of one draw of distractors: `label` (the devkit's number of it), and chains, the largest last."""

    label: str
    chains: tuple[Chain, ...]

    @property
    def largest(self) -> int:
        """How many distractors stand in the largest gallery."""
        return len(self.chains[-1].order) + self.chains[-1].silent

    def each(self, change: Callable[[Chain], Chain]) -> "Set":
        return Set(self.label, tuple(change(chain) for chain in self.chains))


def drawn(count: int, sizes: Sequence[int], seed: int) -> Set:
    """Nested galleries of `count` distractors, in an order drawn from `seed`."""
    order = np.random.default_rng(seed).permutation(count)
    return Set("1", (Chain(order, tuple((size, size) for size in sizes)),))


def listed(sets: Mapping[int, Mapping[int, Sequence[str]]]) -> tuple[list[str], tuple[Set, ...]]:
    """The distractors of all lists (set -> size -> names), each once; and the sets, a chain as far as lists are nested."""
    row: dict[str, int] = {}
    made = []
    for number, lists in sets.items():
        chains: list[Chain] = []
        for size in sorted(lists):
            rows = np.array([row.setdefault(name, len(row)) for name in lists[size]], np.int64)
            if chains and np.isin(chains[-1].order, rows).all():
                further = rows[~np.isin(rows, chains[-1].order)]
                order = np.concatenate([chains[-1].order, further])
                chains[-1] = Chain(order, (*chains[-1].stops, (size, len(order))))
            else:
                chains.append(Chain(rows, ((size, len(rows)),)))
        made.append(Set(str(number), tuple(chains)))
    return list(row), tuple(made)


def searched(
    chain: Chain,
    probes: np.ndarray,
    owner: np.ndarray,
    distractors: np.ndarray,
    *,
    clusters: np.ndarray,
    depth: int,
    largest_far: float,
    prepare: Callable[[np.ndarray], Rows],
    device: str | None = None,
) -> Search:
    """`bench.metrics.search` over the galleries of one chain; counts by the galleries' names.

    Args:
        probes, owner, distractors, clusters, depth, largest_far, prepare, device: as there.
    """
    seen, total = len(chain.order), len(chain.order) + chain.silent
    stops = sorted({stop for _, stop in chain.stops if stop})
    with bar(f"{total:,} distractors") as advance:
        found = search(
            probes, owner, distractors, stops,
            order=chain.order, clusters=clusters, depth=depth, prepare=prepare, device=device, progress=advance,
            # The rate over all impostors, silent ones too, must lie within what is counted among those that are seen.
            largest_far=min(1.0, largest_far * total / seen * (1 + 1e-9) + 1e-15),
        )  # fmt: skip
    none = np.zeros(len(found.probe), np.int64)  # nobody stands in a gallery whose distractors are all gone
    better = {size: found.better[stop] if stop else none for size, stop in chain.stops}
    above = {size: found.above[stop] if stop else none for size, stop in chain.stops}
    return replace(found, better=better, above=above, impostors=np.bincount(clusters) * total)
