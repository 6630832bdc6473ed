"""Studies that tune nothing, entries of `losses` under labels of their own, and what reaches the trials of an experiment."""

import io
import json
import sys
from dataclasses import replace

import fake_trial
import numpy as np
import pytest
from made_up_sweep import make, no_mlflow, numbers, of, sweep  # noqa: F401 (fixtures)
from PIL import Image

import sweeps
from bench import datasets, ledger, places, record
from bench.errors import RequestError, TrialFailed
from sweeps import plan, sheets

LOSSES = {
    "softmax": {"fixed": {"learning_rate": 0.03}},
    "center .01": {"loss": "center", "fixed": {"center_weight": 0.01, "weight_decay": 0}},
    "center 1": {"loss": "center", "fixed": {"center_weight": 1.0}},
}


def experiment(**changes):
    """Three entries as they are fixed, three seeds each."""
    return make(**{"losses": LOSSES, "tune": None} | changes)


def facts() -> dict:
    return json.loads((places.study_folder("study") / "study.json").read_text())


def test_without_a_search_every_entry_is_confirmed_as_it_is_fixed_and_nothing_else_is_run():
    records, _ = sweep(experiment(backbones=["cnn4", "test_resnet"]))
    assert len(records) == 2 * 3 * 3
    assert {(r.trial.stage, r.trial.role, r.trial.epochs, r.trial.holdout, r.state) for r in records} == {
        ("confirm", "tuned", 2, 0.0, "finished")
    }
    cells = {(r.trial.backbone, r.trial.name, r.trial.seed) for r in records}
    assert cells == {
        (b, label, seed) for b in ("cnn4", "test_resnet") for label in LOSSES for seed in (1000, 1001, 1002)
    }
    made = {r.trial.name: (r.trial.loss, dict(r.trial.loss_options), r.trial.learning_rate) for r in records}
    assert made["softmax"] == ("softmax", {}, 0.03)
    assert made["center .01"] == ("center", {"center_weight": 0.01}, 0.1)
    assert made["center 1"] == ("center", {"center_weight": 1.0}, 0.1)
    assert {r.trial.weight_decay for r in of(records, "tuned", "center .01")} == {0.0}


def test_a_study_that_tunes_nothing_needs_no_optuna(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    records, _ = sweep(experiment())
    assert len(records) == 9 and not (places.runs() / "optuna.db").exists()


def test_the_facts_of_a_study_that_tunes_nothing():
    sweep(experiment(criteria=["scatter"], published="table-2"))
    told = facts()
    assert (told["tune"], told["criteria"], told["published"]) == (None, ["scatter"], "table-2")
    assert told["losses"] == list(LOSSES)
    assert told["labels"] == {"softmax": "softmax", "center .01": "center", "center 1": "center"}
    assert set(told["cells"]) == {f"cnn4/{label}" for label in LOSSES}
    assert {(cell["stage"], cell["winner"], cell["trouble"]) for cell in told["cells"].values()} == {("done", None, "")}


def test_rows_that_belong_to_a_choice_are_made_where_they_are_asked_for():
    records, _ = sweep(experiment(again=True, untrained=True, default_seeds=1))
    assert len(records) == 9 + 3 + 3 + 3
    assert len(of(records, "again", "softmax")) == len(of(records, "untrained", "softmax")) == 3
    assert {r.trial.learning_rate for r in of(records, "again", "softmax")} == {0.03}
    (default,) = of(records, "default", "center 1")
    assert (dict(default.trial.loss_options), default.trial.label) == ({}, "center 1")


def test_a_finished_study_may_be_judged_by_more_criteria():
    sweep(experiment(criteria=["scatter"]))
    records, _ = sweep(experiment(criteria=["scatter", "slope"], published="table-2"))
    assert len(records) == 9 and (facts()["criteria"], facts()["published"]) == (["scatter", "slope"], "table-2")


@pytest.mark.parametrize("after", [0, 5, 13])
def test_an_interrupted_experiment_ends_as_an_uninterrupted_one(after, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        sweep(experiment(), fake_trial.interrupted(after))
    assert sweeps.status("study")["state"] == "stopped"
    again, _ = sweep(experiment())
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "elsewhere"))
    whole, _ = sweep(experiment())
    assert numbers(again) == numbers(whole) and len(whole) == 9


