"""What the commands share: their common options, where the user's data lie, and JSON answers."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.errors import RequestError

DataOption = Annotated[Path | None, typer.Option("--data", help="the folder of your data; else $FACEBENCH_DATA")]
JsonOption = Annotated[bool, typer.Option("--json", help="answer with JSON")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="an option, may be repeated")]


def use(data: Path | None) -> None:
    """Make `--data` what every later step, worker processes too, takes relative paths from."""
    if data is None:
        return
    if not data.is_dir():
        raise RequestError(f"--data must name a folder, {data} is none")
    os.environ["FACEBENCH_DATA"] = str(data.resolve())


def print_json(answer: Any) -> None:
    typer.echo(json.dumps(answer, indent=1))
