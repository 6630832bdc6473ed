"""The sections of the report, found by file name: a module of this package that defines `render` is one."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

from bench.errors import RequestError

_RENDER = re.compile(r"^def render\(", re.MULTILINE)


def names() -> list[str]:
    """The known sections, in the order of the page (a section's `ORDER`, then its name)."""
    found = [
        path.stem
        for path in Path(__file__).parent.glob("*.py")
        if not path.stem.startswith("_") and _RENDER.search(path.read_text())
    ]
    return sorted(found, key=lambda name: (getattr(_module(name), "ORDER", 500), name))


def known() -> dict[str, list[str]]:
    """What a study may ask of its report: `criteria` to be judged and `published` tables to be shown, by their names."""
    from reports import criteria, published

    return {"criteria": criteria.names(), "published": list(published.TABLES)}


def find(name: str) -> ModuleType:
    """The module of a section: `render(records) -> Markup`, and if it likes `TITLE` and `ORDER`.

    Raises:
        RequestError: there is no such section (the sentence lists the known ones).
    """
    if name not in names():
        raise RequestError(f"no section {name!r} in a report; there is: {', '.join(names())}")
    return _module(name)


def title(name: str) -> str:
    return str(getattr(_module(name), "TITLE", name.replace("_", " ").capitalize()))


def _module(name: str) -> ModuleType:
    return import_module(f"reports.{name}")
