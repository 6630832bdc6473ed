"""Parallel coordinates: where values lie on an axis, which trials are drawn how, when there is nothing to draw."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from made_up_study import full, keep, make, runs, text_of  # noqa: F401 (fixtures)
from well_formed import assert_well_formed

import reports
from reports import _tuning, parallel


def test_numbers_lie_between_the_ends_of_what_was_tried():
    linear = parallel.scale("margin", [0.1, 0.2, 0.5])
    assert [linear.place(x) for x in (0.1, 0.3, 0.5)] == pytest.approx([0, 0.5, 1]) and not linear.logarithmic
    factor = parallel.scale("rate", [0.001, 0.1])
    assert factor.logarithmic and factor.place(0.01) == pytest.approx(0.5)
    assert factor.marks()[1] == (pytest.approx(0.5), "0.01")
    assert math.isnan(linear.place(None)) and math.isnan(linear.place(math.nan))
    assert parallel.scale("same", [3.0, 3.0]).place(3.0) == 0.5


def test_better_is_higher_for_an_error_rate_too():
    turned = parallel.scale("EER", [2.0, 6.0], turned=True)
    assert turned.place(2.0) == 1 and turned.place(6.0) == 0


def test_a_choice_has_a_level_for_each_word():
    choice = parallel.scale("mining", ["hard", "all", "hard"])
    assert choice.marks() == [(0.25, "all"), (0.75, "hard")]
    assert choice.place("hard") == 0.75 and math.isnan(choice.place("none"))


def test_choices_of_a_loss_are_drawn(full):
    record = full.of("search")[0]
    other = replace(record.trial, loss_options={"balanced": True, "kind": "a", "margin": 0.2})
    found = parallel.settings(SimpleNamespace(trial=other))
    assert (found["balanced"], found["kind"], found["margin"]) == ("True", "a", 0.2)


def test_trials_are_drawn_by_their_state(full):
    trials = _tuning.searches(full)["cnn4", "lmcl"]
    reached = {r.trial.id: _tuning.reached(r, full.objective) for r in trials}
    kinds = parallel._kinds(trials, reached, better=True)
    assert {kind: len(group) for kind, group in kinds.items()} == {"pruned": 2, "finished": 3, "best": 2, "failed": 1}
    assert min(reached[r.trial.id] for r in kinds["best"]) > max(reached[r.trial.id] for r in kinds["finished"])
    assert {r.state for r in kinds["failed"]} == {"failed"}


def test_a_figure_a_search_with_its_axes(full):
    html = parallel.render(full)
    assert_well_formed(html)
    assert html.count("<svg") == 3
    for name in (
        "margin m",
        "center rate \N{GREEK SMALL LETTER ALPHA}",
        "learning rate",
        "weight decay",
        "dev accuracy, %",
    ):
        assert f">{name}</text>" in html
    assert html.count("stroke-dasharray") >= 3, "pruned and failed trials are no plain lines"


def test_each_search_is_drawn_with_the_configuration_that_it_confirmed(tmp_path, monkeypatch):
    study = reports.read(make(tmp_path, seeds=1, searches=3, trials=2))
    drawn = {}
    monkeypatch.setattr(parallel, "settings", lambda record: drawn.setdefault("of", []).append(record.trial) or {})
    for key in _tuning.searches(study):
        drawn.clear()
        parallel._draw_chosen(None, study, key, [], [])
        assert [trial.arm for trial in drawn["of"]] == [key[1]], "lmcl #2 has a winner of its own"
        best = {r.trial.loss_options for r in study.of("finalist") if r.trial.arm == key[1]}
        assert {trial.loss_options for trial in drawn["of"]} == best
    assert len(_tuning.searches(study)) == 9 and _tuning.winner(study, ("cnn4", "lmcl #4")) is None


def test_one_hyper_parameter_is_not_drawn(tmp_path):
    study = reports.read(make(tmp_path, seeds=2))
    plain = reports.Study(study.folder, tuple(_with_one(r) for r in study), study.facts)
    assert "No search varied two hyper-parameters" in text_of(parallel.render(plain))


def _with_one(record):
    trial = replace(record.trial, loss_options=type(record.trial.loss_options)(), weight_decay=5e-4)
    return replace(record, trial=trial)


def test_a_study_that_searched_nothing_has_no_such_section(tmp_path):
    folder = make(tmp_path, seeds=2)
    keep(folder, "confirm", "default")
    study = reports.read(folder)
    assert parallel.render(reports.Study(folder, study.records, study.facts | {"tune": None})) == ""
