"""What a driver knows of the other drivers of its study: the interface, and the usual case, in which there are none."""

from collections.abc import Callable, Container
from contextlib import AbstractContextManager
from typing import Protocol

from bench.index import Entry
from bench.plain import Trial
from bench.record import Record
from sweeps.lost import Place
from sweeps.tuner import Asked, Tuner


class Share(Protocol):
    """What a driver must know of the others. `place` is a (backbone, entry of `losses`)."""

    alone: bool

    def known(self, place: Place, tuner: Tuner) -> list[Asked]:
        """The search's trials so far, those that this driver left unfinished taken up again."""

    def owes(self, place: Place) -> bool:
        """Whether an ask of this driver, or of one that is gone, was cut short."""

    def asking(self, place: Place) -> bool:
        """Whether a search trial is being asked for: its parameters are not known yet."""

    def ask(self, place: Place, tuner: Tuner) -> Asked | None:
        """A new search trial; None: not now, for another driver asks."""

    def asked(self, place: Place, tuner: Tuner, known: Container[int]) -> list[Asked]:
        """The search trials of others whose number is not `known`."""

    def closed(self, place: Place) -> bool:
        """Whether the search is over, for all drivers."""

    def close(self, place: Place, tuner: Tuner) -> bool:
        """End the search for all drivers; False: another has asked in the meantime."""

    def take(self, trial: Trial) -> bool:
        """Whether a trial is this driver's to run; claimed where nobody has."""

    def inherit(self, trial: Trial) -> bool:
        """Take over another's trial if that driver is gone."""

    def holds(self, trial: Trial) -> bool:
        """Whether a trial is still this driver's, by the database."""

    def end(self, trial: Trial, known: Record | Entry) -> bool:
        """The record of a trial of this driver is final; False: the trial was lost to another."""

    def outcome(self, trial: Trial) -> Record | None:
        """How another's trial ended, as far as is known here (no events, no scores); None: it has not."""

    def look(self) -> bool:
        """Look at what the others did, unless that was just done; True: there was a look."""

    def speak(self, say: Callable[[str], None], waiting: Callable[[], AbstractContextManager]) -> None:
        """What a user should know is said there from now on; a database that is away is waited for in `waiting`."""

    def agree(self, run: str, lost: str = "") -> str:
        """The MLflow run that all drivers write into: this one, where none is named yet or the one named is `lost`."""

    def leave(self) -> None:
        """This session is over."""


class Alone:
    """One driver that has its study to itself."""

    alone = True

    def known(self, place: Place, tuner: Tuner) -> list[Asked]:
        return tuner.known()

    def owes(self, place: Place) -> bool:
        return False

    def asking(self, place: Place) -> bool:
        return False

    def ask(self, place: Place, tuner: Tuner) -> Asked | None:
        return tuner.ask()

    def asked(self, place: Place, tuner: Tuner, known: Container[int]) -> list[Asked]:
        return []

    def closed(self, place: Place) -> bool:
        return False

    def close(self, place: Place, tuner: Tuner) -> bool:
        return True

    def take(self, trial: Trial) -> bool:
        return True

    def inherit(self, trial: Trial) -> bool:
        return False

    def holds(self, trial: Trial) -> bool:
        return True

    def end(self, trial: Trial, known: Record | Entry) -> bool:
        return True

    def outcome(self, trial: Trial) -> Record | None:
        return None

    def look(self) -> bool:
        return False

    def speak(self, say: Callable[[str], None], waiting: Callable[[], AbstractContextManager]) -> None:
        pass

    def agree(self, run: str, lost: str = "") -> str:
        return run

    def leave(self) -> None:
        pass
