"""Any timm model as a backbone: its global pool, then a linear layer to the embedding."""

from functools import cache
from typing import Any

import timm
from torch import Tensor, nn


@cache
def names() -> list[str]:
    """timm's model names, without the tags of pretrained weights."""
    return timm.list_models()


class TimmEmbedding(nn.Module):
    """timm model -> its global pool -> linear."""

    def __init__(self, model: nn.Module, features: int, embedding_dim: int):
        super().__init__()
        self.model = model
        self.embedding = nn.Linear(features, embedding_dim)

    def forward(self, images: Tensor) -> Tensor:
        """(B, in_chans, H, W) -> (B, D) float32."""
        return self.embedding(self.model(images)).float()


def create(name: str, embedding_dim: int, in_chans: int, image_size: tuple[int, int], **options: Any) -> nn.Module:
    """Make the timm model `name` for images of `image_size` (H, W). `pretrained` is False unless an option says otherwise.

    Raises:
        ValueError: the model does not take that image size, or timm refuses an option.
    """
    model, width = pooled(name, in_chans, image_size, **options)
    return TimmEmbedding(model, width, embedding_dim)


def pooled(name: str, in_chans: int, image_size: tuple[int, int], **options: Any) -> tuple[nn.Module, int]:
    """The timm model `name` up to its global pool, and how many numbers that gives.

    Raises:
        ValueError: as `create`.
    """
    given = {"pretrained": False, "in_chans": in_chans, "num_classes": 0} | options
    try:
        # Only nets with a fixed grid (transformers) know `img_size`; the others refuse it.
        try:
            model = timm.create_model(name, img_size=image_size, **given)
        except TypeError:
            model = timm.create_model(name, **given)
        return model, _features(model, in_chans, image_size)
    except Exception as error:  # timm refuses in many ways
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"timm model {name!r} cannot be made for {image_size[0]}x{image_size[1]} images: {cause}"
        ) from error


def _features(model: nn.Module, in_chans: int, image_size: tuple[int, int]) -> int:
    """What the pooled model really gives for one image (some models change their width after the pool)."""
    import torch

    training = model.training
    with torch.no_grad():
        width = model.eval()(torch.zeros(1, in_chans, *image_size)).shape[1]
    model.train(training)
    return width


def published(name: str) -> dict[str, Any]:
    """What the authors' weights of `name` were trained with: see `backbones.published`."""
    settings = timm.models.get_pretrained_cfg(name)
    if settings is None:
        return {"classifier": ()}
    head = settings.classifier or ()
    said = {"size": list(settings.input_size[1:]), "mean": list(settings.mean), "std": list(settings.std), "range": 1}
    return {**said, "classifier": (head,) if isinstance(head, str) else tuple(head)}
