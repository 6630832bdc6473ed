"""A whole sweep through `inline`, on a trial that is a formula: stages, budget, seal, records, interruption, failure."""

import io
import json

import fake_trial
import pytest
from made_up_sweep import BUDGET, done, make, no_mlflow, numbers, of, sweep  # noqa: F401 (fixtures)

import sweeps
from bench import ledger
from bench.errors import RequestError
from bench.plain import Options, Trial
from sweeps.outcome import check_sealed


def test_every_stage_is_there_with_its_number_of_trials(done):
    records = done.records
    for loss in ("softmax", "lmcl"):
        assert len(of(records, "finalist", loss)) == 3 * 2
        assert len(of(records, "tuned", loss)) == len(of(records, "default", loss)) == 3
    assert len(of(records, "again", "softmax")) == len(of(records, "untrained", "softmax")) == 3
    assert not of(records, "again") and not of(records, "untrained")
    assert all(r.state in ("finished", "pruned") for r in records)
    assert {r.trial.epochs for r in of(records, "untrained", "softmax")} == {0}


def test_each_loss_spends_the_same_budget_and_pruning_buys_more_trials(done):
    records = done.records
    for loss in ("softmax", "lmcl"):
        search = of(records, "search", loss)
        pruned = [r for r in search if r.state == "pruned"]
        spent = sum(len(r.events) for r in search)
        assert BUDGET - 4 < spent <= BUDGET, "all but what cannot hold another whole trial"
        assert pruned and len(search) > 8
        assert all(len(r.events) >= 2 for r in pruned), "no trial ends within its margin's warm-up"
    facts = json.loads((records[0].folder.parent / "study.json").read_text())
    assert facts["tune"]["budget_epochs"] == BUDGET
    assert facts["cells"]["cnn4/lmcl"]["spent_epochs"] == sum(len(r.events) for r in of(records, "search"))


def test_without_a_pruner_there_are_as_many_trials_as_asked_for():
    records, _ = sweep(make(tune={"trials": 5, "epochs": 4, "pruner": "none"}))
    assert len(of(records, "search")) == len(of(records, "search", "softmax")) == 5


def test_the_winner_is_the_best_mean_over_its_development_seeds():
    def moody(trial, folder):
        """The best search trial was lucky: on other seeds it is the worst of the finalists."""
        for event in fake_trial.run(trial, folder):
            if trial.stage == "tune" and "dev/accuracy" in event.metrics:
                event.metrics["dev/accuracy"] = {0: 0.90, 1: 0.85, 2: 0.8}.get(trial.number, 0.1)
                if trial.role == "finalist":
                    event.metrics["dev/accuracy"] = {0: 0.60, 1: 0.86, 2: 0.8}[trial.number]
            yield event

    study = make(tune={"trials": 5, "epochs": 1, "pruner": "none"})
    records, _ = sweep(study, moody)
    chosen = next(r.trial for r in of(records, "search") if r.trial.number == 1)
    for known in of(records, "tuned"):
        assert known.trial.loss_options == chosen.loss_options
        assert known.trial.learning_rate == chosen.learning_rate
    assert {r.trial.number for r in of(records, "finalist")} == {0, 1, 2}


def test_tuning_never_sees_a_test_and_every_look_at_one_is_in_the_ledger(done):
    scored = [r.trial.id for r in done.records if r.trial.stage != "tune"]
    assert all(not r.trial.protocols and not r.scores for r in done.records if r.trial.stage == "tune")
    assert sorted(entry["trial"] for entry in done.ledger) == sorted(scored)
    first = done.ledger[0]
    assert (first["study"], first["protocol"], first["hash"]) == ("study", "lfw", "fa" * 8)
    assert set(first["figure"]) == {"lfw/accuracy"}


def test_the_ledger_counts_by_test_and_by_study():
    for study, hash in (("a", "one"), ("a", "one"), ("b", "one"), ("a", "two")):
        ledger.append(study, "trial", "lfw", hash, {"lfw/accuracy": 0.5})
    with ledger.path().open("a") as file:
        file.write('{"cut short by a cra')
    assert (ledger.count("one"), ledger.count("one", "a"), ledger.count("two"), ledger.count("three")) == (3, 2, 1, 0)


def test_a_tuning_trial_with_a_protocol_is_refused():
    sealed = Trial(stage="tune", role="search", protocols=(Options(name="lfw"),))
    with pytest.raises(ValueError, match=r"carries the test protocols lfw: tuning never sees the test"):
        check_sealed(sealed)
    check_sealed(Trial(stage="confirm", protocols=(Options(name="lfw"),)))


