"""`facebench data ...`: what makes data ready: aligned crops, fetched sets, a cache, and what training and test share."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import settings
from bench._cli_data import data_app
from bench._command import (
    DataOption,
    JsonOption,
    ProtocolOption,
    RootOption,
    SetOption,
    faces,
    print_json,
    protocol_spec,
    use,
)
from bench.errors import RequestError

CropOption = Annotated[int | None, typer.Option(min=1, help="pixels of the central square (default: the largest)")]


@data_app.command("align")
def data_align(
    pictures: Annotated[list[Path], typer.Argument(help="folders or archives of pictures")],
    landmarks: Annotated[Path, typer.Option(help="five points an image: csv, CelebA's text, MTCNN's, .lst or json")],
    output: Annotated[Path, typer.Option("--output", "-o", help="a folder, or a .zip to be written")],
    set_: SetOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Crop faces to 112x112 or 112x96 by their five landmarks; what cannot be cropped is listed in failed.csv.

    `--set` takes size, template_base, landmarks_base, resample, antialias, form, quality and order.
    """
    use(data)
    from bench import crops
    from bench.waiting import bar

    asked = settings.parse(set_)
    order = asked.pop("order", None)
    known = [field.name for field in fields(crops.Settings)]
    if unknown := sorted(set(asked) - set(known)):
        raise RequestError(f"align has no option {unknown[0]!r}; it has: {', '.join([*known, 'order'])}")
    paths = [path.resolve() if path.exists() else path for path in pictures]
    with bar("aligned") as advance:
        found = crops.align(paths, landmarks, output, crops.Settings(**asked), order=order, progress=advance)
    if as_json:
        return print_json({**asdict(found), "path": str(found.path)})
    residual = "" if found.residual is None else f", median distance to the template {found.residual:.2f} pixels"
    typer.echo(
        f"{found.path}: {found.images:,} crops, {found.written:,} of them new, {len(found.failed):,} failed{residual}"
    )
    for failed in found.failed[:3]:
        typer.echo(f"  {failed.path}: {failed.reason}")
    return None


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="lfw, lfw_original, olivetti or mnist")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the folder that gets a folder of this name")] = Path(),
    timeout: Annotated[float, typer.Option(help="seconds without a byte after which a server counts as silent")] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Fetch a public data set through scikit-learn's or torchvision's downloader; exit code 1 where there is no network."""
    from bench import fetching

    found = fetching.fetch(name, output, timeout=timeout)
    if as_json:
        return print_json({**asdict(found), "path": str(found.path)})
    state = "was there already" if found.state == "complete" else "fetched"
    typer.echo(f"{found.path}: {found.files:,} files, {found.bytes:,} bytes, {state}; {found.use}")
    return None


@data_app.command("overlap")
def data_overlap(
    train: Annotated[str, typer.Argument(help="a data set's name, or its folder or file")],
    test: Annotated[str, typer.Argument(help="the same, or a protocol's name")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the folder of the two csv files")] = Path(
        "runs/overlap"
    ),
    set_: SetOption = None,
    data: DataOption = None,
    train_embeddings: Annotated[Path | None, typer.Option(help="of the training images, see `evaluate`")] = None,
    test_embeddings: Annotated[Path | None, typer.Option(help="of the test images, by the same network")] = None,
    threshold: Annotated[float | None, typer.Option(help="the cosine from which on two are one person")] = None,
    crop: CropOption = None,
    images_only: Annotated[bool, typer.Option(help="leave out only the images themselves, not their people")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find the people and images that training and test share: by name, by what images look like, by embeddings.

    Writes overlap.csv, a line a match, and contaminated.csv, the test images to be left out: give it to a protocol as
    `--set leave_out=FILE`. Options of the two sets: `--set train.KEY=VALUE`, `--set test.KEY=VALUE`.
    """
    use(data)
    from bench import duplicates
    from bench.waiting import bar

    asked = settings.parse(set_)
    if strange := [key for key in ("train", "test") if not isinstance(asked.get(key, {}), dict)]:
        raise RequestError(f"overlap takes --set {strange[0]}.KEY=VALUE, got {strange[0]}={asked[strange[0]]!r}")
    if unknown := sorted(set(asked) - {"train", "test"}):
        raise RequestError(f"overlap takes --set train.KEY=VALUE and test.KEY=VALUE, got {unknown[0]!r}")
    first = faces(train, asked.get("train", {}))
    second = _test_faces(test, asked.get("test", {}))
    rows = _embeddings((train, first, train_embeddings), (test, second, test_embeddings))
    with bar("overlap") as advance:
        found = duplicates.overlap(first, second, crop=crop, embeddings=rows, threshold=threshold, progress=advance)
    by = "image" if images_only else "identity"
    matches, contaminated = duplicates.write(found, output, by)
    left_out = len(found.contaminated(by))
    if as_json:
        files = {"matches": str(matches), "contaminated": str(contaminated)}
        counts = {**found.counts, "contaminated_images": left_out, "contaminated_identities": len(found.identities)}
        return print_json({**files, "counts": counts, "settings": found.settings})
    for name, count in found.counts.items():
        typer.echo(f"{count:>10,}  {name.replace('_', ' ')}")
    typer.echo(f"{left_out:>10,}  test images of {len(found.identities):,} identities to be left out: {contaminated}")
    return None


