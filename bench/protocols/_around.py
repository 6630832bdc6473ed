"""What stands around a whole protocol and adds figures to its own."""

from dataclasses import dataclass
from typing import Any, ClassVar

from bench.protocols import _lists


@dataclass(frozen=True, eq=False)
class Around:
    """A protocol with more figures; see `bench.protocols.Comparisons`, of which `score` and `without` are the kinds' own.

    Attributes:
        whole: the protocol itself; all of its figures stay.
        table: the hash of the list that the further figures hang on.
    """

    OPTION: ClassVar[str]  # where the specification says the table
    whole: Any
    table: str

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def images(self) -> tuple[str, ...]:
        return self.whole.images

    @property
    def people(self) -> tuple[str, ...]:
        return self.whole.people

    @property
    def primary(self) -> str:
        return self.whole.primary

    @property
    def spec(self) -> dict[str, Any]:
        return {**self.whole.spec, self.OPTION: self.table}

    @property
    def hash(self) -> str:
        return _lists.short_hash(self.spec)