def test_a_configuration_that_diverges_is_a_finding_and_no_trouble():
    records, lines = sweep(experiment(data={"diverge": ["center"]}))
    assert {(r.state, r.kind) for r in of(records, "tuned", "center 1")} == {("failed", "diverged")}
    assert {r.state for r in of(records, "tuned", "softmax")} == {"finished"}
    assert "the loss is nan" in lines and facts()["state"] == "finished"


def test_an_experiment_may_have_no_protocol_and_its_closed_set_test_is_in_the_ledger():
    records, _ = sweep(experiment(protocols=[], data={"closed": 1}))
    assert all(r.trial.protocols == () and set(r.scores) == {"closed"} for r in records)
    assert [entry["protocol"] for entry in ledger.entries()] == ["closed"] * 9
    assert set(ledger.entries()[0]["figure"]) == {"closed/accuracy"}


def test_two_labels_of_one_configuration_are_two_rows_and_the_losss_own_name_is_no_label():
    same = {"center": {"fixed": {}}, "a": {"loss": "center"}, "b": {"loss": "center"}}
    records, _ = sweep(experiment(losses=same, reference="a"))
    assert {(r.trial.label, r.trial.name) for r in records} == {("", "center"), ("a", "a"), ("b", "b")}
    assert len({r.trial.id for r in records}) == 9
    told = sweeps.status("study")["trials"]
    assert sorted((t["label"], t["loss"]) for t in told) == sorted(
        3 * [("center", "center"), ("a", "center"), ("b", "center")]
    )


def tuned_twins(**changes):
    """One loss under two labels, each tuned."""
    losses = {"wide": {"loss": "lmcl", "fixed": {"scale": 16.0}}, "narrow": {"loss": "lmcl", "fixed": {"scale": 64.0}}}
    small = {"trials": 3, "epochs": 2, "pruner": "none", "finalists": 1, "finalist_seeds": 1}
    return make(losses=losses, reference="wide", tune=small, confirm={"seeds": 2, "epochs": 1}, **changes)


def test_each_label_has_a_search_a_budget_and_an_a_a_row_of_its_own():
    records, _ = sweep(tuned_twins())
    for label, scale in (("wide", 16.0), ("narrow", 64.0)):
        search = of(records, "search", label)
        assert len(search) == 3 and {r.trial.loss_options["scale"] for r in search} == {scale}
        assert len(of(records, "tuned", label)) == 2
        assert facts()["cells"][f"cnn4/{label}"]["spent_epochs"] == 6
    asked = [{r.trial.loss_options["margin"] for r in of(records, "search", label)} for label in ("wide", "narrow")]
    assert not asked[0] & asked[1], "the tuner's seed is the label's"
    assert len(of(records, "again", "wide")) == 2 and not of(records, "again", "narrow")


def test_a_label_whose_search_was_lost_is_begun_anew_and_its_twin_is_left_alone():
    def broken(trial, folder):
        if (trial.label, trial.role) == ("narrow", "search"):
            raise OSError("no space left on device")
        yield from fake_trial.run(trial, folder)

    with pytest.raises(TrialFailed, match=r"^cnn4/narrow was not confirmed: no tuning trial finished"):
        sweep(tuned_twins(), broken)
    before = {r.trial.id for r in record.read_study(places.study_folder("study")) if r.trial.label == "wide"}
    ran = []

    def counting(trial, folder):
        ran.append(trial.label)
        yield from fake_trial.run(trial, folder)

    records, _ = sweep(tuned_twins(), counting)
    assert set(ran) == {"narrow"}
    assert {r.trial.id for r in records if r.trial.label == "wide"} == before
    assert {r.state for r in records} == {"finished"}


