"""How many seeds and identities a wanted effect needs: the arithmetic, its promise by simulation, `facebench plan`."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from made_up_study import make
from simulated import simulate
from test_statistics import sample

import reports
from bench.errors import RequestError
from reports import _power
from reports._power import Spread, detectable, identities_needed, seeds_needed
from reports.statistics import compare, p_value

SPREAD = Spread(a=0.004**2, b=0.006**2, identity=0.001**2, clusters=80, folds=False, seeds=3)


@pytest.mark.parametrize("kind", ["folds", "jackknife"])
@pytest.mark.parametrize("seeds", [3, 7])
def test_what_is_detectable_now_is_what_the_comparison_says(kind, seeds):
    a, b = sample("A", kind=kind, seeds=seeds), sample("B", kind=kind, seeds=seeds, seed=1)
    assert detectable(Spread.of(a, b), seeds) == pytest.approx(compare(a, b).detectable, rel=1e-12)


@pytest.mark.parametrize("effect", [0.005, 0.007, 0.01, 0.03])
def test_no_fewer_seeds_would_do_and_none_that_would_is_too_few_for_a_verdict(effect):
    needed = seeds_needed(SPREAD, effect)
    assert detectable(SPREAD, needed) <= effect
    assert needed == 5 or detectable(SPREAD, needed - 1) > effect


def test_where_the_identities_are_what_varies_no_number_of_seeds_helps():
    few = replace(SPREAD, identity=0.01**2)
    assert seeds_needed(few, 0.02) is None
    times = identities_needed(few, 0.02, 10)
    assert times > 1 and detectable(few, 10, times) == pytest.approx(0.02, rel=1e-3)
    assert detectable(few, 10, times) <= 0.02
    assert identities_needed(SPREAD, 0.5, 10) == 1.0
    assert identities_needed(replace(SPREAD, a=1.0), 0.01, 10) is None, "one seed's spread hides it from any test"


def test_more_power_and_a_wider_spread_need_more_seeds():
    usual = seeds_needed(SPREAD, 0.006)
    assert seeds_needed(SPREAD, 0.006, 0.95) > usual
    assert seeds_needed(SPREAD.widest(), 0.006) > usual
    assert SPREAD.widest().a / SPREAD.a == pytest.approx(2 / 0.4463, rel=1e-3)  # chi squared of 2 d.f. at .2
    assert SPREAD.widest().identity == SPREAD.identity


def test_no_spread_at_all_finds_everything():
    nothing = Spread(0.0, 0.0, 0.0, 10, True, 5)
    assert detectable(nothing, 5) == 0.0 and seeds_needed(nothing, 1e-6) == 5


@pytest.mark.parametrize(("clusters", "share"), [(10, 0.5), (80, 0.2), (80, 1.0)])
def test_the_effect_is_found_with_the_power_that_was_asked_for(clusters, share):
    """In the simulation of the statistics: what a large study sees of its spreads, and as many seeds as are planned."""
    draw = np.random.default_rng(3)
    null = simulate(10, clusters, share, 1, 0.0, 4000, draw)
    variance = float(np.mean(null.se**2))
    spread = Spread(5 * variance * share, 5 * variance * share, variance * (1 - share), clusters, clusters == 10, 10)
    effect = detectable(spread, 10)
    assert np.mean(p_value(simulate(10, clusters, share, 1, effect, 4000, draw)) < 0.05) == pytest.approx(0.8, abs=0.05)


TUNING = 8 + 2  # trials and finalists of each loss


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make(tmp_path_factory.mktemp("runs"), seeds=3)


def test_a_study_is_planned_by_what_its_runs_varied(study):
    found = reports.plan(study, 0.02)
    assert (found.metric, found.seeds) == ("lfw/accuracy", max(need.needed for need in found.comparisons))
    assert [need.b for need in found.comparisons] == ["softmax", "softmax"]
    for need in found.comparisons:
        assert need.seeds == 3 and need.folds and need.clusters == 10
        assert need.at_worst is None or need.at_worst >= need.needed
        assert need.runs == 2 * (need.needed + TUNING)
        assert need.identities[5] >= need.identities[20] >= 1
    assert found.runs == 3 * (found.seeds + TUNING), "the reference's runs serve both comparisons"
    assert found.seconds > 0


def test_smaller_effects_need_more(study):
    needs = [[need.needed or _power.MOST for need in reports.plan(study, e).comparisons] for e in (0.02, 0.006, 0.004)]
    assert needs[0] <= needs[1] <= needs[2] and needs[0] != needs[2]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"effect": 1.0}, "0.01 for one percentage point; got 1"),
        ({"effect": 0.01, "power": 0.2}, "a probability from 0.5 to below 1, got 0.2"),
        ({"effect": 0.01, "metric": "lfw/nothing"}, "has no figure 'lfw/nothing'; leading ones are: lfw/accuracy"),
        ({"effect": 0.01, "metric": "other/accuracy"}, "has no figure 'other/accuracy'"),
    ],
)
def test_a_wrong_request_is_a_sentence(study, asked, words):
    with pytest.raises(RequestError, match=words):
        reports.plan(study, **asked)


def test_the_command_line_says_it_in_a_table_and_in_json(facebench, study, monkeypatch):
    monkeypatch.setenv("FACEBENCH_RUNS", str(study.parent))
    code, out, _ = facebench("plan", "made_up", "--effect", "0.02", "--json")
    answer = json.loads(out)
    assert code == 0 and answer == json.loads(json.dumps(asdict(reports.plan(study, 0.02))))
    _, table, _ = facebench("plan", "made_up", "--effect", "0.02")
    assert f"confirm: {{seeds: {answer['seeds']}}}` in a new study" in " ".join(table.split())
    assert (
        f"{answer['runs']} runs of these rows with their tuning" in " ".join(table.split())
        and "lmcl - softmax" in table
    )
    assert "test identities: " in table
    code, _, said = facebench("plan", "none", "--effect", "0.02")
    assert code == 2 and said.startswith("facebench: no study 'none' in")
