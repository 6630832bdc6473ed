"""`facebench export`: a trained network out of the house, as ONNX and safetensors with a model card."""

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench import record
from bench.errors import RequestError
from bench.record import Record
from reports import _card

FILES = ("model.onnx", "model.safetensors", "README.md")


class Exported(NamedTuple):
    """Where the files are, and how far the ONNX file is from torch (a share of the largest number)."""

    folder: Path
    difference: float


def export(trial: str, to: Path | None = None, overwrite: bool = False) -> Exported:
    """Write a finished trial's network and its card; all three files or none.

    Args:
        trial: its id, or as much of it as is unique.
        to: the folder; None: `model` in the trial's own.
        overwrite: replace the three files in a folder that is there; others in it stay.

    Raises:
        RequestError: no such trial, its checkpoint is gone, a folder that is there, or an ONNX file that is not the network.
    """
    known = record.finished(trial)
    folder = to or known.folder / "model"
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"{folder} is a file: give a folder by --to")
    if folder.exists() and not overwrite:
        raise RequestError(f"{folder} is there already: give another folder by --to, or --overwrite")
    parent = folder.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{folder.name}.", ignore_cleanup_errors=True) as place:
        part = Path(place) / "part"
        part.mkdir()
        difference = _write(known, part)
        if folder.exists():
            for name in FILES:
                (part / name).replace(folder / name)
        else:
            shutil.move(part, folder)
    return Exported(folder, difference)


def _write(known: Record, folder: Path) -> float:
    from bench import onnx_export, trial_network
    from bench.networks import metadata, trials
    from bench.networks.extra import needed

    safetensors = needed("safetensors.torch", "export")
    network, inputs = trial_network.trained(known), trials.said(known.trial)
    said = {
        "trial": known.trial.id,
        "loss": known.trial.loss,
        "backbone": known.trial.backbone,
        "backbone_options": dict(known.trial.backbone_options),
        "embedding_dim": known.trial.embedding_dim,
        "scorer": known.trial.scorer,
        "scorer_options": dict(known.trial.scorer_options),
    }
    difference = onnx_export.write(network, inputs, said, folder / FILES[0])
    weights = {key: value.detach().contiguous().clone() for key, value in network.state_dict().items()}
    safetensors.save_file(weights, folder / FILES[1], metadata.written({**inputs.plain(), **said}))
    (folder / FILES[1]).chmod((folder / FILES[0]).stat().st_mode)  # safetensors lets its owner alone read it
    card = _card.text(known, inputs, difference, onnx_export.TOLERANCE)
    (folder / FILES[2]).write_text(card, encoding="utf-8")
    return difference
