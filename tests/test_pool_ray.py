"""Trials on a real local Ray: the same events as in this process, and what happens when workers die or hang."""

import json
import os
import time
from pathlib import Path

import fake_trial
import psutil
import pytest

from bench.errors import RequestError, TrialFailed, Unreachable
from bench.plain import Options, Progress, Result, Trial
from sweeps import cluster, pool
from sweeps.inline import Inline
from sweeps.parts import Resources
from sweeps.work import WorkerLost

pytestmark = pytest.mark.slow
PATIENCE = 120.0  # seconds that any test waits at most


@pytest.fixture(scope="module")
def ray_pool():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEBENCH_DATA", "/somewhere")
        opened = pool.RayPool("local", run=fake_trial.run)
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(fake_trial)  # the workers do not have this folder on their path
    yield opened
    opened.close()


def trial(number: int = 0, epochs: int = 3, **data) -> Trial:
    return Trial(number=number, epochs=epochs, holdout=0.1, data=Options(data))


def hear(workers, trials, folder: Path) -> dict[int, list]:
    """Start all, listen to the end: trial number -> events."""
    events = {each.number: [] for each in trials}
    for each in trials:
        (folder / str(each.number)).mkdir(exist_ok=True)
        workers.submit(each, str(folder / str(each.number)))
    until = time.monotonic() + PATIENCE
    while workers.busy():
        assert time.monotonic() < until, "the pool hangs"
        if heard := workers.next(1.0):
            events[heard.trial.number].append(heard.event)
    return events


def test_several_trials_stream_the_same_events_as_inline(ray_pool, tmp_path):
    (tmp_path / "ray").mkdir()
    (tmp_path / "inline").mkdir()
    trials = [trial(number) for number in range(4)]
    assert ray_pool.slots == len(os.sched_getaffinity(0))
    assert hear(ray_pool, trials, tmp_path / "ray") == hear(Inline(run=fake_trial.run), trials, tmp_path / "inline")


def test_everything_listens_at_this_machine_alone(ray_pool):
    """The driver, what it has started, and the workers below that: Ray by itself listens at every address."""
    driver = psutil.Process()
    found = {
        (process.name(), listens.laddr.ip)
        for process in (driver, *driver.children(recursive=True))
        for listens in process.net_connections("tcp")
        if listens.status == psutil.CONN_LISTEN
    }
    assert {"gcs_server", "raylet"} <= {name for name, _ in found}
    assert {address for _, address in found} <= {"127.0.0.1", "::ffff:127.0.0.1"}


@pytest.mark.parametrize(
    ("data", "kind", "says"),
    [
        ({"diverge": ["softmax"]}, TrialFailed, "the loss is nan at step 1"),
        ({"request": "no such data"}, RequestError, "no such data"),
        ({"defect": True}, ZeroDivisionError, "a defect"),
    ],
)
def test_an_exception_arrives_as_what_it_was(ray_pool, tmp_path, data, kind, says):
    last = hear(ray_pool, [trial(**data)], tmp_path)[0][-1]
    assert type(last) is kind and says in str(last)


def test_a_killed_worker_is_replaced_and_goes_on_from_the_checkpoint(ray_pool, tmp_path):
    events = hear(ray_pool, [trial(kill=2)], tmp_path)[0]
    assert isinstance(events[-1], Result)
    # Each attempt says again what its checkpoint holds; the driver drops what it knows.
    assert {event.epoch for event in events[:-1]} == {1, 2, 3}
    assert int((tmp_path / "0" / "attempts").read_text()) == 3
    first, second, last = events[-1].provenance["attempts"]
    assert first == second and first["reason"].startswith("WorkerCrashedError: The worker died unexpectedly")
    assert first["node"] and last == {"reason": "finished", "node": first["node"], "cpus": 1}


def test_a_trial_whose_worker_always_dies_fails(ray_pool, tmp_path):
    last = hear(ray_pool, [trial(kill=99)], tmp_path)[0][-1]
    assert isinstance(last, WorkerLost) and "the worker died 3 times" in str(last)


