"""What travels to a cluster with a job, what is refused before anything is sent, ids, and addresses that are none."""

import subprocess
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bench import source
from bench.errors import RequestError, Unreachable
from sweeps import jobs, packing, reading, shipment
from sweeps.jobs import Job
from sweeps.parts import Tune

STUDY = """
name: tiny
data: {name: digits}
backbones: [cnn4]
losses: [softmax]
confirm: {epochs: 1}
protocols: []
closed_every: 2
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with a study in it and much that is nobody's business."""
    here = tmp_path / "here"
    for name in (
        "studies/tiny.yaml",
        "lists/pairs.txt",
        "mine.py",
        ".env",
        ".cache/x.txt",
        "env/pyvenv.cfg",
        "env/lib/a.py",
        "data/Ann/0.txt",
        "faces/Ann/0.JPG",
        "weights.pt",
        "train.rec",
        "__pycache__/mine.py",
        "me.egg-info/PKG-INFO",
        "bench/__init__.py",
        "sweeps/notes.txt",
    ):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(STUDY if name.endswith("yaml") else "text")
    monkeypatch.chdir(here)
    return here


SENT = ("lists/pairs.txt", "mine.py", "studies/tiny.yaml", "sweeps/notes.txt")


def test_data_caches_environments_and_hidden_files_stay_at_home(folder):
    assert packing.parcel(folder).names == SENT


def test_what_git_ignores_stays_at_home_but_for_the_study_file(folder):
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (folder / ".gitignore").write_text("lists/\n*.yaml\n")
    assert packing.parcel(folder).names == ("mine.py", "sweeps/notes.txt")
    assert packing.parcel(folder, "studies/tiny.yaml").names == ("mine.py", "studies/tiny.yaml", "sweeps/notes.txt")


def test_runs_and_data_stay_at_home_whatever_they_are_called(folder, monkeypatch):
    monkeypatch.setenv("FACEBENCH_RUNS", str(folder / "lists"))
    monkeypatch.setenv("FACEBENCH_DATA", str(folder / "sweeps"))
    assert packing.parcel(folder).names == ("mine.py", "studies/tiny.yaml")


def test_too_much_is_refused_with_the_largest_named(folder, monkeypatch):
    (folder / "large.txt").write_text("x" * 3000)
    monkeypatch.setattr(packing, "LIMIT", 2048)
    with pytest.raises(
        RequestError, match=r"has 3\.\d kB that would be sent .* at most 2\.0 kB .* large\.txt \(2\.9 kB\)"
    ):
        packing.parcel(folder)
    monkeypatch.setattr(packing, "MOST", 3)
    with pytest.raises(RequestError, match="holds too many files"):
        packing.parcel(folder)


