"""Budgets of a whole study: the searches end early and together, the confirmation comes out of what was kept for it."""

import json

import fake_trial
import pytest
from made_up_sweep import make, no_mlflow, numbers, of, sweep  # noqa: F401 (fixtures)

import sweeps
from bench import places, record
from bench.errors import RequestError, StudyStopped
from bench.plain import Progress, Trial
from bench.record import Record
from sweeps import budget, plan, reading
from sweeps.budget import Meter
from sweeps.cell import Cell
from sweeps.tally import Cut

# Of each of two losses: 2 finalists and their seed, 2 confirmed and 2 untuned rows; 2 more of the A/A row. Nothing is pruned.
SMALL = {
    "tune": {"trials": 6, "epochs": 4, "pruner": "none", "finalists": 2, "finalist_seeds": 1},
    "confirm": {"seeds": 2, "epochs": 2},
}
REST = 2 * (2 + 2 + 2) + 2


def trained(records) -> list[Record]:
    return [r for r in records if r.trial.epochs]


def facts() -> dict:
    return json.loads((places.study_folder("study") / "study.json").read_text())


@pytest.mark.parametrize(("limit", "each"), [(REST + 12, (6, 6)), (REST + 7, (4, 3))])
def test_max_trials_ends_all_searches_alike_and_all_else_is_run(limit, each):
    records, lines = sweep(make(**SMALL, budget={"max_trials": limit}))
    assert len(trained(records)) == limit
    assert sorted((len(of(records, "search", loss)) for loss in ("softmax", "lmcl")), reverse=True) == list(each)
    for loss in ("softmax", "lmcl"):
        assert len(of(records, "tuned", loss)) == len(of(records, "default", loss)) == 2
    cells = facts()["cells"]
    assert facts()["used"]["trials"] == limit and facts()["state"] == "finished"
    if each == (6, 6):
        assert not any(cell["stopped_early"] for cell in cells.values()) and "early" not in lines
    else:
        said = cells["cnn4/lmcl"]["stopped_early"]
        assert said["by"] == "max_trials" and f"max_trials: {limit}" in said["reason"]
        assert cells["cnn4/lmcl"]["trials"] == {"finished": len(of(records, "search"))}
        assert cells["cnn4/lmcl"]["epochs"] == 4 * len(of(records, "search"))
        assert cells["cnn4/lmcl"]["train_seconds"] == 2.0 * len(of(records, "search"))
        assert "cnn4/lmcl: the search ends early, after" in lines and "of 24 epochs" in lines


@pytest.mark.parametrize("after", [9, 70])
def test_an_interrupted_study_with_a_budget_ends_as_an_uninterrupted_one(after):
    study = make(**SMALL, budget={"max_trials": REST + 7})
    with pytest.raises(KeyboardInterrupt):
        sweep(study, fake_trial.interrupted(after))
    again, _ = sweep(study)
    whole, _ = sweep(make("whole", **SMALL, budget={"max_trials": REST + 7}))
    assert len(trained(again)) == REST + 7
    assert sorted(map(str, numbers(again).values())) == sorted(map(str, numbers(whole).values()))


def test_a_larger_budget_makes_no_other_study_and_takes_no_search_up_again_on_which_something_was_built():
    first, _ = sweep(make(**SMALL, budget={"max_trials": REST + 6}))
    again, _ = sweep(make(**SMALL, budget={"max_trials": 100}))
    assert numbers(again) == numbers(first) and facts()["cells"]["cnn4/lmcl"]["stopped_early"]["by"] == "max_trials"


def test_a_search_on_which_nothing_was_built_goes_on_with_a_larger_budget(tmp_path):
    hours, some = {"by": "max_hours", "reason": "12 h"}, {"finished": 2}
    cells = {name: {"stopped_early": hours, "trials": some} for name in ("cnn4/softmax", "cnn4/lmcl")}
    cells["cnn4/center"] = {"stopped_early": {"by": "early_stop", "reason": "hopeless"}, "trials": some}
    record.start(Trial(loss="center", role="finalist", stage="tune"), tmp_path)  # not of a search that a budget ended
    assert budget.cuts({"cells": cells}, tmp_path) == {"cnn4/center": Cut("early_stop", "hopeless")}
    record.start(Trial(loss="lmcl", role="finalist", stage="tune"), tmp_path)
    assert set(budget.cuts({"cells": cells}, tmp_path)) == set(cells)
    assert budget.cuts({"cells": {}}, tmp_path) == {}
    cells["cnn4/softmax"]["trials"] = {"failed": 3}  # nothing of it can be confirmed
    assert set(budget.cuts({"cells": cells}, tmp_path)) == {"cnn4/lmcl", "cnn4/center"}


