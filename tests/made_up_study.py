"""A made-up study on disk, for the tests of reports: three losses, every role, every state, seeded and small."""

import itertools
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

import reports
from bench import record
from bench.plain import Options, Progress, Result, Trial

LOSSES = ("softmax", "center", "lmcl")
LEVELS = {"softmax": 0.865, "center": 0.872, "lmcl": 0.893}
OWN = {
    "softmax": {},
    "center": {"center_weight": (1e-4, 0.1), "center_rate": (0.01, 1.0)},
    "lmcl": {"margin": (0.0, 0.5), "margin_fraction": (0.05, 0.3)},
}
HASHES = {"lfw": "a1b2c3d4e5f60718", "ytf": "0f1e2d3c4b5a6978", "megaface": "1122334455667788"}
UNNAMED = {"verdict": "unknown", "detail": "40 of 200 training identities have no name"}
OBJECTIVE = "dev/accuracy"


def make(
    runs: Path,
    *,
    seeds: int = 3,
    name: str = "made_up",
    spread: float = 0.004,
    broken: bool = True,
    searches: int = 1,
    apart: float = 0.0,
    trials: int = 8,
) -> Path:
    """Write the study `name` below `runs` and return its folder.

    Args:
        seeds: confirmed seeds a loss.
        spread: standard deviation over seeds.
        broken: whether one default run diverged (and one tuning trial did).
        searches: independent searches a loss. apart: standard deviation of what their winners reach.
        trials: of each loss's search.
    """
    folder = runs / name
    folder.mkdir(parents=True)
    draw = np.random.default_rng(7)
    tuned = range(1, searches + 1)
    winners = {(loss, n): _search(folder, name, loss, draw, broken, n, trials) for n in tuned for loss in LOSSES}
    luck = {key: draw.normal(0, apart) if apart else 0.0 for key in winners}
    people = {protocol: draw.normal(0, 0.012, 10) for protocol in ("lfw", "ytf")} | {
        "megaface": draw.normal(0, 0.05, 60)
    }
    plan = [(loss, "tuned", LEVELS[loss]) for loss in LOSSES] + [
        (loss, "default", LEVELS[loss] - 0.01) for loss in LOSSES
    ]
    plan += [("softmax", "again", LEVELS["softmax"]), ("softmax", "untrained", 0.61)]
    for loss, role, level in plan:
        own = role in ("tuned", "again")
        for n, seed in itertools.product(tuned if own else [1], range(seeds)):
            stage = "default" if role == "default" else "confirm"
            base = winners[loss, n] if own else Trial(loss=loss, study=name, embedding_dim=64)
            number = 1000 * (1 + ["tuned", "default", "again", "untrained"].index(role)) + seed + 10_000 * (n - 1)
            trial = replace(base, stage=stage, role=role, number=seed, seed=number, epochs=10 * (role != "untrained"))
            _confirm(
                folder,
                trial,
                level + luck[loss, n] * own + draw.normal(0, spread),
                people,
                fail=broken and (loss, role, seed) == ("lmcl", "default", 0),
            )
    _facts(folder, seeds, searches)
    return folder


def _search(
    folder: Path, name: str, loss: str, draw: np.random.Generator, broken: bool, search: int, trials: int
) -> Trial:
    """Some trials are pruned, one failed; two finalists. The best trial is the winner."""
    best, best_figure = Trial(), -1.0
    for number in range(trials):
        own = {}
        for key, (low, high) in OWN[loss].items():
            log = low > 0 and high / low > 8
            own[key] = float(low * (high / low) ** draw.random()) if log else float(draw.uniform(low, high))
        trial = Trial(
            study=name, stage="tune", role="search", number=number, seed=1, loss=loss, loss_options=Options(own),
            epochs=6, holdout=0.2, embedding_dim=64, search=search,
            learning_rate=float(10 ** draw.uniform(-2, -0.5)), weight_decay=float(10 ** draw.uniform(-4.3, -2.3)),
        )  # fmt: skip
        top = LEVELS[loss] - 0.05 * (np.log10(trial.learning_rate) + 1.1) ** 2 + draw.normal(0, 0.004)
        done = 6 if number % 8 < 4 or number % 8 == 7 else 3
        where = _train(folder, trial, top, done, draw)
        if done < 6:
            failed = broken and loss == "lmcl" and number == 5
            record.finish(
                where, *(("failed", "the loss became nan at step 120 (epoch 4)") if failed else ("pruned", ""))
            )
            continue
        last = record.events(where)[-1].metrics
        record.finish(
            where, "finished", result=Result(last, cost={"epochs": 6, "device": "cpu"}, provenance=_provenance())
        )
        if last[OBJECTIVE] > best_figure:
            best, best_figure = trial, last[OBJECTIVE]
    for seed in (2, 3):
        where = _train(folder, replace(best, role="finalist", seed=seed), best_figure, 6, draw)
        record.finish(where, "finished", result=Result(record.events(where)[-1].metrics, provenance=_provenance()))
    return best


