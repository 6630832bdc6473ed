"""One of several processes that train a network in float64: `ranks_fit.py RANK SIZE FOLDER [LOSS...]` leaves the weights.

`trained` is the same in one process; `test_parallel_exact.py` compares them.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import losses
from bench import augment
from bench.device import Device
from bench.parallel import Parallel
from bench.train import Fit, Settings

IMAGES = np.random.default_rng(0).integers(0, 256, (46, 16, 16, 1), np.uint8)
LABELS = np.arange(46) % 5
SETTINGS = {"epochs": 2, "batch_size": 15, "learning_rate": 0.05, "weight_decay": 1e-3, "momentum": 0.9, "seed": 7}


class Exact(nn.Module):
    """A network in float64, in which rounding cannot tell runs apart that should be equal."""

    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(
            nn.Conv2d(1, 6, 3, stride=2),
            nn.BatchNorm2d(6),
            nn.PReLU(6),
            nn.Dropout2d(0.2),
            nn.Conv2d(6, 8, 3, stride=2),
        )
        self.unused = nn.Linear(2, 2)  # as some of timm's nets have
        self.drop_rate = 0.1  # and this, by which they call the function
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.4), nn.Linear(72, 8), nn.BatchNorm1d(8, affine=False))

    def forward(self, images):
        found = self.stages(images.double())
        return self.head(F.dropout(found, p=self.drop_rate, training=self.training))


def trained(loss, parallel=None, group=None, images=IMAGES, labels=LABELS, **changes):
    """What a run ends with: its weights, its running statistics, all of the criterion, the losses of its epochs."""
    torch.manual_seed(0)
    network = Exact().double()
    criterion = losses.create(loss, 5, 8).double()
    if changes.pop("shard", False):
        criterion = losses.Sharded(criterion, 5, group, share=0.6)
    settings = {"optimizer": "sgd", "schedule": "cosine", "warmup": 0.1, "augment": augment.check({})} | SETTINGS
    if losses.images_per_identity(loss) > 1:
        settings["images_per_identity"] = 3
    run = Fit(network, criterion, Settings(**settings | changes), Device(torch.device("cpu"), bf16=False), parallel)
    seen = [run.run_epoch(images, labels)["train/loss"] for _ in range(2)]
    return seen, run.state()


CASES = {
    "softmax": {"loss": "softmax"},
    "center": {"loss": "center"},
    "lmcl": {"loss": "lmcl"},
    "adaface, adamw": {"loss": "adaface", "optimizer": "adamw", "learning_rate": 1e-3},
    "asoftmax": {"loss": "asoftmax"},
    "curricularface": {"loss": "curricularface"},
    "triplet": {"loss": "triplet"},
    "contrastive": {"loss": "contrastive"},
    "deepid2": {"loss": "deepid2"},
    "sharded and sampled": {"loss": "lmcl", "shard": True},
    "fewer images than processes": {"loss": "center", "images": IMAGES[:2], "labels": LABELS[:2]},
}

if __name__ == "__main__":
    rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    group = losses.Group(rank, size)
    parallel = Parallel(group, store=str(folder / "store"))
    parallel.join()
    torch.save(
        {name: trained(parallel=Parallel(group), group=group, **case) for name, case in CASES.items()},
        folder / f"{rank}.pt",
    )
