"""Several drivers on one study: what each does by itself, what it learns of the others, what becomes of those that die.

The drivers share a database (the study's `storage`) and nothing else; each has its own folder of records. What holds:

1. A trial is run by the owner of its claim, and a claim has one owner (`sweeps.claims`). The owner alone writes the
   trial's record; it asks whether it still is the owner before it writes anything, and its last step, the claim's move to
   the final state, is a compare-and-set. Only a record whose claim moved counts: another is deleted, nothing is told.
2. A search's numbers have no gaps. A driver claims number n, as `asking`, when it knows all rows before it and none is
   `asking`; so two drivers never ask at once, number n is what Optuna gives to the trial, and the budget is kept without a
   lock: rows of unfinished trials only become cheaper than what is reserved for them.
3. A search is over when the row after its last says `closed`. The key is the one that another ask would need: nobody asks
   after a driver has gone on, whatever made it do so. All that later choices hang on is final by then, and every driver
   computes the same finalists and the same winner from the same rows.

A driver that is killed keeps its claims; the same command goes on with them. Killed ...

- between claim and ask: the row says `asking`; its owner asks then. Between ask and the claim's move: Optuna has the trial
  with that number, whole or in part, and it is taken up and completed.
- while it trains: the claim is `running`; the events on its disk are replayed, the checkpoint is gone on from.
- between record and claim: the record is found and the claim moved. Between claim and Optuna: whoever learns of the end
  tells it, which changes nothing where it was told.

Of a driver that never comes back the beat stands still. Another driver that has watched it stand still for `STALE` seconds
takes its unfinished claims over, one as it has a slot. If the old one was only held up, it finds its claims lost (1).
"""

import secrets
import threading
import time
from collections.abc import Callable, Container
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from bench import drivers
from bench.errors import RequestError
from bench.index import Entry
from bench.plain import Progress, Trial
from bench.record import Record
from sweeps.claims import ASIDE, UNFINISHED, Claim, Claims, Key, key
from sweeps.lost import Place
from sweeps.tuner import Asked, Tuner

STALE = 600.0  # seconds that a driver's beat stands still before its claims are taken over
LOOK = 1.0  # seconds between two looks at the claims, and no more than a tenth of the time is spent on them


