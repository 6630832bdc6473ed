"""How many trials fit where, what a study file may ask for, and what becomes of a trial that lost its attempt. No Ray."""

import os
import stat
import sys
from types import SimpleNamespace

import pytest

from bench.errors import RequestError
from sweeps import cluster, reading, room, work
from sweeps.attempts import ATTEMPTS, LONGEST, NODES, Attempts, out_of_memory
from sweeps.parts import Resources
from sweeps.room import Node
from sweeps.work import WorkerLost

GIB = 2**30


def node(cpus=0, gpus=0, gib=64, **custom) -> Node:
    return Node("id", "10.0.0.1", {"CPU": cpus, "GPU": gpus, "memory": gib * GIB} | custom)


@pytest.mark.parametrize(
    ("gpus", "count"),
    [(0.25, 8), (0.33, 6), (0.34, 4), (0.5, 4), (0.7, 2), (0.1, 20), (1, 2), (2, 1), (3, 0), (0, 100)],
)
def test_shares_of_a_gpu_lie_on_one_gpu_each(gpus, count):
    assert room.holds(node(cpus=100, gpus=2), Resources(gpus=gpus)) == count


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        (Resources(cpus=2), 4),
        (Resources(cpus=0.1), 80),
        (Resources(cpus=1, gpus=0.5, memory=20), 3),
        (Resources(cpus=1, custom={"fast": 0.5}), 2),
        (Resources(cpus=1, custom={"slow": 1}), 0),
        (Resources(cpus=3, gpus=0.25), 2),
    ],
)
def test_the_scarcest_resource_decides(asked, count):
    assert room.holds(node(cpus=8, gpus=2, gib=64, fast=1), asked) == count


def test_a_trial_lies_on_one_node():
    there = [node(cpus=2), node(cpus=3), node(gpus=8)]
    assert room.fit(Resources(cpus=2), there) == 2 and room.fit(Resources(cpus=4), there) == 0


def test_the_sentence_says_what_is_asked_for_and_what_there_is():
    there = [node(cpus=2, gpus=1), node(cpus=2, gpus=1), node(cpus=8)]
    assert room.no_room(Resources(gpus=4), there) == (
        "a trial asks for 1 CPUs and 4 GPUs, and no node can hold it (there is: 2 nodes with 2 CPUs and 1 GPUs each; "
        "8 CPUs and 0 GPUs): lower `resources` in the study file or use another cluster"
    )
    said = room.no_room(Resources(memory=100, custom={"fast": 1}), [node(cpus=8)])
    assert "1 CPUs, 0 GPUs, 100 GiB of memory and 1 fast, and" in said
    assert "(there is: 8 CPUs, 0 GPUs, 64 GiB of memory and 0 fast)" in said
    assert "(there is: no node)" in room.no_room(Resources(), [])


STUDY = """
name: x
data: {name: digits}
backbones: [cnn4]
losses: [softmax]
confirm: {seeds: 1, epochs: 1}
protocols: [{name: lfw}]
resources: %s
"""


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("{gpus: 1.5}", "got 1.5, expected 0, a share of one GPU (0.25) or whole GPUs (2)"),
        ("{gpus: -1}", "expected 0, a share of one GPU"),
        ("{cpus: 0}", "expected a value greater than or equal to 0.0001"),
        ("{memory: 0}", "expected a value greater than or equal to 0.0001"),
        ("{custom: {GPU: 1}}", "got 'GPU', expected the name of a custom resource (ask for it by `gpus`)"),
        ("{custom: {fast: 0}}", "expected a value greater than or equal to 0.0001"),
        ("{processes: 4, cpus: 2}", "4 processes on 2 CPUs: expected at least one CPU for each process"),
        ("{processes: 2, gpus: 4}", "2 processes on 4 GPUs: expected one GPU for each process"),
        ("{processes: 2, gpus: 0.5, cpus: 2}", "2 processes on 0.5 GPUs: expected one GPU for each process"),
        ("{disk: 1}", "unknown key; accepted here: cpus, gpus, memory, custom, processes"),
    ],
)
def test_a_wrong_request_names_its_line(asked, says):
    with pytest.raises(RequestError, match=r"^study file f.yaml, line 8, key 'resources") as error:
        reading.parse(STUDY % asked, "f.yaml")
    assert says in str(error.value)


