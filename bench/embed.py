"""Images -> embeddings, as a test protocol wants them."""

import numpy as np
import torch
from torch import nn

from bench.augment import normalise
from bench.device import Device
from bench.errors import TrialFailed
from bench.mirror import check, joined


@torch.inference_mode()
def embed(network: nn.Module, images: np.ndarray, device: Device, flip: str = "concat", batch: int = 256) -> np.ndarray:
    """(N, H, W, C) uint8 -> (N, D) float32, or (N, 2 D) where the mirror image's embedding is appended.

    Args:
        flip: `concat` (both papers' tests), `add` or `none`.

    Raises:
        RequestError: an unknown `flip`.
        TrialFailed: the network gives numbers that are not finite.
    """
    check(flip)
    was_training = network.training
    network.eval()
    out = []
    for start in range(0, len(images), batch):
        x = normalise(images[start : start + batch]).to(device.device, memory_format=torch.channels_last)
        with device.autocast():
            made = [network(seen).float() for seen in ([x] if flip == "none" else [x, x.flip(3)])]
        rows = [one.cpu().numpy() for one in made]
        out.append(rows[0] if flip == "none" else joined(rows[0], rows[1], flip))
    network.train(was_training)
    embeddings = np.concatenate(out)
    if not np.isfinite(embeddings).all():
        raise TrialFailed("the network's embeddings are not finite: the training diverged")
    return embeddings