def test_a_package_has_the_same_bytes_whenever_it_is_made(folder, tmp_path):
    packing.write(packing.parcel(folder), tmp_path / "a.zip")
    (folder / "mine.py").touch()
    packing.write(packing.parcel(folder), tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert [name for name in archive.namelist() if not name.endswith("/")] == list(SENT)


def test_facebench_travels_whole_with_its_yaml_tables_and_templates(tmp_path):
    made, total = packing.packages(tmp_path)
    assert [path.name for path in made] == ["backbones", "bench", "losses", "reports", "sweeps"]
    copies = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    for needed in ("bench/__main__.py", "sweeps/studies/smoke.yaml", "reports/_published.csv"):
        assert needed in copies
    assert any(name.startswith("reports/templates/") for name in copies)
    assert not any("__pycache__" in name for name in copies)
    for package, home in source.folders().items():
        for path in source.files(home):
            assert copies[f"{package}/{path.relative_to(home).as_posix()}"].read_bytes() == path.read_bytes()
    assert total == sum(path.stat().st_size for path in copies.values())


def study(**changes):
    return reading.parse(STUDY, "tiny.yaml").model_copy(update=changes)


def test_the_job_is_told_where_things_lie(monkeypatch):
    monkeypatch.setenv("FACEBENCH_RUNS", "/shared/runs")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracking.example")
    monkeypatch.setenv("SECRET", "x")
    told = {"FACEBENCH_RUNS": "/shared/runs", "MLFLOW_TRACKING_URI": "https://tracking.example"}
    monkeypatch.delenv("FACEBENCH_CACHE", raising=False)
    assert shipment.environment(study(), None, "/shared/data") == told | {"FACEBENCH_DATA": "/shared/data"}
    assert shipment.environment(study(), "/other", None) == told | {"FACEBENCH_RUNS": "/other"}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"FACEBENCH_RUNS": None}, "set FACEBENCH_RUNS, or give --runs, to an absolute folder"),
        ({"FACEBENCH_RUNS": "runs"}, r"FACEBENCH_RUNS \(or --runs\) must be an absolute path .* got 'runs'"),
        ({"FACEBENCH_RUNS": "s3://bucket"}, "must be an absolute path"),
        ({"FACEBENCH_DATA": "../data"}, r"FACEBENCH_DATA \(or --data\) must be an absolute path .* got '../data'"),
        ({"FACEBENCH_CACHE": "cache"}, "FACEBENCH_CACHE must be an absolute path"),
        ({"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}, "MLFLOW_TRACKING_URI names a file relative to"),
        ({"MLFLOW_TRACKING_URI": "mlruns"}, "MLFLOW_TRACKING_URI names a file relative to"),
        ({"MLFLOW_TRACKING_URI": "https://me:secret@host"}, "MLFLOW_TRACKING_URI holds a password"),
    ],
)
def test_what_would_be_lost_with_the_job_is_refused(monkeypatch, variables, said):
    for name, value in ({"FACEBENCH_RUNS": "/runs", "FACEBENCH_CACHE": "/cache"} | variables).items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(RequestError, match=said) as refused:
        shipment.environment(study(), None, None)
    assert "secret" not in str(refused.value)


def test_a_relative_database_of_the_study_is_refused(monkeypatch):
    monkeypatch.setenv("FACEBENCH_RUNS", "/runs")
    monkeypatch.setenv("FACEBENCH_CACHE", "/cache")
    for kept in ("postgresql://host/db", "sqlite:////shared/optuna.db"):
        shipment.environment(study(storage=kept), None, None)
    for lost in ("sqlite:///optuna.db", "sqlite://", "sqlite+pysqlite:///optuna.db"):
        with pytest.raises(RequestError, match="the study's `storage` names a file relative to"):
            shipment.environment(study(storage=lost), None, None)


def test_the_study_file_must_lie_in_what_is_sent(facebench, folder, monkeypatch, tmp_path):
    monkeypatch.setenv("FACEBENCH_RUNS", "/runs")
    (tmp_path / "else.yaml").write_text(STUDY)
    code, _, err = facebench("submit", tmp_path / "else.yaml", "--address", "http://127.0.0.1:1")
    assert code == 2 and "does not lie below the current folder" in err
    code, _, err = facebench("submit", "studies/none.yaml", "--address", "http://127.0.0.1:1")
    assert code == 2 and "no study 'studies/none.yaml'" in err


def test_the_entry_point_is_one_command_of_quoted_words():
    assert shipment.entrypoint("smoke", None, False) == "python -m bench sweep smoke --address auto"
    said = shipment.entrypoint("my studies/a'b.yaml", 3, True)
    assert said == """python -m bench sweep 'my studies/a'"'"'b.yaml' --address auto --slots 3 --allow-overlap"""


def test_requirements_are_a_line_a_package(folder):
    (folder / "requirements.lock").write_text(
        "# made by uv\na==1 ; x \\\n    --hash=1 \\\n    --hash=2\n    # via b\nb==2\n"
    )
    assert shipment._locked(folder) == ["a==1 ; x --hash=1 --hash=2", "b==2"]


