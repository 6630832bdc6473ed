"""Whether the names in a study exist: losses, backbones, the data set, protocols, acceptance criteria."""

import inspect
import re
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from types import ModuleType
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.images import Faces
from bench.plain import arm
from sweeps import budget, ensemble_checks, loss_checks, plan
from sweeps.mistake import Key
from sweeps.study import Study

Wrong = tuple[Key, str]

# How the figures of a protocol begin where that is not its name.
_BEGINS = {
    "bins": "bins|.*-bin",
    "ijb": "ijb[a-z]?",
    "lfw_blufr": "lfw-blufr",
    "megaface": "megaface2?",
    "rank_k": "lfw-rank",
}


# What the report can judge and show: `criteria` and `published`, each with the names that there are. The report's room is
# a sibling of this one, so whoever starts a sweep says them.
Report = Mapping[str, Collection[str]]


def wrong(study: Study, report: Report | None = None) -> Iterator[Wrong]:
    """Each mistake as (key, what is wrong and what is accepted).

    Args:
        report: the names of what the report can judge and show; None: they are not checked.
    """
    yield from loss_checks.wrong(study)
    yield from _backbones(study)
    yield from _supervised(study)
    yield from _scorers(study)
    yield from _data(study)
    yield from _protocols(study)
    yield from _augment(study)
    yield from _searches(study)
    yield from budget.wrong(study)
    yield from _report(study, report)
    yield from ensemble_checks.wrong(study)


def _searches(study: Study) -> Iterator[Wrong]:
    """Searches too few to be units of a claim, and labels that would be taken for another's further search."""
    count = study.tune.searches if study.tune else 1
    if count == 2:
        yield (
            ("tune", "searches"),
            "got 2, expected 1 (a claim about the losses as tuned by it) or at least 3, from whose spread a claim follows",
        )
    arms = {arm(label, number): label for label in study.losses for number in range(2, count + 1)}
    for label in arms.keys() & study.losses.keys():
        yield (
            ("losses", label),
            f"is what search {label.rpartition('#')[2]} of {arms[label]!r} is called: name it otherwise",
        )


def openable(study: Study) -> None:
    """Open the data set and the lists of every protocol, before an hour of tuning and not after it.

    Raises:
        RequestError: a file is missing, an option unknown, there is nothing to score, or the data have too few images of
            an identity for the batches that a loss asks for.
    """
    from bench import datasets, scoring

    options = dict(study.data)
    faces = datasets.load(options.pop("name"), **options)
    test = closed_test(study, faces)
    if not test.any() and (not study.protocols or _closed(study.primary)):
        wanted = f"primary is {study.primary!r}" if study.protocols else "`protocols` is empty"
        raise RequestError(
            f"study {study.name!r}: {wanted}, and data set {study.data['name']!r} as it is asked for has no closed-set "
            "test: name a test protocol, data with test images of the identities that are trained on, or `closed_every`"
        )
    for entry in (*study.protocols, *study.display):
        scoring.open_protocol(entry)
    labels = faces.labels[~test]
    for label in study.losses:
        _batches(study, label, labels)
    ensemble_checks.fitting(study, len(labels))


def closed_test(study: Study, faces: Faces) -> np.ndarray:
    """(N,) bool: the images of the closed-set test, as every trial of the study sets them aside."""
    from bench import material

    return material.closed_rows(faces, study.closed_every)


def _batches(study: Study, label: str, labels: np.ndarray) -> None:
    """Whether identities with these (N,) labels can make the batches of an entry of `losses`; the trial knows for sure."""
    import losses
    from bench import batches

    trial = plan.fixed(study, next(iter(study.backbones)), label)
    try:
        count = trial.images_per_identity or losses.images_per_identity(trial.loss)
        batches.check(labels, trial.batch_size, count)
    except ValueError as error:
        raise RequestError(f"study {study.name!r}, losses.{label}: {error}") from error


def _backbones(study: Study) -> Iterator[Wrong]:
    import difflib

    import backbones

    for name, options in study.backbones.items():
        # timm (slow to import) is asked only for a name that is not our own.
        if name not in backbones.own() and name not in backbones.names():
            close = difflib.get_close_matches(name, backbones.names(), 3)
            hint = f"closest: {', '.join(close)}; " if close else ""
            yield (
                ("backbones", name),
                f"no backbone {name!r}; {hint}there is: {', '.join(backbones.own())} and every timm model",
            )
        elif options and (says := _network(study, name, options)):
            yield ("backbones", name), says


def _supervised(study: Study) -> Iterator[Wrong]:
    """Names of submodules that a backbone does not have."""
    asked: dict[Key, list[str]] = {("supervise",): study.supervise}
    for label, entry in study.losses.items():
        asked["losses", label, "trial", "supervise"] = entry.trial.supervise or []
    for key, stages in asked.items():
        for name, options in study.backbones.items():
            if stages and (says := _network(study, name, options, stages)):
                yield key, f"backbone {name!r}: {says}"


