"""A network by its name, with the weights of a file that holds nothing else: no code in it can run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import backbones
from bench import device
from bench.errors import RequestError
from bench.files import sha256
from bench.networks import metadata
from bench.networks.extra import cause, needed
from bench.networks.inputs import COLOURS, Inputs, settled
from bench.networks.network import Network, compared
from bench.networks.torch_file import caller

TIMM = "timm:"
_WRAPPED = ("state_dict", "model")  # where training scripts put the weights
_ELSEWHERE = (
    "pretrained",
    "checkpoint",
    "cache_dir",
)  # timm's options that would load or fetch other weights: a file has none
_SEED = 0  # of a network without weights


def timm(given: str, weights: Path | None, asked: Mapping[str, Any]) -> Network:
    """`timm:NAME` with a state dict: the model up to its global pool; with `embedding.*` beside it, up to that layer.

    Without weights an untrained one, the same each time. A classifier's weights are left out, and the result says so.

    Raises:
        RequestError: timm has no such model, or the weights are others.
    """
    name = given.removeprefix(TIMM)
    state = _state(weights) if weights else {}
    if name in backbones.own():
        raise RequestError(
            f"{name!r} is none of timm's: give a trial's id, or the model.safetensors of `facebench export`"
        )
    try:
        said = backbones.published(name)
    except ValueError as error:
        raise RequestError(str(error)) from error
    inputs = settled(given, asked, {"layout": "nchw", **said})
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        network = _made(name, state, inputs)
    facts: dict[str, Any] = {"backbone": name}
    if weights is None:
        facts["weights"] = f"none: untrained, seed {_SEED}"
    else:
        facts |= {"weights": weights.name, **_filled(network, state, weights, said["classifier"])}
    return _network(given, "timm", weights, network, inputs, facts)


def own(path: Path, asked: Mapping[str, Any]) -> Network:
    """A .safetensors file that `facebench export` wrote: its metadata name the network.

    Raises:
        RequestError: its metadata name none, or one that is not known here.
    """
    said = metadata.read(path.name, _header(path))
    if "backbone" not in said:
        raise RequestError(f"{path} holds weights alone: say whose by --model timm:NAME --weights {path}")
    try:
        inputs = settled(path.name, asked, said, {"size": said["size"]}, COLOURS[said["colour"]])
        options = {key: value for key, value in said["backbone_options"].items() if not key.startswith(_ELSEWHERE)}
        network = backbones.create(said["backbone"], said["embedding_dim"], inputs.channels, inputs.size, **options)
    except RequestError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RequestError(f"{path} names a network that cannot be made: {cause(error)}") from error
    facts = {"backbone": said["backbone"], "trial": said.get("trial"), **_filled(network, _state(path), path)}
    return replace(_network(path.name, "safetensors", path, network, inputs, facts), background=compared(said))


def _network(
    name: str, kind: str, file: Path | None, network: nn.Module, inputs: Inputs, facts: Mapping[str, Any]
) -> Network:
    where = device.choose("float32").device
    count = sum(one.numel() for one in network.parameters())
    run = caller(name, network.eval().to(where), where)
    return Network(
        name, kind, sha256(file) if file else None, inputs, run, {**facts, "parameters": count, "device": str(where)}
    )


def _made(name: str, state: Mapping[str, torch.Tensor], inputs: Inputs) -> nn.Module:
    """The model up to its pool, or with the linear layer to the embedding that `state` has."""
    try:
        if "embedding.weight" in state and any(key.startswith("model.") for key in state):
            return backbones.create(name, len(state["embedding.weight"]), inputs.channels, inputs.size)
        return backbones.pooled(name, inputs.channels, inputs.size)
    except ValueError as error:
        raise RequestError(str(error)) from error


def _filled(
    network: nn.Module, state: Mapping[str, torch.Tensor], file: Path, classifier: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Put the weights in, all of them and no others but the classifier's; what was left out."""
    own = network.state_dict()
    extra = [key for key in state if key not in own]
    heads = [key for key in extra if key.rpartition(".")[0] in classifier]
    unexpected, missing = [key for key in extra if key not in heads], [key for key in own if key not in state]
    if missing or unexpected:
        raise RequestError(
            f"{file} is no state dict of this network: {_few('missing', missing)}, {_few('unexpected', unexpected)}; "
            "give the network that the weights are of"
        )
    if other := [key for key in own if own[key].shape != state[key].shape]:
        shapes = tuple(state[other[0]].shape), tuple(own[other[0]].shape)
        raise RequestError(
            f"{file}: {other[0]} is {shapes[0]}, and this network's is {shapes[1]}: is it another network's?"
        )
    network.load_state_dict({key: state[key] for key in own})
    return {"left_out": heads} if heads else {}


def _few(what: str, keys: list[str]) -> str:
    return f"{len(keys)} {what}" + (f" ({', '.join(keys[:3])}{' ...' if len(keys) > 3 else ''})" if keys else "")


def _state(path: Path) -> dict[str, torch.Tensor]:
    """The weights by their names; of a file that torch wrote, tensors and plain values alone are read."""
    if not path.is_file():
        raise RequestError(
            f"no file of weights at {path}: expected a state dict, .safetensors or what torch.save wrote"
        )
    if path.suffix == ".safetensors":
        with _broken(path):
            return needed("safetensors.torch", "a .safetensors file").load_file(path)
    with _broken(path):
        found = torch.load(path, map_location="cpu", weights_only=True)
    for key in _WRAPPED:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not found or not all(isinstance(one, torch.Tensor) for one in found.values()):
        raise RequestError(f"{path} holds no state dict: expected tensors by their names")
    return {key.removeprefix("module."): one for key, one in found.items()}  # of DistributedDataParallel


def _header(path: Path) -> dict[str, str]:
    with _broken(path), needed("safetensors", "a .safetensors file").safe_open(path, "pt") as file:
        return file.metadata() or {}


@contextmanager
def _broken(path: Path) -> Iterator[None]:
    """A file that is none of weights alone is answered in one sentence; nothing in it is ever called."""
    try:
        yield
    except RequestError:
        raise
    except Exception as error:  # pickle, zipfile, torch and safetensors have many kinds of error for a broken file
        raise RequestError(
            f"{path} cannot be read as weights ({cause(error)}): expected a state dict of tensors alone, .safetensors or "
            "what torch.save wrote; nothing else is unpickled"
        ) from error
