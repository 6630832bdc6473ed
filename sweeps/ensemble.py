"""DeepID2's ensembles: one network for each patch of the face and seed, and the trials that fuse them.

    networks(study, backbone, label)    # role `patch`, trained by the workers: every patch of every seed
    fusions(study, backbone, label)     # role `tuned`, the rows of the report: every count and scorer of every seed
    fuse(wanted, folder)                # the figures of one of them

What is fused are the embeddings in the networks' records: an ensemble trains nothing itself.
"""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bench import datasets, fusion, patches, record
from bench.errors import TrialFailed
from bench.pixels import Patch
from bench.plain import Options, Result, Trial
from losses import _entries
from sweeps import plan
from sweeps.parts import Ensemble
from sweeps.study import Study
from sweeps.work import WorkerLost

ALIGNED = 112  # pixels of an aligned face's side, for data that do not say theirs


class Fusion(NamedTuple):
    """An ensemble: the trial that stands for it, and its networks in the order of `trial.patches`."""

    trial: Trial
    networks: tuple[Trial, ...]


def networks(study: Study, backbone: str, label: str) -> list[Trial]:
    """The trials of an entry of `losses`, seed after seed; the networks of one ensemble share a seed."""
    base = replace(plan.fixed(study, backbone, label), role="patch", keep=("embeddings",))
    squares = layout(study)
    return [
        replace(base, number=run * len(squares) + place, seed=plan.seed(study, "tuned", run), patch=square)
        for run in range(study.confirm.seeds)
        for place, square in enumerate(squares)
    ]


def fusions(study: Study, backbone: str, label: str) -> list[Fusion]:
    """The ensembles of an entry of `losses`, seed after seed."""
    asked, trained = _asked(study), networks(study, backbone, label)
    size = asked.counts[-1]
    found = []
    for run in range(study.confirm.seeds):
        base = replace(plan.fixed(study, backbone, label), number=run, seed=plan.seed(study, "tuned", run))
        for count in asked.counts:
            members = tuple(trained[run * size : run * size + count])
            for scorer, options in asked.scorers.items():
                row, used = study.row(label, count, scorer), within(study, count, options)
                found.append(Fusion(fusion.fused(base, members, row, scorer, used), members))
    return found


def fuse(wanted: Fusion, folder: Path) -> Result | Exception:
    """What a worker would answer: the figures of an ensemble, or why there are none.

    Args:
        folder: the study's folder, with the records of the networks.
    """
    try:
        known = [record.read(folder / trial.id) for trial in wanted.networks]
        for place, one in enumerate(known, 1):
            if one.state != "finished":
                kind = TrialFailed if one.kind == "diverged" else WorkerLost
                return kind(f"patch {place} of {len(known)} (trial {one.trial.id}) {one.state}: {one.reason}")
        return fusion.fuse(wanted.trial, known)
    except Exception as error:  # whatever it is, the sweep goes on, as it does when a worker answers so
        return error


def layout(study: Study) -> list[Patch]:
    """The patches of a study's networks.

    Raises:
        RequestError: the layout has not so many.
    """
    asked = _asked(study)
    return patches.layout(asked.layout, asked.counts[-1], _zoom(study))


def within(study: Study, count: int, options: Mapping[str, Any]) -> Options:
    """A scorer's options for an ensemble of `count` patches: no more principal components than it has dimensions."""
    if not options.get("pca"):
        return Options(options)
    width = count * study.embedding_dim * (2 if study.flip == "concat" else 1)
    return Options({**options, "pca": min(options["pca"], width)})


def _asked(study: Study) -> Ensemble:
    assert study.ensemble is not None
    return study.ensemble


def _zoom(study: Study) -> float:
    """The side of what the networks are shown over the side of the aligned face."""
    if study.crop is None:
        return 1.0
    load = _entries.find(datasets.__name__, study.data["name"]).load
    usual = inspect.signature(load).parameters.get("size")
    sizes = (study.data.get("size"), usual.default if usual else None, ALIGNED)
    side = next(size for size in sizes if isinstance(size, int) and size > 0)  # a wrong one is the data set's to refuse
    return min(1.0, study.crop / side)
