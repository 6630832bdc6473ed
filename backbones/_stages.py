"""Supervision of several layers: embeddings of intermediate stages beside the last one, while training."""

import difflib
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

_SHOWN_DEPTH = 2


class Supervised(nn.Module):
    """A network with a linear layer to an embedding on each of the named stages; see `backbones.supervised`.

    The stages' outputs are caught by hooks that live as long as one forward pass, so copies and pickles hold none.
    """

    def __init__(
        self,
        network: nn.Module,
        stages: Sequence[str],
        embedding_dim: int,
        in_chans: int,
        image_size: tuple[int, int],
    ):
        super().__init__()
        _check_names(network, stages)
        self.network = network
        self.stages = tuple(stages)
        self.places = _places(network)
        widths = self._widths(in_chans, image_size)
        self.heads = nn.ModuleList(nn.Linear(width, embedding_dim) for width in widths)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_chans, H, W) -> (B, (1 + L) D) float32 in training, the last embedding first; (B, D) in eval."""
        if not self.training:
            return self.network(images)
        last, caught = self._run(images)
        early = (head(features) for head, features in zip(self.heads, caught, strict=True))
        return torch.cat([last.float(), *early], 1)  # under autocast `early` is not float32; the result is

    def _run(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The network's embeddings, and each stage's features (B, its width)."""
        caught: dict[str, Tensor] = {}
        with ExitStack() as hooks:
            for name in self.stages:
                hook = _catch(name, caught, self.places)
                hooks.callback(self.network.get_submodule(name).register_forward_hook(hook).remove)
            last = self.network(images)
        if missing := [name for name in self.stages if name not in caught]:
            raise ValueError(f"layer {missing[0]!r} takes no part in the network's forward pass; name another one")
        return last, [caught[name] for name in self.stages]

    def _widths(self, in_chans: int, image_size: tuple[int, int]) -> list[int]:
        """What each stage really gives for one image; no weight, statistic or mode is changed by looking."""
        modes = [(module, module.training) for module in self.network.modules()]
        device = next((p.device for p in self.network.parameters()), torch.device("cpu"))
        self.network.eval()
        try:
            with torch.no_grad():
                _, caught = self._run(torch.zeros(1, in_chans, *image_size, device=device))
        finally:
            for module, mode in modes:
                module.training = mode
        return [features.shape[1] for features in caught]


def _catch(name: str, caught: dict[str, Tensor], places: tuple[int, int]) -> Callable[..., None]:
    """A forward hook that keeps a stage's output as (B, width): averaged over the places of a map, or over tokens."""

    def hook(module: nn.Module, given: object, output: object) -> None:
        if not isinstance(output, Tensor) or output.ndim not in (2, 3, 4):
            got = f"{output.ndim} dimensions" if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(f"layer {name!r} must give a tensor of 2, 3 or 4 dimensions to be supervised, got {got}")
        over = {2: (), 3: (1,), 4: places}[output.ndim]
        caught[name] = output.mean(over) if over else output

    return hook


def _places(network: nn.Module) -> tuple[int, int]:
    """The two axes of a map's places: timm's nets with maps (B, H, W, C), such as Swin, say so."""
    last = any(getattr(module, "output_fmt", "NCHW") == "NHWC" for module in network.modules())
    return (1, 2) if last else (2, 3)


def _check_names(network: nn.Module, stages: Sequence[str]) -> None:
    known = [name for name, _ in network.named_modules() if name]
    for name in stages:
        if name not in known:
            close = difflib.get_close_matches(name, known, 3)
            hint = f"closest: {', '.join(close)}; " if close else ""
            shown = [other for other in known if other.count(".") < _SHOWN_DEPTH]
            raise ValueError(f"no layer {name!r} in this network; {hint}there is: {', '.join(shown)}")
    if len(set(stages)) < len(stages):
        raise ValueError(f"each layer can be supervised once, got {', '.join(stages)}")