@data_app.command("features")
def data_features(
    embeddings: Annotated[Path, typer.Argument(help="as for `evaluate`")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the folder that gets one file an image")],
    algorithm: Annotated[str, typer.Option(help="what stands in their names: IMAGE_ALGORITHM.bin")] = "facebench",
    protocol: ProtocolOption = "megaface",
    root: RootOption = None,
    set_: SetOption = None,
    data: DataOption = None,
) -> None:
    """Write embeddings as the MegaFace devkit's feature files, so that the devkit can score them."""
    use(data)
    from bench import devkit, scoring
    from bench.embeddings import of_protocol

    chosen, rows = of_protocol(embeddings, scoring.create(protocol_spec(protocol, root, set_, False)))
    devkit.write_features(output, chosen.images, rows, devkit.suffix_of(algorithm))
    typer.echo(f"{output}: {len(chosen.images):,} feature files *{devkit.suffix_of(algorithm)}")


@data_app.command("cache")
def data_cache(
    dataset: Annotated[str | None, typer.Argument(help="a data set's name, or its folder or file")] = None,
    size: Annotated[int, typer.Option(min=1, help="pixels, as a trial's image_size")] = 112,
    crop: CropOption = None,
    channels: Annotated[int, typer.Option(help="1 or 3")] = 3,
    set_: SetOption = None,
    data: DataOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="compare every block of every file with its checksum")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Decode a data set into the memory-mapped cache that training uses; without one, list what is cached."""
    use(data)
    from bench import pixels
    from bench.waiting import bar

    if dataset is None:
        found = pixels.listed(verify)
    else:
        with bar("cached") as advance:
            chosen = faces(dataset, settings.parse(set_))
            found = [pixels.cache(chosen, size, crop=crop, channels=channels, progress=advance)]
    if as_json:
        return print_json([{**asdict(info), "path": str(info.path)} for info in found])
    for info in found:
        typer.echo(f"{info.path}: {info.images:,} images, {info.bytes:,} bytes, {info.state}")
    if not found:
        typer.echo("nothing is cached")
    if any(info.state == "damaged" for info in found):
        raise typer.Exit(1)
    return None


def _test_faces(wanted: str, options: dict[str, Any]) -> Any:
    """A data set's images, or those of a protocol."""
    from bench import duplicates, protocols, scoring

    if wanted in protocols.names() and not Path(wanted).exists():
        root = options.pop("root", None)
        spec = protocol_spec(wanted, None if root is None else Path(str(root)), None, False)
        return duplicates.of_protocol(*scoring.open_protocol({**options, **spec}))
    return faces(wanted, options)


def _embeddings(*sides: tuple[str, Any, Path | None]) -> tuple[Any, Any] | None:
    """The rows of both sides in the order of their images; None where neither has any."""
    from types import SimpleNamespace

    from bench import embeddings

    given = [(name, found, path) for name, found, path in sides if path is not None]
    if not given:
        return None
    if len(given) == 1:
        raise RequestError("embeddings are compared with embeddings: give --train-embeddings and --test-embeddings")
    orders = [SimpleNamespace(name=name, images=found.names) for name, found, _ in given]
    files = [embeddings.read(path) for _, _, path in given]
    first, second = (embeddings.arrange(file, order)[1] for file, order in zip(files, orders, strict=True))
    return first, second
