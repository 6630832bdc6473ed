"""The process that writes a trial's network as an MLflow model; `_mlflow_model` asks it, in lines of JSON.

A process of its own, for `torch.export` changes what every module of a process does while it works (a trial may train beside
it), and can be ended there at any moment.

The model is a graph (`torch.export`, MLflow's format `pt2`): it needs none of our code, and MLflow can load it where it
allows no pickle (`MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false`).
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import record, trial_network
from bench._mlflow_store import cause, prepare
from bench.plain import Trial

EXAMPLES = ("input_example.json", "serving_input_example.json")  # of zeros: megabytes that tell nobody anything


class Embedding(nn.Module):
    """The network as a user meets it: images (N, C, H, W) uint8, RGB or grey -> (N, D) float32.

    The papers' preprocessing (x - 127.5) / 128 is in it; that the image is cropped and scaled as the trial did is not.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images.float() - 127.5) / 128).float()


def save(folder: Path, to: Path, run: str, model: str, place: str) -> None:
    """Write the model of the trial in `folder` into the new folder `to`.

    Args:
        run, model, place: what MLflow calls them, and where it keeps the model.
    """
    import mlflow.pytorch
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    known = record.read(folder)
    trial = known.trial
    shape = (trial.channels, trial.image_size, trial.image_size)
    images = TensorSpec(np.dtype("uint8"), (-1, *shape))
    embeddings = TensorSpec(np.dtype("float32"), (-1, trial.embedding_dim))
    told = Model(artifact_path=place, run_id=run, model_id=model, model_uuid=model, metadata=_metadata(trial))
    mlflow.pytorch.save_model(
        Embedding(trial_network.trained(known)).eval(),
        str(to),
        mlflow_model=told,
        signature=ModelSignature(Schema([images]), Schema([embeddings])),
        input_example=np.zeros((2, *shape), np.uint8),
        pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}", f"mlflow=={mlflow.__version__}", "numpy"],
        serialization_format="pt2",
    )
    for name in EXAMPLES:
        (to / name).unlink(missing_ok=True)
    told.saved_input_example_info = None  # type: ignore[assignment]
    told.save(str(to / "MLmodel"))


def _metadata(trial: Trial) -> dict[str, Any]:
    """What `facebench evaluate --model` reads of it, as `bench.networks.metadata` names it."""
    from bench.networks.inputs import AS_IT_IS
    from bench.networks.trials import said

    keys = ("backbone", "backbone_options", "embedding_dim", "loss", "scorer", "scorer_options")
    plain = trial.plain()
    more = {"study": trial.study, "trial": trial.id, **{key: plain[key] for key in keys}}
    return {"facebench": {**said(trial).plain(), **AS_IT_IS, **more}}


def main() -> None:
    """Hear requests until there is nobody who makes them; answers ["", true], or why not and whether that holds for ever."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    prepare()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            save(Path(asked.pop("folder")), Path(asked.pop("to")), **asked)
            answer = ("", True)
        except Exception as error:  # whatever it is: a network that cannot be exported costs its model alone
            answer = (cause(error), not isinstance(error, OSError | MemoryError))
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
