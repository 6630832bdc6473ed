"""Networks that turn images into embeddings: any timm model by its name, and the nets registered here.

    net = backbones.create("cnn4", embedding_dim=256, image_size=(64, 64))     # (B, 3, 64, 64) -> (B, 256) float32
    net = backbones.supervised(net, ["stages.2"], 256, 3, (64, 64))            # two embeddings while training

A file may register several sizes of one net with `@register`.
"""

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

_registered: dict[str, Callable[..., "nn.Module"]] = {}


def register(make: Callable[..., "nn.Module"]) -> Callable[..., "nn.Module"]:
    """Offer `make(embedding_dim, in_chans, image_size, **options)` as a backbone under its own name in lower case."""
    _registered[make.__name__.lower()] = make
    return make


def register_sizes(net: Callable[..., "nn.Module"], sizes: Mapping[str, Sequence[int]]) -> None:
    """Offer `net(embedding_dim, in_chans, image_size, blocks, **options)` under each name with its blocks a stage."""

    def sized(blocks: Sequence[int]) -> Callable[..., "nn.Module"]:
        return lambda dim, chans, size, **options: net(dim, chans, size, blocks, **options)

    _registered.update({name: sized(blocks) for name, blocks in sizes.items()})


def own() -> list[str]:
    """The nets registered here and by the entry-point group `facebench.backbones`."""
    _register_all(tuple(sys.path))
    return sorted(_registered)


@cache
def _register_all(path: tuple[str, ...]) -> None:
    """Once for each `path`: a look at all that is installed takes long."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    for point in entry_points(group="facebench.backbones"):
        point.load()


def names() -> list[str]:
    """All names that `create` takes: the registered nets, then timm's."""
    from backbones import _timm

    return own() + _timm.names()


def create(
    name: str, embedding_dim: int, in_chans: int = 3, image_size: tuple[int, int] = (112, 112), **options: Any
) -> "nn.Module":
    """Make the network `name`: images (B, in_chans, H, W) -> (B, embedding_dim) float32.

    Raises:
        ValueError: an unknown name (the sentence offers the closest ones), or an option or image size the net cannot take.
    """
    if name in own():
        try:
            return _registered[name](embedding_dim, in_chans, image_size, **options)
        except TypeError as error:
            raise ValueError(f"backbone {name!r} does not take these options: {error}") from error
    return _of_timm(name).create(name, embedding_dim, in_chans, image_size, **options)


def pooled(name: str, in_chans: int = 3, image_size: tuple[int, int] = (112, 112)) -> "nn.Module":
    """The timm model `name` as it is, up to its global pool: images (B, in_chans, H, W) -> (B, its width).

    Raises:
        ValueError: as `create`.
    """
    return _of_timm(name).pooled(name, in_chans, image_size)[0]


def published(name: str) -> dict[str, Any]:
    """What the weights that timm publishes for its model `name` were trained with, as far as timm knows.

    `size` [height, width], `mean` and `std` of images in [0, `range`], and `classifier`, the names of its last layers.

    Raises:
        ValueError: timm has no such model.
    """
    return _of_timm(name).published(name)


def _of_timm(name: str) -> Any:
    """The module that makes timm's models, where `name` is one of them."""
    from backbones import _timm

    if name.partition(".")[0] not in _timm.names():  # `resnet18.a1_in1k`: a model and its pretrained weights
        close = difflib.get_close_matches(name, names(), 3)
        hint = f"closest: {', '.join(close)}; " if close else ""
        raise ValueError(f"no {name!r} in backbones; {hint}there is: {', '.join(own())}, and all of timm's")
    return _timm


def supervised(
    network: "nn.Module",
    stages: Sequence[str],
    embedding_dim: int,
    in_chans: int = 3,
    image_size: tuple[int, int] = (112, 112),
) -> "nn.Module":
    """DeepID2+'s supervision of several layers: embeddings of intermediate stages beside the last one, in training only.

    Each stage's output is averaged over places (B, C, H, W) or over tokens (B, T, C), or kept (B, C), and goes through
    a linear layer of its own: (B, in_chans, H, W) -> (B, (1 + L) D) float32 in training, the network's own embedding
    first, then the L stages' in their order; (B, D) in eval. `losses.Layered` splits them. Without stages: the network.

        supervised(create("cnn4", 256, 3, (64, 64)), ["stages.2", "stages.4"], 256, 3, (64, 64))
        supervised(create("sphere20", 512, 3, (112, 96)), ["stages.1", "stages.2"], 512, 3, (112, 96))
        supervised(create("resnet18", 512, 3, (112, 112)), ["model.layer2", "model.layer3"], 512, 3, (112, 112))

    Departure: Sun et al. (2015) train a hidden layer on each pooling layer; here an average and a linear layer do.

    Args:
        stages: names of the network's submodules, as `network.get_submodule` takes them, in the order of the embeddings.

    Raises:
        ValueError: no submodule of that name (the sentence offers some), one named twice, or one whose output is no
            such tensor or that takes no part in the forward pass.
    """
    if not stages:
        return network
    from backbones._stages import Supervised

    return Supervised(network, stages, embedding_dim, in_chans, image_size)
