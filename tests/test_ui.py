"""`facebench ui`: a real MLflow server on loopback, started and stopped; and what it refuses."""

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from bench import places, ui
from bench.errors import RequestError


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_without_records_there_is_nothing_to_show():
    with pytest.raises(RequestError, match=r"nothing was recorded in .*runs yet"):
        ui.serve(free_port())


def test_a_server_elsewhere_is_named(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(RequestError, match=r"names the server http://127.0.0.1:1: open that address"):
        ui.serve(free_port())


def test_a_taken_port_is_refused():
    places.runs().mkdir(parents=True)
    (places.runs() / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RequestError, match=r"port .* is taken: give another with --port"):
            ui.serve(taken.getsockname()[1])


@pytest.mark.parametrize(("host", "warns"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_a_host_that_others_can_reach_is_warned_of_and_the_password_stays_out_of_the_arguments(
    monkeypatch, capsys, host, warns
):
    started = []

    class Ended:
        returncode = 0

        def __init__(self, command, env):
            started.append((command, env))

        def wait(self, timeout=None):
            return 0

        poll = wait

    monkeypatch.setattr(ui.subprocess, "Popen", Ended)
    monkeypatch.setattr(ui.signal, "signal", lambda *_: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:hush@host/db")
    ui.serve(free_port(), host)
    ((command, env),) = started
    assert command[command.index("--host") + 1] == host
    assert "hush" not in " ".join(command) and "hush" in env["MLFLOW_BACKEND_STORE_URI"]
    said = capsys.readouterr().err
    assert ("can read, change and delete all runs" in said) == warns and said.count("\n") == warns


def test_a_host_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://host/db")
    with pytest.raises(RequestError, match=r"^--host must name an address of this machine, 'no such host' is none"):
        ui.serve(free_port(), "no such host")
    with pytest.raises(RequestError, match=r"^cannot listen at 192.0.2.1, port \d+: "):
        ui.serve(free_port(), "192.0.2.1")


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_the_page_opens_and_the_server_ends_with_the_command(sign):
    from bench import tracking

    places.runs().mkdir(parents=True)
    tracking.client(tracking.uri()).search_experiments()  # makes the store
    port = free_port()
    command = [sys.executable, "-c", "from bench import cli; cli.main()", "ui", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert _answers(port, process), "no answer within two minutes"
    finally:
        process.send_signal(sign)
        assert process.wait(timeout=30) == 130
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5)


def _answers(port, process):
    for _ in range(240):
        assert process.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5) as page:
                return b"MLflow" in page.read()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    return False
