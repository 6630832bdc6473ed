"""A loss whose best is out of reach of another's: the bound itself, and a sweep that gives it up, says so and confirms it."""

import json
import statistics

import fake_trial
import numpy as np
import pytest
from made_up_sweep import make, no_mlflow, numbers, of, sweep  # noqa: F401 (fixtures)

from bench import places
from bench.plain import Progress
from sweeps.early_stop import best_of

TUNE = {"trials": 12, "epochs": 2, "pruner": "none", "sampler": "random"}


@pytest.mark.parametrize("probability", [0.05, 0.95])
@pytest.mark.parametrize("draws", [1, 4, 20])
def test_the_best_of_new_draws_stays_under_the_bound_as_often_as_it_says(probability, draws):
    random = np.random.default_rng(3)
    n, hits, repeats = 8, 0, 3000
    for _ in range(repeats):
        hits += random.normal(0.8, 0.05, draws).max() < best_of(
            random.normal(0.8, 0.05, n).tolist(), draws, probability
        )
    assert hits / repeats == pytest.approx(probability, abs=0.02)


def test_the_bound_by_hand():
    figures = [0.80, 0.82, 0.84, 0.86, 0.88]
    t = 2.131846786  # 95 % at 4 degrees of freedom
    assert best_of(figures, 1, 0.95) == pytest.approx(0.84 + statistics.stdev(figures) * 1.2**0.5 * t, abs=0.004)
    assert best_of(figures, 1, 0.5) == pytest.approx(0.84, abs=0.001)
    assert best_of(figures, 6, 0.95) > best_of(figures, 2, 0.95) > best_of(figures, 1, 0.95)


def gap(by):
    """lmcl is worse than softmax by so much in everything that it is tuned by."""

    def run(trial, folder):
        for event in fake_trial.run(trial, folder):
            if isinstance(event, Progress) and "dev/accuracy" in event.metrics and trial.loss == "lmcl":
                event.metrics["dev/accuracy"] -= by
            yield event

    return run


def cells():
    return json.loads((places.study_folder("study") / "study.json").read_text())["cells"]


def test_a_loss_out_of_reach_is_given_up_recorded_and_confirmed_with_its_best():
    records, lines = sweep(make(tune=TUNE | {"early_stop": {}}), gap(0.5))
    lost, won = of(records, "search"), of(records, "search", "softmax")
    assert 5 <= len(lost) < 12 and len(won) == 12
    said = cells()["cnn4/lmcl"]["stopped_early"]
    assert (
        said["by"] == "early_stop"
        and "softmax reaches" in said["reason"]
        and cells()["cnn4/softmax"]["stopped_early"] is None
    )
    assert (
        f"cnn4/lmcl: the search ends early, after {2 * len(lost)} of 24 epochs: its {12 - len(lost)} remaining" in lines
    )
    assert len(of(records, "tuned")) == 3
    best = max(lost, key=lambda r: r.metrics["dev/accuracy"]).trial.number
    assert {r.trial.number for r in of(records, "finalist")} >= {best}
    again, _ = sweep(make(tune=TUNE | {"early_stop": {}}), gap(0.5))
    assert numbers(again) == numbers(records), "what was given up stays so"


def test_losses_close_to_each_other_are_searched_to_the_end_and_so_is_every_loss_where_it_is_not_asked_for():
    records, _ = sweep(make(tune=TUNE | {"early_stop": {"confidence": 0.99}}), gap(0.002))
    assert len(of(records, "search")) == 12 and not cells()["cnn4/lmcl"]["stopped_early"]


def test_it_is_off_unless_the_study_asks_for_it():
    records, _ = sweep(make(tune=TUNE), gap(0.5))
    assert len(of(records, "search")) == len(of(records, "search", "softmax")) == 12


def test_of_an_error_rate_the_lower_one_is_the_better():
    def errors(trial, folder):
        for event in fake_trial.run(trial, folder):
            if isinstance(event, Progress) and "dev/accuracy" in event.metrics:
                event.metrics["dev/eer"] = 1 - event.metrics["dev/accuracy"] + 0.5 * (trial.loss == "lmcl")
            yield event

    records, lines = sweep(make(tune=TUNE | {"early_stop": {}}, objective="dev/eer"), errors)
    assert (
        len(of(records, "search")) < 12 == len(of(records, "search", "softmax"))
        and "lmcl: the search ends early" in lines
    )
