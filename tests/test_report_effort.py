"""The best figure against the number of trials: against all subsets, in order, and on the page."""

import itertools
import math
from statistics import fmean

import numpy as np
import pytest
from made_up_study import make
from well_formed import assert_well_formed

import reports
from reports import _tuning, effort

NAN = math.nan


def literal(found, n, higher):
    """The mean best over all subsets of n in which something was found."""
    sets = ([x for x in chosen if math.isfinite(x)] for chosen in itertools.combinations(found, n))
    return fmean((max if higher else min)(known) for known in sets if known)


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("found", [[0.5, 0.7, 0.6], [0.5, NAN, 0.7, 0.7, NAN, 0.1, 0.9], [0.3, NAN], [0.2] * 5])
def test_the_expected_best_is_the_mean_over_all_subsets(found, higher):
    line = effort.expected_best(found, higher)
    assert line == pytest.approx([literal(found, n, higher) for n in range(1, len(found) + 1)], rel=1e-12)
    steps = np.diff(line) if higher else -np.diff(line)
    assert (steps >= -1e-12).all(), "more trials never find less"


def test_of_many_trials_it_is_still_a_number():
    draw = np.random.default_rng(0).random(3000)
    line = effort.expected_best(draw, True)
    assert line[0] == pytest.approx(draw.mean()) and line[-1] == draw.max() and np.isfinite(line).all()


def test_the_best_so_far_keeps_the_order_and_finds_nothing_in_failed_trials():
    line = effort.best_so_far([NAN, 0.5, 0.4, NAN, 0.7], True)
    assert line == pytest.approx([NAN, 0.5, 0.5, 0.5, 0.7], nan_ok=True)
    assert effort.best_so_far([0.5, 0.4, 0.7], False).tolist() == [0.5, 0.4, 0.4]
    assert np.isnan(effort.expected_best([NAN, NAN], True)).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("runs"))


def test_the_section_says_how_its_lines_came_about(folder):
    study = reports.read(folder)
    html = effort.render(study)
    assert_well_formed(html)
    assert "in the order in which they were asked for" in html, "tpe"
    trials = next(group for key, group in _tuning.searches(study).items() if key[1] == "lmcl")
    found = effort.figures(trials, study)
    assert len(found) == 8 and sum(map(math.isnan, found)) == sum(r.state == "failed" for r in trials)
    assert f"{100 * np.nanmax(found):.2f}" in html.striptags()
    study.facts["tune"]["sampler"] = "random"
    assert "over all choices of n among the trials" in effort.render(study)
