"""A network that lies in MLflow: `models:/name/1`, `models:/name@alias`, `runs:/RUN/PATH`."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench._mlflow_store import cause, prepare, uri
from bench.credentials import hidden
from bench.errors import RequestError
from bench.files import sha256
from bench.networks import metadata, onnx_file, shapes
from bench.networks.inputs import AS_IT_IS, settled
from bench.networks.network import Network, compared


def opened(given: str, asked: Mapping[str, Any]) -> Network:
    """The network of an MLflow model of flavour `onnx`, else `pytorch`, whose code runs when it is opened.

    What it wants of images may stand in the model's metadata, as `bench.networks.metadata` names it.

    Raises:
        RequestError: MLflow does not answer or has no such model, or the model is of neither flavour.
    """
    file = uri().partition("?")[0].removeprefix("sqlite:///")
    if uri().startswith("sqlite:///") and not Path(file).exists():  # MLflow would make one
        raise RequestError(
            f"there is no MLflow store at {file} to look {given} up in: set $MLFLOW_TRACKING_URI to yours"
        )
    prepare()
    import mlflow

    with tempfile.TemporaryDirectory() as place:
        try:
            with _store():
                folder = Path(mlflow.artifacts.download_artifacts(given, dst_path=place))
            model = mlflow.models.Model.load(str(folder))
        except Exception as error:  # MLflow has many kinds, and those of the store behind it
            raise RequestError(
                f"MLflow at {hidden(uri())} gives no model {given} ({cause(error)}): check $MLFLOW_TRACKING_URI and the name"
            ) from error
        said = _said(given, model.metadata or {})
        if "onnx" in model.flavors:
            found = onnx_file.opened(folder / model.flavors["onnx"]["data"], asked, said)
        elif "pytorch" in model.flavors:
            found = _of_torch(given, folder, model, said, asked)
        else:
            raise RequestError(f"{given} is an MLflow model of {', '.join(model.flavors)}: expected onnx or pytorch")
        facts = {**found.facts, "flavour": "onnx" if "onnx" in model.flavors else "pytorch"}
        return replace(found, name=given, kind="mlflow", facts=facts)


@contextmanager
def _store() -> Iterator[None]:
    """Where MLflow looks names, versions and aliases up, is our store for a while: no argument of its reaches that."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = uri()
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before


def _of_torch(given: str, folder: Path, model: Any, said: Mapping[str, Any], asked: Mapping[str, Any]) -> Network:
    import mlflow.pytorch

    from bench import device
    from bench.networks.torch_file import caller, place

    try:
        network = mlflow.pytorch.load_model(str(folder), map_location=device.choose("float32").device)
    except Exception as error:  # whatever its code raises
        raise RequestError(f"{given} cannot be opened: {cause(error)}") from error
    with suppress(NotImplementedError):  # a torch.export program cannot be switched, and is as it was exported
        network.eval()
    where = place([*network.parameters(), *network.buffers()])  # MLflow loads such a program to where it was exported
    tensor = _tensor(model)
    shape = shapes.read(given, tensor.shape if tensor else (None,) * 4)
    kind = str(tensor.type) if tensor else "float32"
    inputs = settled(given, asked, said, shape.fixed | (AS_IT_IS if kind == "uint8" else {}), shape.channels)
    weights = [path for path in sorted(folder.rglob("*")) if path.suffix in (".pth", ".pt", ".pt2")]
    facts = {"device": str(where), "weights_sha256": {path.name: sha256(path) for path in weights}}
    facts |= {key: said[key] for key in ("trial",) if key in said}
    own, run = sha256(weights[0]) if len(weights) == 1 else None, caller(given, network, where, kind)
    return Network(given, "mlflow", own, inputs, run, facts, shape.batch, shape.exactly, compared(said))


def _tensor(model: Any) -> Any:
    """The shape and type of the input, where the model's signature says it."""
    schema = model.signature.inputs if model.signature else None
    return schema.inputs[0] if schema and schema.is_tensor_spec() and len(schema.inputs) == 1 else None


def _said(given: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The model's metadata: `facebench.KEY` -> JSON, or `facebench` -> a mapping, as MLflow can hold one."""
    own = found.get("facebench")
    said = metadata.read(given, {key: text for key, text in found.items() if isinstance(text, str)})
    return {**(own if isinstance(own, dict) else {}), **said}
