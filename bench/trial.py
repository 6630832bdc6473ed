"""How one trial goes: data -> network and criterion -> training -> embeddings -> scores.

A plain generator of events: it knows no Ray, no Optuna, no MLflow.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import nn

import losses
from bench import augment, batches, device, examination, material, mirror, provenance, trial_network
from bench.checkpoint import Checkpoints
from bench.embed import embed
from bench.errors import RequestError
from bench.material import Material
from bench.parallel import Parallel
from bench.plain import Options, Progress, Result, Trial
from bench.train import Fit, Settings, fit

__all__ = ["Options", "Progress", "Result", "Trial", "run"]


def run(trial: Trial, folder: str | None = None, processes: int = 1) -> Iterator[Progress | Result]:
    """Train, embed and score one trial: a `Progress` after each epoch, then one `Result`.

    Args:
        folder: a local path or fsspec URL for the checkpoints. Where it holds some, their events come first again and the
            training goes on from the last one, bit for bit as if it had never stopped.
        processes: how many train it together, on as many GPUs where there are any (`bench.processes`); the numbers are
            those of one but for rounding (and what `bench.whole_batch` says), and any number may go on from a checkpoint.

    Raises:
        RequestError: the trial asks for what does not exist or must not be (shared people between training and test).
        TrialFailed: the training diverged.
        ProcessLost: one of several processes died.
    """
    if processes < 1:
        raise RequestError(f"a trial takes at least 1 process, got {processes}")
    _check(trial)
    if processes == 1:
        yield from (event for event in steps(trial, folder, Parallel()) if event)
        return
    from bench import processes as crew

    yield from crew.run(steps, trial, folder, processes)


def steps(trial: Trial, folder: str | None, parallel: Parallel) -> Iterator[Progress | Result | None]:
    """`run` in one of the processes that share a trial. All yield in step, the first one the result too, the others None."""
    begun = time.monotonic()
    asked = {f.name: getattr(trial, f.name) for f in fields(Settings)}
    asked |= {"augment": augment.check(trial.augment), "images_per_identity": images_per_identity(trial)}
    settings = Settings(**asked)
    where = device.choose(trial.precision, parallel.rank if parallel.size > 1 else None)
    where.forget_peak()
    where.load()  # from here on
    network, drawn = _network(trial)
    data = _loaded(trial, parallel)
    labels = data.train_labels
    examination.check_material(trial, data)
    batches.check(labels, trial.batch_size, settings.images_per_identity)
    total = batches.steps_per_epoch(len(data.train), trial.batch_size) * trial.epochs
    parallel.join()
    criterion = _criterion(trial, data.classes, total, drawn, parallel)
    work = Fit(network, criterion, settings, where, parallel)
    develop = _Development(data, trial, where, looks=parallel.rank == 0)

    saved, key = Checkpoints(folder) if folder and parallel.rank == 0 else None, data.key
    past: list[Progress] = []
    found = saved.latest() if saved else None
    if found and found[0]["data"] != key:
        raise RequestError(
            f"the checkpoints in {folder} were trained on other images than those that the trial's data hold now: "
            "delete that folder, or restore the data"
        )
    if found := parallel.handed_out(found, work.criterion, work.optimizer):
        state, past = found
        work.restore(state)
        yield from past
    before = past[-1].seconds if past else 0.0
    images = data.pixels.array[data.train]
    for step, epoch, metrics in fit(work, images, labels, develop):
        past.append(Progress(step, epoch, metrics, before + time.monotonic() - begun, where.load()))
        state = work.state() if folder else {}  # of shared class weights, all have to give their rows
        if saved:
            saved.save(state | {"data": key}, past)
        yield past[-1]
    if trial.shard_classes and parallel.size > 1 and (len(data.closed) or "features" in trial.keep):
        work.criterion = _whole_criterion(trial, data.classes, drawn, work)
    yield _result(trial, data, work, past, develop) if parallel.rank == 0 else None


def _loaded(trial: Trial, parallel: Parallel) -> Material:
    """The trial's images: the first process decodes them, and it alone needs those of the protocols."""
    if parallel.rank == 0:
        data = material.load(trial)
        parallel.meet()
        return data
    parallel.meet()
    return material.load(replace(trial, protocols=()))


def _result(
    trial: Trial, data: Material, work: Fit, past: list[Progress], develop: Callable[[nn.Module], dict[str, float]]
) -> Result:
    metrics = dict(past[-1].metrics) if past else develop(work.network)
    found = examination.Examination(trial, data, work)
    per_epoch = batches.steps_per_epoch(len(data.train), trial.batch_size) * min(trial.batch_size, len(data.train))
    cost = {
        "train_seconds": work.seconds,
        "images_per_second": per_epoch * work.epoch / work.seconds if work.seconds else None,
        "peak_memory_mb": work.device.peak_memory_mb(),
        "parameters": sum(p.numel() for p in work.network.parameters()),
        "epochs": len(past),
        "device": work.device.name,
        "processes": work.parallel.size,
        "precision": "bf16" if work.device.bf16 else "float32",
        **work.energy.cost(),
    }
    skipped = [f"{bad.name}: {bad.reason}" for bad in data.pixels.unreadable]
    facts = {
        "data": data.pixels.key,
        "identities": len(data.faces.identities),
        "images": len(data.faces.names),
        "train_identities": len(np.unique(data.faces.labels[data.train])),
        "train_images": len(data.train),
        "development_images": len(data.develop),
        "closed_test_images": len(data.closed),
        "skipped_images": len(skipped),
        "first_skipped": skipped[:10],
    }
    if trial.sample_classes < 1:
        facts["sampled_classes"] = f"{trial.sample_classes:g} of the classes in a training step (Partial FC)"
    return Result(metrics | found.metrics, found.scores, found.raw, cost, provenance.environment() | facts)


