"""Whether the names in a study exist: losses and their hyper-parameters, backbones, the data set, protocols."""

from collections.abc import Iterator
from typing import Any

from sweeps.study import Study

Wrong = tuple[tuple[str | int, ...], str]


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
        defaults = losses.defaults(name)
        takes = [*defaults, *(key.removesuffix("_steps") + "_fraction" for key in defaults if key.endswith("_steps"))]
        for part, given in (("search", loss.search), ("fixed", loss.fixed)):
            for key in given:
                if key not in takes:
                    has = ", ".join(takes) or "none"
                    yield ("losses", name, part, key), f"loss {name!r} has no hyper-parameter {key!r}; it has: {has}"
        for key in sorted(set(loss.search) & set(loss.fixed)):
            yield ("losses", name, "fixed", key), f"{key!r} is both searched and fixed: keep one"
    if study.reference not in study.losses:
        yield ("reference",), f"{study.reference!r} is not among the losses of this study: {', '.join(study.losses)}"


def _backbones(study: Study) -> Iterator[Wrong]:
    import difflib

    import backbones

    for name in study.backbones:
        # timm (slow to import) is asked only for a name that is not our own.
        if name not in backbones.own() and name not in backbones.names():
            close = difflib.get_close_matches(name, backbones.names(), 3)
            hint = f"closest: {', '.join(close)}; " if close else ""
            yield (
                ("backbones", name),
                f"no backbone {name!r}; {hint}there is: {', '.join(backbones.own())} and every timm model",
            )


def _data(study: Study) -> Iterator[Wrong]:
    from bench import datasets

    yield from _entry(("data",), study.data, datasets.names(), "data set")


def _protocols(study: Study) -> Iterator[Wrong]:
    from bench import protocols

    for part, entries in (("protocols", study.protocols), ("display", study.display)):
        for i, entry in enumerate(entries):
            yield from _entry((part, i), entry, protocols.names(), "protocol")


def _entry(key: tuple[str | int, ...], entry: dict[str, Any], known: list[str], what: str) -> Iterator[Wrong]:
    if "name" not in entry:
        yield (*key, "name"), f"missing; it must be given, one of: {', '.join(known)}"
    elif entry["name"] not in known:
        yield (*key, "name"), f"no {what} {entry['name']!r}; there is: {', '.join(known)}"


def _augment(study: Study) -> Iterator[Wrong]:
    from bench.augment import DEFAULTS

    for name, value in study.augment.items():
        if name not in DEFAULTS:
            yield ("augment", name), f"no augmentation {name!r}; there is: {', '.join(DEFAULTS)}"
        elif not 0 <= value <= 1:
            yield ("augment", name), f"got {value:g}, expected a number between 0 and 1"
