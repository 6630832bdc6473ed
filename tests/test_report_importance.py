"""Importance of hyper-parameters: against responses of known importance, against noise, and on the page."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from well_formed import assert_well_formed

from bench.plain import Options, Trial
from bench.record import Record
from reports import _importance, importance
from reports._study import Study

OBJECTIVE = "dev/accuracy"


def searched(count=40, response=lambda t: 0.5 + 0.2 * t["margin"], noise=0.002, seed=0, **facts):
    """A study of one search: `response` of (margin, center_rate, learning rate on a log scale in 0..1, weight decay)."""
    draw = np.random.default_rng(seed)
    made = []
    for number in range(count):
        unit = dict(zip(("margin", "center_rate", "rate", "decay"), draw.random(4), strict=True))
        trial = Trial(
            study="made_up", stage="tune", role="search", number=number, loss="lmcl",
            loss_options=Options({key: unit[key] for key in ("margin", "center_rate")}),
            learning_rate=10 ** (-3 + 3 * unit["rate"]), weight_decay=10 ** (-4 + 2 * unit["decay"]),
        )  # fmt: skip
        figure = response(unit) + noise * draw.normal()
        made.append(Record(trial, Path("nowhere"), "finished", metrics={OBJECTIVE: figure}))
    return Study(Path("nowhere"), tuple(made), {"tune": {"sampler": "random"} | facts})


def found(study):
    return importance.measured(list(study), OBJECTIVE)


def test_known_shares_are_found_and_ranked():
    """y = 3 x1 + 1.5 x2 over uniform x: 80 % and 20 % of the variance; the learning rate is uniform on its log scale."""
    got = found(searched(120, lambda t: 0.5 + 0.03 * t["rate"] + 0.015 * t["margin"], noise=0.0005))
    assert got.r2.min() > 0.9
    assert got.ranking[:2] == ["learning_rate", "margin"] and len(got.ranking) == 2
    share = dict(zip(got.names, got.means, strict=True))
    assert share["learning_rate"] == pytest.approx(0.8, abs=0.2) and share["margin"] == pytest.approx(0.2, abs=0.08)
    assert abs(share["center_rate"]) < 0.03 and abs(share["weight_decay"]) < 0.03


def test_a_trial_is_no_donor_of_its_own():
    """A perfect forest, and fewer trials than donors: half the error is the variance over the others, exactly."""
    x = np.random.default_rng(0).normal(size=(12, 2))
    perfect = SimpleNamespace(predict=lambda seen, check_input: seen[:, 0])
    error = _importance._without([perfect], x, x[:, 0], np.arange(12), np.random.default_rng(1))
    assert error / 2 == pytest.approx([np.var(x[:, 0], ddof=1), 0.0])


def test_an_interaction_counts_for_both():
    """y = (x1 - 1/2)(x2 - 1/2): neither has a main effect, and each goes with all of the variance."""
    got = found(searched(200, lambda t: 0.5 + (t["margin"] - 0.5) * (t["center_rate"] - 0.5), noise=0.0))
    assert set(got.ranking) == {"margin", "center_rate"}


@pytest.mark.parametrize("seed", range(3))
def test_of_noise_nothing_is_said(seed):
    study = searched(20, lambda t: 0.5, noise=0.01, seed=seed)
    got = found(study)
    assert not got.known and got.ranking == []
    text = importance.render(study).striptags()
    assert "nothing can be said: R² is not above 0" in text and "0.00 ±" not in text


def test_a_parameter_over_decades_is_seen_on_a_log_scale():
    draw = np.random.default_rng(0)
    unit = draw.random((20, 2))
    y, names = unit[:, 0] ** 2 + unit[:, 1], ("learning_rate", "margin")
    decades = np.stack([np.exp(7 * unit[:, 0] - 7), unit[:, 1]], axis=1)
    logs = np.stack([7 * unit[:, 0] - 7, unit[:, 1]], axis=1)
    assert _importance.importance(names, decades, y).shares == pytest.approx(
        _importance.importance(names, logs, y).shares, abs=1e-6
    )
    assert not _importance.logarithmic([0.1, 0.79]) and not _importance.logarithmic([0.0, 1.0])


def test_the_same_trials_give_the_same_shares():
    one, other = found(searched()), found(searched())
    assert (one.shares == other.shares).all() and (one.r2 == other.r2).all()


@pytest.mark.parametrize(
    ("study", "missing"),
    [
        (searched(9), "needs 10 finished trials, there are 9"),
        (searched(12, lambda t: 0.5, noise=0.0), "all trials reached the same figure"),
    ],
)
def test_what_is_missing_is_said(study, missing):
    assert missing in importance.render(study).striptags()


def test_what_did_not_finish_is_left_out_and_counted():
    study = searched(14)
    spoilt = [
        Record(one.trial, one.folder, state, kind="diverged" * (state == "failed"))
        for one, state in zip(study, ["pruned", "pruned", "failed"], strict=False)
    ]
    text = importance.render(Study(study.folder, (*spoilt, *study[3:]), study.facts)).striptags()
    assert "2 pruned, 1 failed" in text and "needs" not in text


def test_the_sampler_is_named_and_an_adaptive_one_cautioned_against():
    assert "drawn by a design (qmc)" in importance.render(searched(10, sampler="qmc"))
    html = importance.render(searched(10, sampler="tpe"))
    assert_well_formed(html)
    assert "Caution: the trials were chosen by the sampler tpe" in html
    assert "sampler of this study, which is not known" in importance.render(searched(10, sampler=None))
