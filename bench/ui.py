"""`facebench ui`: the MLflow UI on the records of this folder, for this machine alone unless it is asked otherwise."""

import errno
import importlib.util
import ipaddress
import os
import signal
import socket
import subprocess
import sys

from bench import places, tracking
from bench.credentials import hidden
from bench.errors import RequestError, TrialFailed

_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve(port: int, host: str = "127.0.0.1") -> None:
    """Run the MLflow UI until Ctrl-C; a warning says what a host other than this machine's own exposes.

    Raises:
        RequestError: MLflow is not installed, nothing was recorded here yet, the port is taken, or the host is none.
        TrialFailed: the server ended by itself.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise RequestError("the UI is MLflow's, which is not installed: `pip install mlflow`")
    store = tracking.uri()
    if store.startswith("sqlite:///") and not (places.runs() / "mlflow.db").exists():
        raise RequestError(f"nothing was recorded in {places.runs()} yet: run a study first, or set $FACEBENCH_RUNS")
    if not store.startswith(("sqlite:", "postgresql", "mysql", "mssql")):
        raise RequestError(f"$MLFLOW_TRACKING_URI names the server {hidden(store)}: open that address in a browser")
    _check(host, port)
    if not ipaddress.ip_address(socket.gethostbyname(host)).is_loopback:
        print(
            f"warning: at {host} everybody who reaches this machine can read, change and delete all runs and read their "
            "files: MLflow asks for no password (who calls it by a name is refused unless $MLFLOW_SERVER_ALLOWED_HOSTS has it)",
            file=sys.stderr,
        )
    command = [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port), "--workers", "1"]
    print(f"MLflow UI: http://{host}:{port} (ready in some seconds; Ctrl-C ends it)", flush=True)
    # Not as an argument, which every user of the machine can read: the URL may hold a password.
    server = subprocess.Popen(command, env=os.environ | _QUIET | {"MLFLOW_BACKEND_STORE_URI": store})
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server must not outlive this process
    try:
        code = server.wait()
    finally:
        if server.poll() is None:
            server.terminate()
            server.wait(timeout=15)
    if code:
        raise TrialFailed(f"the MLflow server ended with exit code {code}")


def _check(host: str, port: int) -> None:
    try:
        address = socket.gethostbyname(host)
    except OSError as error:
        raise RequestError(
            f"--host must name an address of this machine, {host!r} is none ({error.strerror})"
        ) from error
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise RequestError(f"port {port} of {host} is taken: give another with --port") from error
            raise RequestError(f"cannot listen at {host}, port {port}: {error.strerror}") from error