def test_ids_go_on_where_the_last_one_stopped():
    names = ("tiny-r1", "tiny-r10", "tiny-r2", "tiny-x-r40", "other-r50", "tiny-rest")
    assert jobs._next("tiny", [Job(name, "", "FAILED") for name in names]) == 11
    assert jobs._next("t.ny", [Job(name, "", "FAILED") for name in names]) == 1


def test_the_newest_job_of_a_study_that_runs():
    known = [
        Job("a-r1", "a", "RUNNING"),
        Job("a-r2", "a", "PENDING"),
        Job("b-r1", "b", "RUNNING"),
        Job("a-r3", "a", "FAILED"),
    ]
    assert jobs.running(known, "a").id == "a-r2"
    assert jobs.running(known, "c") is None


@pytest.mark.parametrize("address", ["ray://host:10001", "auto", "local", "http://", "http://host:port", ""])
def test_an_address_that_is_no_dashboard_s_is_refused(address):
    with pytest.raises(RequestError, match="--address must be the Ray dashboard's, http://HOST:8265, got"):
        jobs.Dashboard(address)


def test_a_password_in_an_address_is_not_shown():
    with pytest.raises(Unreachable) as gone:
        jobs.Dashboard("http://me:secret@127.0.0.1:1")
    assert "http://***@127.0.0.1:1" in str(gone.value) and "secret" not in str(gone.value)


@contextmanager
def answering(code: int, body: str, wait: threading.Event | None = None) -> Iterator[str]:
    """A server that answers everything alike (when `wait` is set)."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            if wait is not None:
                wait.wait(60)
                return
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        if wait is not None:
            wait.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("code", "body"), [(200, "<html>"), (200, "{}"), (200, "[]"), (404, "none"), (500, "broken")])
def test_something_else_that_answers_is_no_dashboard(code, body):
    with answering(code, body) as url, pytest.raises(RequestError, match="what answers at .* is no Ray dashboard"):
        jobs.Dashboard(url)


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_token_says_what_to_set(facebench, code):
    with answering(code, "no") as url:
        status, _, err = facebench("status", "--address", url)
    assert status == 2 and "the token is missing or wrong" in err and "set RAY_AUTH_TOKEN" in err
    assert len(err.splitlines()) == 1


def test_nothing_there_or_nothing_said_is_unreachable(facebench, monkeypatch):
    code, _, err = facebench("status", "--address", "http://127.0.0.1:1")
    assert code == 1 and "the Ray dashboard at http://127.0.0.1:1 cannot be reached" in err
    monkeypatch.setattr(jobs, "TIMEOUT", 0.2)
    with answering(200, "", threading.Event()) as url, pytest.raises(Unreachable, match="did not answer in time"):
        jobs.Dashboard(url)


def test_the_source_digest_is_of_every_byte_and_of_no_compiled_one(tmp_path, monkeypatch):
    homes = {}
    for package in source.PACKAGES:
        homes[package] = tmp_path / package
        homes[package].mkdir()
        (homes[package] / "__init__.py").write_text("")
    monkeypatch.setattr(source, "folders", lambda: homes)
    before = source.digest()
    (tmp_path / "bench" / "__pycache__").mkdir()
    (tmp_path / "bench" / "__pycache__" / "x.pyc").write_text("compiled")
    assert source.digest() == before
    Path(tmp_path / "losses" / "__init__.py").write_text("# another")
    assert source.digest() != before


def test_the_databases_of_the_environment_stay_where_they_are(monkeypatch):
    monkeypatch.setenv("FACEBENCH_RUNS", "/runs")
    assert shipment.environment(study(storage="${PG}"), None, None)["FACEBENCH_RUNS"] == "/runs"
    monkeypatch.setenv("FACEBENCH_STORAGE", "postgresql://u:p@h/d")
    with pytest.raises(RequestError, match="FACEBENCH_STORAGE is not sent with a job"):
        shipment.environment(study(tune=Tune(trials=1, epochs=1)), None, None)
