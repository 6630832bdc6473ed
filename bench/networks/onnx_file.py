"""An ONNX file, run by onnxruntime: data, not code, so that a stranger's can be opened."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import RequestError
from bench.files import sha256
from bench.networks import metadata, shapes
from bench.networks.extra import cause, needed
from bench.networks.inputs import AS_IT_IS, settled
from bench.networks.network import Network, compared

_KINDS = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
}


def opened(path: Path, asked: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> Network:
    """The network in the file.

    Args:
        asked: see `inputs.settled`; `output` names the one that is the embedding where there are several.
        beside: what is said of the file where it lies; it goes before what the file says of itself.

    Raises:
        RequestError: onnxruntime is missing, the file is no ONNX model, or its input is no batch of images.
    """
    runtime = needed("onnxruntime", "an ONNX file")
    session = _session(runtime, path)
    if len(session.get_inputs()) != 1:
        names = ", ".join(one.name for one in session.get_inputs())
        raise RequestError(f"{path.name} takes {len(session.get_inputs())} inputs ({names}): expected one, the images")
    wanted = session.get_inputs()[0]
    if wanted.type not in _KINDS:
        raise RequestError(f"{path.name} takes an input of {wanted.type}: expected one of {', '.join(_KINDS)}")
    options = dict(asked)
    output = _output(path.name, [one.name for one in session.get_outputs()], options.pop("output", None))
    shape = shapes.read(path.name, wanted.shape)
    said = {**metadata.read(path.name, session.get_modelmeta().custom_metadata_map), **(beside or {})}
    fixed = shape.fixed | (AS_IT_IS if wanted.type == "tensor(uint8)" else {})
    inputs = settled(path.name, options, said, fixed, shape.channels)
    kind = np.dtype(_KINDS[wanted.type])

    def run(x: np.ndarray) -> np.ndarray:
        try:
            return session.run([output], {wanted.name: x.astype(kind, copy=False)})[0]
        except Exception as error:  # onnxruntime has errors of its own for everything
            raise RequestError(f"{path.name} refuses images of shape {x.shape}: {cause(error)}") from error

    facts = {"device": session.get_providers()[0], "runtime": f"onnxruntime {runtime.__version__}"}
    facts |= {key: said[key] for key in ("trial", "backbone") if key in said}
    if weights := _weights(path):
        facts["weights_sha256"] = {one.name: sha256(one) for one in weights}
    return Network(path.name, "onnx", sha256(path), inputs, run, facts, shape.batch, shape.exactly, compared(said))


def _session(runtime: Any, path: Path) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = _threads()
    options.log_severity_level = 3  # errors alone
    there = runtime.get_available_providers()
    providers = [one for one in ("CUDAExecutionProvider", "CPUExecutionProvider") if one in there]
    try:
        return runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime has errors of its own for everything
        raise RequestError(f"{path} cannot be opened as an ONNX model: {cause(error)}") from error


def _threads() -> int:
    """Of `$OMP_NUM_THREADS`, which onnxruntime does not read and OpenMP takes as `4,2` (of each level) too; 0: all."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def _output(name: str, there: list[str], asked: str | None) -> str:
    if asked is not None and asked not in there:
        raise RequestError(f"{name} has no output {asked!r}; it has: {', '.join(there)}")
    if asked is None and len(there) > 1:
        raise RequestError(f"{name} gives {len(there)} outputs ({', '.join(there)}): say which by --input output=NAME")
    return asked or there[0]


def _weights(path: Path) -> list[Path]:
    """The files beside the model that hold its weights, where it does not hold them itself.

    Raises:
        RequestError: it names one that does not lie below its own folder.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        return []
    tensors = onnx.load(str(path), load_external_data=False).graph.initializer
    apart = [tensor for tensor in tensors if tensor.data_location == onnx.TensorProto.EXTERNAL]
    places = {entry.value for tensor in apart for entry in tensor.external_data if entry.key == "location"}
    folders = path.parent.resolve(), path.resolve().parent  # a download may be a link into a folder of files
    for place in sorted(places):
        file = (path.parent / place).resolve()
        if not file.is_file() or not any(map(file.is_relative_to, folders)):
            raise RequestError(f"{path} keeps weights in {place}: expected a file below the model's own folder")
    return [path.parent / place for place in sorted(places)]
