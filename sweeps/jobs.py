"""Studies as jobs of a Ray cluster, by the Ray Jobs API of its dashboard: submit, follow, stop, and what the cluster has.

A job's driver is `facebench sweep STUDY --address auto` on the cluster; the machine that submitted it may be switched off.
Its working directory is unpacked for the job and thrown away after it, so every store must be named by an absolute path or
a URL (`sweeps.shipment`).
"""

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.credentials import hidden
from bench.errors import RequestError, Unreachable
from sweeps import cluster

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

TIMEOUT = (10.0, 60.0)  # seconds to connect to a dashboard, and between two bytes of its answer
SILENCE = 30.0  # seconds without a line of the log after which the job is asked for
STOPPING = 30  # seconds that a stopped driver gets to end cleanly: Ray's own 3 are few
PATIENCE = 120.0  # seconds that `stop` waits
TRIES = 5  # submission ids that others may take first; times that a log may break off
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
    "ray._private.authentication.http_token_authentication",
)
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class Job:
    """A job on the cluster.

    Attributes:
        id: the submission id, `STUDY-rN`.
        study: whose it is; "" where facebench did not submit it.
        state: `PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED` or `STOPPED`, as Ray says.
        message: what Ray says to that.
        started: milliseconds since 1970; None where it was not yet.
        exit_code: the driver's.
    """

    id: str
    study: str
    state: str
    message: str = ""
    started: int | None = None
    exit_code: int | None = None

    @property
    def ended(self) -> bool:
        return self.state in _ENDED


class Dashboard:
    """A Ray cluster behind the address of its dashboard.

    Attributes:
        address: the dashboard's, as it may be shown.

    Raises:
        Unreachable: nothing answers there.
        RequestError: it is no address of a Ray dashboard, or the token is missing or wrong.
    """

    def __init__(self, address: str):
        url = _url(address)
        self.address = hidden(url)
        cluster.authenticate()
        with self._answering():
            self._client = _client(url)

    def jobs(self) -> list[Job]:
        """All jobs that were submitted, the oldest first."""
        with self._answering():
            found = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted(found, key=lambda job: job.started or sys.maxsize)

    def job(self, id: str) -> Job:
        """How a job stands."""
        with self._answering():
            return _job(self._client.get_job_info(id))

    def submit(self, study: str, entrypoint: str, environment: dict[str, Any]) -> Job:
        """Start a job under the study's next id; ids cannot be used again."""
        number = _next(study, self.jobs())
        for tries_left in reversed(range(TRIES)):
            id = f"{study}-r{number}"
            try:
                with self._answering():
                    self._client.submit_job(
                        entrypoint=entrypoint,
                        submission_id=id,
                        runtime_env=environment,
                        metadata={"facebench_study": study},
                    )
                return Job(id, study, "PENDING")
            except _Refused as error:
                if "already" not in str(error) or not tries_left:
                    raise
                number += 1  # somebody was faster, or the id is of a job that was deleted
        raise AssertionError("unreachable")

    def stop(self, job: Job) -> Job:
        """Have a job end cleanly, wait until it has.

        Raises:
            Unreachable: it does not end.
        """
        with self._answering():
            self._client.stop_job(job.id)
        until = time.monotonic() + PATIENCE
        while not (now := self.job(job.id)).ended:
            if time.monotonic() > until:
                raise Unreachable(
                    f"job {job.id} was asked to stop and still is {now.state} after {PATIENCE:.0f} s: "
                    f"see the dashboard at {self.address}"
                )
            time.sleep(0.5)
        return now

    def follow(self, job: Job) -> Iterator[str]:
        """The job's log as it grows, to its end."""
        import asyncio

        shown = broken = 0
        with asyncio.Runner() as runner:
            while True:
                seen = 0  # a log that is opened again begins at its beginning
                tail = self._client.tail_job_logs(job.id)
                while (text := runner.run(self._piece(tail, job))) is not None:
                    yield text[max(0, shown - seen) :]
                    seen += len(text)
                    shown = max(shown, seen)
                if self.job(job.id).ended:
                    return
                broken += 1
                if broken > TRIES:
                    raise Unreachable(f"the log of job {job.id} broke off {broken} times; the job runs on")
                time.sleep(1)

    async def _piece(self, tail: Any, job: Job) -> str | None:
        """The next piece of a log; None: it is at its end, or broke off."""
        import asyncio

        coming = asyncio.ensure_future(anext(tail, None))
        while not (await asyncio.wait([coming], timeout=SILENCE))[0]:
            if self.job(job.id).ended:  # raises where the dashboard is gone
                coming.cancel()
                return None
        try:
            return coming.result()
        except Exception:  # whatever broke the connection, `follow` asks how the job stands
            return None

    def resources(self) -> list[dict[str, Any]]:
        """The nodes that are alive: `[{"node", "head", "cpus", "gpus", "cpus_used", "gpus_used"}]`; used: None if unknown."""
        alive = "filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"  # without a limit, the first hundred
        listed = self._get(f"/api/v0/nodes?limit=10000&{alive}")["data"]["result"]["result"]
        status = self._get("/api/cluster_status")["data"]["clusterStatus"] or {}
        usage = (status.get("loadMetricsReport") or {}).get("usageByNode") or {}
        found = []
        for node in listed:
            total, used = node["resources_total"], usage.get(node["node_id"])
            said: dict[str, Any] = {"node": node["node_ip"], "head": node["is_head_node"]}
            for name, key in (("CPU", "cpus"), ("GPU", "gpus")):
                said[key] = total.get(name, 0)
                said[f"{key}_used"] = None if used is None else used.get(name, [0])[0]
            found.append(said)
        return sorted(found, key=lambda node: (not node["head"], node["node"]))

    def _get(self, path: str) -> Any:
        with self._answering():
            answer = self._client._do_request("GET", path)
            answer.raise_for_status()
            return answer.json()

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Every way in which a dashboard does not answer, as one sentence."""
        import requests
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            path = "RAY_AUTH_TOKEN_PATH is set but"
            why = (
                "the file of RAY_AUTH_TOKEN_PATH cannot be read"
                if path in str(error)
                else "the token is missing or wrong"
            )
            raise RequestError(
                f"the Ray cluster at {self.address} refused us ({why}): "
                "set RAY_AUTH_TOKEN to the cluster's token, or RAY_AUTH_TOKEN_PATH to the file that holds it"
            ) from None
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout, ConnectionError) as error:
            silent = "did not answer in time" if isinstance(error, requests.exceptions.Timeout) else "cannot be reached"
            raise Unreachable(
                f"the Ray dashboard at {self.address} {silent}: give the head's http://HOST:8265, and see that it runs"
            ) from None
        except (requests.exceptions.RequestException, json.JSONDecodeError, KeyError, TypeError) as error:
            raise RequestError(
                f"what answers at {self.address} is no Ray dashboard ({type(error).__name__}): "
                "give the head's http://HOST:8265"
            ) from None
        except RuntimeError as error:
            if "Version check returned 404" in str(error):
                raise RequestError(
                    f"what answers at {self.address} is no Ray dashboard: give the head's http://HOST:8265"
                ) from None
            raise _Refused(
                f"the Ray dashboard at {self.address} refused: {' '.join(str(error).split())[:500]}"
            ) from None


class _Refused(RequestError):
    """The dashboard's own words."""