def test_what_is_fixed_is_not_searched():
    study = make(
        losses={"softmax": {"fixed": {"learning_rate": 1}}, "lmcl": {"fixed": {"weight_decay": 1e-3, "margin": 0.2}}}
    )
    assert set(plan.space(study, "softmax")) == {"weight_decay"}
    assert set(plan.space(study, "lmcl")) == {"learning_rate"}
    trial = plan.search(study, plan.fixed(study, "cnn4", "softmax"), 0, {"weight_decay": 1e-4})
    assert (trial.learning_rate, trial.weight_decay, dict(trial.loss_options)) == (1.0, 1e-4, {})


def test_settings_of_the_study_reach_every_trial_but_where_an_entry_has_its_own():
    study = make(
        losses={
            "softmax": None,
            "lmcl": {"trial": {"batch_size": 30, "images_per_identity": 3, "supervise": [], "scorer": "l2"}},
            "nsl": {"trial": {"scorer_options": {"pca": 8}}},
        },
        supervise=["stages.2"],
        images_per_identity=2,
        scorer="joint_bayesian",
        scorer_options={"pca": 64},
    )
    found = {"learning_rate": 0.1, "weight_decay": 1e-3}
    for label, expected in {
        "softmax": (64, 2, ("stages.2",), "joint_bayesian", {"pca": 64}),
        "lmcl": (30, 3, (), "l2", {}),
        "nsl": (64, 2, ("stages.2",), "joint_bayesian", {"pca": 8}),
    }.items():
        for trial in (
            plan.search(study, plan.fixed(study, "cnn4", label), 0, found),
            plan.defaults(study, "cnn4", label)[0],
        ):
            seen = (
                trial.batch_size,
                trial.images_per_identity,
                trial.supervise,
                trial.scorer,
                dict(trial.scorer_options),
            )
            assert seen == expected


def test_only_confirmed_networks_keep_what_is_asked_for():
    records, _ = sweep(make(tune={"trials": 1, "epochs": 1}, keep=["features"], confirm={"seeds": 1, "epochs": 1}))
    kept = {role: {r.trial.keep for r in records if r.trial.role == role} for role in {r.trial.role for r in records}}
    assert kept.pop("tuned") == kept.pop("again") == {("features",)}
    assert set(kept) == {"search", "finalist", "default", "untrained"} and all(keep == {()} for keep in kept.values())


def test_plain_lines_and_the_table_speak_of_no_search():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    _, lines = sweep(experiment())
    assert "cnn4/center .01: tuned 0 (seed 1000) finished" in lines and "cnn4/center .01: done" in lines
    assert "best" not in lines and " left]" in lines
    screen = Terminal()
    sweeps.sweep(experiment(name="other"), address="inline", run=fake_trial.run, stream=screen)
    last = screen.getvalue().rpartition("study other")[2]
    assert "center .01" in last and "done" in last and "about 0 s left" in last
    assert "best" not in last and "pruned" not in last


def test_a_wrong_request_is_said_for_each_entry_it_is_in():
    def picky(trial, folder):
        if trial.name == "center 1":
            raise RequestError("batches of 40 identities cannot be made")
        yield from fake_trial.run(trial, folder)

    with pytest.raises(TrialFailed, match=r"^cnn4/center 1 was not confirmed: batches of 40 identities"):
        sweep(experiment(), picky)
    records = record.read_study(places.study_folder("study"))
    assert len(of(records, "tuned", "center 1")) == 1 and len(of(records, "tuned", "center .01")) == 3


def test_a_closed_set_test_has_a_contact_sheet_of_its_own(tmp_path, monkeypatch):
    digits = datasets.load("digits")
    test = (np.arange(len(digits.names)) % 5 == 4) & (digits.labels < 3)
    monkeypatch.setattr(datasets, "load", lambda name, **options: replace(digits, test=test))
    sheets.draw(experiment(protocols=[]), tmp_path)
    assert {path.stem for path in (tmp_path / sheets.FOLDER).iterdir()} == {"training", "test closed"}
    for name, people in (("training", 7), ("test closed", 3)):
        with Image.open(tmp_path / sheets.FOLDER / f"{name}.png") as sheet:
            assert sheet.size == (10 * 66 - 2, people * 66 - 2)
