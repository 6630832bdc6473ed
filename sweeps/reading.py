"""A study file from yaml to `Study`, every mistake answered in one sentence with file, line, key and what is accepted."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

from bench.errors import RequestError
from sweeps import checks, given
from sweeps.checks import Report
from sweeps.mistake import Key, Mistake
from sweeps.parts import Own, Train
from sweeps.study import Study, validated

SHIPPED = Path(__file__).parent / "studies"
_LATER = (
    "images_per_identity",
    "supervise",
    "scorer",
    "scorer_options",
    "keep",
    "closed_every",
    "ensemble",
)


class _Loader(yaml.SafeLoader):
    """yaml in which `1e-4` is a number (YAML 1.2) and not a text (YAML 1.1)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def shipped() -> list[str]:
    """The names of the studies that come with facebench."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(study: str | Path, *, report: Report | None = None, own_data: bool = False) -> Study:
    """The study in a yaml file, or the shipped one of that name; where its `given` files are there, the study on them.

    Args:
        report: the names of what the report can judge and show, see `sweeps.checks.Report`; None: they are not checked.
        own_data: whether the `given` files must be there (`sweeps.given`).

    Raises:
        RequestError: no such study, no UTF-8 text, or a mistake in it: the sentence names the file, the line, the key
            and what is accepted.
    """
    path = Path(study)
    if str(study) in shipped():
        path = SHIPPED / f"{study}.yaml"
    elif not path.is_file():
        raise RequestError(
            f"no study {str(study)!r}: give a yaml file or one of the shipped studies: {', '.join(shipped())}"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"study file {path} is not UTF-8 text (byte {error.start} is {error.object[error.start]:#04x}): "
            "save it as UTF-8"
        ) from error
    return parse(text, str(path), report=report, own_data=own_data)


def parse(text: str, file: str, *, report: Report | None = None, own_data: bool = False) -> Study:
    """The study in a yaml text; `file` is how errors call it, the rest is as in `load`."""
    try:
        root = yaml.compose(text, _Loader)
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise RequestError(f"study file {file} is not readable yaml: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise RequestError(f"study file {file} must be a mapping with the keys {', '.join(Study.model_fields)}")
    lines = _lines(root, file)
    study = _checked(value, lines, file, report)
    if study.given is None:
        return study
    # Checked whether its files are there or not: a mistake in it shall not wait for them.
    other = _checked(given.applied(value), lines, file, report, inside=("given",))
    if other.name == study.name:
        where = _where(("name",), lines, file, ("given",))
        raise RequestError(f"{where}: the study on other data needs a name of its own, got {other.name!r}")
    return other if given.holds(study, own_data) else study


def _checked(value: dict[str, Any], lines: dict[Key, int], file: str, report: Report | None, inside: Key = ()) -> Study:
    """The study in plain data, every name in it known; what stands `inside` a part of the file is wrong there."""
    try:
        study = validated(value)
        for key, wrong in checks.wrong(study, report):
            raise Mistake(key, wrong)
    except Mistake as error:
        raise RequestError(f"{_where(error.key, lines, file, inside)}: {error}") from None
    return study


def digest(study: Study) -> str:
    """A hash of all that decides what a study runs (comments and the order of keys do not matter).

    Not `criteria` and `published`: they concern the report, which can be made again at any time. Nor `allow_overlap`,
    which may be given after a refusal that came of its lack; nor what a study that was stopped goes on with, `budget` and
    `stop_after_failures`; nor `storage` and `checkpoints`: a study may move, and each driver call them
    otherwise. Keys that came later count only where they are used: the runs of before go on.
    """
    apart = {"criteria", "published", "budget", "stop_after_failures", "checkpoints"}
    said = study.model_dump(exclude=apart) | {"allow_overlap": False, "storage": None}
    if said["tune"] and said["tune"]["early_stop"] is None:
        del said["tune"]["early_stop"]
    if said["tune"] and said["tune"]["searches"] == 1:
        del said["tune"]["searches"]
    for key in _LATER:
        if said[key] == Study.model_fields[key].default:
            del said[key]
    for key in ("shard_classes", "sample_classes"):
        if said["train"][key] == Train.model_fields[key].default:
            del said["train"][key]
    # The others decide nothing of a trial.
    said["resources"] = {key: said["resources"][key] for key in ("cpus", "gpus")}
    for entry in said["losses"].values():
        for key, unused in (("loss", None), ("trial", Own().model_dump())):
            if entry[key] == unused:
                del entry[key]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _lines(root: yaml.Node | None, file: str) -> dict[Key, int]:
    """Path of keys -> line in the file, counted from 1. A key given twice is refused (yaml would drop the first)."""
    found: dict[Key, int] = {}

    def walk(node: yaml.Node, path: Key) -> None:
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise RequestError(
                        f"study file {file}, line {line}: key {_dotted((*path, key.value))!r} is given twice"
                    )
                seen.add(key.value)
                found[(*path, key.value)] = key.start_mark.line + 1
                walk(value, (*path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                found[(*path, i)] = value.start_mark.line + 1
                walk(value, (*path, i))

    if root is not None:
        walk(root, ())
    return found


def _dotted(key: Key) -> str:
    return ".".join(map(str, key))


def _where(key: Key, lines: dict[Key, int], file: str, inside: Key = ()) -> str:
    """File, line and key; the line of the nearest enclosing key where the key itself is not in the file.

    Of a key that the part `inside` has too, it is the one in there.
    """
    for n in range(len(key), 0, -1):
        for place in ((*inside, *key[:n]), key[:n]):
            if place in lines:
                return f"study file {file}, line {lines[place]}, key {_dotted((*place, *key[n:]))!r}"
    return f"study file {file}, line 1, key {_dotted(key)!r}"


def facts(folder: Path) -> dict[str, Any]:
    """What `study.json` says of a study that was begun.

    Raises:
        RequestError: it was spoiled.
    """
    try:
        return json.loads((folder / "study.json").read_text())
    except ValueError as error:
        raise RequestError(
            f"{folder / 'study.json'} cannot be read ({error}): put it back, or rename the study in its file"
        ) from error