def test_a_cancelled_trial_is_gone_and_its_slot_is_free(ray_pool, tmp_path):
    ray_pool.submit(endless := trial(epochs=10**6, nap=0.01), str(tmp_path))
    until = time.monotonic() + PATIENCE
    while not ray_pool.next(1.0):
        assert time.monotonic() < until
    ray_pool.cancel(endless)
    while ray_pool.busy():
        assert ray_pool.next(0.1) is None, "an event of a cancelled trial was heard"
        assert time.monotonic() < until
    written = (tmp_path / "checkpoint-1.pt").read_text()
    time.sleep(0.3)
    assert (tmp_path / "checkpoint-1.pt").read_text() == written, "the trial runs on"


def test_a_trial_stuck_in_c_is_stopped_by_force(ray_pool, tmp_path):
    ray_pool.submit(stuck := trial(stuck=PATIENCE), str(tmp_path))
    time.sleep(2.0)
    begun = time.monotonic()
    ray_pool.cancel(stuck)
    while ray_pool.busy():
        ray_pool.next(0.1)
    assert time.monotonic() - begun < 3 * pool.PATIENCE
    assert isinstance(hear(ray_pool, [trial()], tmp_path)[0][-1], Result), "the slot can be used again"


def test_a_trial_does_not_train_ahead_of_what_was_heard(ray_pool, tmp_path):
    ray_pool.submit(ahead := trial(epochs=1000), str(tmp_path))
    until = time.monotonic() + PATIENCE
    while not (heard := ray_pool.next(1.0)):
        assert time.monotonic() < until
    assert isinstance(heard.event, Progress) and heard.event.epoch == 1
    time.sleep(0.5)
    assert len(json.loads((tmp_path / "checkpoint-1.pt").read_text())) <= 3
    ray_pool.cancel(ahead)


