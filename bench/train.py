"""The training loop: it is given the network and the criterion, and knows neither's name."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from bench import batches, energy
from bench.augment import augmented
from bench.device import Device
from bench.errors import RequestError, TrialFailed
from bench.parallel import Parallel

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "step", "constant")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train; the fields are those of `bench.plain.Trial`."""

    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    momentum: float
    schedule: str
    warmup: float
    augment: Mapping[str, float]
    seed: int
    images_per_identity: int = 1

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS or self.schedule not in SCHEDULES:
            raise RequestError(
                f"optimizer must be one of {', '.join(OPTIMIZERS)} and schedule one of {', '.join(SCHEDULES)}, "
                f"got {self.optimizer!r} and {self.schedule!r}"
            )
        if self.images_per_identity < 1:
            raise RequestError(f"images_per_identity must be at least 1, got {self.images_per_identity}")
        if self.epochs < 0 or self.batch_size < 2 or not 0 <= self.warmup < 1 or not 0 < self.learning_rate < math.inf:
            raise RequestError(
                "training needs epochs >= 0, batch_size >= 2, 0 <= warmup < 1 and a finite learning_rate > 0, got "
                f"{self.epochs}, {self.batch_size}, {self.warmup} and {self.learning_rate}"
            )
        if not 0 <= self.momentum < 1 or not 0 <= self.weight_decay < math.inf or not 0 <= self.seed < 2**63:
            raise RequestError(
                "training needs 0 <= momentum < 1, a finite weight_decay >= 0 and 0 <= seed < 2**63, got "
                f"{self.momentum}, {self.weight_decay} and {self.seed}"
            )


def learning_rate(settings: Settings, step: int, total: int) -> float:
    """The rate of step `step` (from 0) of `total`: linear warm-up, then the schedule.

    `step` divides by 10 at 16/28 and 24/28 of the run, as the papers do (Wen et al. 2016, Sec. 4.1).
    """
    warm = round(settings.warmup * total)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    share = (step - warm) / max(1, total - warm)
    if settings.schedule == "cosine":
        return settings.learning_rate * (1 + math.cos(math.pi * share)) / 2
    if settings.schedule == "step":
        return settings.learning_rate * 0.1 ** ((step >= total * 16 / 28) + (step >= total * 24 / 28))
    return settings.learning_rate


class Fit:
    """The state of one training run, an epoch at a time.

    Everything random in an epoch is drawn from (seed, epoch), so a run that continues from a checkpoint needs no
    generator's state and draws what it would have drawn; `state` and `restore` carry the rest.

    Args:
        parallel: the processes that share the training, each with an equal `Fit` of its own; None: this one alone.
    """

    def __init__(
        self,
        network: nn.Module,
        criterion: nn.Module,
        settings: Settings,
        device: Device,
        parallel: Parallel | None = None,
    ):
        self.parallel = parallel or Parallel()
        self.network = network.to(device.device).to(memory_format=torch.channels_last)
        self.criterion = criterion.to(device.device)
        self.settings = settings
        self.device = device
        self.parallel.share(self.network, device.device)
        self.optimizer = _optimizer(settings, [network, criterion])
        self.epoch = 0
        self.step = 0
        self.seconds = 0.0  # spent in training steps
        self.energy = energy.meter(device.device, self.parallel.size)  # of these, on the machine of the first process

    def run_epoch(self, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """One pass over (N, H, W, C) uint8 images in a random order; the epoch's mean loss and last learning rate.

        The first epoch tells the loss of its first batch too, before any step.

        Raises:
            TrialFailed: the loss is not finite (it names step, epoch and learning rate).
        """
        begun = time.monotonic()
        self.energy.start()
        random = np.random.default_rng([self.settings.seed, self.epoch])
        size, grouped = self.settings.batch_size, self.settings.images_per_identity
        per_epoch = batches.steps_per_epoch(len(images), size)
        total = per_epoch * self.settings.epochs
        chosen = list(batches.epoch(labels, size, grouped, random))
        losses: list[torch.Tensor] = []
        self.network.train()
        self.criterion.train()
        with torch.random.fork_rng():
            torch.manual_seed(int(random.integers(2**63)))  # dropout and the like
            for rows in map(np.sort, chosen):
                rate = learning_rate(self.settings, self.step, total)
                part = self.parallel.rows(len(rows))
                x = augmented(images[rows[part]], self.settings.augment, random, len(rows), part.start)
                losses.append(self._one_step(x, torch.from_numpy(labels[rows]), rate))
        self.epoch += 1
        self.parallel.agree(self.criterion, self.optimizer)
        self._check_weights()
        self.seconds += time.monotonic() - begun
        self.energy.stop()
        found = {"train/loss": torch.stack(losses).double().mean().item(), "train/learning_rate": rate}
        return found if self.epoch > 1 else found | {"train/loss_at_start": losses[0].item()}

    def _check_weights(self) -> None:
        """The last step of an epoch may have broken the weights, and no later loss would tell."""
        for name, value in self.network.state_dict().items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise TrialFailed(
                    f"{name} is not finite after step {self.step} (epoch {self.epoch}): the training diverged"
                )

    def _one_step(self, x: torch.Tensor, labels: torch.Tensor, rate: float) -> torch.Tensor:
        """One step on this process's images of a batch; the labels, and the loss, are those of the whole batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x = x.to(self.device.device, memory_format=torch.channels_last)
        with self.device.autocast():
            embeddings = self.parallel.forward(self.network, x, len(labels))
        loss = self.criterion(self.parallel.gather(embeddings), labels.to(self.device.device))
        if not torch.isfinite(loss):
            raise TrialFailed(
                f"the loss is {loss.item()} at step {self.step + 1} (epoch {self.epoch + 1}, learning rate {rate:.4g}): "
                "the training diverged"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        move: Callable | None = getattr(self.criterion, "step", None)
        if move:  # of its rows, only those that took part move
            move(self.optimizer)
        else:
            self.optimizer.step()
        self.step += 1
        return loss.detach()

    def state(self) -> dict:
        """All that the rest of the run depends on, as a CPU-loadable dictionary; of several processes in the first."""
        criterion, optimizer = self.parallel.joined(self.criterion, self.optimizer)
        return {
            "network": self.network.state_dict(),
            "criterion": criterion,
            "optimizer": optimizer,
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "joules": self.energy.joules,
        }

    def restore(self, state: dict) -> None:
        """Go on from `state()`."""
        self.network.load_state_dict(state["network"])
        self.criterion.load_state_dict(state["criterion"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.energy.go_on(state.get("joules"))  # those of before lack it


def fit(
    run: Fit, images: np.ndarray, labels: np.ndarray, develop: Callable[[nn.Module], dict[str, float]]
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Train to the last epoch, yielding (step, epoch, metrics) after each; `develop` gives the development figures."""
    while run.epoch < run.settings.epochs:
        metrics = run.run_epoch(images, labels)
        yield run.step, run.epoch, metrics | develop(run.network)


def _optimizer(settings: Settings, modules: list[nn.Module]) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW. Vectors (biases, norms, PReLU slopes) do not decay."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.learning_rate)
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
