"""Every test writes into folders of its own and computes on one thread."""

import os
import shutil
import sys
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
# What tests write outlives no machine: where memory is lent as a folder, nothing waits for a disk.
if os.access(memory := Path("/dev/shm"), os.W_OK | os.X_OK) and shutil.disk_usage(memory).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))
# The same examples in every run, none slow enough to fail by it, and nothing of them kept beside the code.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("same")
hypothesis.configuration.set_hypothesis_home_dir(Path(__file__).parents[1] / ".pytest_cache" / "hypothesis")


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """Runs go to a temporary folder; no test reads the data folder of whoever runs it. The cache is shared by a session."""
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("FACEBENCH_DATA", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(autouse=True, scope="session")
def session_cache(tmp_path_factory):
    os.environ["FACEBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def facebench(monkeypatch, capsys):
    """Run the command line in this process: (exit code, stdout, stderr)."""

    from bench import cli
    from sweeps import signals

    monkeypatch.setattr(signals, "leave", lambda: sys.exit(signals.STOPPED))  # this process goes on

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["facebench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call


@pytest.fixture
def tree(tmp_path):
    """A folder of tiny faces: 4 people x 3 images, one of them two levels deep, one file that is no image."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    root = tmp_path / "faces"
    for person in ("Ann", "Bob", "Cy", "Dee"):
        for number in range(3):
            folder = root / person / ("deep" if number == 2 else "")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (20, 16, 3), np.uint8)).save(folder / f"{number}.png")
    (root / "Ann" / "notes.txt").write_text("no image")
    (root / "who.csv").write_text("id,name,known\nAnn,Ann Lee,\nBob,Bob Ray,yes\nCy,,\n")
    return root
