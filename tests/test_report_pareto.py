"""Accuracy against cost: the front against the definition, and on the page with its ties."""

import itertools
import shutil

import numpy as np
import pytest
from made_up_study import copy, edit, full, runs  # noqa: F401 (fixtures)
from well_formed import assert_well_formed

import reports
from reports import cost, pareto
from reports._words import energy
from reports.pareto import Point


def point(figure, cost, higher=True):
    return Point("net", f"{figure}/{cost}", figure, (figure, figure), cost, 0.0, higher)


def test_the_front_is_what_no_other_beats_and_equals_stay_together():
    made = [point(0.9, 10), point(0.9, 10), point(0.95, 20), point(0.9, 20), point(0.8, 5), point(0.7, 6)]
    assert [(p.figure, p.cost) for p in pareto.front(made)] == [(0.8, 5), (0.9, 10), (0.9, 10), (0.95, 20)]
    errors = [point(0.1, 10, higher=False), point(0.2, 10, higher=False)]
    assert pareto.front(errors) == errors[:1], "of an error rate, less is better"


def test_the_front_by_brute_force_and_in_any_order():
    draw = np.random.default_rng(0)
    made = [point(float(f), float(c)) for f, c in draw.integers(0, 6, (25, 2))]
    kept = [
        p
        for p in made
        if not any(
            (q.figure > p.figure and q.cost <= p.cost) or (q.figure >= p.figure and q.cost < p.cost) for q in made
        )
    ]
    for order in (made, made[::-1], [made[i] for i in draw.permutation(25)]):
        assert sorted((p.cost, p.figure) for p in pareto.front(order)) == sorted((p.cost, p.figure) for p in kept)
    assert not any(p.beats(q) for p, q in itertools.permutations(pareto.front(made), 2))


SECONDS = {"softmax": 40.0, "center": 60.0, "lmcl": 50.0}


def priced(folder):
    for loss, seconds in SECONDS.items():
        edit(folder, lambda body, seconds=seconds: body["cost"].update(train_seconds=seconds), loss=loss, role="tuned")
    return reports.read(folder)


def test_rows_on_the_front_behind_it_and_ties_are_said(copy):
    html = pareto.render(priced(copy))
    assert_well_formed(html)
    lines = dict(zip(("softmax", "lmcl", "center"), html.split("<tbody")[1].split("<tr")[1:], strict=True))
    assert "on it" in lines["softmax"] and "nothing costs less" in lines["softmax"]
    assert "on it" in lines["lmcl"] and "better than softmax" in lines["lmcl"]
    assert "behind lmcl" in lines["center"] and "worse than lmcl" in lines["center"]
    assert "tie with softmax" in lines["center"]
    assert "All rows have the same parameters (1.23 M)" in html


def test_a_pilot_claims_nothing(runs, tmp_path):
    html = pareto.render(priced(shutil.copytree(runs / "pilot", tmp_path / "pilot")))
    table = html[html.index("<tbody") : html.index("</table>")]
    assert "pilot, no verdict:" in table and "better than" not in table and "tie with" not in table


@pytest.mark.parametrize(("joules", "text"), [(480.4, "480 J"), (12_340, "12.3 kJ"), (3_024_000, "0.84 kWh")])
def test_energy_in_words(joules, text):
    assert energy(joules) == text


def test_the_cost_section_shows_energy_where_it_is_reported(copy):
    assert "not reported" in cost.render(reports.read(copy)) and "no device here reported it" in cost.render(
        reports.read(copy)
    )
    said = {"energy_joules": 2_000.0, "energy_of": "whole CPU package (RAPL)"}
    edit(copy, lambda body: body["cost"].update(said), loss="lmcl", role="tuned")
    edit(copy, lambda body: body["cost"].update(said), loss="center", role="tuned", number=0)
    html = cost.render(reports.read(copy))
    assert html.count("2.0 kJ") == 1, "a row whose runs do not all report it has no mean"
    assert "of the whole CPU package (RAPL) during the training steps" in html and "whatever else ran on it" in html
