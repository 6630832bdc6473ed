"""Small networks in every form that people hand theirs on in; all of them see one image as the same numbers."""

import json
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

SIZE, DIM = 8, 5
IMAGES = np.random.default_rng(1).integers(0, 256, (7, SIZE, SIZE, 3), np.uint8)
SAID = {"size": SIZE, "mean": 127.5, "std": 128}


class Patches(nn.Module):
    """(B, C, SIZE, SIZE) -> (B, DIM): a random linear map, so that every pixel, channel and place counts."""

    def __init__(self, channels: int = 3, seed: int = 0):
        super().__init__()
        self.layer = nn.Linear(channels * SIZE * SIZE, DIM)
        draw = np.random.default_rng(seed)
        self.layer.weight.data = torch.from_numpy(draw.normal(size=self.layer.weight.shape).astype(np.float32))
        self.layer.bias.data.zero_()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images.flatten(1))


def expected(images: np.ndarray, net: nn.Module | None = None, mean: float = 127.5, std: float = 128) -> np.ndarray:
    """The embeddings of (N, H, W, C) uint8, written out."""
    x = torch.from_numpy((images.astype(np.float32) - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        return (net or Patches())(x).numpy()


def script(path: Path, net: nn.Module | None = None) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls TorchScript a thing of the past
        torch.jit.save(torch.jit.script(net or Patches()), str(path))
    return path


def program(path: Path, batch: int | None = None) -> Path:
    """A .pt2 file; for any number of images unless `batch` fixes it."""
    shapes = None if batch else ({0: torch.export.Dim("batch")},)
    made = torch.export.export(Patches(), (torch.zeros(batch or 2, 3, SIZE, SIZE),), dynamic_shapes=shapes)
    torch.export.save(made, path)
    return path


def onnx_file(
    path: Path,
    *,
    shape: tuple = ("batch", 3, SIZE, SIZE),
    channels: int = 3,
    layout: str = "nchw",
    metadata: dict | None = None,
    outputs: int = 1,
    scale: float = 1.0,
    kind: str = "FLOAT",
) -> Path:
    """`Patches` as ONNX nodes, by hand: transpose (of NHWC), flatten, matrix product."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    weight = scale * Patches(channels).layer.weight.detach().numpy().T
    nodes, last = [], "images"
    if kind != "FLOAT":
        nodes.append(helper.make_node("Cast", [last], ["cast"], to=TensorProto.FLOAT))
        last = "cast"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [last], ["turned"], perm=[0, 3, 1, 2]))
        last = "turned"
    nodes.append(helper.make_node("Flatten", [last], ["flat"]))
    names = [f"out{number}" for number in range(outputs)]
    nodes += [helper.make_node("MatMul", ["flat", "weight"], [name]) for name in names]
    wanted = [helper.make_tensor_value_info("images", getattr(TensorProto, kind), shape)]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (shape[0], DIM)) for name in names]
    graph = helper.make_graph(
        nodes, "net", wanted, made, [numpy_helper.from_array(weight.astype(np.float32), "weight")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {f"facebench.{key}": json.dumps(value) for key, value in (metadata or {}).items()})
    checker.check_model(model)
    save(model, str(path))
    return path
