"""The network of a confirmed trial as MLflow's LoggedModel: with its signature, its run and its figures.

A model that is `READY` is whole; one that is not was left by somebody who was killed, and is gone on with.
"""

import json
import math
import select
import subprocess
import tempfile
import weakref
import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bench._mlflow_apart import ended, started
from bench._mlflow_data import digests
from bench._mlflow_run import checkpoints, labels, moment, parameters
from bench._mlflow_store import Failed, name
from bench.record import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Metric

NONE = "none: "  # a network of which there can be no model, and why
ROLES = ("tuned", "again")
LOOK = 0.1  # seconds between two looks whether there is time


class Hurried(Exception):
    """There is no time for a model now."""


def wanted(known: Record) -> bool:
    """Whether a trial has a network to show: one that was confirmed, and of which a checkpoint lies here."""
    return (
        known.state == "finished"
        and known.trial.stage == "confirm"
        and known.trial.role in ROLES
        and any(map(zipfile.is_zipfile, checkpoints(known)))
    )


class Models:
    """Makes the models of one study."""

    def __init__(self, of: "MlflowClient", experiment: str):
        self._client = of
        self._experiment = experiment
        self._exporter = Exporter()

    def complete(self, known: Record, run: str, hurried: Callable[[], bool]) -> str:
        """Make the model of a trial, or what it lacks; its id, or `NONE` and the reason.

        Args:
            hurried: whether the study is being stopped, so that what takes seconds is left for the next time.

        Raises:
            Hurried: it waits for another time.
            Failed: the process that makes it is gone, or could not do so now.
        """
        if hurried():
            raise Hurried
        found = list(self._client.search_logged_models([self._experiment], f"source_run_id = '{run}'"))
        found = sorted(found, key=lambda one: (str(one.status) != "READY", one.model_id))
        for twin in found[1:]:
            self._client.delete_logged_model(twin.model_id)
        model = found[0] if found else None
        if model and str(model.status) == "READY":
            return model.model_id
        model = model or self._begin(known, run)
        if why := self._send(known, run, model, hurried):
            self._client.delete_logged_model(model.model_id)
            return NONE + why
        there = self._client.get_run(run).outputs
        if not there or model.model_id not in {one.model_id for one in there.model_outputs}:
            self._link(known, run, model)
        self._client.log_batch(run, figures(known, model.model_id))
        return self._client.finalize_logged_model(model.model_id, "READY").model_id

    def _begin(self, known: Record, run: str) -> "LoggedModel":
        trial = known.trial
        tags = {key: value for key, value in labels(known).items() if key != "mlflow.runName"}
        called = name(f"{trial.arm} {trial.backbone} {trial.role} {trial.number}").replace(".", "_")
        return self._client.create_logged_model(
            self._experiment,
            called.replace("/", "_").replace(":", "_"),
            run,
            tags=tags | {"mlflow.note.content": _note(known)},
            params={one.key: one.value[:250] for one in parameters(known)},
            model_type="embedding network",
        )

    def _send(self, known: Record, run: str, model: "LoggedModel", hurried: Callable[[], bool]) -> str:
        """Write the model and upload it; why that cannot be, or ""."""
        with tempfile.TemporaryDirectory() as folder:
            asked = {"folder": str(known.folder), "to": f"{folder}/model", "run": run}
            asked |= {"model": model.model_id, "place": model.artifact_location}
            if not (why := self._exporter.make(asked, hurried)):
                self._client.log_model_artifacts(model.model_id, f"{folder}/model")
        return why

    def _link(self, known: Record, run: str, model: "LoggedModel") -> None:
        from mlflow.entities import LoggedModelOutput

        self._client.log_outputs(run, [LoggedModelOutput(model.model_id, moment(known)[0])])


class Exporter:
    """The process that writes models (`_mlflow_export`): started when there is one to write, gone when nobody asks any more."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._end: weakref.finalize | None = None

    def make(self, asked: dict[str, Any], hurried: Callable[[], bool]) -> str:
        """Have a model written; "", or why it cannot be.

        Raises:
            Hurried: so it was; the process is gone.
            Failed: the process is gone, or lacked room or memory: another time it may be made.
        """
        if not (process := self._process):
            process = self._process = started(
                "bench._mlflow_export", "-W", "ignore", OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES=""
            )
            self._end = weakref.finalize(self, ended, process)  # a mirror that failed is dropped as it is
        assert process.stdin and process.stdout
        with suppress(OSError):
            print(json.dumps(asked), file=process.stdin, flush=True)
        while not select.select([process.stdout], [], [], LOOK)[0]:
            if hurried():
                self.stop()
                raise Hurried
        if not (line := process.stdout.readline()):
            self.stop()
            raise Failed("the process that writes models is gone")
        why, always = json.loads(line)
        if why and not always:
            raise Failed(why)
        return why

    def stop(self) -> None:
        """End the process, in the middle of what it does."""
        self._process = None
        if self._end:
            self._end()


def figures(known: Record, model: str) -> list["Metric"]:
    """The final figures, each with the dataset that it was measured on.

    They stand at the last step, as those of the run do: MLflow takes an equal row once.
    """
    from mlflow.entities import Metric

    step, time = moment(known)
    on = digests(known)
    shown = known.metrics | (known.events[-1].metrics if known.events else {})  # as the run shows them
    return [
        Metric(name(key), value, time, step, model, *on.get(key, (None, None)))
        for key, value in shown.items()
        if math.isfinite(value)
    ]


def _note(known: Record) -> str:
    """How the model is used, in markdown."""
    trial = known.trial
    cut = f"the central {trial.crop} x {trial.crop} pixels" if trial.crop else "the largest central square"
    cut += f" and of it the patch {list(trial.patch)}" if trial.patch else ""
    joined = {
        "concat": "the embedding of the image and of its mirror image, one after the other",
        "add": "the sum of the embeddings of the image and of its mirror image",
        "none": "the embedding of the image alone",
    }[trial.flip]
    precision = known.cost.get("precision", "float32")
    return (
        f"`{trial.backbone}` trained with **{trial.name}** (study `{trial.study}`, trial `{trial.id}`, seed {trial.seed}).\n\n"
        f"Takes `(N, {trial.channels}, {trial.image_size}, {trial.image_size})` uint8, "
        f"{'RGB' if trial.channels == 3 else 'grey'}: {cut}, scaled; (x - 127.5) / 128 is in the model. "
        f"Gives `(N, {trial.embedding_dim})` float32. Compare embeddings by {trial.scorer}.\n\n"
        f"The figures are those of {joined}, computed in {precision}; the model computes in float32.\n\n"
        "Loads without pickle: `mlflow.pyfunc.load_model`, `mlflow.pytorch.load_model`."
    )