def test_processes_follow_the_gpus_and_threads_the_cpus():
    assert (Resources(gpus=4).count, Resources(gpus=0.5).count, Resources().count) == (4, 1, 1)
    assert (Resources(cpus=8, processes=4).threads, Resources(cpus=8, gpus=2).threads) == (2, 4)
    assert (Resources(cpus=0.5).threads, Resources(cpus=1, gpus=4).threads, Resources(cpus=2.5).threads) == (1, 1, 2)


def test_a_study_goes_on_with_other_memory_and_other_custom_resources():
    plain, more = (
        reading.parse(STUDY % asked, "f") for asked in ("{cpus: 2}", "{cpus: 2, memory: 8, custom: {fast: 1}}")
    )
    assert reading.digest(plain) == reading.digest(more)
    assert reading.digest(plain) != reading.digest(reading.parse(STUDY % "{cpus: 1}", "f"))


MOST = {"cpus": 4.0, "gpus": 1.0, "memory": 32.0}


def test_out_of_gpu_memory_is_tried_once_more_with_twice_the_share():
    attempts = Attempts(Resources(gpus=0.25))
    assert attempts.weight == 1 and attempts.all("b") == []
    attempts.lost("GPU memory", "CUDA out of memory", "a", MOST)
    assert attempts.wanted == Resources(gpus=0.5) and attempts.weight == 2 and attempts.change == "gpus 0.5"
    assert attempts.all("b") == [
        {"reason": "CUDA out of memory", "node": "a", "cpus": 1, "gpus": 0.25},
        {"reason": "finished", "node": "b", "cpus": 1, "gpus": 0.5},
    ]
    with pytest.raises(WorkerLost, match=r"^out of GPU memory twice, with gpus 0.25 and again with 0.5: CUDA out"):
        attempts.lost("GPU memory", "CUDA out of memory", "b", MOST)


@pytest.mark.parametrize(("gpus", "then"), [(0.3, 0.6), (0.6, 1.0), (0.5, 1.0)])
def test_a_share_grows_to_a_whole_gpu_at_most(gpus, then):
    attempts = Attempts(Resources(gpus=gpus))
    attempts.lost("GPU memory", "full", "a", MOST)
    assert attempts.wanted.gpus == then


@pytest.mark.parametrize("gpus", [1, 4])
def test_with_a_whole_gpu_it_is_not_tried_again(gpus):
    with pytest.raises(
        WorkerLost, match=r"^out of GPU memory with a whole GPU or more, so it is not tried again: full"
    ):
        Attempts(Resources(gpus=gpus)).lost("GPU memory", "full", "a", MOST)


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        (Resources(memory=8), Resources(memory=16)),
        (Resources(memory=20), Resources(memory=32)),
        (Resources(cpus=1), Resources(cpus=2)),
        (Resources(cpus=3), Resources(cpus=4)),
    ],
)
def test_out_of_the_machines_memory_it_is_given_twice_as_much_where_there_is(asked, then):
    attempts = Attempts(asked)
    attempts.lost("memory", "full", "a", MOST)
    assert attempts.wanted == then and attempts.weight == 2


def test_with_all_the_memory_there_is_it_is_not_tried_again():
    with pytest.raises(WorkerLost, match=r"^out of memory with cpus 4, all that there is, so it is not tried again"):
        Attempts(Resources(cpus=4)).lost("memory", "full", "a", MOST)


def test_dead_workers_and_lost_nodes_are_counted_apart_and_end():
    attempts = Attempts(Resources())
    pauses = [attempts.lost("node", "gone", "a", MOST) for _ in range(NODES - 1)]
    assert pauses[:3] == [0.5, 1, 2] and max(pauses) == LONGEST
    for _ in range(ATTEMPTS - 1):
        attempts.lost("worker", "killed", "a", MOST)
    with pytest.raises(WorkerLost, match=f"^the worker died {ATTEMPTS} times, at last with: killed"):
        attempts.lost("worker", "killed", "a", MOST)
    with pytest.raises(
        WorkerLost, match=f"^{NODES} times its node was lost or the trial could not begin, at last with: gone"
    ):
        attempts.lost("node", "gone", "a", MOST)


