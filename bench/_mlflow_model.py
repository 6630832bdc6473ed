"""A network that lies in MLflow: `models:/name/1`, `models:/name@alias`, `runs:/RUN/PATH`."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench._mlflow_store import cause, prepare, uri
from bench.credentials import hidden
from bench.errors import RequestError
from bench.files import sha256
from bench.networks import metadata, of_file, shapes
from bench.networks.inputs import settled
from bench.networks.network import Network


def opened(given: str, asked: Mapping[str, Any]) -> Network:
    """The network of an MLflow model of flavour `onnx`, else `pytorch`, whose code runs when it is opened.

    What it wants of images may stand in the model's metadata, as `bench.networks.metadata` names it.

    Raises:
        RequestError: MLflow does not answer or has no such model, or the model is of neither flavour.
    """
    prepare()
    import mlflow

    with tempfile.TemporaryDirectory() as place:
        try:
            folder = Path(
                mlflow.artifacts.download_artifacts(given, dst_path=place, tracking_uri=uri(), registry_uri=uri())
            )
            model = mlflow.models.Model.load(str(folder))
        except Exception as error:  # MLflow has many kinds, and those of the store behind it
            raise RequestError(
                f"MLflow at {hidden(uri())} gives no model {given} ({cause(error)}): check $MLFLOW_TRACKING_URI and the name"
            ) from error
        said = metadata.read(given, model.metadata or {})
        if "onnx" in model.flavors:
            found = _of_onnx(folder / model.flavors["onnx"]["data"], said, asked)
        elif "pytorch" in model.flavors:
            found = _of_torch(given, folder, model, said, asked)
        else:
            raise RequestError(f"{given} is an MLflow model of {', '.join(model.flavors)}: expected onnx or pytorch")
        facts = {**found.facts, "flavour": "onnx" if "onnx" in model.flavors else "pytorch"}
        return replace(found, name=given, kind="mlflow", facts=facts)


def _of_onnx(path: Path, said: Mapping[str, Any], asked: Mapping[str, Any]) -> Network:
    return of_file(path, {**said, **asked})


def _of_torch(given: str, folder: Path, model: Any, said: Mapping[str, Any], asked: Mapping[str, Any]) -> Network:
    import mlflow.pytorch

    from bench import device
    from bench.networks.torch_file import caller

    where = device.choose("float32").device
    try:
        network = mlflow.pytorch.load_model(str(folder), map_location=where)
    except Exception as error:  # whatever its code raises
        raise RequestError(f"{given} cannot be opened: {cause(error)}") from error
    network = network.eval() if hasattr(network, "training") else network
    shape = shapes.read(given, _shape(model) or (None,) * 4)
    inputs = settled(given, asked, said, shape.fixed, shape.channels)
    weights = [path for path in sorted(folder.rglob("*")) if path.suffix in (".pth", ".pt", ".pt2")]
    facts = {"device": str(where), "weights_sha256": {path.name: sha256(path) for path in weights}}
    own = sha256(weights[0]) if len(weights) == 1 else None
    return Network(given, "mlflow", own, inputs, caller(given, network, where), facts, shape.batch, shape.exactly)


def _shape(model: Any) -> tuple[Any, ...] | None:
    """Of the input, where the model's signature says it."""
    schema = model.signature.inputs if model.signature else None
    return tuple(schema.inputs[0].shape) if schema and schema.is_tensor_spec() and len(schema.inputs) == 1 else None
