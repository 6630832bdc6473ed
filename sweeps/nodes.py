"""Before the first trial: has every node of the cluster the same packages, the same data, and the study's storage?

Each node that could hold a trial is asked by one task of its own, at the same time; the driver asks itself the same and
compares. Data are compared by the fingerprints that checkpoints and the pixel cache go by: of lists, and of sizes and times
of files. No image is decoded.
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from bench.errors import RequestError
from bench.places import VARIABLES
from sweeps import cluster, room
from sweeps.parts import Resources
from sweeps.room import Node
from sweeps.study import Study

PATIENCE = 300.0  # seconds for all nodes to answer: listing a large data set on a cold disk takes a minute
PACKAGES = ("torch", "timm", "numpy")
_MARKER = ".marker-"


class Wanted(NamedTuple):
    """What is looked at on a machine: data sets and protocols as a study file says them, and where its records lie."""

    data: tuple[dict[str, Any], ...]
    protocols: tuple[dict[str, Any], ...]
    place: str
    token: str


class Fact(NamedTuple):
    """What a machine has of one thing: a version or a fingerprint, or the `trouble` in the way of it."""

    value: str
    trouble: str = ""


def check(study: Study, place: str) -> None:
    """Ask the nodes of the cluster that this process is connected to, those that could hold a trial.

    Args:
        place: the folder or fsspec URL that all nodes must reach: where trials write.

    Raises:
        RequestError: one sentence that names the node and what is wrong with it.
    """
    with _marked(place) as token:
        protocols = (*study.protocols, *study.display)
        wanted = Wanted((study.data,), protocols, place, token)
        here = examine(wanted)
        _refuse({"the driver's machine": [fact.trouble for fact in here.values() if fact.trouble]})
        answers = _ask(wanted, _able(cluster.nodes(), study.resources))
        _refuse({f"node {node}": list(_differences(here, there)) for node, there in answers.items()})
        missing = {f"node {node}": _written(wanted, there) for node, there in answers.items()}
        _refuse({node: [trouble] if trouble else [] for node, trouble in missing.items()})


def examine(wanted: Wanted) -> dict[str, Fact]:
    """What this machine has; runs on the driver's and on every node's."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from bench import source

    found = {"python": Fact(platform.python_version())}
    for package in PACKAGES:
        try:
            # 2.6.0+cpu and 2.6.0+cu124 are the same version: the driver of a GPU cluster may have no GPU.
            found[package] = Fact(version(package).partition("+")[0])
        except PackageNotFoundError:
            found[package] = Fact("", f"package {package} is not installed")
    found["facebench"] = Fact(source.digest())
    for data in wanted.data:
        found[f"data set {data.get('name')!r}"] = _fingerprint(_faces, data)
    for number, spec in enumerate(wanted.protocols):
        found[f"protocol {spec.get('name')!r} (number {number + 1})"] = _fingerprint(_protocol, spec)
    found["storage"] = _storage(wanted)
    return found


def _fingerprint(of: Any, asked: Mapping[str, Any]) -> Fact:
    try:
        parts = of(dict(asked))
    except (RequestError, OSError) as error:
        return Fact("", str(error))
    return Fact(hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16])


def _faces(options: dict[str, Any]) -> list[Any]:
    from bench import datasets

    faces = datasets.load(options.pop("name", ""), **options)
    return [faces.source.fingerprint, list(faces.names), faces.labels.tolist(), list(faces.identities)]


def _protocol(spec: dict[str, Any]) -> list[Any]:
    from bench import scoring

    protocol, source = scoring.open_protocol(spec)
    return [protocol.hash, source.fingerprint]


def _storage(wanted: Wanted) -> Fact:
    """Read the driver's marker, and leave one of our own: what a trial writes must arrive at the driver."""
    try:
        files, folder = _files(wanted.place)
        if files.cat_file(f"{folder}/{_MARKER}{wanted.token}").decode() != wanted.token:
            raise OSError("the marker there is another one")
        own = secrets.token_hex(8)
        files.pipe_file(f"{folder}/{_MARKER}{wanted.token}-{own}", own.encode())
    except Exception as error:  # each file system has errors of its own
        return Fact("", f"{wanted.place} cannot be used ({type(error).__name__}: {error}): {_SHARED}")
    return Fact(own)


