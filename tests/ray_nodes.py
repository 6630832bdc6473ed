"""A real Ray cluster on this machine: `ray start` processes, a head and as many further nodes as a test wants.

    from ray_nodes import Shape, ray_nodes          # tests/ is on the path of a test

    with ray_nodes(Shape(cpus=2, gpus=2), Shape(cpus=2, resources={"second": 1})) as cluster:
        cluster.address       # "172.17.0.2:40001", for `--address` and `ray.init`
        cluster.dashboard     # "http://127.0.0.1:40002", for `facebench submit --address`; None with dashboard=False
        cluster.env           # the environment of a process that talks to it (token, PYTHONPATH, no RAY_ADDRESS)
        cluster.nodes[1].kill()                      # kill -9 of that node: its raylet, its agents, its workers
        third = cluster.add(Shape(cpus=1))           # another node joins; returns when it is alive
        pids = cluster.nodes[0].workers()            # pids of the processes that run tasks and actors on a node

GPUs are made up: Ray counts them and sets CUDA_VISIBLE_DEVICES. Node 0 is the head; node n has the address 127.0.0.(n+1).
Every cluster has free ports, a temporary folder and a token of its own, so several run at once; whatever was started is
killed at the end by its pid (it is known by a mark in its environment), also when the test fails.

To connect this very process: `with cluster.here(): ray.init(cluster.address)`, where `here()` sets the variables of `env`
and takes them back (and shuts Ray down). With Ray once imported under another token a process keeps that one: start a
subprocess with `env=cluster.env` instead, as the slow tests here do.

A worker imports what `PYTHONPATH` says, this checkout; `Shape(env={...})` adds to one node's environment.
"""

import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
STARTS = 5  # tries of a node: Ray gives itself 30 s, too little on a busy machine
PATIENCE = 180.0  # seconds for anything of Ray to start on a busy machine
_MARK = "FACEBENCH_TEST_NODE"
_STORE = 80_000_000  # bytes of shared memory a node, about the least that Ray takes


@dataclass(frozen=True)
class Shape:
    """What a node has: whole CPUs and (made-up) GPUs, further resources, bytes of memory (None: the machine's).

    `mounts` are (folder, place): the node sees that folder at this place (`can_mount` says whether this machine can).
    """

    cpus: int = 2
    gpus: int = 0
    resources: dict[str, float] = field(default_factory=dict)
    memory: int | None = None
    env: dict[str, str] = field(default_factory=dict)
    mounts: tuple[tuple[Path, Path], ...] = ()

    @property
    def prefix(self) -> list[str]:
        """What stands before the node's command."""
        if not self.mounts:
            return []
        each = [f"mount --bind {shlex.quote(str(folder))} {shlex.quote(str(place))}" for folder, place in self.mounts]
        return ["unshare", "-m", "sh", "-c", " && ".join([*each, 'exec "$@"']), "sh"]


