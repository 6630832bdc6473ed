"""The pairs of a batch, and the margin between pairs of one identity and of two."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from losses import _checks


def pairs(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(B, D), (B,) -> the B (B - 1) / 2 distances, and which pairs are of one identity.

    The distances come from the differences themselves (no cancellation), and at 0 their gradient is 0.
    """
    first, second = torch.triu_indices(len(labels), len(labels), offset=1, device=labels.device)
    return F.pdist(embeddings), labels[first] == labels[second]


class Margin(nn.Module):
    """The margin m of the contrastive loss: fixed, or re-set to tell the recent pairs apart best (DeepID2).

    With `adapt`, after every `window` pairs seen in training m becomes the distance with the least verification error on the
    last `window` pairs. It stays where no distance does better than a guess. The pairs are in `state_dict`.
    """

    value: Tensor
    distances: Tensor
    same: Tensor
    seen: Tensor

    def __init__(self, margin: float, adapt: bool, window: int):
        super().__init__()
        _checks.above("margin", margin, 0)
        _checks.flag("adapt_margin", adapt)
        _checks.number("margin_pairs", window, int)
        _checks.at_least("margin_pairs", window, 2)
        self.adapt = adapt
        self.fixed = margin
        if adapt:
            self.register_buffer("value", torch.tensor(float(margin)))
            self.register_buffer("distances", torch.zeros(window))
            self.register_buffer("same", torch.zeros(window, dtype=torch.bool))
            self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self) -> Tensor | float:
        """m as it is now."""
        return self.value if self.adapt else self.fixed

    @torch.no_grad()
    def observe(self, distances: Tensor, same: Tensor) -> None:
        """Take the pairs of one training call into account."""
        if not self.adapt:
            return
        window, before, new = len(self.distances), int(self.seen), len(distances)
        kept = min(new, window)
        places = torch.arange(before + new - kept, before + new, device=self.distances.device) % window
        self.distances[places] = distances[new - kept :].to(self.distances.dtype)
        self.same[places] = same[new - kept :]
        self.seen += new
        if (before + new) // window > before // window and (
            found := best_threshold(self.distances, self.same)
        ) is not None:
            self.value.copy_(found)


def best_threshold(distances: Tensor, same: Tensor) -> Tensor | None:
    """The distance below which to call a pair one identity, with the least mean of the two error rates.

    It lies midway between two neighbouring distances; None where no such distance beats a guess.
    """
    if same.all() or not same.any():
        return None
    order = distances.argsort()
    near, one = distances[order], same[order].double()
    missed = 1 - one.cumsum(0) / one.sum()  # pairs of one identity beyond the k nearest
    accepted = (1 - one).cumsum(0) / (1 - one).sum()  # pairs of two identities among them
    error = (missed + accepted)[:-1] / 2
    error[near[1:] == near[:-1]] = torch.inf  # equal distances cannot be told apart
    best = error.argmin()
    return (near[best] + near[best + 1]) / 2 if error[best] < 0.5 else None
