"""What a trial learned from and was examined on, as MLflow's dataset inputs: `training`, and `test` for each protocol.

A digest is the hash that the record has of the images (the training set) or of the lists and options (a protocol), so that
two runs that show one dataset saw the same data. The source is code, with the options that it was called with: where the
files lie on the machine of the trial says nothing to others.
"""

import json
from typing import TYPE_CHECKING, Any

from bench.record import Record

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

LONGEST = 36  # characters of a digest that MLflow takes
_COUNTED = ("identities", "images", "train_identities", "train_images", "development_images", "skipped_images")


def digests(known: Record) -> dict[str, tuple[str, str]]:
    """Figure -> name and digest of the dataset that it was measured on: its protocol, else the trial's own data."""
    own = training(known)
    found = {key: own for key in known.metrics} if own else {}
    for name, score in known.scores.items():
        found |= {key: (name, _digest(score["hash"])) for key in score.get("metrics", ()) if score.get("hash")}
    return found


def training(known: Record) -> tuple[str, str] | None:
    """Name and digest of the images that it was trained on; None where the trial did not come so far as to say."""
    digest = known.provenance.get("data")
    return (str(known.trial.data.get("name", "")), _digest(digest)) if digest else None


def inputs(known: Record) -> list["DatasetInput"]:
    """All datasets that the record names by a hash."""
    found = []
    if own := training(known):
        options, keys = dict(known.trial.data), ("image_size", "crop", "holdout")
        counts = {key: known.provenance[key] for key in _COUNTED if key in known.provenance}
        counts |= {key: getattr(known.trial, key) for key in keys}
        found.append(_input(own, "training", f"bench.datasets.{own[0]}", options, counts))
    asked = {spec.get("name"): dict(spec) for spec in known.trial.protocols}
    for name, score in known.scores.items():
        if score.get("hash"):
            options = asked.get(name, {"name": name})
            counts = {**score.get("counts", {}), "overlap": score.get("overlap", {}).get("verdict")}
            found.append(_input((name, _digest(score["hash"])), "test", f"bench.protocols.{name}", options, counts))
    return found


def _input(
    which: tuple[str, str], context: str, code: str, options: dict[str, Any], profile: dict[str, Any]
) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    said = {key: value if isinstance(value, str) else json.dumps(value) for key, value in options.items()}
    source = json.dumps({"tags": {"mlflow.source.type": "facebench", "mlflow.source.name": code, **said}})
    dataset = Dataset(*which, "code", source, profile=json.dumps(profile))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _digest(text: Any) -> str:
    return str(text)[:LONGEST]
