"""Whether the entries of a study's `losses` are right: their labels, their losses, what they search and what they fix."""

import math
from collections.abc import Iterator
from typing import Any

from sweeps import plan
from sweeps.mistake import Key
from sweeps.parts import Loss
from sweeps.study import Study

LONGEST = 40  # characters of a label: it heads the rows of tables


def wrong(study: Study) -> Iterator[tuple[Key, str]]:
    """Each mistake as (key, what is wrong and what is accepted)."""
    for label, entry in study.losses.items():
        key: Key = ("losses", label)
        name = study.loss(label)
        if says := _label(label, name):
            yield key, says
        elif says := _unknown(name):
            yield (*key, "loss") if entry.loss else key, says
        else:
            yield from _settings(key, name, entry)
            yield from _search(key, label, study)
    if study.reference not in study.rows:
        what, between = ("ensembles", "; ") if study.ensemble else ("losses", ", ")
        yield ("reference",), f"{study.reference!r} is not among the {what} of this study: {between.join(study.rows)}"


def _label(label: str, name: str) -> str:
    """What is wrong with what an entry is called, or ""."""
    import losses

    if not label.isprintable() or "/" in label or label != label.strip() or not 0 < len(label) <= LONGEST:
        return (
            f"a label is 1 to {LONGEST} printable characters without '/' and without blanks at its ends, got {label!r}"
        )
    if label != name and losses.canonical(label) != name and not _unknown(losses.canonical(label)):
        return f"the label {label!r} is the name of another loss than {name!r}: choose a label that misleads nobody"
    return ""


def _unknown(name: str) -> str:
    """What is wrong with the name of a loss, or ""."""
    import losses

    meant, known = losses.canonical(name), ", ".join(losses.names())
    try:
        losses.defaults(meant)
    except ValueError as error:
        hint = " (a label of your own says which `loss` it stands for)"
        return str(error) if "+" in name else f"no loss {name!r}; there is: {known}{hint}"
    # An alias would be tuned and reported as a loss of its own.
    return f"no loss {name!r}; {name!r} is called {meant!r} here; there is: {known}" if meant != name else ""


def _settings(key: Key, name: str, entry: Loss) -> Iterator[tuple[Key, str]]:
    """Mistakes in single hyper-parameters, and then in how the fixed ones go together."""
    given: list[tuple[str, str, tuple[Any, ...]]] = [("fixed", hyper, (value,)) for hyper, value in entry.fixed.items()]
    given += [("search", hyper, (limits.low, limits.high)) for hyper, limits in entry.search.items()]
    right = True
    for part, hyper, values in given:
        if says := next(filter(None, (_hyper(name, hyper, value) for value in values)), ""):
            right = False
            yield (*key, part, hyper), says
    if right and (says := _create(name, entry.fixed)):
        yield (*key, "fixed"), says
    for hyper in sorted(set(entry.search) & set(entry.fixed)):
        yield (*key, "fixed", hyper), f"{hyper!r} is both searched and fixed: keep one"


def _search(key: Key, label: str, study: Study) -> Iterator[tuple[Key, str]]:
    """A search where there is none to be, or nothing to search."""
    if study.tune is None and study.losses[label].search:
        yield (*key, "search"), "this study tunes nothing: give `tune`, or set the hyper-parameters under `fixed`"
    if study.tune is not None and not plan.space(study, label):
        yield (
            (*key, "fixed"),
            "everything is fixed, nothing is left to search: leave something free, or leave out `tune`",
        )


def _hyper(loss: str, key: str, value: Any) -> str:
    """What is wrong with one hyper-parameter of a loss, or ""."""
    import losses

    if key in plan.RATES:
        return _rate(key, value)
    takes = [name.removesuffix("_steps") + "_fraction" * name.endswith("_steps") for name in losses.defaults(loss)]
    if key not in takes:
        # Pruning must know which share of the run a warm-up takes.
        hint = f"; give {key.removesuffix('_steps')}_fraction, a share of the run" if key.endswith("_steps") else ""
        return f"loss {loss!r} has no hyper-parameter {key!r} in a study{hint}; it has: {', '.join(takes) or 'none'}"
    if _share(loss, key):
        right = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
        return "" if right else f"got {value!r}, expected a number between 0 and 1, a share of the run"
    return _create(loss, {key: value})


def _rate(key: str, value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if number and (value > 0 or (value == 0 and key == "weight_decay")):
        return ""
    return f"got {value!r}, expected a finite number {'of at least' if key == 'weight_decay' else 'above'} 0"


def _share(loss: str, key: str) -> bool:
    """Whether a hyper-parameter is the share of the run that the loss takes as a number of steps."""
    import losses

    return key.endswith("_fraction") and f"{key.removesuffix('fraction')}steps" in losses.defaults(loss)


def _create(loss: str, hyper: dict[str, Any]) -> str:
    """What a loss says against its hyper-parameters, or ""; the learning rate and shares of the run are not its own."""
    import losses

    own = {key: value for key, value in hyper.items() if key not in plan.RATES and not _share(loss, key)}
    try:
        losses.create(loss, 2, 4, **own)
    except (ValueError, TypeError) as error:
        return str(error)
    return ""
