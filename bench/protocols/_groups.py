"""Figures of groups of people at one global threshold: any protocol with a table of group labels (as RFW's four).

    lfw/group_young/accuracy          the group's pairs, each decided at its fold's threshold (chosen on all groups)
    lfw/group_young/tar_at_far_1e-2   the group's genuine pairs, at the threshold at which FAR is 1e-2 over all pairs
    lfw/group_young/far_at_far_1e-2   the share of the group's impostor pairs that this threshold accepts
    megaface/group_young/rank1        the group's searches

A pair counts for a group where both of its sides are of it. Each figure stands with `..._low` and `..._high`, its 95 %
interval (`bench.metrics.proportion`).
"""

import csv
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.metrics import Shares, Sorted, far_name, pair_clusters, rate_at_far
from bench.metrics.proportion import proportion
from bench.protocols import _lists, _pairs, _partial
from bench.protocols._around import Around
from bench.scorers import Scorer
from bench.scores import Scores

FARS = (1e-1, 1e-2, 1e-3)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")  # a label stands in names of metrics


@dataclass(frozen=True, eq=False)
class Grouped(Around):
    """A protocol whose images have groups.

    Attributes:
        groups: the labels, sorted.
        group: (N,) the number of each image's label; -1 where it has none.
    """

    OPTION = "groups"
    groups: tuple[str, ...]
    group: np.ndarray

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """The protocol's own figures, and those of each group.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        answer = self.whole.score(embeddings, scorer)
        found = Scores({})
        for part, raw in answer.pair_sets(self.name).items():
            self._pairs(found, part, raw)
        if "probe" in answer.raw:
            self._searches(found, answer)
        if not found.metrics and not found.undefined:
            raise RequestError(f"{self.name} gives no figures that can be told apart by groups: leave `groups` out")
        found.counts["images_without_group"] = int(np.sum(self.group < 0))
        return _pairs.joined(answer, _partial.marked(found, self.spec))

    def without(self, missing: Collection[str]) -> "Grouped":
        """See `bench.protocols.Comparisons`."""
        whole = self.whole.without(missing)
        row = {name: place for place, name in enumerate(self.images)}
        return replace(self, whole=whole, group=self.group[[row[name] for name in whole.images]])

    def _pairs(self, found: Scores, part: str, raw: dict[str, np.ndarray]) -> None:
        first, second, same, scores = raw["first"], raw["second"], raw["same"], raw["scores"]
        group = np.where(self.group[first] == self.group[second], self.group[first], -1)
        clusters = pair_clusters(self._owner[first], self._owner[second])
        under = "" if part == self.name else f"{part}/"
        found.counts[f"{under}pairs_of_no_group"] = int(np.sum(group < 0))
        for number, label in enumerate(self.groups):
            of_group = same[group == number]
            found.counts[f"{under}genuine_{label}"] = int(of_group.sum())
            found.counts[f"{under}impostor_{label}"] = int(np.sum(~of_group))
        if "thresholds" in raw and "folds" in raw:
            place = np.unique(raw["folds"], return_inverse=True)[1]
            right = (scores > raw["thresholds"][place]) == same
            self._enter(found, part, "accuracy", right, group, clusters)
        roc = Sorted.of(scores, same).roc()
        if not roc.genuine or not roc.impostors:
            kinds = f"{roc.genuine} genuine and {roc.impostors} impostor pairs: both are needed"
            found.undefined.update({f"{where}/tar_at_far": kinds for _, where in self._places(part)})
            return
        for far in FARS:
            figure = f"far_{far_name(far)}"
            rate = rate_at_far(roc, far)
            if rate.value is None:
                for key in (
                    f"{where}/{kind}_at_{figure}" for _, where in self._places(part) for kind in ("tar", "far")
                ):
                    found.undefined[key] = rate.undefined or ""
                continue
            accepted = scores >= roc.threshold_at_far(far)
            self._enter(found, part, f"tar_at_{figure}", accepted, np.where(same, group, -1), clusters, rate.mark)
            self._enter(found, part, f"far_at_{figure}", accepted, np.where(same, -1, group), clusters, rate.mark)

    def _searches(self, found: Scores, answer: Scores) -> None:
        """Every figure of the protocol that is the mean of raw values of its searches."""
        probe = answer.raw["probe"]
        clusters = pair_clusters(self._owner[probe], self._owner[probe])
        for number, label in enumerate(self.groups):
            found.counts[f"searches_{label}"] = int(np.sum(self.group[probe] == number))
        for figure, values in answer.raw.items():
            if f"{self.name}/{figure}" in answer.metrics and len(values) == len(probe):
                self._enter(found, self.name, figure, values, self.group[probe], clusters)
                for number, where in self._places(self.name):
                    owners = self._owner[probe][self.group[probe] == number]
                    if len(owners) and (mark := Shares.of(owners).mark()):
                        found.marks[f"{where}/{figure}"] = mark

    def _enter(
        self,
        found: Scores,
        part: str,
        figure: str,
        values: np.ndarray,
        group: np.ndarray,
        clusters: tuple[np.ndarray, np.ndarray],
        mark: str | None = None,
    ) -> None:
        """The mean of the values of each group, with its interval; `group` (n,) is the group of each value."""
        for number, where in self._places(part):
            chosen, key = group == number, f"{where}/{figure}"
            if not chosen.any():
                found.undefined[key] = f"no comparison of this kind within the group {self.groups[number]!r}"
                continue
            share = proportion(values[chosen], clusters[0][chosen], clusters[1][chosen])
            found.metrics.update({key: share.value, f"{key}_low": share.low, f"{key}_high": share.high})
            if share.clusters:
                found.clusters[key] = share.clusters
            if mark:
                found.marks[key] = mark

    def _places(self, part: str) -> Iterator[tuple[int, str]]:
        for number, label in enumerate(self.groups):
            yield number, f"{part}/group_{label.replace(' ', '_')}"

    @cached_property
    def _owner(self) -> np.ndarray:
        """(N,) the number of each image's person, in the order of their names."""
        return np.unique(np.array(self.people), return_inverse=True)[1]


