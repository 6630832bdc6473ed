"""Replicated tuning in the report: the searches are the units, one row a loss, and the sentences say so."""

import json
import math
import shutil

import numpy as np
import pytest
from made_up_study import make, text_of
from well_formed import assert_well_formed

import reports
from reports import (
    _comparisons,
    _rows,
    _sample,
    _sections,
    _tables,
    differences,
    importance,
    leaderboard,
    tuning,
    variance,
)
from reports import verdict as said
from reports._promotion import promotion

METRIC = "lfw/accuracy"
# Sections about what this study has not.
ELSEWHERE = ("angles", "boundaries", "claims", "features", "groups", "published", "settings")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("runs"), seeds=2, searches=3, apart=0.004, broken=False)


@pytest.fixture(scope="module")
def study(folder):
    return reports.read(folder)


def literal(study, loss, against, roles=("tuned", "tuned")):
    """The interval in loops: a search is one unit, the mean over its seeds."""
    units, folds = [], []
    for name, role in ((loss, roles[0]), (against, roles[1])):
        searches: dict[int, list] = {}
        for one in study.of(role):
            if one.trial.name == name:
                searches.setdefault(one.trial.search, []).append(one.scores["lfw"])
        units.append([np.mean([score["metrics"][METRIC] for score in runs]) for runs in searches.values()])
        every = [np.mean([score["clusters"][METRIC]["values"] for score in runs], axis=0) for runs in searches.values()]
        folds.append(np.mean(every, axis=0))
    return units[0], units[1], folds[0] - folds[1]


def test_the_unit_of_the_verdict_is_the_search(study):
    lines = {line.row.label: line.comparison for line in _comparisons.against_reference(study, METRIC)}
    assert set(lines) == {"center", "lmcl"}, "one row a loss"
    for loss, found in lines.items():
        a, b, folds = literal(study, loss, "softmax")
        parts = [np.var(a, ddof=1) / 3, np.var(b, ddof=1) / 3, np.var(folds, ddof=1) / 10]
        assert (found.unit, found.seeds, found.pilot) == ("search", 3, False)
        assert found.difference == pytest.approx(np.mean(a) - np.mean(b), rel=1e-9)
        assert found.se == pytest.approx(math.sqrt(sum(parts)), rel=1e-9)
        assert found.df == pytest.approx(sum(parts) ** 2 / sum(p**2 / n for p, n in zip(parts, (2, 2, 9), strict=True)))


def test_the_a_a_row_pairs_the_searches_whose_winners_it_runs_again(study):
    found = _comparisons.against_itself(study, METRIC)[0].comparison
    a, b, folds = literal(study, "softmax", "softmax", ("again", "tuned"))
    pairs = np.subtract(a, b)
    assert found.se == pytest.approx(math.sqrt(np.var(pairs, ddof=1) / 3 + np.var(folds, ddof=1) / 10), rel=1e-9)


def test_the_sentences_count_searches(study):
    text = " ".join(said.sentences(study))
    assert "over 3 independent searches a loss, each of 48 epochs, with" in text and "as tuned by" not in text
    assert "and not for other budgets of tuning, larger data" in text and "the losses as such" not in text
    assert "the unit is the search" in differences.render(study)
    assert "3 independent searches, each of the whole budget" in tuning.render(study)
    names = text_of(tuning.render(study))
    assert "lmcl #2" in names and "lmcl #3" in names, "each search has its own budget"


def test_the_tables_have_one_row_a_loss_with_its_searches(study):
    html = leaderboard.render(study)
    assert "6 in 3 searches" in html and "#2" not in text_of(html) and "deviation over searches" in html
    assert "over training seeds" not in html and ">Seeds</" not in html
    assert "search 2: " in html, "each search's hyper-parameters"
    table = _tables.board(study).set_index(["loss", "role"])
    assert table.loc[("lmcl", "tuned"), "searches"] == 3 and table.loc[("lmcl", "tuned"), f"{METRIC}.n"] == 3
    assert list(json.loads(table.loc[("lmcl", "tuned"), "hyperparameters"])) == ["1", "2", "3"]
    assert table.loc[("lmcl", "default"), "searches"] == 1 and table.loc[("lmcl", "default"), f"{METRIC}.n"] == 2
    assert "6 in 3 searches" in _tables.markdown(study) and "deviation over searches" in _tables.markdown(study)


def test_the_error_that_identities_put_into_one_run_is_not_that_of_a_mean_over_seeds(study):
    row = _rows.rows(study, "tuned")[0]
    each = [np.var(r.scores["lfw"]["clusters"][METRIC]["values"], ddof=1) / 10 for r in row.records]
    table = _tables.board(study).set_index(["loss", "role"])
    assert table.loc[(row.loss, "tuned"), f"{METRIC}.se"] == pytest.approx(math.sqrt(np.mean(each)), rel=1e-9)


@pytest.mark.parametrize("section", ["figures", "leaderboard"])
def test_what_a_deviation_is_over_is_said_of_each_kind_of_study(section, study, tmp_path):
    plain = reports.read(make(tmp_path, seeds=2, trials=1))
    assert "deviation over searches, each with the mean of its seeds" in _sections.find(section).render(study)
    html = _sections.find(section).render(plain)
    assert "deviation over training seeds" in html and "search" not in html