def test_the_places_reach_the_workers_and_no_gpu_does(ray_pool, tmp_path):
    result = hear(
        ray_pool, [trial(epochs=0, tell=["FACEBENCH_DATA", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"])], tmp_path
    )
    assert result[0][-1].provenance["told"] == ["/somewhere", "", "1"]


def test_out_of_memory_a_trial_is_given_more_once(ray_pool, tmp_path):
    result = hear(ray_pool, [trial(hungry=1)], tmp_path)[0][-1]
    assert [(a["cpus"], a["reason"]) for a in result.provenance["attempts"]] == [
        (1, "Unable to allocate 2.00 GiB"),
        (2, "finished"),
    ]


def test_out_of_memory_twice_a_trial_fails(ray_pool, tmp_path):
    last = hear(ray_pool, [trial(hungry=2)], tmp_path)[0][-1]
    assert isinstance(last, WorkerLost)
    assert str(last) == "out of memory twice, with cpus 1 and again with 2: Unable to allocate 2.00 GiB"


def test_while_a_trial_waits_for_more_than_the_others_none_of_them_is_started(ray_pool, tmp_path):
    ray_pool.submit(long := trial(1, epochs=10**6, nap=0.05), str(tmp_path))
    (tmp_path / "0").mkdir()
    ray_pool.submit(hungry := trial(hungry=1), str(tmp_path / "0"))
    until = time.monotonic() + PATIENCE
    while not any(task.attempts.weight == 2 for task in ray_pool._live):
        assert time.monotonic() < until
        ray_pool.next(0.1)
    assert ray_pool.busy() == ray_pool.slots + 1  # one CPU of the two is taken
    ray_pool.cancel(long)
    heard = None
    while not heard or not isinstance(heard.event, Result):
        assert time.monotonic() < until
        heard = ray_pool.next(0.1) or heard
    assert heard.trial == hungry


def test_a_request_that_no_node_can_ever_hold_is_refused(ray_pool, monkeypatch):
    monkeypatch.setattr(cluster, "connect", lambda address: None)  # it is
    monkeypatch.setattr(cluster, "disconnect", lambda address: None)
    says = r"asks for 1000 CPUs and 0 GPUs, and no node can hold it \(there is: \d+ CPUs and 0 GPUs\)"
    with pytest.raises(RequestError, match=says):
        pool.RayPool(resources=Resources(cpus=1000))
    with pytest.raises(RequestError, match=r"asks for 1 CPUs and 64 GPUs"):
        pool.RayPool(resources=Resources(gpus=64))
    assert pool.RayPool(resources=Resources(cpus=0.5)).slots == 2 * len(os.sched_getaffinity(0))
    assert pool.RayPool(resources=Resources(cpus=0.5), slots=3).slots == 3


@pytest.fixture
def empty(ray_pool, monkeypatch):
    """A cluster whose nodes are gone, as far as it is looked at; what the pool says."""
    said = []
    monkeypatch.setattr(ray_pool, "_say", said.append)
    monkeypatch.setattr(ray_pool, "_look", 0.0)
    monkeypatch.setattr(pool, "LOOK", 0.05)
    monkeypatch.setattr(ray_pool, "slots", ray_pool.slots)
    monkeypatch.setattr(cluster, "nodes", list)
    return said


def test_a_trial_that_no_node_can_hold_any_more_says_so_and_does_not_wait_for_ever(
    ray_pool, tmp_path, monkeypatch, empty
):
    monkeypatch.setattr(pool, "WAIT", 1.0)
    monkeypatch.setattr(ray_pool, "_start", lambda task: None)
    ray_pool.submit(waiting := trial(), str(tmp_path))
    until = time.monotonic() + PATIENCE
    with pytest.raises(Unreachable, match=r"no node can hold it \(there is: no node\).*the same command goes on"):
        while time.monotonic() < until:
            assert ray_pool.next(0.2) is None
    assert len(empty) == 1 and empty[0].startswith(f"trial {waiting.id} waits: a trial asks for 1 CPUs")
    ray_pool.cancel(waiting)


def test_a_trial_that_runs_is_heard_although_its_node_is_said_to_be_gone(ray_pool, tmp_path, monkeypatch, empty):
    monkeypatch.setattr(pool, "SILENCE", 5.0)
    events = hear(ray_pool, [trial(epochs=4, nap=0.3)], tmp_path)[0]
    assert isinstance(events[-1], Result) and "attempts" not in events[-1].provenance


def test_a_trial_that_falls_silent_when_its_node_is_gone_is_tried_again(ray_pool, tmp_path, monkeypatch):
    nodes = cluster.nodes

    def gone_once():
        return [] if any(task.node and not task.attempts.over for task in ray_pool._live) else nodes()

    monkeypatch.setattr(cluster, "nodes", gone_once)
    monkeypatch.setattr(pool, "SILENCE", 1.0)
    monkeypatch.setattr(pool, "LOOK", 0.1)
    monkeypatch.setattr(ray_pool, "_look", 0.0)
    events = hear(ray_pool, [trial(epochs=2, nap=2, log=1)], tmp_path)[0]
    assert isinstance(events[-1], Result)
    assert events[-1].provenance["attempts"][0]["reason"] == "its node is gone, and nothing more was heard"
    assert len({line.split()[1] for line in (tmp_path / "0" / "executed").read_text().splitlines()}) > 1


def test_slots_follow_the_nodes(ray_pool, monkeypatch):
    said = []
    monkeypatch.setattr(ray_pool, "_say", said.append)
    monkeypatch.setattr(ray_pool, "_look", 0.0)
    before, nodes = ray_pool.slots, cluster.nodes
    monkeypatch.setattr(cluster, "nodes", lambda: nodes() * 2)
    ray_pool.next(0)
    assert ray_pool.slots == 2 * before
    assert said == [f"the cluster has room for {2 * before} trials at once; {2 * before} are run (before: {before})"]
    monkeypatch.setattr(cluster, "nodes", nodes)
    monkeypatch.setattr(ray_pool, "_look", 0.0)
    ray_pool.next(0)
    assert ray_pool.slots == before


def test_a_trial_of_several_processes_is_told_so(monkeypatch, tmp_path):
    alone = Inline(Resources(cpus=2, processes=2), fake_trial.run)
    assert hear(alone, [trial()], tmp_path)[0][-1].cost["processes"] == 2
