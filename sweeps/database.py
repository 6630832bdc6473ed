"""The database of a study's search and claims: its URL, how it is opened, and whose turn it is to make its tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.credentials import hidden, resolved
from bench.errors import RequestError
from bench.locks import turn

TURN = 120  # seconds that a driver waits while others make the tables
_KEY = 0x66616365  # of PostgreSQL's advisory lock: "face"


def address(url: str) -> str:
    """The URL with the driver that is installed, psycopg 3 for PostgreSQL, and what the environment says for `${NAME}`."""
    url = resolved(url)
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


def options(url: str) -> dict[str, Any]:
    """What SQLAlchemy's engine is told."""
    # A restarted Postgres would otherwise fail the first call after it; a locked SQLite file is waited for.
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 60}}
    # A server that takes the connection and says nothing is given up after a while, to be tried again.
    hung = {"connect_args": {"connect_timeout": 10}} if address(url).startswith("postgresql") else {}
    return {"pool_pre_ping": True, **hung}


@contextmanager
def opening(url: str) -> Iterator[None]:
    """Hold the database while it is opened and its tables are made.

    Raises:
        RequestError: it cannot be opened.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with alone_at(url):
            yield
    except RequestError:
        raise
    except (SQLAlchemyError, ValueError, ImportError, OSError) as error:
        cause = hidden((str(error).splitlines() or [type(error).__name__])[0])
        raise RequestError(
            f"storage {hidden(url)!r} cannot be opened ({cause}): expected an SQLAlchemy URL such as sqlite:///optuna.db"
        ) from error


@contextmanager
def alone_at(url: str) -> Iterator[None]:
    """Hold the database for what one driver does at a time: of several that make the tables at once, most die.

    Raises:
        RequestError: another driver does not let go of it.
    """
    import sqlalchemy as sql

    parts = sql.make_url(address(url))
    if parts.get_backend_name() == "sqlite":
        if not parts.database or parts.database == ":memory:":
            yield
            return
        file = Path(parts.database)
        with turn(file.with_name(file.name + ".lock")):
            yield
    elif parts.get_backend_name() == "postgresql":
        engine = sql.create_engine(parts, poolclass=sql.NullPool)
        with engine.connect() as connection:
            connection.execute(sql.text(f"set lock_timeout = '{TURN}s'"))
            try:
                connection.execute(sql.text(f"select pg_advisory_xact_lock({_KEY})"))
            except sql.exc.OperationalError as error:
                raise RequestError(
                    f"another driver has held the storage for {TURN} s while it opens it: stop that driver, or wait"
                ) from error
            yield
    else:
        yield
