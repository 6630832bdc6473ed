"""The Ray cluster: how it is started, reached and left, and its tasks. It knows no trial."""

import contextlib
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from bench.errors import RequestError
from bench.places import VARIABLES
from sweeps.parts import Resources
from sweeps.room import GIB, Node

STARTS = 3  # tries to start Ray here
KNOCK = 5.0  # seconds for a host to answer at all: Ray itself tries a wrong address for 20
_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # everywhere: whether Ray is of more than this machine
_TOKEN = "RAY_AUTH_TOKEN to the token of its head, or RAY_AUTH_TOKEN_PATH to the file that holds it"


def authenticate() -> None:
    """Be a client that shows its token: Ray 2.60 asks for one, and every client has to be told so before it starts."""
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        if "ray._raylet" in sys.modules:  # somebody has imported Ray before, and it has read its environment then
            sys.modules["ray._raylet"].Config.initialize("")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def connect(address: str) -> None:
    """Be a driver on the cluster at `address`; `local` starts one in this process's care.

    Raises:
        RequestError: it cannot be reached, does not let us in, or does not start.
    """
    authenticate()
    # Else Ray warns that it will hide no GPU any more from a task that asks for none: `stream` hides them itself.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    _keep_to_this_machine(address == "local")
    if address == "local":
        _start()
    else:
        _join(address)


def disconnect(address: str) -> None:
    """Leave the cluster; the one that `local` started ends."""
    import psutil
    import ray

    # The monitors of a local cluster hold nothing and take a second to end politely, which nobody has after a SIGTERM.
    for process in psutil.Process().children() if address == "local" else ():
        try:
            if process.name().startswith("python") and "/ray/" in " ".join(process.cmdline()):
                process.kill()
        except psutil.Error:
            continue  # it has ended
    ray.shutdown()
    _keep_to_this_machine(False)


def nodes() -> list[Node]:
    """The nodes that are alive."""
    import ray

    return [Node(n["NodeID"], n["NodeManagerAddress"], n["Resources"]) for n in ray.nodes() if n["Alive"]]


@cache  # in a worker, whose node is one
def here() -> tuple[str, str]:
    """Id and address of the node that this process works on."""
    import ray

    return ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address()


def stream(body: Callable[..., Iterator[Any]], arguments: tuple[Any, ...], wanted: Resources) -> Any:
    """Start a generator as a task that is never more than one value ahead of its reader; Ray does not try it again."""
    variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    if not wanted.gpus:
        variables["CUDA_VISIBLE_DEVICES"] = ""  # Ray hides no GPU from a task that asked for none
    custom = tuple(sorted((wanted.custom or {}).items()))
    task = _task(body, wanted.cpus, wanted.gpus, wanted.memory, custom, tuple(variables.items()))
    return task.remote(*arguments)


@cache
def _task(
    body: Callable[..., Iterator[Any]],
    cpus: float,
    gpus: float,
    memory: float | None,
    custom: tuple[tuple[str, float], ...],
    variables: tuple[tuple[str, str], ...],
) -> Any:
    """Made once for what is asked: Ray sends a function to the cluster for each time that it is."""
    import ray

    asked: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, "resources": dict(custom)}
    if memory:
        asked["memory"] = int(memory * GIB)
    return ray.remote(body).options(
        num_returns="streaming",
        _generator_backpressure_num_objects=1,
        max_retries=0,
        runtime_env={"env_vars": dict(variables)},
        **asked,
    )


def cancel(stream: Any, force: bool) -> None:
    """Interrupt a task, or kill its process; nothing happens where it has ended."""
    import ray

    with contextlib.suppress(ray.exceptions.RayError, ValueError):
        ray.cancel(stream, force=force)


def gone(stream: Any) -> bool:
    """Whether a cancelled task has ended: its stream ends, or hands over the exception that ended it."""
    import ray

    while ray.wait([stream], num_returns=1, timeout=0)[0]:
        try:
            ray.get(next(stream))
        except (StopIteration, ray.exceptions.RayError):
            return True
    return False


def _keep_to_this_machine(alone: bool) -> None:
    """Whether all processes of the Ray that comes now listen at 127.0.0.1 alone; else they do at every address.

    (As node's address Ray takes 127.0.0.1 from nobody: it puts the machine's own in its place.)
    """
    from ray._private import ray_constants

    os.environ[_CLUSTERS] = "0" if alone else "1"  # for the processes that it starts
    ray_constants.ENABLE_RAY_CLUSTER = not alone  # what this one took from there when it imported Ray


def _start() -> None:
    import logging

    import ray

    _keep_token_private()
    for tries_left in reversed(range(STARTS)):
        try:
            ray.init(
                "local",
                num_cpus=len(os.sched_getaffinity(0)),
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
            return
        except Exception as error:
            # Ray gives its own processes 30 s, too little on a busy machine, and raises just that.
            ray.shutdown()
            if not tries_left:
                raise RequestError(f"Ray did not start here ({line(error)}): try --address inline") from error


def _join(address: str) -> None:
    import logging

    import ray

    port = _knock(address)
    try:
        with _silent():
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    except ray.exceptions.AuthenticationError as error:
        raise RequestError(
            f"the Ray cluster at {address!r} asks for a token, there is none here: set {_TOKEN}"
        ) from error
    except (ValueError, RuntimeError, OSError, ray.exceptions.RayError) as error:
        if port and isinstance(error, ConnectionError):
            raise RequestError(
                f"something answers at {address!r} and does not let this process in: if that is a Ray head, set {_TOKEN}"
            ) from error
        raise RequestError(_nobody(address, error)) from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Ray's C++ says twenty times on stderr, before any setting of its log counts, that it is not let in: once is enough."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _knock(address: str) -> bool:
    """Whether the address names a port (`auto` does not), and something listens there.

    Raises:
        RequestError: it cannot be a head's address, or nothing listens.
    """
    host, colon, port = address.rpartition(":")
    if "://" in address or (colon and not port.isdigit()):
        raise RequestError(
            f"--address takes the HOST:PORT of a Ray head (port 6379 where nobody chose another), got {address!r}; "
            "the address of its dashboard is for `facebench submit`"
        )
    if not colon:
        return False
    try:
        socket.create_connection((host, int(port)), KNOCK).close()
    except (OSError, OverflowError, ValueError) as error:
        raise RequestError(_nobody(address, error)) from error
    return True


def _nobody(address: str, error: Exception) -> str:
    return f"no Ray cluster answers at {address!r} ({line(error)}): give the head's HOST:PORT, or `local` or `inline`"


def _keep_token_private() -> None:
    """Make the token of local clusters before Ray does, which lets every user of the machine read it."""
    path = Path.home() / ".ray" / "auth_token"
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH") or path.exists():
        return
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        os.link(part, path)  # whole or not at all, and not over the one of another process
    except OSError:
        return  # Ray has its own words for a home that cannot be written
    finally:
        part.unlink(missing_ok=True)


def line(error: BaseException) -> str:
    """What an error says, as part of a sentence."""
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