def _written(wanted: Wanted, there: Mapping[str, Fact]) -> str:
    """What is wrong with the marker that a node wrote, as seen from here."""
    files, folder = _files(wanted.place)
    own = there["storage"].value
    seen = files.exists(f"{folder}/{_MARKER}{wanted.token}-{own}")
    return "" if seen else f"what it writes to {wanted.place} does not arrive here: {_SHARED}"


_SHARED = "the runs folder (FACEBENCH_RUNS) must lie on storage that all nodes share"


@contextmanager
def _marked(place: str) -> Iterator[str]:
    """A marker in the storage, by which a node shows that it sees the same; it goes with what the nodes wrote beside it."""
    token = secrets.token_hex(8)
    files, folder = _files(place)
    try:
        files.makedirs(folder, exist_ok=True)
        files.pipe_file(f"{folder}/{_MARKER}{token}", token.encode())
        yield token
    finally:
        files.invalidate_cache()
        for path in files.glob(f"{folder}/{_MARKER}{token}*"):
            files.rm_file(path)


def _files(place: str) -> tuple[Any, str]:
    import fsspec

    files, folder = fsspec.core.url_to_fs(place)
    files.invalidate_cache()
    return files, folder


def _differences(here: Mapping[str, Fact], there: Mapping[str, Fact]) -> Iterator[str]:
    """What is wrong with a node, a sentence's end each."""
    for what, fact in there.items():
        mine = here[what]
        if fact.trouble:
            yield fact.trouble
        elif what == "storage" or fact.value == mine.value:
            continue
        elif what == "facebench":
            yield (
                f"it runs another facebench than the driver (source {fact.value}, here {mine.value}): update it there, or use "
                "`facebench submit`, which sends its own"
            )
        elif what == "python" or what in PACKAGES:
            yield f"it has {what} {fact.value}, the driver has {mine.value}: install the same version on all"
        else:
            yield (
                f"{what} is another there than here (fingerprint {fact.value}, here {mine.value}): give all nodes the same "
                "files, their times of change included (a shared disk, or rsync -a)"
            )


def _refuse(troubles: Mapping[str, list[str]]) -> None:
    """Raise all that is wrong with the first machine, and name the others."""
    wrong = [(machine, said) for machine, said in troubles.items() if said]
    if not wrong:
        return
    machine, said = wrong[0]
    others = (
        f"; {len(wrong) - 1} more node(s) have troubles: {', '.join(one for one, _ in wrong[1:])}" if wrong[1:] else ""
    )
    raise RequestError(f"{machine}: {'; '.join(said)}{others}")


def _ask(wanted: Wanted, able: Iterable[Node]) -> dict[str, dict[str, Fact]]:
    """Node's address -> its answer.

    Raises:
        RequestError: a node that does not answer, or cannot.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    task = ray.remote(num_cpus=0, max_retries=1, runtime_env={"env_vars": variables})(examine)
    asked = {}
    for node in able:
        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        asked[node.address] = task.options(scheduling_strategy=there).remote(wanted)
    ready, late = ray.wait(list(asked.values()), num_returns=len(asked), timeout=PATIENCE) if asked else ([], [])
    silent = {f"node {at}": ["it did not answer in time"] if ref in late else [] for at, ref in asked.items()}
    for ref in late:
        ray.cancel(ref, force=True)
    answers: dict[str, dict[str, Fact]] = {}
    for address, ref in asked.items():
        if ref in ready:
            try:
                answers[address] = ray.get(ref)
            except ray.exceptions.RayError as error:
                silent[f"node {address}"] = [_reason(error)]
    _refuse(silent)
    return answers


def _able(there: Iterable[Node], wanted: Resources) -> list[Node]:
    """The nodes that could hold a trial, by address."""
    return sorted((node for node in there if room.holds(node, wanted)), key=lambda node: node.address)


def _reason(error: Exception) -> str:
    """Why a node could not answer: mostly a package that it lacks."""
    if missing := re.search(r"No module named '([^']+)'", str(error)):
        return (
            f"it cannot run facebench (no module {missing[1]!r}): install the packages there, or use `facebench submit`, which "
            "sends facebench itself"
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    return f"it could not answer ({type(error).__name__}: {lines[-1][:300]})"
