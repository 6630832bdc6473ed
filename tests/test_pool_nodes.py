"""The pool on a real cluster of several nodes (`ray start` processes): packing, loss of a node, a node that joins, tokens.

What is done on the cluster runs in a process of its own, for a process keeps the first token that it has shown.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import fake_trial
import psutil
import pytest
from ray_nodes import Shape, ray_nodes

from bench.plain import Options, Progress, Result, Trial
from sweeps import pool
from sweeps.parts import Resources

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PATIENCE = 400.0  # seconds that any wait may take on a busy machine


@pytest.fixture(scope="module")
def nodes():
    """A head that runs nothing and two workers; the first has two made-up GPUs."""
    with ray_nodes(Shape(cpus=0), Shape(cpus=8, gpus=2), Shape(cpus=2), dashboard=False) as cluster:
        yield cluster


def driver(cluster, folder: Path, *arguments: object) -> subprocess.Popen:
    """This file as a script, which writes what it sees into `folder`."""
    folder.mkdir(exist_ok=True)
    with (folder / "out").open("w") as out:
        command = [sys.executable, __file__, cluster.address, str(folder), *map(str, arguments)]
        return subprocess.Popen(command, env=cluster.env, stdout=out, stderr=subprocess.STDOUT)


def wait(process: subprocess.Popen, folder: Path) -> dict:
    try:
        assert process.wait(PATIENCE) == 0, (folder / "out").read_text()
    finally:
        process.kill()
    return json.loads((folder / "seen.json").read_text())


def until(true, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def executed(folder: Path) -> dict[str, list[str]]:
    """Trial -> a line `epoch pid GPU` for each epoch that was worked on."""
    return {path.parent.name: path.read_text().splitlines() for path in folder.glob("*/executed")}


def worked(lines: list[str]) -> Counter:
    return Counter(int(line.split()[0]) for line in lines)


@pytest.mark.long
@pytest.mark.parametrize(("gpus", "at_once"), [(0.25, 8), (0.34, 4), (0.5, 4), (0.7, 2), (2, 1)])
def test_as_many_trials_share_the_gpus_as_fit(nodes, tmp_path, gpus, at_once):
    asked = Resources(cpus=0.5, gpus=gpus, processes=1)
    process = driver(nodes, tmp_path, asked.model_dump_json(), at_once + 2, 3, 0.3, "together")
    seen = wait(process, tmp_path)
    assert seen["slots"] == at_once and set(seen["ended"].values()) == {"Result"}
    assert seen["together"] == at_once  # heard of at the same time, each in its first epoch
    gpu = Counter(lines[0].split()[2] for lines in executed(tmp_path).values())
    assert set(gpu) == ({"0,1"} if gpus == 2 else {"0", "1"})


def test_out_of_gpu_memory_a_trial_is_tried_again_on_a_larger_share(nodes, tmp_path):
    process = driver(nodes, tmp_path, Resources(gpus=0.25).model_dump_json(), 2, 3, 0, json.dumps({"oom": 1}))
    seen = wait(process, tmp_path)
    for attempts in seen["attempts"].values():
        assert [(a["gpus"], a["reason"][:18]) for a in attempts] == [(0.25, "CUDA out of memory"), (0.5, "finished")]
    assert all(worked(lines) == {1: 1, 2: 2, 3: 1} for lines in executed(tmp_path).values())  # resumed after epoch 1
    assert any("is tried again with gpus 0.5" in line for line in seen["said"])


def test_out_of_gpu_memory_twice_a_trial_fails_and_says_so(nodes, tmp_path):
    process = driver(nodes, tmp_path, Resources(gpus=0.25).model_dump_json(), 1, 3, 0, json.dumps({"oom": 2}))
    seen = wait(process, tmp_path)
    assert seen["ended"] == {"0": "WorkerLost"}
    assert seen["reason"]["0"].startswith(
        "out of GPU memory twice, with gpus 0.25 and again with 0.5: CUDA out of memory"
    )


def test_a_worker_killed_mid_epoch_loses_that_epoch_alone(nodes, tmp_path):
    process = driver(nodes, tmp_path, Resources(cpus=2).model_dump_json(), 3, 8, 0.5)
    until(lambda: any(len(lines) == 4 for lines in executed(tmp_path).values()), "no trial came to its fourth epoch")
    name, lines = next((n, lines) for n, lines in executed(tmp_path).items() if len(lines) >= 4)
    worker = psutil.Process(int(lines[-1].split()[1]))
    assert worker.cmdline()[0].startswith("ray::")
    worker.kill()
    seen = wait(process, tmp_path)
    assert set(seen["ended"].values()) == {"Result"}
    assert set(seen["steps"]) == {"0", "1", "2"}
    assert all(steps == [10 * epoch for epoch in range(1, 9)] for steps in seen["steps"].values())
    assert list(seen["attempts"]) == [name]
    counted = worked(executed(tmp_path)[name])
    assert set(counted) == set(range(1, 9)) and sum(counted.values()) <= 9
    assert all(worked(other) == Counter(range(1, 9)) for n, other in executed(tmp_path).items() if n != name)


def test_wrong_or_missing_a_token_is_a_sentence(nodes, tmp_path):
    for number, (name, value) in enumerate([("RAY_AUTH_TOKEN", "f" * 64), ("HOME", str(tmp_path))]):
        env = {key: v for key, v in nodes.env.items() if key != "RAY_AUTH_TOKEN_PATH"} | {name: value}
        code = f"from sweeps import cluster; cluster.connect({nodes.address!r})"
        ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=PATIENCE)
        says = ("does not let this process in: if that is a Ray head, set", "asks for a token, there is none here: set")
        last = ended.stderr.strip().splitlines()[-1]
        assert ended.returncode == 1 and last.startswith("bench.errors.RequestError: ")
        assert says[number] in last and "RAY_AUTH_TOKEN_PATH" in last
        assert ".cc:" not in ended.stderr, "Ray's own lines are not kept away"


def test_a_request_that_no_node_can_hold_names_what_there_is(nodes, tmp_path):
    process = driver(nodes, tmp_path, Resources(gpus=4).model_dump_json(), 1, 1, 0)
    assert process.wait(PATIENCE) == 1
    says = (tmp_path / "out").read_text()
    assert "a trial asks for 1 CPUs and 4 GPUs, and no node can hold it (there is: " in says
    assert "8 CPUs and 2 GPUs" in says and "2 CPUs and 0 GPUs" in says


@pytest.mark.long
def test_the_trials_of_a_lost_node_move_and_a_node_that_joins_takes_some(tmp_path):
    with ray_nodes(Shape(cpus=0), Shape(cpus=2), Shape(cpus=2), dashboard=False) as cluster:
        process = driver(cluster, tmp_path, Resources(cpus=1).model_dump_json(), 14, 6, 1.5)
        until(lambda: len(executed(tmp_path)) >= 4, "four trials never ran at once")
        until(lambda: sum(len(lines) >= 2 for lines in executed(tmp_path).values()) >= 4, "no second epoch")
        lost = cluster.nodes[1].workers()
        cluster.nodes[1].kill()
        cluster.add(Shape(cpus=3))
        seen = wait(process, tmp_path)
    assert len(seen["ended"]) == 14 and set(seen["ended"].values()) == {"Result"}
    assert all(steps == [10 * epoch for epoch in range(1, 7)] for steps in seen["steps"].values())
    moved = seen["attempts"]
    assert moved and {attempts[0]["node"] for attempts in moved.values()} <= {"127.0.0.2", ""}
    assert any("NodeDiedError" in attempts[0]["reason"] for attempts in moved.values())
    assert all(
        attempts[-1]["reason"] == "finished" and attempts[-1]["node"] != "127.0.0.2" for attempts in moved.values()
    )
    pids = {int(line.split()[1]) for lines in executed(tmp_path).values() for line in lines}
    assert pids & set(lost), "nothing ran on the node that was lost"
    assert (seen["slots"], seen["slots_seen"][-1]) == (4, 5) and set(seen["slots_seen"]) <= {4, 2, 7, 5}, (
        "slots follow the nodes, whichever change is seen first"
    )
    assert "127.0.0.4" in seen["nodes"], "nothing ran on the node that joined"
    for name, lines in executed(tmp_path).items():  # of each lost attempt at most the epoch that was cut short
        assert sum(worked(lines).values()) <= 6 + len(seen["attempts"].get(name, [])[:-1])


def _drive(address: str, folder: Path, asked: str, count: int, epochs: int, nap: float, more: str = "{}") -> None:
    """The script: so many trials on the cluster, at most as many at once as the pool has slots."""
    pool.LOOK = 0.5
    data = {"nap": nap, "log": 1, **({} if more == "together" else json.loads(more))}
    trials = [Trial(number=n, epochs=epochs, holdout=0.1, data=Options(data)) for n in range(count)]
    said: list[str] = []
    workers = pool.RayPool(address, resources=Resources.model_validate_json(asked), run=fake_trial.run, say=said.append)
    seen: dict = {"slots": workers.slots, "ended": {}, "reason": {}, "steps": {}, "attempts": {}, "together": 0}
    slots, addresses, todo = [], set(), list(trials)
    while todo or workers.busy():
        while todo and workers.busy() < workers.slots:
            trial = todo.pop(0)
            (folder / str(trial.number)).mkdir()
            workers.submit(trial, str(folder / str(trial.number)))
        slots.append(workers.slots)
        heard = workers.next(0.2)
        addresses |= {task.address for task in workers._live}
        seen["together"] = max(seen["together"], sum(bool(task.node) for task in workers._live))
        if heard is None:
            continue
        name = str(heard.trial.number)
        if isinstance(heard.event, Progress):
            steps = seen["steps"].setdefault(name, [])
            if heard.event.step not in steps:  # as the driver's record does
                steps.append(heard.event.step)
            continue
        seen["ended"][name] = type(heard.event).__name__
        seen["reason"][name] = str(heard.event)
        if isinstance(heard.event, Result) and "attempts" in heard.event.provenance:
            seen["attempts"][name] = heard.event.provenance["attempts"]
    workers.close()
    seen |= {"said": said, "slots_seen": slots, "nodes": sorted(addresses)}
    (folder / "seen.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    _drive(
        sys.argv[1],
        Path(sys.argv[2]),
        sys.argv[3],
        int(sys.argv[4]),
        int(sys.argv[5]),
        float(sys.argv[6]),
        *sys.argv[7:],
    )