def test_a_promoted_network_stands_beside_the_mean_over_searches(folder):
    assert "| mean over searches, % |" in promotion(folder, "lmcl", anyway=True).description


def test_importance_is_told_from_all_searches_of_a_loss(study):
    html = importance.render(study)
    assert "#2" not in html and "needs 10 finished" not in html, "15 trials of three searches"


def test_what_tuning_anew_changes_is_a_source_of_its_own(tmp_path):
    wide = reports.read(make(tmp_path, seeds=3, searches=8, apart=0.01, spread=0.003, broken=False, trials=2))
    found = {part.name: part.spread for part in variance.parts(wide, METRIC)}
    assert found["Search"] == pytest.approx(0.01, rel=0.35)
    assert found["Training seed"] == pytest.approx(0.003, rel=0.25), "within searches, not over them"
    over = next(part.over for part in variance.parts(wide, METRIC) if part.name == "Training seed")
    assert over.startswith("7 rows, ")
    assert "seed, search and test identities together" in variance.render(wide)


def test_where_tuning_anew_changes_nothing_it_is_no_source():
    """Three searches of two seeds: in two of three rows the means differ by less than the seeds put into them."""
    draw = np.random.default_rng(0)
    seen = []
    for _ in range(200):
        runs = [draw.normal(0.9, 0.003, (3, 2)) for _ in range(16)]
        rows = [_sample.Sample("", METRIC, "h", "folds", r.mean(axis=1), np.zeros((3, 0)), (1, 2, 3)) for r in runs]
        apart = [
            (_rows.Row("cnn4", "", "tuned", ()), _sample.Sample("", METRIC, "h", "folds", one, np.zeros((2, 0))))
            for r in runs
            for one in r
        ]
        seen.append(variance._anew(rows, apart, 0.003)[0].spread ** 2)
    assert np.mean(seen) < 0.1 * 0.003**2, "each row clipped by itself it would be 0.18 of a seed's variance"


def test_one_seed_a_search_tells_what_search_and_seed_are_together(tmp_path):
    study = reports.read(make(tmp_path, seeds=1, searches=6, apart=0.01, spread=0.003, broken=False, trials=2))
    found = {part.name: part for part in variance.parts(study, METRIC)}
    assert found["Search and seed"].spread == pytest.approx(math.hypot(0.01, 0.003), rel=0.35)
    assert found["Search and seed"].over == "18 searches of 3 rows" and "Training seed" not in found
    assert "search with its seed and test identities together" in variance.render(study)


def test_searches_that_are_to_come_make_a_pilot(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "made_up")
    for one in reports.read(copy).of("tuned"):
        if one.trial.search == 3:
            shutil.rmtree(one.folder)
    some = reports.read(copy)
    text = " ".join(said.sentences(some))
    assert "Pilot, no verdict: with 2 independent searches a loss (a verdict needs 3)" in text
    assert "and not for the losses as such" in text
    for one in reports.read(copy).of("tuned"):
        if one.trial.search == 2:
            shutil.rmtree(one.folder)
    alone = reports.read(copy)
    line = _comparisons.against_reference(alone, METRIC)[0]
    assert line.comparison is None and "1 and 1 searches" in line.refused, "seeds of one search are no units"


def test_a_search_that_confirmed_nothing_is_named_in_the_verdict(folder, study, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "made_up")
    for one in reports.read(copy).of("tuned"):
        if one.trial.arm == "lmcl #3":
            shutil.rmtree(one.folder)
    text = said.scope(reports.read(copy))
    assert (
        "over 2 independent searches a loss, each of 48 epochs (of 3 that were asked for 2 of lmcl confirmed a winner"
        in text
    )
    assert "asked for" not in said.scope(study)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Few trials, which are all that is drawn one by one."""
    return reports.read(make(tmp_path_factory.mktemp("runs"), seeds=1, searches=3, apart=0.004, trials=3))


@pytest.mark.parametrize("section", _sections.names())
def test_every_section_answers_a_study_of_several_searches(section, small):
    html = _sections.find(section).render(small)
    assert_well_formed(html)
    assert bool(html.striptags()) == (section not in ELSEWHERE)


def test_a_plan_counts_searches_with_their_tuning(folder, study):
    found = reports.plan(folder, 0.01)
    need = found.comparisons[0]
    assert (need.unit, need.seeds, min(need.identities)) == ("search", 3, 3)
    each = 8 + 2 + 2  # of a search: trials, finalists, confirmed seeds
    assert need.needed > 3 and need.runs == 2 * each * need.needed
    assert found.seeds == max(one.needed for one in found.comparisons) and found.runs == 3 * each * found.seeds


def test_rows_of_one_search_are_as_before(tmp_path):
    plain = reports.read(make(tmp_path, seeds=5))
    assert not any(row.searched_anew(plain) for row in _rows.rows(plain))
    assert {line.comparison.unit for line in _comparisons.against_reference(plain, METRIC)} == {"seed"}
    assert "as tuned by one search of 48 epochs a loss" in said.scope(plain)
    assert "searches" not in _tables.board(plain)
