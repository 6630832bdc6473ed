"""Studies as jobs of a real cluster of two nodes that lack facebench: followed, stopped, continued, refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray_nodes import Shape, ray_nodes

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1800)]

PATIENCE = 500.0  # seconds for anything of a job on a busy machine
STUDY = """
name: tiny
data: {name: digits}
image_size: 16
channels: 1
embedding_dim: 8
backbones: {cnn4: {widths: [4, 4, 4, 4], blocks: [0, 0, 0, 0]}}
losses: [softmax]
confirm: {seeds: 2, epochs: 2}
protocols: [{name: heldout, data: {name: digits}}]
"""
# Where facebench is installed into the environment by a link, these nodes do not see it.
WITHOUT = """
import os, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
sys.path[:] = [path for path in sys.path if not os.path.exists(f"{path}/bench/cli.py") or "py_modules" in path]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    without = tmp_path_factory.mktemp("without")
    (without / "sitecustomize.py").write_text(WITHOUT)
    env = {"PYTHONPATH": str(without)}
    with ray_nodes(Shape(cpus=1, env=env), Shape(cpus=1, env=env)) as nodes:
        bare = subprocess.run([sys.executable, "-c", "import bench"], env=nodes.env | env, cwd="/", capture_output=True)
        assert b"No module named 'bench'" in bare.stderr
        yield nodes


@pytest.fixture
def at(cluster, tmp_path):
    """Run facebench as somebody at the cluster: (exit code, stdout, stderr)."""
    (tmp_path / "cwd").mkdir()

    def call(*arguments):
        done = subprocess.run(
            command(*arguments), text=True, capture_output=True, timeout=PATIENCE, **where(cluster, tmp_path)
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    return call


def command(*arguments) -> list[str]:
    return [sys.executable, "-m", "bench", *map(str, arguments)]


def where(cluster, tmp_path: Path) -> dict:
    env = cluster.env | {"FACEBENCH_RUNS": str(tmp_path / "runs"), "FACEBENCH_CACHE": os.environ["FACEBENCH_CACHE"]}
    return {"cwd": tmp_path / "cwd", "env": env}


def write(tmp_path: Path, **changed: str) -> None:
    text = STUDY
    for old, new in changed.items():
        text = text.replace(f"{old}: {dict(name='tiny', epochs='2')[old]}", f"{old}: {new}")
    (tmp_path / "cwd" / "study.yaml").write_text(text)


def steps(tmp_path: Path, study: str) -> dict[str, list[int]]:
    """Trial -> the steps in its events."""
    found = {}
    for path in (tmp_path / "runs" / study).glob("*/events.jsonl"):
        found[path.parent.name] = [
            json.loads(line)["step"] for line in path.read_text().splitlines() if line.endswith("}")
        ]
    return found


def test_a_followed_job_has_whole_records_on_nodes_that_lack_facebench(cluster, at, tmp_path):
    write(tmp_path)
    code, out, err = at("submit", "study.yaml", "--address", cluster.dashboard, "--follow")
    assert code == 0, out + err
    assert "job tiny-r1 submitted (1 file(s), " in out and out.splitlines()[-1] == "job tiny-r1: succeeded"
    assert "cnn4/softmax: done" in out and "report: " in out
    told = json.loads(at("status", "tiny", "--json")[1])
    assert told["state"] == "finished" and [trial["state"] for trial in told["trials"]] == ["finished"] * 2
    assert all("heldout/auc" in trial["metrics"] for trial in told["trials"])
    assert told["summary"]["epochs"] == told["summary"]["planned_epochs"] == 4
    assert len(set(map(str, steps(tmp_path, "tiny").values()))) == 1
    code, out, _ = at("status", "--address", cluster.dashboard)
    assert code == 0 and "tiny: finished; 2 trials (2 finished); 4 of 4 epochs" in out
    assert "2 node(s), " in out and " of 2 CPUs and 0 of 0 GPUs in use" in out
    assert "job tiny-r1: succeeded (study tiny)" in out


def test_a_request_that_is_wrong_on_the_cluster_ends_the_follower_with_its_code(cluster, at, tmp_path):
    text = STUDY.replace("name: tiny", "name: lost").replace(
        "data: {name: digits}\nimage", "data: {name: folder, paths: [x]}\nimage"
    )
    (tmp_path / "cwd" / "study.yaml").write_text(text)
    code, out, err = at(
        "submit", "study.yaml", "--address", cluster.dashboard, "--follow", "--data", tmp_path / "nowhere"
    )
    assert code == 2 and f"no file or folder at {tmp_path / 'nowhere' / 'x'}" in out
    assert err.splitlines()[-1] == "facebench: job lost-r1 failed"


def test_a_job_outlives_its_follower_is_stopped_and_goes_on_where_it_stood(cluster, at, tmp_path):
    write(tmp_path, name="long", epochs="150")
    submit = ("submit", "study.yaml", "--address", cluster.dashboard)
    with subprocess.Popen(
        command(*submit, "--follow"),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore Ctrl-C
        **where(cluster, tmp_path),
    ) as follower:
        try:
            until = time.monotonic() + PATIENCE
            while not any(len(known) > 2 for known in steps(tmp_path, "long").values()):
                assert time.monotonic() < until and follower.poll() is None, "no epoch was trained"
                time.sleep(0.2)
            follower.send_signal(signal.SIGINT)
            assert follower.wait(60) == 130
            assert "job long-r1 runs on; stop it with `facebench stop long" in follower.stderr.read()
        finally:
            follower.kill()
    code, _, err = at(*submit)
    assert code == 2 and "runs at" in err and "already, as job long-r1 (RUNNING)" in err
    code, out, err = at("stop", "long", "--address", cluster.dashboard)
    assert code == 0 and "job long-r1: stopped" in out, out + err
    before = steps(tmp_path, "long")
    told = json.loads(at("status", "long", "--json")[1])
    assert told["state"] == "stopped" and 0 < told["summary"]["epochs"] < told["summary"]["planned_epochs"] == 300
    assert told["summary"]["left_seconds"] > 0
    code, _, err = at("stop", "long", "--address", cluster.dashboard)
    assert code == 2 and "no job of study 'long' runs at" in err and "the last one, long-r1, is STOPPED" in err
    code, out, err = at(*submit, "--follow")
    assert code == 0 and "job long-r2: succeeded" in out, out + err
    after = steps(tmp_path, "long")
    assert sorted(map(len, after.values())) == [150, 150]
    for trial, known in after.items():
        assert len(set(known)) == 150 and known[: len(before.get(trial, []))] == before.get(trial, [])
