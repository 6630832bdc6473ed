"""`facebench ui`: the MLflow UI on the records of this folder, for this machine alone."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys

from bench import places, tracking
from bench.errors import RequestError, TrialFailed

_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve(port: int) -> None:
    """Run the MLflow UI on 127.0.0.1 until Ctrl-C.

    Raises:
        RequestError: MLflow is not installed, nothing was recorded here yet, or the port is taken.
        TrialFailed: the server ended by itself.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise RequestError("the UI is MLflow's, which is not installed: `pip install mlflow`")
    store = tracking.uri()
    if store.startswith("sqlite:///") and not (places.runs() / "mlflow.db").exists():
        raise RequestError(f"nothing was recorded in {places.runs()} yet: run a study first, or set $FACEBENCH_RUNS")
    if not store.startswith(("sqlite:", "postgresql", "mysql", "mssql")):
        raise RequestError(f"$MLFLOW_TRACKING_URI names the server {store}: open that address in a browser")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise RequestError(f"port {port} of 127.0.0.1 is taken: give another with --port")
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    print(f"MLflow UI: http://127.0.0.1:{port} (ready in some seconds; Ctrl-C ends it)", flush=True)
    server = subprocess.Popen([*command, "--backend-store-uri", store], env=os.environ | _QUIET)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server must not outlive this process
    try:
        code = server.wait()
    finally:
        if server.poll() is None:
            server.terminate()
            server.wait(timeout=15)
    if code:
        raise TrialFailed(f"the MLflow server ended with exit code {code}")
