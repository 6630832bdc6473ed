"""TorchScript and torch.export files. Both hold code, which runs when they are opened: a stranger's is trusted or left alone."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import device
from bench.errors import RequestError
from bench.files import sha256
from bench.networks import shapes
from bench.networks.extra import cause
from bench.networks.inputs import AS_IT_IS, settled
from bench.networks.network import Network


def script(path: Path, asked: Mapping[str, Any]) -> Network:
    """The TorchScript module in a .ts, .pt or .pth file, as `torch.jit.save` writes it.

    Raises:
        RequestError: the file holds none (a state dict, say).
    """
    where = device.choose("float32").device
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls TorchScript a thing of the past
            module = torch.jit.load(str(path), map_location=where).eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise RequestError(
            f"{path} cannot be opened as TorchScript ({cause(error)}): expected what torch.jit.save wrote; a state dict goes "
            "with --model timm:NAME --weights FILE"
        ) from error
    inputs = settled(path.name, asked)
    facts = {"device": str(where), "parameters": sum(one.numel() for one in module.parameters())}
    return Network(path.name, "torchscript", sha256(path), inputs, caller(path.name, module, where), facts)


def exported(path: Path, asked: Mapping[str, Any]) -> Network:
    """The program in a .pt2 file, as `torch.export.save` writes it; it runs where it was exported, mostly on the CPU.

    Raises:
        RequestError: the file holds none, or its input is no batch of images.
    """
    try:
        program = torch.export.load(str(path))
        module = program.module()
    except Exception as error:  # torch.export has no error of its own
        raise RequestError(
            f"{path} cannot be opened as a torch.export program ({cause(error)}): expected what torch.export.save wrote"
        ) from error
    wanted = program.graph_signature.user_inputs
    if len(wanted) != 1:
        raise RequestError(f"{path.name} takes {len(wanted)} inputs: expected one, the images")
    node = next(node for node in program.graph.nodes if node.name == wanted[0])
    shape = shapes.read(path.name, list(node.meta["val"].shape))
    kind = str(node.meta["val"].dtype).removeprefix("torch.")
    fixed = shape.fixed | (AS_IT_IS if kind == "uint8" else {})
    inputs = settled(path.name, asked, None, fixed, shape.channels)
    where = place(program.state_dict.values())
    facts = {"device": str(where), "parameters": sum(one.numel() for one in program.parameters())}
    run = caller(path.name, module, where, kind)
    return Network(path.name, "torch.export", sha256(path), inputs, run, facts, shape.batch, shape.exactly)


def place(weights: Iterable[torch.Tensor]) -> torch.device:
    """Where a network lies that cannot be moved; without weights, the CPU."""
    return next((one.device for one in weights), torch.device("cpu"))


def caller(name: str, module: Any, where: torch.device, kind: str = "float32") -> Callable[[np.ndarray], np.ndarray]:
    """`Network.run` of a torch module that is in eval mode, lies on the device `where` and takes numbers of this kind."""

    @torch.inference_mode()
    def run(x: np.ndarray) -> np.ndarray:
        try:
            made = module(torch.from_numpy(x.astype(kind, copy=False)).to(where))
        except Exception as error:  # what is in the file may raise anything
            raise RequestError(f"{name} refuses images of shape {x.shape}: {cause(error)}") from error
        if isinstance(made, list | tuple) and len(made) == 1:
            made = made[0]
        if not isinstance(made, torch.Tensor):
            raise RequestError(f"{name} gives a {type(made).__name__}: expected one tensor (images, dimensions)")
        return made.float().cpu().numpy()

    return run
