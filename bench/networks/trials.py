"""The network that a trial trained here, with all that is known of its training."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bench import device, material, overlap, scorers, trial_network
from bench.embed import embed
from bench.errors import RequestError
from bench.networks.inputs import Inputs, adapted
from bench.networks.network import Background, Network
from bench.pixels import row_hashes
from bench.plain import Trial
from bench.record import Record

BATCH = 256  # as `bench.embed` has it: the same numbers come out
MEAN, STD = 127.5, 128.0  # of `bench.augment.normalise`


def opened(known: Record, asked: Mapping[str, Any]) -> Network:
    """The trained network; in its own protocols it gives the figures that stand in its record.

    Raises:
        RequestError: its checkpoint is gone, or an option that its network cannot have.
    """
    trial = known.trial
    network = trial_network.trained(known)
    where = device.choose(trial.precision)
    network = network.to(where.device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run(x: np.ndarray) -> np.ndarray:
        with where.autocast():
            made = network(torch.from_numpy(x).to(where.device, memory_format=torch.channels_last))
        return made.float().cpu().numpy()

    def background(protocol: Any, hashes: Sequence[bytes], allow: bool) -> Background:
        return _background(trial, network, where, protocol, hashes, allow)

    name = f"{trial.name} {trial.role} {trial.number} ({trial.id[:8]})"
    facts = {
        "trial": trial.id,
        "backbone": trial.backbone,
        "parameters": sum(one.numel() for one in network.parameters()),
        "device": where.name,
        "precision": "bf16" if where.bf16 else "float32",
    }
    inputs = adapted(said(trial), asked)
    return Network(name, "trial", _digest(network), inputs, run, facts, BATCH, background=background)


def said(trial: Trial) -> Inputs:
    """What the trial's network wants of images."""
    size, colour = (trial.image_size, trial.image_size), "rgb" if trial.channels == 3 else "grey"
    return Inputs(size, (MEAN,), (STD,), 255.0, colour, "nchw", trial.crop, trial.patch, trial.flip)


def _digest(network: torch.nn.Module) -> str:
    """A hash of the weights, whatever file of the trial's they lie in."""
    found = hashlib.sha256()
    for key, value in network.state_dict().items():
        found.update(repr((key, tuple(value.shape))).encode() + value.contiguous().cpu().numpy().tobytes())
    return found.hexdigest()


def _background(
    trial: Trial,
    network: torch.nn.Module,
    where: device.Device,
    protocol: Any,
    hashes: Sequence[bytes],
    allow: bool,
) -> Background:
    """Whether the training shares people with the protocol, and the trial's scorer, fitted on its training images."""
    fitted = scorers.needs_fit(trial.scorer, trial.scorer_options)
    try:
        data = material.load(replace(trial, protocols=()))
    except RequestError as error:
        if fitted:
            raise RequestError(
                f"trial {trial.id} compares by {trial.scorer}, fitted on its training images: {error}"
            ) from error
        shared = {"verdict": "unknown", "detail": f"the training images are not here ({error})"}
        return Background(shared, scorers.fit(trial.scorer, trial.scorer_options))
    allowed = allow or trial.allow_overlap
    shared = overlap.compare(data.faces, row_hashes(data.pixels.array), protocol.name, protocol.people, hashes, allowed)
    rows = embed(network, data.pixels.array[data.train], where, trial.flip) if fitted else None
    return Background(shared, scorers.fit(trial.scorer, trial.scorer_options, rows, data.train_labels))
