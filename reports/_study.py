"""A study as it lies on disk: its records, and the facts that the sweep wrote beside them."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from bench import ledger
from bench.errors import RequestError
from bench.record import Record, read_study

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Study(Sequence[Record]):
    """The records of a study, in order, with what is known about the study as a whole.

    Attributes:
        folder: the study's folder, `runs/<study>`.
        records: all its records, whatever their state.
        facts: the content of `study.json`; empty where the sweep left none.
        ledger: every entry of `runs/test_ledger.jsonl`, those of other studies too.
        pictures: whether a report shows images of the data.
    """

    folder: Path
    records: tuple[Record, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    ledger: tuple[dict[str, Any], ...] = ()
    pictures: bool = True
    _remembered: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, index: int | slice) -> Record | tuple[Record, ...]:
        return self.records[index]

    @property
    def name(self) -> str:
        return str(self.facts.get("name") or self.folder.name)

    @property
    def reference(self) -> str:
        """The label (the loss where there is no other) that every other row is compared with."""
        return str(self.facts.get("reference") or "softmax")

    @property
    def objective(self) -> str:
        """The development figure that tuning maximised."""
        return str(self.facts.get("objective") or "dev/accuracy")

    @property
    def searched(self) -> bool:
        """Whether the losses were tuned; a study file without `tune` confirms them as it sets them."""
        return self.facts.get("tune", "unknown") is not None

    def settings(self, part: str) -> dict[str, Any]:
        """What the study file said of `tune` or `confirm`; empty where that is not known."""
        found = self.facts.get(part)
        return found if isinstance(found, dict) else {}

    def of(self, *roles: str) -> list[Record]:
        """The records that play one of these roles."""
        return list(_of(self, roles))

    def scorings(self, protocol: str, version: str) -> tuple[int, int]:
        """How often this version of a test protocol was scored: by this study, and by every study in the ledger."""
        entries = [e for e in self.ledger if e.get("protocol") == protocol and e.get("hash") == version]
        return sum(e.get("study") in (self.name, self.folder.name) for e in entries), len(entries)

    def contact_sheets(self) -> list[Path]:
        """The pictures of the data that the sweep left."""
        return sorted((self.folder / "contact_sheets").glob("*.png"))


def remembered(function: Callable[Concatenate[Study, P], T]) -> Callable[Concatenate[Study, P], T]:
    """What a function says of a study is kept with that study, as long as there is one: it is asked for every cell."""

    @wraps(function)
    def answer(study: Study, *args: P.args, **named: P.kwargs) -> T:
        key = (answer, args, *named.items())
        if key not in study._remembered:
            study._remembered[key] = function(study, *args, **named)
        return study._remembered[key]

    return answer


@remembered
def _of(study: Study, roles: tuple[str, ...]) -> tuple[Record, ...]:
    return tuple(record for record in study.records if record.trial.role in roles)


def read(folder: str | Path) -> Study:
    """Read a study's folder.

    Raises:
        RequestError: there is no such folder, it holds no trial, or its `study.json` is no JSON object.
    """
    folder = Path(folder)
    records = tuple(read_study(folder)) if folder.is_dir() else ()
    if not records:
        what = "holds no trial" if folder.is_dir() else "does not exist"
        raise RequestError(
            f"{folder} {what}: a report needs the folder of a study, runs/<study>, with a folder for each trial; "
            "run `facebench sweep STUDY` first or check the study's name and $FACEBENCH_RUNS"
        )
    seen = tuple(ledger.entries(folder.resolve().parent / "test_ledger.jsonl"))
    return Study(folder, records, _facts(folder / "study.json"), seen)


def _facts(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise RequestError(
            f"{path} is not JSON ({error}): run the sweep again, or delete the file to go on without it"
        ) from error
    if not isinstance(found, dict):
        raise RequestError(f"{path} holds a {type(found).__name__}, expected an object: run the sweep again")
    return found