def grouped(whole: Any, root: _lists.Root, wanted: str) -> Grouped:
    """The protocol `whole` with the groups of a table.

    Args:
        root: the folder of the lists, or a mapping of file name -> text.
        wanted: `FILE`, a csv whose first column names images or people and whose second is their group; or
            `FILE:COLUMN`, where the group stands in another column. An image's own line goes before its person's.

    Raises:
        RequestError: no such file or column, a name with two groups, a label that cannot stand in a metric's name, or no
            name of the protocol's.
    """
    if not isinstance(wanted, str) or not wanted:
        raise RequestError(f"groups is FILE or FILE:COLUMN, a csv of names and their groups, got {wanted!r}")
    file, _, column = wanted.partition(":")
    text = _lists.read(root, file)
    header = [name.strip() for name in next(csv.reader([text.partition("\n")[0]], skipinitialspace=True), [""])]
    column = column or (header[1] if len(header) > 1 else "group")
    label: dict[str, str] = {}
    for line, row in _lists.rows(text, file, (header[0], column)):
        name, group = row[header[0]], row[column]
        if not _LABEL.fullmatch(group):
            raise RequestError(f"{file} line {line}: a group's label is of letters, digits, . _ and -, got {group!r}")
        if label.setdefault(name, group) != group:
            raise RequestError(f"{file} line {line}: {name!r} is in group {group!r} and in {label[name]!r}: choose one")
    sides = zip(whole.images, whole.people, strict=True)
    found = [label.get(image, label.get(person)) for image, person in sides]
    groups = tuple(sorted({group for group in found if group is not None}))
    if not groups:
        raise RequestError(
            f"{file} names none of the {len(whole.images):,} images or their people of {whole.name}: its first column "
            f"{header[0]!r} must hold names such as {whole.images[0]!r} or {whole.people[0]!r}"
        )
    if twins := [group for group in groups if " " in group and group.replace(" ", "_") in groups]:
        raise RequestError(
            f"{file}: the labels {twins[0]!r} and {twins[0].replace(' ', '_')!r} would be one: rename one"
        )
    number = {group: place for place, group in enumerate(groups)} | {None: -1}
    return Grouped(
        whole,
        _lists.sha256([f"{name}\t{group}" for name, group in sorted(label.items())]),
        groups,
        np.array([number[group] for group in found]),
    )
