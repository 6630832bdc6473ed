"""`facebench data ...`: what lies on the disk, and the row order of protocols."""

from pathlib import Path
from typing import Annotated

import typer

from bench import settings
from bench._command import DataOption, SetOption, use

data_app = typer.Typer(no_args_is_help=True, help="Look at data sets and at the row order of protocols.")


@data_app.command("sheet")
def data_sheet(
    dataset: Annotated[str, typer.Argument(help="a dataset's name, or a folder, .zip or .tar of faces")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the PNG to write")] = Path("runs/sheet.png"),
    set_: SetOption = None,
    data: DataOption = None,
) -> None:
    """Count identities and images, and draw a contact sheet: a row an identity."""
    use(data)
    from bench import contact, datasets

    known = dataset in datasets.names()
    faces = datasets.load(
        dataset if known else "folder", **({} if known else {"paths": [dataset]}), **settings.parse(set_)
    )
    path = contact.sheet(faces, output)
    typer.echo(f"{dataset}: {len(faces.identities):,} identities, {len(faces.names):,} images; {path}")


@data_app.command("images")
def data_images(
    protocol: Annotated[str, typer.Option(help="see `facebench list protocols`")] = "lfw",
    set_: SetOption = None,
    data: DataOption = None,
) -> None:
    """The row order of a protocol: one image path a line; row i of the embeddings belongs to line i."""
    use(data)
    from bench import scoring

    opened, _ = scoring.open_protocol({**settings.parse(set_), "name": protocol})
    typer.echo("\n".join(opened.images))
