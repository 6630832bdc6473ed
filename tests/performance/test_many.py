"""A study of ten thousand trials: how long `status` takes, and what a driver reads before it goes on."""

import os
from contextlib import closing

import fake_trial
import pytest

import sweeps
from bench import index, places, record
from bench.plain import Progress
from sweeps import opening, plan, reading, tuner
from sweeps.study import Study

TRIALS = int(os.environ.get("FACEBENCH_BENCH_MANY", 10_000))
LIMIT = 2.0  # seconds
BACKBONE, LOSS = "cnn4", "lmcl"
SPACE = {"learning_rate": ("log", 0.01, 0.3), "margin": ("linear", 0.0, 0.5), "weight_decay": ("log", 5e-5, 5e-3)}

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study whose search has ended so many trials, on disk, in the index and in the tuner's database."""
    import optuna

    asked = Study.model_validate(
        {
            "name": "many",
            "data": {"name": "digits"},
            "backbones": [BACKBONE],
            "losses": [LOSS],
            "tune": {"trials": TRIALS, "epochs": 1, "sampler": "random", "pruner": "none"},
            "confirm": {"epochs": 1},
            "protocols": [{"name": "lfw"}],
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        runs = tmp_path_factory.mktemp("many")
        patch.setenv("FACEBENCH_RUNS", str(runs))
        patch.setattr(os, "fsync", lambda file: None)  # here it only takes time
        folder = places.study_folder("many")
        folder.mkdir(parents=True)
        start, values = plan.fixed(asked, BACKBONE, LOSS), []
        for number in range(TRIALS):
            share = number / TRIALS
            params = {"learning_rate": 0.01 + 0.2 * share, "margin": 0.5 * share, "weight_decay": 1e-3}
            trial = plan.search(asked, start, number, params)
            metrics = {"train/loss": 1.0, "dev/accuracy": fake_trial.figure(trial, 1)}
            place = record.start(trial, folder)
            record.Journal(place).append(Progress(10, 1, metrics, 0.5))
            index.enter(record.finish(place, "finished", result=fake_trial.result(trial, [Progress(10, 1, metrics)])))
            values.append((params, metrics["dev/accuracy"]))
        facts = plan.plain(asked) | {"hash": reading.digest(asked), "command": "", "created": "2026", "cells": {}}
        opening.mark(folder, facts, "stopped")
        name = opening.search_name(asked, BACKBONE, LOSS)
        space = {
            key: optuna.distributions.FloatDistribution(low, high, log=kind == "log")
            for key, (kind, low, high) in SPACE.items()
        }
        with closing(tuner.storage(f"sqlite:///{places.runs() / 'optuna.db'}")) as store:
            search = optuna.create_study(study_name=name, storage=store, direction="maximize")
            search.add_trials(
                [
                    optuna.trial.create_trial(
                        value=figure, params=params, distributions=space, intermediate_values={1: figure}
                    )
                    for params, figure in values
                ]
            )
    return asked, runs


@pytest.fixture
def study(made, monkeypatch):
    monkeypatch.setenv("FACEBENCH_RUNS", str(made[1]))
    return made[0]


def held(benchmark, action):
    """Measure it, and hold its median to the limit."""
    found = benchmark.pedantic(action, rounds=5, iterations=1, warmup_rounds=1)
    assert benchmark.stats.stats.median < LIMIT
    return found


@pytest.mark.benchmark(group=f"{TRIALS:,} trials")
def test_status(benchmark, study):
    assert len(held(benchmark, lambda: sweeps.status("many"))["trials"]) == TRIALS


@pytest.mark.benchmark(group=f"{TRIALS:,} trials")
def test_the_records_at_resume(benchmark, study):
    assert len(held(benchmark, lambda: index.entries(places.study_folder("many")))) == TRIALS


@pytest.mark.benchmark(group=f"{TRIALS:,} trials")
def test_the_search_at_resume(benchmark, study):
    """Not of the limit: Optuna's rows, read once a session."""

    def known():
        with closing(tuner.storage(f"sqlite:///{places.runs() / 'optuna.db'}")) as store:
            search = tuner.Tuner(
                opening.search_name(study, BACKBONE, LOSS),
                store,
                SPACE,
                seed="0",
                sampler="random",
                trials=TRIALS,
                epochs=1,
            )
            return search.known()

    assert len(benchmark.pedantic(known, rounds=3, iterations=1)) == TRIALS
