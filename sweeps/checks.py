"""Whether the names in a study exist: losses and their hyper-parameters, backbones, the data set, protocols."""

import inspect
from collections.abc import Iterator, Set
from types import ModuleType
from typing import Any

from sweeps.study import Key, Study

Wrong = tuple[Key, str]


def wrong(study: Study) -> Iterator[Wrong]:
    """Each mistake as (key, what is wrong and what is accepted)."""
    yield from _losses(study)
    yield from _backbones(study)
    yield from _data(study)
    yield from _protocols(study)
    if study.augment:
        yield from _augment(study)


def openable(study: Study) -> None:
    """Open the data set and the lists of every protocol, before an hour of tuning and not after it.

    Raises:
        RequestError: a file is missing, or an option unknown.
    """
    from bench import datasets, scoring

    options = dict(study.data)
    datasets.load(options.pop("name"), **options)
    for entry in (*study.protocols, *study.display):
        scoring.open_protocol(entry)


def _losses(study: Study) -> Iterator[Wrong]:
    import losses

    known = losses.names()
    for name, loss in study.losses.items():
        if name not in known:
            # An alias would be tuned and reported as a loss of its own.
            hint = f"; {name!r} is called {losses.canonical(name)!r} here" if losses.canonical(name) in known else ""
            yield ("losses", name), f"no loss {name!r}{hint}; there is: {', '.join(known)}"
            continue
        for key, value in loss.fixed.items():
            if says := _hyper(name, key, value):
                yield ("losses", name, "fixed", key), says
        for key, limits in loss.search.items():
            if says := _hyper(name, key, limits.low) or _hyper(name, key, limits.high):
                yield ("losses", name, "search", key), says
        for key in sorted(set(loss.search) & set(loss.fixed)):
            yield ("losses", name, "fixed", key), f"{key!r} is both searched and fixed: keep one"
    if study.reference not in study.losses:
        yield ("reference",), f"{study.reference!r} is not among the losses of this study: {', '.join(study.losses)}"


def _hyper(loss: str, key: str, value: Any) -> str:
    """What is wrong with one hyper-parameter of a loss, or ""."""
    import losses

    takes = [name.removesuffix("_steps") + "_fraction" * name.endswith("_steps") for name in losses.defaults(loss)]
    if key not in takes:
        # Pruning must know which share of the run a warm-up takes.
        hint = f"; give {key.removesuffix('_steps')}_fraction, a share of the run" if key.endswith("_steps") else ""
        return f"loss {loss!r} has no hyper-parameter {key!r} in a study{hint}; it has: {', '.join(takes) or 'none'}"
    if key.endswith("_fraction") and f"{key.removesuffix('fraction')}steps" in losses.defaults(loss):
        right = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
        return "" if right else f"got {value!r}, expected a number between 0 and 1, a share of the run"
    try:
        losses.create(loss, 2, 4, **{key: value})
    except (ValueError, TypeError) as error:
        return str(error)
    return ""


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


def _network(study: Study, name: str, options: dict[str, Any]) -> str:
    """What a backbone says against its options, or ""; no pretrained weights are fetched for that."""
    import torch

    import backbones

    weights = {"pretrained": False} if "pretrained" in options else {}
    size = (study.image_size, study.image_size)
    with torch.random.fork_rng():
        try:
            backbones.create(name, study.embedding_dim, study.channels, size, **options | weights)
        except (ValueError, TypeError) as error:
            return str(error)
    return ""


def _data(study: Study) -> Iterator[Wrong]:
    from bench import datasets

    yield from _entry(("data",), study.data, datasets, "load", "data set")


def _protocols(study: Study) -> Iterator[Wrong]:
    from bench import datasets, protocols

    for part, entries in (("protocols", study.protocols), ("display", study.display)):
        for i, entry in enumerate(entries):
            yield from _entry((part, i), entry, protocols, "load", "protocol", {"data", "root"})
            if isinstance(entry.get("data"), dict):
                yield from _entry((part, i, "data"), entry["data"], datasets, "protocol", "data set")
    names = [str(entry["name"]) for entry in study.protocols if "name" in entry]
    # `ytf-mean_score/accuracy` is a figure of ytf.
    if study.primary and study.primary.partition("/")[0].partition("-")[0] not in names:
        yield (
            ("primary",),
            f"{study.primary!r} is no figure of this study's protocols: expected one that begins with "
            f"{' or '.join(f'{name}/' for name in names)}",
        )


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
