"""The network of a trial: as its seed draws it, and as it was trained."""

import json

import torch
from torch import nn

import backbones
from bench.checkpoint import Checkpoints
from bench.elsewhere import STUDY, Elsewhere
from bench.errors import RequestError
from bench.plain import Trial
from bench.record import Record


def trained(known: Record) -> nn.Module:
    """The network of a finished trial, in eval mode on the CPU; of one with supervised layers, what it is without their heads.

    Raises:
        RequestError: its checkpoint is gone (tuning trials keep none), it trained no network, or not to its end.
    """
    trial = known.trial
    if trial.patches:
        raise RequestError(
            f"trial {trial.id} is an ensemble of {len(trial.patches)} networks: give the trial of one of them"
        )
    made, _ = drawn(trial)
    if trial.epochs:
        found = Checkpoints(_place(known)).latest()
        if found is None or found[0]["epoch"] != trial.epochs:
            raise RequestError(
                f"trial {trial.id} ({trial.stage}) has no checkpoint of its last epoch: tuning trials keep none, and that of a "
                f"study elsewhere lies where its `checkpoints` says; there is none at {_place(known)}"
            )
        made.load_state_dict(found[0]["network"])
    return (made.get_submodule("network") if trial.supervise else made).eval()


def drawn(trial: Trial) -> tuple[nn.Module, torch.Tensor]:
    """The network drawn from the trial's seed, and the random state after it; the caller's own is left alone.

    Raises:
        RequestError: there is no such backbone, or not with these options.
    """
    size = (trial.image_size, trial.image_size)
    with torch.random.fork_rng():
        torch.manual_seed(trial.seed)
        try:
            made = backbones.create(
                trial.backbone, trial.embedding_dim, trial.channels, size, **dict(trial.backbone_options)
            )
            made = backbones.supervised(made, trial.supervise, trial.embedding_dim, trial.channels, size)
        except ValueError as error:
            raise RequestError(str(error)) from error
        return made, torch.get_rng_state()


def _place(known: Record) -> str:
    """Where the checkpoints of a trial lie: in its folder, or where its study says."""
    facts = known.folder.parent / STUDY
    said = json.loads(facts.read_text()).get("file", {}).get("checkpoints") if facts.exists() else None
    return Elsewhere(said, known.trial.study).place(known.trial.id) if said else str(known.folder)
