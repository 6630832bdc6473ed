"""What the command line says of networks: how one is spelled, and what it wants of images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import settings
from bench.errors import RequestError

MODEL = (
    "a network instead: an .onnx, .safetensors (of `export`), TorchScript (.ts, .pt) or torch.export (.pt2) file, timm:NAME, "
    "MLflow's models:/NAME/1 or runs:/RUN/PATH, or a trial's id"
)
InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="KEY=VALUE",
        help="what the network wants of images, may be repeated: size, mean, std, range (255 or 1), colour (rgb, bgr, grey), "
        "layout (nchw, nhwc), flip (none, concat, add), crop, output; it goes before what the model says",
    ),
]

OverlapOption = Annotated[bool, typer.Option("--allow-overlap", help="score although training and test share people")]


def asked(
    embeddings: Path | None,
    model: str | None,
    weights: Path | None,
    given: list[str] | None,
    suffix: str | None,
    allow_overlap: bool,
) -> dict[str, Any] | None:
    """What is asked of the network of `evaluate`; None: there is none, embeddings are scored.

    Raises:
        RequestError: both or neither, or an option of the other.
    """
    if (embeddings is None) == (model is None):
        what = "neither" if model is None else f"{embeddings} and --model {model}"
        raise RequestError(
            f"evaluate scores a file of embeddings or the network of --model, got {what}: give one of them"
        )
    if model is None:
        if weights is not None or given or allow_overlap:
            raise RequestError(
                "--weights, --input and --allow-overlap are of a network: give --model, or leave them out"
            )
        return None
    if suffix is not None:
        raise RequestError("--suffix is of a folder's feature files: leave it out with --model")
    said = _inputs(given)
    return said if weights is None else {**said, "weights": str(weights)}


def of_each(given: list[str] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is asked of the networks A and B of `compare`: `size=112` of both, `b.size=112` of B alone.

    Raises:
        RequestError: no KEY=VALUE.
    """
    said = _inputs(given)
    own = {name: said.pop(name, {}) for name in ("a", "b")}
    if wrong := [name for name, one in own.items() if not isinstance(one, Mapping)]:
        raise RequestError(f"--input {wrong[0]}.KEY=VALUE is of one network, got {wrong[0]}={own[wrong[0]]!r}")
    return {**said, **own["a"]}, {**said, **own["b"]}


def _inputs(given: list[str] | None) -> dict[str, Any]:
    try:
        return settings.parse(given)
    except RequestError as error:
        raise RequestError(str(error).replace("--set", "--input")) from error
