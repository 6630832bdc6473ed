"""A network as an ONNX file that says what it wants of images, checked against torch before anybody gets it."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.errors import RequestError
from bench.networks import metadata, onnx_file
from bench.networks.extra import cause, needed
from bench.networks.inputs import Inputs

TOLERANCE = 1e-4  # largest difference from torch, as a share of the largest number in torch's embeddings
BATCHES = (1, 2, 5)  # the file is made with 2


def write(network: nn.Module, inputs: Inputs, said: Mapping[str, Any], path: Path) -> float:
    """Write the network, in eval mode on the CPU, for any number of images; the largest difference from torch.

    Args:
        said: what the file's metadata hold beside `inputs`, see `bench.networks.metadata`.

    Returns:
        The largest difference between onnxruntime's embeddings and torch's on random images, as a share of the largest
        number in torch's.

    Raises:
        RequestError: the packages are missing, the network cannot be written as ONNX, or what came of it is not the network.
    """
    onnx = needed("onnx", "export")
    needed("onnxscript", "export")
    model = _model(network, inputs)
    _strip(model)
    onnx.helper.set_model_props(model, metadata.written({**inputs.plain(), **said}))
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(path))
    except Exception as error:  # onnx and protobuf have errors of their own
        raise RequestError(f"the network's ONNX form is not valid: {cause(error)}") from error
    return _difference(network, inputs, path)


def _model(network: nn.Module, inputs: Inputs) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own insides
            made = torch.onnx.export(
                network,
                (torch.zeros(2, *inputs.shape),),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=["images"],
                output_names=["embeddings"],
                verbose=False,
            )
    except Exception as error:  # whatever the network does that ONNX cannot say
        raise RequestError(f"this network cannot be written as ONNX: {cause(error)}") from error
    assert made is not None
    return made.model_proto


def _strip(model: Any) -> None:
    """The exporter notes on every node where in whose files it came from: that is nobody's business."""
    graph = model.graph
    for part in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer, [graph]):
        for one in part:
            del one.metadata_props[:]
            one.doc_string = ""


def _difference(network: nn.Module, inputs: Inputs, path: Path) -> float:
    """What onnxruntime makes of the file against torch, on random images in batches of several sizes."""
    opened = onnx_file.opened(path, {})
    random, worst = np.random.default_rng(0), 0.0
    for count in BATCHES:
        images = random.integers(0, 256, (count, *inputs.size, inputs.channels), np.uint8)
        x = inputs.ready(images)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(x)).float().numpy()
        made = np.asarray(opened.run(x))
        if made.shape != wanted.shape:
            raise RequestError(
                f"the ONNX file gives {made.shape} for {count} images, torch {wanted.shape}: nothing was written"
            )
        worst = max(worst, float(np.abs(made - wanted).max() / np.abs(wanted).max()))
    if not worst <= TOLERANCE:
        raise RequestError(
            f"the ONNX file differs from torch by {worst:.2g} of the largest number, more than {TOLERANCE:g}: "
            "nothing was written"
        )
    return worst
