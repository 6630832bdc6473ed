"""The servers of the tests themselves: they come back with their data, and a hung one is hung."""

import urllib.error
import urllib.request

import psycopg
import pytest
from servers import _mlflow, database, mlflow_server, postgres  # noqa: F401 (fixtures)


@pytest.mark.slow
def test_a_postgres_that_was_restarted_has_its_data_and_wants_its_password(postgres, database):
    name = database.rpartition("/")[2]
    postgres.execute("create table kept (x int)", name)
    postgres.restart()
    assert postgres.execute("select * from kept", name) == []
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(database.replace(postgres.password, "wrong"))
    postgres.stop()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(database)
    postgres.start()


@pytest.mark.long
@pytest.mark.slow
def test_an_mlflow_server_hangs_dies_and_comes_back(mlflow_server):
    mlflow_server.pause()
    with pytest.raises((TimeoutError, urllib.error.URLError)):
        urllib.request.urlopen(mlflow_server.url, timeout=1)
    mlflow_server.resume()
    assert urllib.request.urlopen(mlflow_server.url, timeout=60).status == 200
    mlflow_server.kill()
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(mlflow_server.url, timeout=1)
    mlflow_server.start()
