"""A confirmed network in MLflow's Model Registry: `models:/NAME@champion` then loads it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench._mlflow_store import answering, client, prepare, uri
from bench.credentials import hidden
from bench.errors import RequestError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

_VERSIONS = "mlflow.modelVersions"


@dataclass(frozen=True)
class Promoted:
    """A version of a registered model; `changed`: it was not there as it is now."""

    name: str
    version: str
    alias: str
    changed: bool


def promote(study: str, trial: str, called: str, alias: str, description: str, tags: Mapping[str, str]) -> Promoted:
    """Register a trial's model, as it is described, and point the alias at it. The same again changes nothing.

    Args:
        called: what the registry calls it; a version of it holds one trial's model.
        description: of the version, in markdown.

    Raises:
        RequestError: a name that MLflow does not take, it has no model of that trial, or it does not answer.
    """
    _check(called, alias)
    prepare()
    with answering(uri()):
        of = client(uri())
        model = _model(of, study, trial)
        registered = _registered(of, called, study)
        there = [one for one in of.search_model_versions(f"name = '{called}'") if one.run_id == model.source_run_id]
        if there:
            version, changed = there[0], _renewed(of, there[0], description, tags)
        else:
            version, changed = _version(of, model, called, description, tags), True
        if str(registered.aliases.get(alias)) != str(version.version):
            of.set_registered_model_alias(called, alias, version.version)
            changed = True
    return Promoted(called, str(version.version), alias, changed)


def _check(called: str, alias: str) -> None:
    if not called.strip() or set(called) & set("/:'"):
        raise RequestError(f"a registered model's name has no /, : or ', got {called!r}: give another with --name")
    if not re.fullmatch(r"[\w\-]+", alias, re.ASCII) or re.fullmatch(r"latest|v\d+", alias, re.IGNORECASE):
        raise RequestError(
            f"an alias has letters, digits, _ and -, and is neither latest nor v and a number, got {alias!r}: "
            "give another with --alias"
        )


def _model(of: "MlflowClient", study: str, trial: str) -> "LoggedModel":
    """The trial's model; of a study that was begun anew the newest."""
    experiment = of.get_experiment_by_name(study)
    found: list[Any] = []
    if experiment:
        found = of.search_logged_models([experiment.experiment_id], f"tags.`facebench.trial` = '{trial}'")
    ready = [model for model in found if str(model.status) == "READY"]
    if not ready:
        raise RequestError(
            f"MLflow at {hidden(uri())} has no model of trial {trial} of study {study!r}: "
            f"`facebench sync {study}` makes it from the trial's checkpoint"
        )
    return max(ready, key=lambda model: (model.creation_timestamp, model.model_id))


def _registered(of: "MlflowClient", called: str, study: str) -> "RegisteredModel":
    from mlflow.exceptions import MlflowException

    try:
        return of.get_registered_model(called)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    said = f"Networks that `facebench promote` chose, first from study `{study}`; each version says how."
    return of.create_registered_model(called, description=said)


def _version(
    of: "MlflowClient", model: "LoggedModel", called: str, description: str, tags: Mapping[str, str]
) -> "ModelVersion":
    version = of.create_model_version(
        called,
        model.artifact_location,
        run_id=model.source_run_id,
        tags=dict(tags),
        description=description,
        model_id=model.model_id,
    )
    # As `mlflow.register_model` does, and a server by itself: the model's own page shows where it is registered.
    this = {"name": called, "version": int(version.version)}
    known = json.loads(of.get_logged_model(model.model_id).tags.get(_VERSIONS, "[]"))
    if this not in known:
        of.set_logged_model_tags(model.model_id, {_VERSIONS: json.dumps([*known, this])})
    return version


def _renewed(of: "MlflowClient", version: "ModelVersion", description: str, tags: Mapping[str, str]) -> bool:
    """Say of a version what is true of it now; whether that is news."""
    news = {key: value for key, value in tags.items() if version.tags.get(key) != value}
    old = [key for key in version.tags if key.startswith("facebench.") and key not in tags]
    for key, value in news.items():
        of.set_model_version_tag(version.name, version.version, key, value)
    for key in old:
        of.delete_model_version_tag(version.name, version.version, key)
    if version.description != description:
        of.update_model_version(version.name, version.version, description)
    return bool(news or old or version.description != description)