def _train(folder: Path, trial: Trial, top: float, epochs: int, draw: np.random.Generator) -> Path:
    where = record.start(trial, folder)
    for epoch in range(1, epochs + 1):
        figure = float(0.5 + (top - 0.5) * (1 - np.exp(-0.8 * epoch)) + draw.normal(0, 0.003))
        record.Journal(where).append(
            Progress(epoch, epoch, {"train/loss": 4.0 / epoch, OBJECTIVE: figure}, 3.0 * epoch)
        )
    return where


def _confirm(folder: Path, trial: Trial, level: float, people: dict[str, np.ndarray], *, fail: bool) -> None:
    where = record.start(trial, folder)
    if fail:
        record.finish(where, "failed", "the loss became nan at step 3 (epoch 1)")
        return
    draw = np.random.default_rng(trial.seed)
    scores = {
        "lfw": _pairs("lfw", level, people["lfw"], draw, {"pairs": 600, "genuine": 300, "impostor": 300}),
        "ytf": _pairs("ytf", level - 0.05, people["ytf"], draw, {"pairs": 500, "genuine": 250, "impostor": 250}),
        "megaface": _identification(level - 0.35, people["megaface"], draw),
    }
    metrics = {key: value for score in scores.values() for key, value in score["metrics"].items()}
    cost: dict = {"train_seconds": 41.0 + draw.random(), "images_per_second": 2410.0, "peak_memory_mb": 512.0}
    cost |= {"parameters": 1_234_567, "epochs": trial.epochs, "device": "cpu", "precision": "bf16"}
    record.finish(where, "finished", result=Result(metrics, scores, cost=cost, provenance=_provenance()))


def _pairs(name: str, level: float, people: np.ndarray, draw: np.random.Generator, counts: dict) -> dict:
    far = np.geomspace(1 / counts["impostor"], 1, 40)
    tar = np.clip(1 - (1 - level) * 2 * (1 - far**0.35) ** 0.5 - (1 - far) ** 40 * 0.1, 0, 1)
    folds = level + people + draw.normal(0, 0.004, 10)
    metrics = {"accuracy": float(np.mean(folds)), "accuracy_se": float(np.std(folds, ddof=1) / 10**0.5)}
    metrics |= {"auc": level + 0.05, "eer": 1 - level + 0.01, "tar_at_far_1e-2": float(tar[8])}
    clusters = {f"{name}/accuracy": {"kind": "folds", "values": folds.tolist()}}
    clusters[f"{name}/eer"] = {"kind": "folds", "values": (1 - folds + 0.01).tolist()}
    return {
        "metrics": {f"{name}/{key}": value for key, value in metrics.items()},
        "undefined": {f"{name}/tar_at_far_1e-3": f"FAR 1e-3 is undefined on {counts['impostor']} impostor pairs"},
        "marks": {f"{name}/tar_at_far_1e-2": "3 false accepts, fewer than 30"},
        "counts": counts,
        "clusters": clusters,
        "curves": {"roc": {"far": far.tolist(), "tar": tar.tolist()}},
        "primary": f"{name}/accuracy",
        "spec": {"version": 1, "folds": 10},
        "hash": HASHES[name],
        "overlap": {"verdict": "none", "detail": ""} if name == "lfw" else UNNAMED,
    }


