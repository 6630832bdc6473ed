"""The process that writes MLflow beside a sweep: a real one, on a real store in a SQLite file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from counted import until
from made_up_tracking import begun, rows, runs, template  # noqa: F401 (fixtures)
from test_stores_window import active, trial

from bench import tracking
from bench._mlflow_store import Failed
from sweeps.window import MlflowWindow

pytestmark = pytest.mark.slow


def alive(pid: int) -> bool:
    """Whether a process runs (one that ended and was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_is_sent_is_there_and_a_process_that_is_killed_is_replaced(begun):
    shown = MlflowWindow("study", begun, apart=True)
    shown.send(trial(begun, 1))
    until(lambda: rows("select count(*) from runs") == [(2,)], 60)
    first = shown._apart._child.pid
    assert "mlflow" not in Path(f"/proc/{first}/cmdline").read_text().replace("_mlflow_child", ""), "no store's URL"
    os.kill(first, signal.SIGINT)  # as Ctrl-C in the terminal would, were it in the sweep's session
    os.kill(first, signal.SIGKILL)
    shown.send(trial(begun, 2, ended=False))
    shown.send(trial(begun, 3))
    assert shown.close("stopped") == ""
    assert active() == [("1", "FINISHED"), ("2", "KILLED"), ("3", "FINISHED"), ("parent", "KILLED")]
    assert shown._apart._child.pid != first and not alive(shown._apart._child.pid)


def test_the_parent_run_is_agreed_on_by_question_and_answer(begun):
    asked = []

    def agree(mine, lost):
        asked.append((mine, lost))
        return mine

    apart = tracking.Apart("study", begun, tracking.uri(), agree).open(alone=False)
    apart.close("finished")
    apart.stop()
    assert rows("select run_uuid from runs") == [(asked[0][0],)] and asked[0][1] == ""


def test_its_errors_are_lines_without_secrets(begun, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    apart = tracking.Apart("study", begun, "http://me:secret@127.0.0.1:9", tracking.as_it_is)
    with pytest.raises(Failed, match=r"MlflowException: .*127\.0\.0\.1") as error:
        apart.open(alone=True)
    assert "secret" not in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(Failed, match="no mirror is open"):
        apart.close("finished")
    apart.stop()
    with pytest.raises(Failed, match="the process that writes it is gone"):
        apart.close("finished")


PARENT = """
import sys, time
from pathlib import Path
from bench import tracking
apart = tracking.Apart("study", Path(sys.argv[1]), tracking.uri(), tracking.as_it_is).open(alone=True)
print(apart._child.pid, flush=True)
time.sleep(600)
"""


def test_it_ends_when_its_parent_is_killed(begun):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(begun)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.communicate()
    until(lambda: not alive(child), 20)