class Node:
    """One node of a cluster.

    Attributes:
        ip: its address: how Ray names it.
        mark: what the environment of each of its processes carries.
    """

    def __init__(self, ip: str, mark: str):
        self.ip = ip
        self.mark = mark

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for the node: its raylet, agents, workers, the drivers of its jobs."""
        return [process for process in psutil.process_iter() if _environ(process).get(_MARK) == self.mark]

    def workers(self) -> list[int]:
        """The pids of its processes that run tasks and actors, busy or idle."""
        return [process.pid for process in self.processes() if _title(process).startswith("ray::")]

    def kill(self) -> None:
        """Kill -9 all of it at once, the raylet first."""
        while found := sorted(self.processes(), key=lambda process: process.name() != "raylet"):
            for process in found:
                with _no_process():
                    process.send_signal(signal.SIGKILL)
            psutil.wait_procs(found, timeout=10)


class Cluster:
    """See the file's docstring; made by `ray_nodes`."""

    def __init__(self, folder: Path, dashboard: bool):
        self._folder = folder
        self._mark = secrets.token_hex(8)
        self.nodes: list[Node] = []
        self.token = secrets.token_hex(32)
        (folder / "token").touch(mode=0o600)
        (folder / "token").write_text(self.token)
        # "auto" is what a driver on the cluster would say: not to be taken for another test's.
        away = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", _MARK)
        self.env = {name: value for name, value in os.environ.items() if name not in away} | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": str(folder),  # so that nothing of it is found by "auto" from elsewhere
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "OMP_NUM_THREADS": "1",
            # A job's `python` is whichever the node finds, as in an environment that was activated.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        }
        port = free_port()
        self.address = f"{_own_address()}:{port}"
        self.dashboard = f"http://127.0.0.1:{free_port()}" if dashboard else None
        self._head = [
            *("--head", f"--port={port}", f"--ray-client-server-port={free_port()}"),
            *("--include-dashboard", str(dashboard).lower(), "--dashboard-host=127.0.0.1"),
            *([f"--dashboard-port={self.dashboard.rpartition(':')[2]}"] if self.dashboard else []),
        ]

    def start(self, head: Shape, *others: Shape) -> None:
        """Start all of it; returns when every node is alive."""
        for shape in (head, *others):
            self.add(shape)
        if self.dashboard:
            _answers(self.dashboard, self.token)

    def add(self, shape: Shape) -> Node:
        """Let another node join; returns when it is alive."""
        number = len(self.nodes)
        node = Node(
            self.address.rpartition(":")[0] if number == 0 else f"127.0.0.{number + 1}", f"{self._mark}-{number}"
        )
        self.nodes.append(node)
        log = self._folder / f"start-{number}.log"
        for _ in range(STARTS):
            with log.open("w") as file, contextlib.suppress(subprocess.TimeoutExpired):
                done = subprocess.run(
                    self._command(shape, number),
                    env={**self.env, **shape.env, _MARK: node.mark},
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    timeout=PATIENCE,
                )
                if done.returncode == 0:
                    return node
            node.kill()  # what it left
        raise RuntimeError(f"ray start failed {STARTS} times: {log.read_text()}")

    @contextmanager
    def here(self) -> Iterator[None]:
        """This process as a client of the cluster."""
        with pytest.MonkeyPatch.context() as patch:
            for name in set(os.environ) - set(self.env):
                patch.delenv(name)
            for name, value in self.env.items():
                patch.setenv(name, value)
            try:
                yield
            finally:
                import ray

                ray.shutdown()

    def stop(self) -> None:
        """Kill whatever still runs."""
        for node in reversed(self.nodes):
            node.kill()

    def _command(self, shape: Shape, number: int) -> list[str]:
        role = self._head if number == 0 else [f"--address={self.address}"]
        return [
            *shape.prefix,
            *(
                sys.executable,
                "-m",
                "ray.scripts.scripts",
                "start",
                *role,
                f"--node-ip-address={self.nodes[number].ip}",
            ),
            # A folder a node: in a shared one each node's agent unpacks a job's files anew, under the feet of its driver.
            f"--temp-dir={self._folder / str(number)}",
            *(f"--num-cpus={shape.cpus}", f"--num-gpus={shape.gpus}", f"--resources={json.dumps(shape.resources)}"),
            *(f"--object-store-memory={_STORE}", "--disable-usage-stats", f"--metrics-export-port={free_port()}"),
            *(f"--dashboard-agent-listen-port={free_port()}", f"--dashboard-agent-grpc-port={free_port()}"),
            *([f"--memory={shape.memory}"] if shape.memory else []),
        ]


@contextmanager
def ray_nodes(*shapes: Shape, dashboard: bool = True) -> Iterator[Cluster]:
    """A cluster of nodes of these shapes, the first the head; stopped at the end whatever happens."""
    # Not below pytest's folder: Ray's sockets lie in it, and their paths may have 107 letters.
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    cluster = Cluster(folder, dashboard)
    try:
        cluster.start(*(shapes or (Shape(),)))
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def can_mount() -> bool:
    """Whether a process here may see a folder somewhere else than others do."""
    try:
        return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0
    except OSError:
        return False


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _own_address() -> str:
    """The machine's own address: what Ray makes of a head at 127.0.0.1."""
    from ray._private.services import get_node_ip_address

    return get_node_ip_address()


def _answers(dashboard: str, token: str) -> None:
    """Wait until the dashboard does."""
    request = urllib.request.Request(f"{dashboard}/api/version", headers={"Authorization": f"Bearer {token}"})
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except (OSError, urllib.error.URLError):
            assert time.monotonic() < until, "the dashboard does not answer"
            time.sleep(0.2)


def _environ(process: psutil.Process) -> dict[str, str]:
    with _no_process():
        return process.environ()
    return {}


def _title(process: psutil.Process) -> str:
    with _no_process():
        return " ".join(process.cmdline())
    return ""


@contextmanager
def _no_process() -> Iterator[None]:
    """It ended meanwhile, or is somebody else's."""
    try:
        yield
    except (psutil.Error, OSError):
        return