def test_development_and_confirmation_seeds_are_disjoint(done):
    tuned = {r.trial.seed for r in done.records if r.trial.stage == "tune"}
    assert len(tuned) == 3
    assert not tuned & {r.trial.seed for r in done.records if r.trial.stage != "tune"}


def test_the_same_study_twice_gives_the_same_numbers(done):
    second, _ = sweep(make())
    assert numbers(done.records) == numbers(second)
    assert len(second) > 40


def test_a_grid_that_is_used_up_ends_the_search():
    tune = {"trials": 4, "epochs": 4, "sampler": "grid", "finalists": 1, "finalist_seeds": 0}
    study = make(tune=tune, losses=["softmax"], confirm={"seeds": 1, "epochs": 1}, untrained=False)
    records, _ = sweep(study)
    search = of(records, "search", "softmax")
    assert len(search) == 4 and len({(r.trial.learning_rate, r.trial.weight_decay) for r in search}) == 4
    assert len(of(records, "tuned", "softmax")) == 1


def test_an_objective_that_the_data_cannot_give_is_answered_with_those_they_can():
    with pytest.raises(
        RequestError, match=r"no 'dev/auc' to tune by: choose another `objective`.*there is: dev/accuracy"
    ):
        sweep(make(objective="dev/auc", untrained=False, default_seeds=0))


def test_an_error_rate_is_minimised():
    def errors(trial, folder):
        for event in fake_trial.run(trial, folder):
            if "dev/accuracy" in event.metrics:
                event.metrics["dev/eer"] = 1 - event.metrics.pop("dev/accuracy")
            yield event

    records, _ = sweep(make(objective="dev/eer"), errors)
    mean = {r.trial.number: r.metrics["dev/eer"] for r in of(records, "search") if r.state == "finished"}
    best = sorted(mean, key=mean.get)[:3]
    assert {r.trial.number for r in of(records, "finalist")} == set(best)
    assert of(records, "tuned")[0].trial.loss_options in [r.trial.loss_options for r in of(records, "finalist")]


def test_status_tells_where_every_trial_stands(done):
    told = done.status
    assert (told["study"], told["state"], len(told["trials"])) == ("study", "finished", len(done.records))
    tuned = next(t for t in told["trials"] if t["role"] == "tuned" and t["loss"] == "lmcl")
    assert set(tuned) >= {"id", "backbone", "loss", "stage", "state", "seed", "params", "metrics"}
    assert (tuned["stage"], tuned["state"]) == ("confirm", "finished")
    assert set(tuned["params"]) == {"learning_rate", "weight_decay", "margin", "margin_warmup_fraction"}
    assert "lfw/accuracy" in tuned["metrics"]
    json.dumps(told)


def test_the_status_of_a_study_that_was_never_run_is_refused():
    sweep(make(tune={"trials": 1, "epochs": 1}))
    with pytest.raises(RequestError, match=r"no study 'other' in .*; there is: study"):
        sweeps.status("other")


def test_no_checkpoint_of_a_tuning_trial_is_kept_and_one_of_each_other(done):
    for known in done.records:
        kept = len(list(known.folder.glob("checkpoint-*.pt")))
        assert kept == (known.trial.stage != "tune" and known.trial.epochs > 0)


def test_plain_lines_say_every_trial_and_every_stage(done):
    ended = [line for line in done.lines.splitlines() if " finished" in line or " pruned" in line]
    assert len(ended) == len(done.records)
    for words in ("cnn4/lmcl: finalists (best dev/accuracy", "cnn4/lmcl: confirm", "cnn4/lmcl: done", " left]"):
        assert words in done.lines


def test_the_table_on_a_terminal_counts_and_ends():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    sweeps.sweep(make(tune={"trials": 2, "epochs": 1}), address="inline", run=fake_trial.run, stream=stream)
    last = stream.getvalue().rpartition("study study")[2]
    rows = [line.split() for line in last.splitlines() if "cnn4" in line]
    assert [row[3] for row in rows] == ["softmax", "lmcl"]
    assert all("done" in row for row in rows)
    assert "about 0 s left" in last


def test_the_window_is_told_of_every_trial(done):
    assert done.sent == {r.trial.id for r in done.records} and done.closed == "finished"


def test_slots_below_one_are_refused():
    with pytest.raises(RequestError, match="slots must be at least 1, got 0"):
        sweep(make(), slots=0)