class Shared:
    """One of several drivers (see the module's text).

    Args:
        claims: the study's.
        folder: the study's folder here; the driver's name lies in it.
        objective: the figure that is tuned by.
    """

    alone = False

    def __init__(self, claims: Claims, folder: Path, objective: str):
        self.claims = claims
        self.name = drivers.named(folder)
        self._folder = folder
        self._objective = objective
        self._session = secrets.token_hex(8)
        self._seen: dict[str, tuple[tuple[str, int], float]] = {}  # driver -> its beat, seconds that it stands still
        self._looked = self._next = 0.0
        self._rows: dict[Key, Claim] = {}
        self._searches: dict[Place, dict[int, Claim]] = {}
        self._over = threading.Event()
        self._replaced = False
        claims.arrive(self.name, self._session)
        self._look()
        self._pulse = threading.Thread(target=self._beat, name="beat", daemon=True)
        self._pulse.start()

    def known(self, place: Place, tuner: Tuner) -> list[Asked]:
        rows = self._search(place)
        mine = [n for n, row in rows.items() if row.owner == self.name and row.state == "running"]
        others = [n for n, row in rows.items() if row.state not in ASIDE and n not in mine]
        found = [tuner.take_up(n) for n in mine] + tuner.params(others)
        return sorted(found, key=lambda asked: asked.number)

    def owes(self, place: Place) -> bool:
        return any(row.owner == self.name or self._gone(row.owner) for _, row in self._asks(place))

    def asking(self, place: Place) -> bool:
        return bool(self._asks(place))

    def ask(self, place: Place, tuner: Tuner) -> Asked | None:
        number = self._turn(place)
        if number is None:
            return None
        where = _at(place, number)
        mine = Claim(self.name, "asking")
        try:
            asked = tuner.take_up(number)
        except Exception:
            now = self.claims.read(where)
            if now and now.owner != self.name:  # held up for so long that another has taken this ask over
                self._look()
                return None
            raise
        if self._move(where, mine, mine._replace(state="running")):
            return asked
        self._look()
        return None

    def asked(self, place: Place, tuner: Tuner, known: Container[int]) -> list[Asked]:
        new = [n for n, row in self._search(place).items() if row.state not in ASIDE and n not in known]
        return tuner.params(new) if new else []

    def closed(self, place: Place) -> bool:
        return any(row.state == "closed" for row in self._search(place).values())

    def close(self, place: Place, tuner: Tuner) -> bool:
        if self.closed(place):
            return True
        count = len(self._search(place))
        if not self._insert(_at(place, count), Claim(self.name, "closed")):
            self._look()
            return self.closed(place)
        tuner.close(count)
        return True

    def take(self, trial: Trial) -> bool:
        where = key(trial)
        if where not in self._rows and not self._insert(where, Claim(self.name, "running")):
            self._look()
        row = self._rows.get(where)
        return row is not None and row.owner == self.name

    def inherit(self, trial: Trial) -> bool:
        row = self._rows.get(key(trial))
        if row is None:  # it was lost to an error, and is free again
            return self.take(trial)
        if row.state not in UNFINISHED or not self._gone(row.owner):
            return False
        if not self._move(key(trial), row, row._replace(owner=self.name)):
            return False
        self.claims.patience.say(
            f"driver {row.owner} has not been heard of for {STALE:g} s: {trial.arm} {trial.role} {trial.number} "
            f"(seed {trial.seed}) is taken over"
        )
        return True

    def holds(self, trial: Trial) -> bool:
        row = self.claims.read(key(trial))
        return row is not None and row.owner == self.name

    def end(self, trial: Trial, known: Record | Entry) -> bool:
        row = Claim.ended(self.name, known, self._objective)
        where = key(trial)
        if self._rows.get(where) == row:
            return True  # an earlier session came as far as this
        before = self._rows.get(where, row)
        return before.owner == self.name and self._move(where, before, row)

    def outcome(self, trial: Trial) -> Record | None:
        row = self._rows.get(key(trial))
        if row is None or row.state in UNFINISHED:
            return None
        if row.state == "void":  # of a search that was lost as a whole, which another driver has opened again
            row = row._replace(state="failed", kind="error")
        metrics = {} if row.figure is None else {self._objective: row.figure}
        events = [Progress(n, n, {}, row.seconds * n / row.epochs) for n in range(1, row.epochs + 1)]
        return Record(trial, self._folder / trial.id, row.state, kind=row.kind, metrics=metrics, events=tuple(events))

    def look(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._look()
        return True

    def rows(self) -> list[tuple[Key, Claim]]:
        """All claims, as they were at the last look."""
        return list(self._rows.items())

    def refresh(self) -> None:
        """Look at the claims now."""
        self._look()

    def speak(self, say: Callable[[str], None], waiting: Callable[[], AbstractContextManager]) -> None:
        self.claims.patience.say, self.claims.patience.waiting = say, waiting

    def agree(self, run: str, lost: str = "") -> str:
        return self.claims.agree(run, lost)

    def leave(self) -> None:
        self._over.set()
        self._pulse.join(1.0)  # it may hang at a database that is away
        self.claims.close()

    def _look(self) -> None:
        """Read all claims, and watch the others' beats."""
        begun = time.monotonic()
        self._rows, self._searches = {}, {}
        for where, row in self.claims.rows().items():
            self._note(where, row)
        beats = self.claims.beats()
        if self._replaced or beats.get(self.name, ("", 0))[0] != self._session:
            raise RequestError(
                f"another process drives study {self.claims.study!r} under the name of this one ({self.name}): "
                f"of a folder of records that was copied, delete {drivers.NAME} in the copy"
            )
        # No clock of another machine is read; and what nobody watched (a database that was away) does not count.
        passed = min(begun - self._looked, STALE / 10) if self._looked else 0.0
        for driver, beat in beats.items():
            old, still = self._seen.get(driver, (beat, 0.0))
            self._seen[driver] = (beat, still + passed if beat == old else 0.0)
        now = time.monotonic()
        self._looked, self._next = now, now + max(LOOK, 9 * (now - begun))

    def _beat(self) -> None:
        while not self._over.wait(STALE / 20):
            with suppress(Exception):  # a database that is away is the main loop's to report
                if not self.claims.beat(self.name, self._session):
                    self._replaced = True

    def _gone(self, owner: str) -> bool:
        """Whether a driver's beat has stood still for too long; a driver that never had one is gone too."""
        if owner == self.name:
            return False
        return owner not in self._seen or self._seen[owner][1] > STALE

    def _turn(self, place: Place) -> int | None:
        """The number that this driver may ask for, claimed; None: another is at it."""
        free = len(self._search(place))
        for number, row in self._asks(place):
            if row.owner == self.name:
                return number
            taken = self._gone(row.owner) and self._move(_at(place, number), row, row._replace(owner=self.name))
            return number if taken else None
        if not self._insert(_at(place, free), Claim(self.name, "asking")):
            self._look()
            return None
        return free

    def _asks(self, place: Place) -> list[tuple[int, Claim]]:
        return [(number, row) for number, row in self._search(place).items() if row.state == "asking"]

    def _search(self, place: Place) -> dict[int, Claim]:
        """The rows of a search, by number."""
        return self._searches.get(place, {})

    def _note(self, where: Key, row: Claim) -> None:
        self._rows[where] = row
        if where.role == "search":
            self._searches.setdefault((where.backbone, where.label), {})[where.number] = row

    def _insert(self, where: Key, row: Claim) -> bool:
        if made := self.claims.insert(where, row):
            self._note(where, row)
        return made

    def _move(self, where: Key, row: Claim, to: Claim) -> bool:
        if moved := self.claims.move(where, row.owner, row.state, to):
            self._note(where, to)
        else:
            self._look()
        return moved


def _at(place: Place, number: int) -> Key:
    """The row of a search's trial. All share one seed, which stands for none here."""
    return Key(*place, "search", number, 0)
