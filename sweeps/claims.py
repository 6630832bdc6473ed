"""Who runs which trial of a study that several drivers share: facebench's own tables beside Optuna's.

A claim is a row whose key says what is run: backbone, label (with its search), role, number and seed, all known before a
search has drawn its parameters. The database takes a key once, so a trial has one owner, and every later change names the
owner and the state that it expects (compare and set): what a driver does with a claim that it has lost changes nothing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from bench.index import Entry
from bench.plain import Trial
from bench.record import Record
from sweeps import database

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

UNFINISHED = ("asking", "running")
ASIDE = ("asking", "closed", "void")  # states of a search's rows that stand for no trial
T = TypeVar("T")


class Key(NamedTuple):
    """What a claim is for; a search has besides, under its next number, the row that closes it."""

    backbone: str
    label: str
    role: str
    number: int
    seed: int


class Claim(NamedTuple):
    """A row: `state` is `asking` (the search draws its parameters), `running`, then that of the record; `closed` ends a
    search, and `void` is what a search that was lost as a whole left. The rest is the record in short."""

    owner: str
    state: str
    kind: str = ""
    figure: float | None = None
    epochs: int = 0
    seconds: float = 0.0

    @classmethod
    def ended(cls, owner: str, known: Record | Entry, objective: str) -> "Claim":
        """The claim on a trial with this final record."""
        return cls(owner, known.state, known.kind, known.metrics.get(objective), known.epochs, known.seconds)


class Begun(NamedTuple):
    """A start of the study: what all its drivers must have in common."""

    hash: str
    created: str
    overlap: bool


def key(trial: Trial) -> Key:
    """What a claim on a trial is for. The trials of a search share one seed, which therefore says nothing."""
    return Key(trial.backbone, trial.arm, trial.role, trial.number, 0 if trial.role == "search" else trial.seed)


class Claims:
    """The tables. Every call is one short transaction, and waits for a database that is away.

    Args:
        url: the database, SQLite or PostgreSQL.
        study: the study's name.
        say: is told what a user should know: that the database does not answer, say.

    Attributes:
        patience: how it waits for a database that is away.

    Raises:
        RequestError: it cannot be opened.
    """

    def __init__(self, url: str, study: str, say: Callable[[str], None]):
        import sqlalchemy as sql

        from sweeps.patience import Patience

        self.study = study
        made = _tables()
        self._studies, self._claims, self._drivers = (made.tables[f"facebench_{of}"] for of in _TABLES)
        with database.opening(url):
            parts = sql.make_url(database.address(url))
            self._engine = sql.create_engine(parts, **database.options(url))
            made.create_all(self._engine)
        self.patience = Patience(f"the database at {parts.host or parts.database}")
        self.patience.say = say

    def begun(self) -> Begun | None:
        """The study's start; None: no driver has begun it."""
        table = self._studies
        rows = self._select(table.c.hash, table.c.created, table.c.overlap)
        return Begun(*rows[0]) if rows else None

    def begin(self, begun: Begun) -> None:
        """Write the study's start, in place of an earlier one. The caller holds the database (`database.alone_at`)."""

        def write(connection: "Connection") -> None:
            connection.execute(self._studies.delete().where(self._studies.c.study == self.study))
            connection.execute(self._studies.insert().values(study=self.study, run="", **begun._asdict()))

        self._do(write)

    def rows(self) -> dict[Key, Claim]:
        """All claims."""
        columns = [self._claims.c[name] for name in (*Key._fields, *Claim._fields)]
        width = len(Key._fields)
        return {Key(*row[:width]): Claim(*row[width:]) for row in self._select(*columns)}

    def insert(self, key: Key, claim: Claim) -> bool:
        """Claim what nobody has claimed; True: it is the owner's now."""
        from sqlalchemy.exc import IntegrityError

        statement = self._claims.insert().values(study=self.study, **key._asdict(), **claim._asdict())
        try:
            self._do(lambda connection: connection.execute(statement))
        except IntegrityError:
            return self.read(key) == claim  # ours where the answer to an earlier try was lost
        return True

    def move(self, key: Key, owner: str, state: str, to: Claim) -> bool:
        """Replace a claim if it has this owner and state; True: it is as wished now."""
        table = self._claims
        statement = table.update().where(*self._at(key), table.c.owner == owner, table.c.state == state)
        moved = self._do(lambda connection: connection.execute(statement.values(**to._asdict())).rowcount)
        return bool(moved) or self.read(key) == to

    def remove(self, key: Key, claim: Claim) -> None:
        """Delete a claim if it is still this one: anybody may take it anew."""
        table = self._claims
        statement = table.delete().where(*self._at(key), table.c.owner == claim.owner, table.c.state == claim.state)
        self._do(lambda connection: connection.execute(statement))

    def read(self, key: Key) -> Claim | None:
        """One claim as it is now."""
        columns = [self._claims.c[name] for name in Claim._fields]
        found = self._select(*columns, where=self._at(key))
        return Claim(*found[0]) if found else None

    def arrive(self, driver: str, session: str) -> None:
        """Say that a session of a driver has begun; it takes the place of any earlier one."""
        table = self._drivers

        def write(connection: "Connection") -> None:
            connection.execute(table.delete().where(table.c.study == self.study, table.c.driver == driver))
            connection.execute(table.insert().values(study=self.study, driver=driver, session=session, beat=0))

        self._do(write)

    def beat(self, driver: str, session: str) -> bool:
        """Say that a session is alive; False: another one has taken its place. Does not wait for a database."""
        table = self._drivers
        mine = (table.c.study == self.study, table.c.driver == driver, table.c.session == session)
        with self._engine.begin() as connection:
            return bool(connection.execute(table.update().where(*mine).values(beat=table.c.beat + 1)).rowcount)

    def beats(self) -> dict[str, tuple[str, int]]:
        """Driver -> what changes while it is alive."""
        table = self._drivers
        return {
            driver: (session, beat) for driver, session, beat in self._select(*table.c["driver", "session", "beat"])
        }

    def agree(self, run: str, lost: str = "") -> str:
        """The MLflow run that all drivers write into: this one, where none is named yet or the one named is `lost`."""
        table = self._studies
        mine = table.update().where(table.c.study == self.study, table.c.run == lost).values(run=run)
        self._do(lambda connection: connection.execute(mine))
        return self._select(table.c.run)[0][0]

    def close(self) -> None:
        self._engine.dispose()

    def _at(self, key: Key) -> list[Any]:
        table = self._claims
        return [table.c.study == self.study, *(table.c[name] == value for name, value in key._asdict().items())]

    def _select(self, *columns: Any, where: Any = ()) -> list[Any]:
        import sqlalchemy as sql

        of = columns[0].table
        statement = sql.select(*columns).where(*(where or (of.c.study == self.study,)))
        return self._do(lambda connection: list(connection.execute(statement)))

    def _do(self, action: Callable[["Connection"], T]) -> T:
        """An action as one transaction, again and again while the database is away."""

        def once(again: bool) -> T:
            with self._engine.begin() as connection:
                return action(connection)

        return self.patience(once)


_TABLES = ("studies", "claims", "drivers")


def _tables() -> "MetaData":
    import sqlalchemy as sql

    made, word = sql.MetaData(), sql.String(255)
    columns: dict[str, list[sql.Column[Any]]] = {
        # `run` is the one in MLflow that all drivers write into, "" before there is one.
        "studies": [sql.Column(name, sql.Boolean if name == "overlap" else word) for name in (*Begun._fields, "run")],
        # A study's seeds are ten thousand for each of its own: more than 32 bits hold.
        "claims": [
            *(sql.Column(name, word, primary_key=True) for name in Key._fields[:3]),
            *(sql.Column(name, sql.BigInteger, primary_key=True, autoincrement=False) for name in Key._fields[3:]),
            *(sql.Column(name, word) for name in ("owner", "state", "kind")),
            *(sql.Column(name, sql.Double) for name in ("figure", "seconds")),
            sql.Column("epochs", sql.Integer),
        ],
        "drivers": [
            sql.Column("driver", word, primary_key=True),
            sql.Column("session", word),
            sql.Column("beat", sql.BigInteger),
        ],
    }
    for name in _TABLES:
        sql.Table(f"facebench_{name}", made, sql.Column("study", word, primary_key=True), *columns[name])
    return made