def running(jobs: list[Job], study: str) -> Job | None:
    """The newest job of a study that has not ended."""
    return next((job for job in reversed(jobs) if job.study == study and not job.ended), None)


def _next(study: str, jobs: list[Job]) -> int:
    numbers = [re.fullmatch(rf"{re.escape(study)}-r(\d+)", job.id) for job in jobs]
    return 1 + max((int(found[1]) for found in numbers if found), default=0)


def _job(details: Any) -> Job:
    study = (details.metadata or {}).get("facebench_study", "")
    state = getattr(details.status, "value", details.status)
    return Job(details.submission_id, study, state, details.message or "", details.start_time, details.driver_exit_code)


def _url(address: str) -> str:
    """The dashboard's address, `http://` where no scheme is given.

    Raises:
        RequestError: it is the address of something else.
    """
    from urllib.parse import urlsplit

    url = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is no number
        right = False
    if not right or address in ("local", "inline", "auto"):
        given = hidden(url) if "://" in address else hidden(url).removeprefix("http://")
        raise RequestError(
            f"--address must be the Ray dashboard's, http://HOST:8265, got {given!r} "
            "(a cluster's HOST:6379 is for `facebench sweep --address`)"
        )
    return url.rstrip("/")


def _client(url: str) -> "JobSubmissionClient":
    """Ray's own client with a limit on waiting."""
    import logging

    from ray.job_submission import JobSubmissionClient

    # Advice about missing tokens, "uploading ...": what is to be known we say. Their modules set these levels themselves.
    for module in _TALKATIVE:
        logging.getLogger(module).setLevel(logging.ERROR)

    class Client(JobSubmissionClient):
        def _do_request(self, *arguments: Any, **options: Any) -> Any:
            return super()._do_request(*arguments, timeout=TIMEOUT, **options)

    # Ray takes these two for more important than what it is given.
    before = {name: os.environ.pop(name) for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS") if name in os.environ}
    try:
        return Client(url)
    finally:
        os.environ.update(before)