class Clock:
    """Goes on by an hour with every epoch that is trained."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def run(self, trial, folder):
        for event in fake_trial.run(trial, folder):
            if isinstance(event, Progress):
                self.now += 3600
                event = Progress(event.step, event.epoch, event.metrics, 3600.0 * event.epoch)
            yield event


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(Meter.__init__, "__kwdefaults__", None)
    monkeypatch.setattr(Meter.__init__, "__defaults__", (None, made))
    return made


# Hours of all that follows the searches: finalists of 4 epochs, rows of 2.
HOURS = 2 * (2 * 4 + 2 * 2 + 2 * 2) + 2 * 2


@pytest.mark.parametrize("key", ["max_hours", "max_gpu_hours"])
def test_hours_end_the_searches_while_the_rest_can_still_be_confirmed(clock, key):
    """One trial at a time on one GPU: both limits say the same."""
    limit = HOURS * budget.MARGIN + 30
    study = make(**SMALL, budget={key: limit}, resources={"gpus": 1}, untrained=False)
    records, _ = sweep(study, clock.run)
    counts = [len(of(records, "search", loss)) for loss in ("softmax", "lmcl")]
    assert 2 <= sum(counts) < 12 and max(counts) - min(counts) <= 1
    assert len(of(records, "tuned")) == 2 and facts()["state"] == "finished"
    hours = 4 * sum(counts) + HOURS
    assert facts()["used"] == {"trials": len(records), "hours": hours, "gpu_hours": hours} and hours <= limit
    assert facts()["cells"]["cnn4/softmax"]["stopped_early"]["by"] == key


def test_a_budget_that_is_spent_stops_the_study_and_a_larger_one_goes_on(clock):
    study = make(**SMALL, budget={"max_hours": 17}, untrained=False)
    with pytest.raises(StudyStopped, match=r"^the budget \(max_hours: 17\) is spent before study 'study' is confirmed"):
        sweep(study, clock.run)
    assert facts()["state"] == "stopped" and sweeps.status("study")["state"] == "stopped"
    assert 17 <= facts()["used"]["hours"] <= 17 + 4, "what ran came to its end"
    before = record.read_study(places.study_folder("study"))
    assert not [r for r in before if r.state == "running"]

    clock.now -= 5 * 3600  # another machine's clock, started anew: only what passes on it counts
    with pytest.raises(StudyStopped, match="is spent"):
        sweep(study, clock.run)
    assert facts()["used"]["hours"] <= 17 + 4, "nothing more was trained"

    records, _ = sweep(study.model_copy(update={"budget": budget_of(max_hours=500)}), clock.run)
    assert facts()["state"] == "finished" and len(of(records, "tuned")) == 2
    assert facts()["used"]["hours"] == sum(len(r.events) for r in records)
    kept = numbers(records)
    assert all(kept[trial] == said for trial, said in numbers(before).items() if said[0] != "waiting")


def budget_of(**limits):
    return make(budget=limits).budget


def test_what_was_used_is_written_once_in_a_while_though_nothing_else_is_new(clock):
    meter = Meter(make(), {"trials": 3, "hours": 1.5, "gpu_hours": 0.25})
    assert not meter.due()
    clock.now += budget.PAUSE
    assert meter.due() and not meter.due()
    assert meter.used([]) == {"trials": 0, "hours": 1.5 + budget.PAUSE / 3600, "gpu_hours": 0.25}


def test_a_gpu_is_counted_while_a_trial_occupies_it_in_parts_too(clock):
    study = make(resources={"gpus": 0.5})
    meter, cell = Meter(study), Cell(make(tune=None), "cnn4", "lmcl", None)
    one, two = Trial(number=1), Trial(number=2)
    meter.began(one)
    clock.now += 3600
    meter.began(two)
    clock.now += 3600
    meter.ended(cell, one, Record(one, places.runs(), "pruned"))
    clock.now += 3600
    assert meter.used([])["gpu_hours"] == 0.5 * (2 + 2)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"budget": {"max_trials": 17}}, r"budget\.max_trials.*got 17, expected at least 21"),
        ({"budget": {"max_gpu_hours": 3}}, r"budget\.max_gpu_hours.*occupy no GPU"),
        ({"budget": {"max_hours": 0}}, r"budget\.max_hours.*greater than 0"),
        ({"budget": {"max_days": 1}}, r"budget\.max_days.*accepted here: max_trials, max_hours, max_gpu_hours"),
        ({"stop_after_failures": -1}, "stop_after_failures"),
        ({"tune": {"trials": 2, "epochs": 1, "early_stop": {"confidence": 1.0}}}, "early_stop.confidence"),
        ({"tune": {"trials": 2, "epochs": 1, "sampler": "cma"}}, "'cmaes'"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused_when_the_file_is_read(changes, says):
    body = make().model_dump(exclude={"given"}, exclude_unset=True) | {
        "protocols": [{"name": "heldout", "data": {"name": "digits"}}]
    }
    with pytest.raises(RequestError, match=says):
        reading.parse(json.dumps(body | changes), "study.yaml")
    assert plan.least_trials(make()) == 2 * (1 + 2 + 3 + 3) + 3


def test_the_least_number_of_trials_is_enough():
    study = make(**SMALL)
    least = plan.least_trials(study)
    assert not list(budget.wrong(study.model_copy(update={"budget": budget_of(max_trials=least)})))
    records, _ = sweep(study.model_copy(update={"budget": budget_of(max_trials=least)}))
    assert len(trained(records)) == least and len(of(records, "search")) == 1 and len(of(records, "tuned")) == 2


def test_a_study_without_a_search_keeps_its_budget_too(clock):
    study = make(tune=None, budget={"max_hours": 5})
    with pytest.raises(StudyStopped, match="at least 3 trials are still to come"):
        sweep(study, clock.run)
    records, _ = sweep(study.model_copy(update={"budget": budget_of(max_trials=6)}), clock.run)
    assert {r.state for r in records} == {"finished"} and len(records) == 6


def test_the_hash_of_a_study_is_what_it_was_before_there_were_budgets():
    assert reading.digest(make()) == reading.digest(make(budget={"max_hours": 3}, stop_after_failures=1))
    assert reading.digest(make()) != reading.digest(make(tune={"trials": 8, "epochs": 4, "early_stop": {}}))


def test_a_driver_that_is_killed_has_written_down_what_it_used(clock):
    lags = []

    def run(trial, folder):
        for event in clock.run(trial, folder):
            lags.append((clock.now - 1000) / 3600 - facts()["used"]["hours"])
            yield event

    sweep(make(**SMALL, untrained=False), run)
    assert len(lags) > 50 and max(lags) <= 2, "all but the epoch that is being trained and the one before"
