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
from typing import Any, NamedTuple

from bench import ledger, scoring, single, waiting
from bench.errors import RequestError
from bench.networks.network import Background, Network
from bench.pixels import pixels, row_hashes, whole
from bench.scores import Scores

MLFLOW = ("models:/", "runs:/")
TIMM = "timm:"
SUFFIXES = (".onnx", ".ts", ".pt", ".pth", ".pt2", ".safetensors")


def names_one(given: str) -> bool:
    """Whether `given` spells a network that is no trial of runs/."""
    return given.startswith((*MLFLOW, TIMM)) or Path(given).suffix.lower() in SUFFIXES


def opened(given: str, asked: Mapping[str, Any]) -> Network:
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
        from bench import _mlflow_network

        return _mlflow_network.opened(given, options)
    if names_one(given):
        return of_file(Path(given), options)
    if Path(given).exists():
        raise RequestError(f"{given} is no file of a network: expected {', '.join(SUFFIXES)}")
    from bench import record
    from bench.networks import trials

    return trials.opened(record.finished(given), options)


def of_file(path: Path, options: Mapping[str, Any]) -> Network:
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


class Scored(NamedTuple):
    """The protocol, its answer to the network, and what is known of the network's training."""

    protocol: Any
    answer: Scores
    background: Background


def evaluate(
    given: str,
    asked: Mapping[str, Any],
    spec: Mapping[str, Any],
    dev: Path | None = None,
    allow_overlap: bool = False,
) -> dict[str, Any]:
    """The plain scores of a network by a protocol, with what the network is and what it was given as `model`.

    Args:
        given, asked: the network, see `opened`.
        spec: the protocol, see `bench.scoring.open_protocol`.
        dev: see `bench.single.evaluate`.
        allow_overlap: score although the training, where it is known, shares people with the test.

    Raises:
        RequestError: a network or protocol that cannot be opened, or one that does not fit the other.
    """
    frozen = single.thresholds(dev)
    network = opened(given, asked)
    found = score(network, spec, allow_overlap)
    single.enter(found.protocol, found.answer, frozen)
    ledger.append("evaluate", network.name, found.protocol.name, found.protocol.hash, found.answer.metrics)
    return plain(network, found, frozen)


def score(network: Network, spec: Mapping[str, Any], allow_overlap: bool = False) -> Scored:
    """Embed the protocol's images and score them. Whoever shows the answer enters it in the ledger.

    Raises:
        RequestError: as `evaluate`.
    """
    protocol, source = scoring.open_protocol(spec)
    wanted = network.inputs
    with waiting.bar("decoding images") as advance:
        shown = pixels(source, protocol.images, wanted.size, wanted.crop, wanted.channels, wanted.patch, advance)
    whole(shown, protocol.name)
    background = network.background(protocol, row_hashes(shown.array), allow_overlap)
    with waiting.bar("embedding images") as advance:
        rows = network.embed(shown.array, advance)
    return Scored(protocol, protocol.score(rows, background.scorer), background)


def plain(network: Network, found: Scored, frozen: Any = None) -> dict[str, Any]:
    """The answer as plain data, see `bench.scoring.plain`."""
    body = scoring.plain(found.answer, found.protocol, found.background.overlap, found.background.scorer, frozen)
    return body | {"model": network.plain()}
