"""Which comparisons are made, and how they are scored: numpy in, numbers out. One file is one protocol.

    protocol = protocols.create("lfw", root="data/lfw")
    scores = protocol.score(embeddings)          # row i belongs to protocol.images[i]

A protocol touches no pixel: it names its images (`images`, `people`), says exactly what it does (`spec`, `hash`) and
which of its figures ranks (`primary`).
"""

import inspect
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from bench.errors import RequestError
from bench.protocols import _options, _partial
from bench.protocols._groups import grouped
from bench.protocols._left_out import beside, left_out, renamed
from bench.scorers import Scorer
from bench.scores import Scores
from losses import _entries

__all__ = ["Comparisons", "beside", "create", "lacks", "names", "options_of", "renamed"]
COMMON = ("groups", "leave_out")  # the options that every protocol has


class Comparisons(Protocol):
    """What `load` of every protocol gives.

    Attributes:
        name: stands before each of its metrics.
        images: (N,) unique path-like names.
        people: (N,) the person on each; a name that begins with `?` is nobody's (the lists name no people).
        spec: plain data that decides every figure: version, options, hashes of the lists.
        hash: 16 hex digits of `spec`.
        primary: the metric that ranks.
    """

    @property
    def name(self) -> str: ...
    @property
    def images(self) -> tuple[str, ...]: ...
    @property
    def people(self) -> tuple[str, ...]: ...
    @property
    def spec(self) -> dict[str, Any]: ...
    @property
    def hash(self) -> str: ...
    @property
    def primary(self) -> str: ...

    def score(self, embeddings: np.ndarray, scorer: Scorer | None = None) -> Scores:
        """The figures of (N, D) embeddings, compared by `scorer` (None: cosine); row i belongs to `images[i]`.

        Raises:
            RequestError: not (N, D), or a number that is not finite.
        """
        ...

    def without(self, missing: Collection[str]) -> "Comparisons":
        """The same comparisons but those that need a missing image; every figure is then marked partial.

        Raises:
            RequestError: a missing image is none of the protocol's, or too little is left.
        """
        ...


def names() -> list[str]:
    """The names of all protocols."""
    return _entries.names(__name__)


def create(name: str, root: str | Path | Mapping[str, str] = ".", **options: Any) -> Comparisons:
    """The protocol `name`, from the lists in the folder `root` (or from a mapping of file name -> text).

    Every protocol also takes `groups=FILE` or `FILE:COLUMN`, a csv of images or people and the group that each belongs
    to, and then gives the figures of each group too (`_groups`); and `leave_out=FILE`, a list of images that training may
    have seen, and then gives its figures without them beside the raw ones (`_left_out`).

    Raises:
        RequestError: an unknown name or option (the sentence lists the known ones), or lists that are missing or
            malformed.
    """
    known = options_of(name)
    groups, out = options.pop("groups", None), options.pop("leave_out", None)
    if unknown := sorted(set(options) - set(known)):
        raise RequestError(f"protocol {name!r} has no option {unknown[0]!r}; it has: {', '.join([*known, *COMMON])}")
    load = _module(name).load
    try:
        made = load(root, **options)
    except (TypeError, AttributeError):
        _options.check(name, load, options)  # an option of a wrong kind is answered in a sentence
        raise
    made = made if groups is None else grouped(made, root, groups)
    return made if out is None else left_out(made, root, out)


def options_of(name: str) -> list[str]:
    """The options of the protocol `name`, besides `root` and those that all have.

    Raises:
        RequestError: there is no such protocol.
    """
    parameters = inspect.signature(_module(name).load).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def lacks(protocol: Comparisons) -> str | None:
    """What a protocol lacks, in words; None where it is whole."""
    return _partial.words(protocol.spec)


def _module(name: str) -> ModuleType:
    try:
        return _entries.find(__name__, name)
    except ValueError as error:
        raise RequestError(str(error)) from error
