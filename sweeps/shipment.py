"""From a study to a job: what travels, under which environment, and what would be lost with the job's working directory."""

import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.credentials import STORAGE, hidden
from bench.errors import RequestError
from bench.places import VARIABLES
from sweeps import packing, reading
from sweeps.jobs import STOPPING, Dashboard, Job, running
from sweeps.study import Study

# What the driver on the cluster is told of where things lie.
FORWARDED = (*VARIABLES, "MLFLOW_TRACKING_URI")
LOCK = "requirements.lock"


@dataclass(frozen=True)
class Sent:
    """A job that was submitted, and how much was sent with it: files and bytes of the folder, bytes of facebench."""

    job: Job
    files: int
    bytes: int
    own_bytes: int


def submit(
    study: Study,
    wanted: str,
    address: str,
    *,
    runs: str | None = None,
    data: str | None = None,
    slots: int | None = None,
    allow_overlap: bool = False,
    with_requirements: bool = False,
) -> Sent:
    """Send a study to a cluster as a job.

    Args:
        wanted: how the user named it: a shipped study, or a yaml file below the current folder.
        address: of the Ray dashboard.
        runs, data: on the cluster; None: $FACEBENCH_RUNS, $FACEBENCH_DATA.
        with_requirements: have Ray install `requirements.lock` for the job.

    Raises:
        RequestError: something of it would be lost or cannot travel, or the study is running there.
        Unreachable: the dashboard does not answer.
    """
    folder = Path.cwd()
    file = _travels(wanted, folder)
    told = environment(study, runs, data)
    parcel = packing.parcel(folder, file)
    installed = {"pip": _locked(folder)} if with_requirements else {}
    cluster = Dashboard(address)
    # Two drivers need a database that both can reach.
    if not study.storage and (busy := running(cluster.jobs(), study.name)):
        raise RequestError(
            f"study {study.name!r} runs at {cluster.address} already, as job {busy.id} ({busy.state}): "
            f"wait for it, or `facebench stop {study.name} --address {cluster.address}`"
        )
    with tempfile.TemporaryDirectory() as scratch:
        packing.write(parcel, archive := Path(scratch, "folder.zip"))
        modules, own_bytes = packing.packages(Path(scratch))
        job = cluster.submit(
            study.name,
            entrypoint(file or wanted, slots, allow_overlap),
            {
                "working_dir": str(archive),
                "py_modules": [str(path) for path in modules],
                "env_vars": told | {"RAY_AUTH_MODE": "token", "RAY_JOB_STOP_WAIT_TIME_S": str(STOPPING)},
                **installed,
            },
        )
    return Sent(job, len(parcel.names), parcel.bytes, own_bytes)


def entrypoint(study: str, slots: int | None, allow_overlap: bool) -> str:
    """The driver's command line. By `python -m`: the cluster may have no facebench but the packages that travel."""
    words = ["python", "-m", "bench", "sweep", study, "--address", "auto"]
    words += ["--slots", str(slots)] if slots else []
    words += ["--allow-overlap"] if allow_overlap else []
    return shlex.join(words)


def environment(study: Study, runs: str | None, data: str | None) -> dict[str, str]:
    """The variables that the job gets.

    Raises:
        RequestError: a store or a folder that is relative, and would go with the job's working directory; no runs folder;
            a password in a URL.
    """
    told = {name: value for name in FORWARDED if (value := os.environ.get(name))}
    told |= {name: value for name, value in (("FACEBENCH_RUNS", runs), ("FACEBENCH_DATA", data)) if value is not None}
    if "FACEBENCH_RUNS" not in told:
        raise RequestError(
            "a job's working directory is thrown away: set FACEBENCH_RUNS, or give --runs, to an absolute folder on a disk "
            "that all nodes of the cluster see"
        )
    options = {"FACEBENCH_RUNS": "--runs", "FACEBENCH_DATA": "--data"}
    for name in VARIABLES:
        if name in told and not told[name].startswith("/"):
            option = f" (or {options[name]})" if name in options else ""
            raise RequestError(
                f"{name}{option} must be an absolute path on the cluster, got {told[name]!r}: a job's working directory is "
                "thrown away, and what is relative to it goes with it"
            )
    for name, value in (
        ("MLFLOW_TRACKING_URI", told.get("MLFLOW_TRACKING_URI")),
        ("the study's `storage`", study.storage),
    ):
        if value and _vanishes(value):
            raise RequestError(
                f"{name} names a file relative to the job's working directory, which is thrown away: give an absolute path "
                "(sqlite:////...) or a server's URL"
            )
    if study.tune and os.environ.get(STORAGE):
        raise RequestError(
            f"{STORAGE} is not sent with a job, for Ray shows a job's variables in its logs and dashboard: set it on the "
            "cluster's nodes instead, and unset it here"
        )
    if hidden(uri := told.get("MLFLOW_TRACKING_URI", "")) != uri:
        raise RequestError(
            "MLFLOW_TRACKING_URI holds a password, and Ray shows a job's variables in its logs and dashboard: "
            "set it on the cluster's nodes instead, and unset it here"
        )
    return told


def _travels(wanted: str, folder: Path) -> str | None:
    """The study file's path relative to the folder that is sent; None for a shipped study."""
    if wanted in reading.shipped():
        return None
    path = Path(wanted).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise RequestError(
            f"study file {path} does not lie below the current folder {folder}, which is what is sent: "
            "go to a folder above the file"
        )
    return path.relative_to(folder.resolve()).as_posix()


def _locked(folder: Path) -> list[str]:
    """`requirements.lock` of the folder that is sent or of facebench's checkout, a line a package: hashes and all."""
    from bench import source

    for home in (folder, source.folders()["bench"].parent):
        if (path := home / LOCK).is_file():
            lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
            whole = "\n".join(lines).replace("\\\n", " ")  # Ray takes equal lines for one
            return [" ".join(line.split()) for line in whole.splitlines() if line.strip()]
    raise RequestError(
        f"--with-requirements takes {LOCK} of the current folder, and there is none: go to facebench's checkout, or leave "
        "the option out where the nodes have the packages"
    )


def _vanishes(uri: str) -> bool:
    """Whether a store is a file relative to the working directory (or in memory)."""
    scheme, given, rest = uri.partition("://")
    if uri.startswith("$"):
        return False  # the nodes' environment says it
    if not given:
        return not uri.startswith(("/", "file:/", "databricks"))
    if scheme.partition("+")[0] == "sqlite":
        return not rest.startswith("//")
    return scheme == "file" and not rest.startswith("/")