def _scorers(study: Study) -> Iterator[Wrong]:
    """Scorers that there are not, or options that they do not take."""
    from bench import scorers

    asked: list[tuple[Key, str, dict[str, Any]]] = [((), study.scorer, study.scorer_options)]
    for label, entry in study.losses.items():
        if entry.trial.scorer or entry.trial.scorer_options is not None:
            trial = plan.fixed(study, next(iter(study.backbones)), label)
            asked.append((("losses", label, "trial"), trial.scorer, dict(trial.scorer_options)))
    for key, scorer, options in asked:
        try:
            scorers.check(scorer, options)
        except RequestError as error:
            yield (*key, "scorer_options" if scorer in scorers.DEFAULTS else "scorer"), str(error)


def _network(study: Study, name: str, options: dict[str, Any], stages: Sequence[str] = ()) -> str:
    """What a backbone says against its options or `stages`, or ""; no pretrained weights are fetched for that."""
    import torch

    import backbones

    weights = {"pretrained": False} if "pretrained" in options else {}
    size = (study.image_size, study.image_size)
    with torch.random.fork_rng():
        try:
            network = backbones.create(name, study.embedding_dim, study.channels, size, **options | weights)
            backbones.supervised(network, stages, study.embedding_dim, study.channels, size)
        except (ValueError, TypeError) as error:
            return str(error)
    return ""


def _data(study: Study) -> Iterator[Wrong]:
    from bench import datasets

    yield from _entry(("data",), study.data, datasets, "load", "data set")


def _protocols(study: Study) -> Iterator[Wrong]:
    from bench import datasets, protocols, scoring

    for part, entries in (("protocols", study.protocols), ("display", study.display)):
        for i, entry in enumerate(entries):
            yield from _entry((part, i), entry, protocols, "load", "protocol", scoring.KEYS)
            for key, function in (("data", "protocol"), ("faces", "load")):
                if isinstance(entry.get(key), dict):
                    yield from _entry((part, i, key), entry[key], datasets, function, "data set")
    names = [str(entry[key]) for entry in study.protocols for key in ("name", "label") if key in entry]
    if study.primary and not _closed(study.primary) and not _given(study.primary.partition("/")[0], names):
        yield (
            ("primary",),
            f"{study.primary!r} is no figure of this study's protocols: expected one that begins with "
            f"{' or '.join(f'{name}/' for name in names or ['closed'])}",
        )


def _given(prefix: str, names: Sequence[str]) -> bool:
    """Whether protocols of these names and labels give figures that begin so: `ytf-mean_score/accuracy` is one of ytf."""
    begins = (_BEGINS.get(name, re.escape(name)) for name in names)
    return any(re.fullmatch(rf"({begin})([-_].*)?", prefix) for begin in begins)


def _closed(primary: str | None) -> bool:
    """Whether a metric is a figure of the data set's own closed-set test."""
    return primary is not None and primary.startswith("closed/")


def _entry(
    key: Key, entry: dict[str, Any], room: ModuleType, function: str, what: str, more: Set[str] = frozenset()
) -> Iterator[Wrong]:
    """Mistakes in `{name: ..., options}`: the name of an entry of `room`, and options of its `function` (and `more`)."""
    from losses import _entries

    known = room.names()
    if "name" not in entry:
        yield (*key, "name"), f"missing; it must be given, one of: {', '.join(known)}"
    elif (name := entry["name"]) not in known:
        yield (*key, "name"), f"no {what} {name!r}; there is: {', '.join(known)}"
    elif found := getattr(_entries.find(room.__name__, name), function, None):
        takes = [p.name for p in inspect.signature(found).parameters.values() if p.kind is p.KEYWORD_ONLY]
        for option in sorted(set(entry) - {"name", *takes, *more}, key=str):
            yield (*key, option), f"{what} {name!r} has no option {option!r}; it has: {', '.join(takes)}"


def _augment(study: Study) -> Iterator[Wrong]:
    from bench.augment import DEFAULTS

    for name, value in study.augment.items():
        if name not in DEFAULTS:
            yield ("augment", name), f"no augmentation {name!r}; there is: {', '.join(DEFAULTS)}"
        elif not 0 <= value <= 1:
            yield ("augment", name), f"got {value:g}, expected a number between 0 and 1"


def _report(study: Study, known: Report | None) -> Iterator[Wrong]:
    """What is asked of the report, before hours of training and not after them."""
    if known is not None and study.published is not None and study.published not in known["published"]:
        there = ", ".join(sorted(known["published"]))
        yield ("published",), f"no published table {study.published!r}; there is: {there}"
    for i, name in enumerate(study.criteria):
        if known is not None and name not in known["criteria"]:
            yield ("criteria", i), f"no acceptance criterion {name!r}; there is: {', '.join(sorted(known['criteria']))}"
        elif name in study.criteria[:i]:
            yield ("criteria", i), f"{name!r} is listed twice"
