"""What the commands share: their common options, where the user's data lie, and JSON answers."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import settings
from bench.errors import RequestError

DataOption = Annotated[Path | None, typer.Option("--data", help="the folder of your data; else $FACEBENCH_DATA")]
JsonOption = Annotated[bool, typer.Option("--json", help="answer with JSON")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="an option, may be repeated")]

ProtocolOption = Annotated[str, typer.Option(help="see `facebench list protocols`")]
RootOption = Annotated[Path | None, typer.Option(help="the folder (or file) of the protocol; else the data folder")]
MissingOption = Annotated[
    bool, typer.Option("--allow-missing", help="leave out images that are missing; every figure is marked as partial")
]


def protocol_spec(name: str, root: Path | None, given: list[str] | None, allow_missing: bool) -> dict[str, Any]:
    """The protocol that a command line asks for, see `bench.scoring.open_protocol`."""
    spec = {**settings.parse(given), "name": name}
    if root is not None:
        if not root.exists():
            raise RequestError(f"--root must name the folder (or file) of the protocol, there is none at {root}")
        spec["root"] = str(root.resolve())
    for key in ("groups", "leave_out"):  # the user's own files, not the protocol's: beside him before below the root
        file, colon, column = str(spec.get(key, "")).partition(":")
        if file and Path(file).is_file():
            spec[key] = f"{Path(file).resolve()}{colon}{column}"
    return spec | ({"allow_missing": True} if allow_missing else {})


def use(data: Path | None) -> None:
    """Make `--data` what every later step, worker processes too, takes relative paths from."""
    if data is None:
        return
    if not data.is_dir():
        raise RequestError(f"--data must name a folder, {data} is none")
    os.environ["FACEBENCH_DATA"] = str(data.resolve())


def print_json(answer: Any) -> None:
    typer.echo(json.dumps(answer, indent=1))


def faces(wanted: str, options: Mapping[str, Any]) -> Any:
    """The images that a command line names: a data set's name, or a path that says by its content which one reads it.

    Raises:
        RequestError: neither a data set nor a path, or what lies there is no data set.
    """
    from bench import datasets

    if wanted in datasets.names():
        return datasets.load(wanted, **options)
    if "paths" in options or "path" in options:
        raise RequestError(f"{wanted!r} names the data already: leave the option path or paths out")
    from bench import inspection

    kind, asked = inspection.reader(wanted)
    return datasets.load(kind, **{**asked, **options})