class _Development:
    """The figures on the held-out identities; none where nothing is held out, or for a process that does not look."""

    def __init__(self, data: Material, trial: Trial, where: device.Device, looks: bool = True):
        self.images = data.pixels.array[data.develop]
        self.flip = trial.flip
        self.where = where
        self.protocol = data.development() if looks else None

    def __call__(self, network: nn.Module) -> dict[str, float]:
        if self.protocol is None:
            return {}
        return examination.scored(self.protocol, embed(network, self.images, self.where, self.flip)).metrics


def _check(trial: Trial) -> None:
    """What would otherwise show only after the training, or as a fault of a library."""
    mirror.check(trial.flip)
    if not 0 <= trial.holdout < 1 or trial.holdout_seed < 0:
        raise RequestError(
            "holdout is the share of identities held out, 0 <= holdout < 1, and holdout_seed is at least 0, got "
            f"{trial.holdout} and {trial.holdout_seed}"
        )
    if trial.image_size < 1 or trial.embedding_dim < 1:
        raise RequestError(
            f"image_size and embedding_dim are at least 1, got {trial.image_size} and {trial.embedding_dim}"
        )
    if trial.closed_every < 0 or trial.closed_every == 1:
        raise RequestError(
            f"closed_every is 0 (no test) or at least 2 (every image is no test), got {trial.closed_every}"
        )
    if not 0 < trial.sample_classes <= 1:
        raise RequestError(
            f"sample_classes is a share of the classes, 0 < sample_classes <= 1, got {trial.sample_classes}"
        )
    if sharded(trial) and trial.supervise:
        raise RequestError("shard_classes and sample_classes do not go with supervise: leave one of them out")
    examination.check(trial)


def sharded(trial: Trial) -> bool:
    """Whether the trial shares out its classes, or samples them.

    Raises:
        RequestError: its loss is no softmax over class weights, or there is no such loss.
    """
    asked = trial.shard_classes or trial.sample_classes < 1
    try:
        if asked and not losses.shardable(trial.loss):
            takes = ", ".join(name for name in losses.names() if losses.shardable(name))
            raise RequestError(f"shard_classes and sample_classes take a loss of {takes}, got {trial.loss!r}")
    except ValueError as error:
        raise RequestError(str(error)) from error
    return asked


def images_per_identity(trial: Trial) -> int:
    """K of the trial's batches of P x K: what the trial says, else what its loss asks for."""
    if trial.images_per_identity is not None:
        return trial.images_per_identity
    try:
        return losses.images_per_identity(trial.loss)
    except ValueError as error:
        raise RequestError(str(error)) from error


def _network(trial: Trial) -> tuple[nn.Module, torch.Tensor]:
    """The network drawn from the trial's seed, and the random state after it, from which the criterion is drawn.

    It is made before the data are read, so that a wrong name or option is answered at once.
    """
    try:
        with torch.random.fork_rng():
            losses.create(trial.loss, 2, trial.embedding_dim, **loss_options(trial, total_steps=1))
    except ValueError as error:
        raise RequestError(str(error)) from error
    return trial_network.drawn(trial)


def _criterion(trial: Trial, classes: int, total_steps: int, drawn: torch.Tensor, parallel: Parallel) -> nn.Module:
    """The loss; where several layers of the network are supervised, one of it for each."""
    options = loss_options(trial, total_steps)
    with torch.random.fork_rng():
        torch.set_rng_state(drawn)
        made = [
            losses.create(trial.loss, classes, trial.embedding_dim, **options) for _ in range(1 + len(trial.supervise))
        ]
    if sharded(trial):
        group = losses.Group(parallel.rank, parallel.size) if trial.shard_classes else losses.Group()
        try:
            return losses.Sharded(made[0], classes, group, share=trial.sample_classes, seed=trial.seed)
        except ValueError as error:
            raise RequestError(str(error)) from error
    return made[0] if len(made) == 1 else losses.Layered(made)


def _whole_criterion(trial: Trial, classes: int, drawn: torch.Tensor, work: Fit) -> nn.Module:
    """In the first process the criterion with all class weights, for the examination that asks for them."""
    state = work.state()["criterion"]
    if work.parallel.rank:
        return work.criterion
    whole = _criterion(trial, classes, 1, drawn, Parallel())
    whole.load_state_dict(state)
    return whole.to(work.device.device)


def loss_options(trial: Trial, total_steps: int) -> dict[str, Any]:
    """The loss's hyper-parameters: `x_fraction` becomes `x_steps`, that share of all steps of the run."""
    made = {}
    for name, value in trial.loss_options.items():
        if name.endswith("_fraction"):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise RequestError(f"loss_options.{name} is a share of the run between 0 and 1, got {value!r}")
            name, value = name.removesuffix("fraction") + "steps", round(value * total_steps)
        made[name] = value
    return made
