"""Find the entries of a room: a file is an entry under its own name, and so is an installed entry point."""

import importlib
import pkgutil
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from types import ModuleType


def names(package: str) -> list[str]:
    """The entries of `package` (modules without a leading underscore) and of the entry points `facebench.<room>`."""
    folder = importlib.import_module(package).__path__
    own = {module.name for module in pkgutil.iter_modules(folder) if not module.name.startswith("_")}
    return sorted(own | {point.name for point in _third_party(package)})


def find(package: str, name: str, aliases: Mapping[str, str] | None = None) -> ModuleType:
    """The module of the entry `name`.

    Raises:
        ValueError: there is no such entry (the sentence lists the known ones).
    """
    name = (aliases or {}).get(name, name)
    known = names(package)
    if name not in known:
        room = package.rpartition(".")[2]
        also = f" (aliases: {', '.join(sorted(aliases))})" if aliases else ""
        raise ValueError(f"no {name!r} in {room}; there is: {', '.join(known)}{also}")
    for point in _third_party(package):
        if point.name == name:
            return point.load()
    return importlib.import_module(f"{package}.{name}")


def _third_party(package: str) -> EntryPoints:
    return _installed(f"facebench.{package.rpartition('.')[2]}", tuple(sys.path))


@cache
def _installed(group: str, path: tuple[str, ...]) -> EntryPoints:
    """What the packages on `path` offer; kept, since a look at all of them takes longer than to load a study."""
    return entry_points(group=group)
