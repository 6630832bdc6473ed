"""Anybody's network, opened by one spelling and scored by any protocol.

    model.onnx             ONNX, run by onnxruntime
    model.ts, model.pt     TorchScript; its code runs when it is opened
    model.pt2              a torch.export program; the same
    model.safetensors      what `facebench export` wrote
    timm:resnet18          timm's, untrained or with the weights of a file
    models:/name/1         MLflow's, an ONNX or a PyTorch model (of which the code runs); also runs:/RUN/PATH
    4fd0a81c               a trial of runs/, by as much of its id as is unique

What a network wants of images is said by options, else by itself: see `bench.networks.inputs`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import RequestError

if TYPE_CHECKING:
    from bench.networks.network import Network

MLFLOW = ("models:/", "runs:/")
TIMM = "timm:"
SUFFIXES = (".onnx", ".ts", ".pt", ".pth", ".pt2", ".safetensors")


def names_one(given: str) -> bool:
    """Whether `given` spells a network that is no trial of runs/."""
    return given.startswith((*MLFLOW, TIMM)) or Path(given).suffix.lower() in SUFFIXES


def opened(given: str, asked: Mapping[str, Any]) -> "Network":
    """The network that `given` spells.

    Args:
        asked: the user's `--input` options; `weights` is the file of a timm model's.

    Raises:
        RequestError: there is no such network, or it cannot be opened.
    """
    options = dict(asked)
    weights = options.pop("weights", None)
    if given.startswith(TIMM):
        from bench.networks import weights as named

        return named.timm(given, Path(str(weights)) if weights is not None else None, options)
    if weights is not None:
        raise RequestError(f"weights are of a timm model, and {given} has its own: leave --weights out")
    if given.startswith(MLFLOW):
        from bench._mlflow_network import opened as of_mlflow

        return of_mlflow(given, options)
    if names_one(given):
        return of_file(Path(given), options)
    if Path(given).exists():
        raise RequestError(f"{given} is no file of a network: expected {', '.join(SUFFIXES)}")
    from bench import record
    from bench.networks import trials

    return trials.opened(record.finished(given), options)


def of_file(path: Path, options: Mapping[str, Any]) -> "Network":
    """The network in a file, by its suffix.

    Raises:
        RequestError: as `opened`.
    """
    if not path.is_file():
        raise RequestError(f"no file of a network at {path}: expected {', '.join(SUFFIXES)}, timm:NAME or a trial's id")
    kind = path.suffix.lower()
    if kind == ".onnx":
        from bench.networks import onnx_file

        return onnx_file.opened(path, options)
    if kind == ".safetensors":
        from bench.networks import weights

        return weights.own(path, options)
    from bench.networks import torch_file

    return torch_file.exported(path, options) if kind == ".pt2" else torch_file.script(path, options)
