"""`facebench data ...`: what lies on the disk, and the row order of protocols."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bench import settings
from bench._command import (
    DataOption,
    JsonOption,
    MissingOption,
    ProtocolOption,
    RootOption,
    SetOption,
    faces,
    print_json,
    protocol_spec,
    use,
)
from bench.errors import RequestError

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
    from bench import contact

    found = faces(dataset, settings.parse(set_))
    path = contact.sheet(found, output)
    typer.echo(f"{dataset}: {len(found.identities):,} identities, {len(found.names):,} images; {path}")


@data_app.command("inspect")
def data_inspect(
    path: Annotated[str, typer.Argument(help="any file or folder")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="also draw a contact sheet, to this PNG")
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="how many images are decoded")] = 200,
    set_: SetOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what lies at a path, how it is read, and what is in it: identities, images, sizes, what cannot be read."""
    use(data)
    from bench import contact, datasets, inspection, show

    found = inspection.inspect(path, settings.parse(set_), sample)
    if output is not None:
        if not found.dataset:
            raise RequestError(f"{found.path} is {found.what}: there are no identities to draw a contact sheet of")
        contact.sheet(datasets.load(found.dataset, **found.options), output)
    print_json(asdict(found)) if as_json else show.inspection(found)


@data_app.command("images")
def data_images(
    protocol: ProtocolOption = "lfw",
    root: RootOption = None,
    set_: SetOption = None,
    data: DataOption = None,
    allow_missing: MissingOption = False,
    crops: Annotated[Path | None, typer.Option(help="also write the images there, as NAME.png")] = None,
) -> None:
    """The row order of a protocol: one image path a line; row i of the embeddings belongs to line i."""
    use(data)
    from bench import row_images, scoring

    spec = protocol_spec(protocol, root, set_, allow_missing)
    if crops is None and not spec.get("allow_missing"):
        typer.echo("\n".join(scoring.create(spec).images))
        return
    opened, source = scoring.open_protocol(spec)
    if crops is not None:
        row_images.write(source, opened.images, crops)
    typer.echo("\n".join(opened.images))