def _identification(level: float, people: np.ndarray, draw: np.random.Generator) -> dict:
    each = level + people + draw.normal(0, 0.02, len(people))
    left_out = (each.sum() - each) / (len(each) - 1)
    sizes = [10, 100, 1000, 10000]
    rates = [min(1.0, level + 0.12 * (4 - np.log10(n))) for n in sizes]
    ranks = [1, 2, 3, 5, 10, 20]
    metrics = {"rank1": float(each.mean()), "rank1_at_1000": rates[2], "tar_at_far_1e-6": level - 0.2}
    return {
        "metrics": {f"megaface/{key}": value for key, value in metrics.items()},
        "undefined": {},
        "marks": {},
        "counts": {"probes": 600, "distractors": 10000, "effective_identities": 58.6},
        "clusters": {"megaface/rank1": {"kind": "jackknife", "values": left_out.tolist()}},
        "curves": {
            "roc": {"far": np.geomspace(1e-6, 1, 30).tolist(), "tar": np.linspace(level - 0.2, 1, 30).tolist()},
            "cmc": {"rank": ranks, "rate": [min(1.0, level + 0.15 * np.log10(k)) for k in ranks]},
            "distractors": {"distractors": sizes, "rank1": rates},
        },
        "primary": "megaface/rank1",
        "spec": {"version": 1, "distractors": 10000},
        "hash": HASHES["megaface"],
        "overlap": {"verdict": "none", "detail": ""},
    }


def _provenance() -> dict:
    versions = {"facebench": "0.1.0", "torch": "2.14.0", "timm": "1.0.31", "numpy": "2.4.6"}
    machine = {"python": "3.11.7", "platform": "Linux-6.1-x86_64", "processor": "Xeon"}
    facts = {
        "data": "5d3b9e01aa",
        "train_identities": 200,
        "train_images": 4000,
        "skipped_images": 0,
        "first_skipped": [],
    }
    return {"commit": "f318bb3d", "dirty": False, "versions": versions, **machine, **facts}


def _facts(folder: Path, seeds: int, searches: int) -> None:
    facts = {
        "name": folder.name, "losses": LOSSES, "backbones": ["cnn4"], "reference": "softmax", "primary": "lfw/accuracy",
        "objective": OBJECTIVE, "protocols": [{"name": name} for name in HASHES],
        "confirm": {"seeds": seeds, "epochs": 10},
        "tune": {"trials": 8, "epochs": 6, "sampler": "tpe", "pruner": "median", "budget_epochs": 48}
        | ({"searches": searches} if searches > 1 else {}),
        "command": f"facebench sweep {folder.name} --address inline",
    }  # fmt: skip
    (folder / "study.json").write_text(json.dumps(facts))
    with (folder.parent / "test_ledger.jsonl").open("a") as ledger:
        for one in record.read_study(folder):
            for protocol, score in one.scores.items():
                figure = {score["primary"]: score["metrics"][score["primary"]]}
                line = {"when": "2026-11-22T18:00:00", "study": folder.name, "trial": one.trial.id}
                line |= {"protocol": protocol, "hash": score["hash"], "figure": figure}
                ledger.write(json.dumps(line) + "\n")


def keep(folder: Path, *stages: str) -> None:
    """Throw away the trials of all other stages."""
    for one in record.read_study(folder):
        if one.trial.stage not in stages:
            shutil.rmtree(one.folder)


def edit(folder: Path, change: Callable[[dict], None], **chosen: object) -> None:
    """Apply `change(body)` to the record.json of every trial whose fields are as `chosen`."""
    for one in record.read_study(folder):
        if all(getattr(one.trial, key) == value for key, value in chosen.items()) and one.state == "finished":
            body = json.loads((one.folder / "record.json").read_text())
            change(body)
            record.write_text(one.folder / "record.json", json.dumps(body))


def text_of(html: str) -> str:
    """What a reader sees."""
    return Markup(re.sub(r"<(style|script).*?</\1>", "", html, flags=re.DOTALL)).striptags()


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """`runs/` with a pilot of three seeds and a study of five."""
    root = tmp_path_factory.mktemp("reports") / "runs"
    make(root, name="pilot", seeds=3)
    make(root, name="full", seeds=5)
    return root


@pytest.fixture(scope="module")
def full(runs) -> reports.Study:
    return reports.read(runs / "full")


@pytest.fixture(scope="module")
def pilot(runs) -> reports.Study:
    return reports.read(runs / "pilot")


@pytest.fixture
def copy(runs, tmp_path) -> Path:
    """A copy of the study of five that a test may spoil."""
    return Path(shutil.copytree(runs / "full", tmp_path / "runs" / "full"))