def test_a_worker_lost_before_the_trial_began_is_a_nodes_fault():
    attempts = Attempts(Resources())
    for _ in range(ATTEMPTS):
        attempts.lost("worker", "never ran", "", MOST)


def test_two_kinds_of_memory_are_given_more_of_once_together():
    attempts = Attempts(Resources(gpus=0.25))
    attempts.lost("GPU memory", "full", "a", MOST)
    with pytest.raises(WorkerLost, match=r"^out of memory twice, with less and again with gpus 0.5: host full"):
        attempts.lost("memory", "host full", "a", MOST)


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OutOfMemoryError("CUDA out of memory. Tried to allocate"), "GPU memory"),
        (RuntimeError("CUDA error: out of memory"), "GPU memory"),
        (RuntimeError("process 1: torch.OutOfMemoryError: CUDA out of memory"), "GPU memory"),
        (MemoryError(), "memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "memory"),
        (RuntimeError("CUDA error: device-side assert triggered"), None),
        (OSError("no space left on device"), None),
    ],
)
def test_which_memory_is_full(error, cause):
    assert out_of_memory(error) == cause


def test_torchs_own_exception_is_known():
    import torch

    assert out_of_memory(torch.OutOfMemoryError("full")) == "GPU memory"


@pytest.mark.parametrize(("share", "limit"), [(0.5, 0.4), (0.15, 0.075), (1, None), (0, None)])
def test_a_share_of_a_gpu_is_a_share_of_its_memory_less_cudas_own(monkeypatch, share, limit):
    import torch

    class Gpu:
        total_memory = 10 * work.CONTEXT

    told = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Gpu)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", told.append)
    work.confine(share)
    assert told == ([] if limit is None else [pytest.approx(limit)])


def test_every_client_shows_its_token_whoever_has_imported_ray_before(monkeypatch):
    read = []
    early = SimpleNamespace(Config=SimpleNamespace(initialize=lambda given: read.append(os.environ["RAY_AUTH_MODE"])))
    monkeypatch.setitem(sys.modules, "ray._raylet", early)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # who says so is left alone
    cluster.authenticate()
    assert os.environ["RAY_AUTH_MODE"] == "disabled" and not read
    monkeypatch.delenv("RAY_AUTH_MODE")
    cluster.authenticate()
    assert os.environ["RAY_AUTH_MODE"] == "token" and read == ["token"]


def test_the_token_of_a_local_cluster_is_nobody_elses(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    cluster._keep_token_private()
    path = tmp_path / ".ray" / "auth_token"
    made = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(made) == 64
    cluster._keep_token_private()
    assert path.read_text() == made and [p.name for p in path.parent.iterdir()] == ["auth_token"]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:1", r"no Ray cluster answers at '127.0.0.1:1' \(.*refused.*\): give the head's HOST:PORT"),
        ("127.0.0.1:99999", r"no Ray cluster answers at '127.0.0.1:99999'"),
        ("http://127.0.0.1:8265", r"takes the HOST:PORT of a Ray head .* dashboard is for `facebench submit`"),
        ("ray://127.0.0.1:10001", r"takes the HOST:PORT of a Ray head"),
        ("head:port", r"takes the HOST:PORT of a Ray head"),
    ],
)
def test_an_address_that_no_head_has_is_refused_at_once(address, says):
    with pytest.raises(RequestError, match=says):
        cluster.connect(address)


@pytest.mark.parametrize("address", ["node..x:6379", "host:²", "127.0.0.1:1"])
def test_an_address_at_which_nobody_can_be_is_a_sentence(address):
    with pytest.raises(RequestError, match=r"^no Ray cluster answers at"):
        cluster._knock(address)
