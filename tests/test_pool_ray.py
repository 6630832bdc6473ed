"""Trials on a real local Ray: the same events as in this process, and what happens when workers die or hang."""

import json
import os
import time
from pathlib import Path

import fake_trial
import pytest

from bench.errors import RequestError, TrialFailed
from bench.plain import Options, Progress, Result, Trial
from sweeps import pool
from sweeps.inline import Inline
from sweeps.work import WorkerLost

PATIENCE = 60.0  # seconds that any test waits at most


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


def test_a_request_that_no_node_can_ever_hold_is_refused(ray_pool):
    with pytest.raises(
        RequestError, match=r"asks for 1000 CPUs and 0 GPUs, and no node can hold it \(there is: \d+ CPUs"
    ):
        pool._places(1000, 0)
    with pytest.raises(RequestError, match=r"asks for 1 CPUs and 64 GPUs"):
        pool._places(1, 64)
    assert pool._places(0.5, 0) == 2 * len(os.sched_getaffinity(0))


def test_a_trial_that_no_node_can_hold_any_more_fails_instead_of_waiting(ray_pool, tmp_path, monkeypatch):
    def lost(cpus, gpus):
        raise RequestError("no node can hold it")

    monkeypatch.setattr(pool, "_places", lost)
    monkeypatch.setattr(ray_pool, "_look", 0.0)
    ray_pool.submit(waiting := trial(nap=PATIENCE), str(tmp_path))
    heard = ray_pool.next(0.5)
    assert heard.trial == waiting and isinstance(heard.event, WorkerLost) and "no node" in str(heard.event)
    until = time.monotonic() + PATIENCE
    while ray_pool.busy():
        assert time.monotonic() < until
