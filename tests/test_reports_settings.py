"""The sections on one hyper-parameter at a time and on decision boundaries: which rows, where they stand, what passes."""

import math
import re
from dataclasses import replace

import made_up_toys
import numpy as np
import pytest
from made_up_features import Arm, make
from made_up_study import copy, full, runs, text_of  # noqa: F401 (fixtures)
from made_up_toys import rays
from well_formed import assert_well_formed

import reports
from losses import _boundaries
from reports import _decisions, _measured, _plots, _rows, _sections, _words, settings

LFW = {"lfw/accuracy": 0.86}
CENTER = {
    "softmax": Arm("softmax", {}, figures=LFW),
    **{f"λ {w}": Arm("center", {"center_weight": w, "center_rate": 0.5}, figures=LFW) for w in (0.001, 0.003, 0.1)},
    **{f"rate {r}": Arm("center", {"center_weight": 0.003, "center_rate": r}, figures=LFW) for r in (0.01, 1.0)},
}
LMCL = {
    "nsl": Arm("nsl", {"scale": 64.0}, figures=LFW),
    **{f"m {m}": Arm("lmcl", {"scale": 64.0, "margin": m}, figures=LFW) for m in (0.2, 0.4)},
}
FOUR = {
    "softmax": ("softmax", {}, rays(0.5)),
    "nsl": ("nsl", {}, rays(0.4)),
    "asoftmax": ("asoftmax", {"margin": 3}, rays(0.3)),
    "lmcl": ("lmcl", {"margin": 0.2}, rays(0.2)),
}


def found(study):
    return {sweep.name: {value: row.label for value, row in sweep.rows.items()} for sweep in settings.sweeps(study)}


def test_softmax_is_center_weight_0_and_a_row_may_stand_in_two_sweeps(tmp_path):
    assert found(make(tmp_path, CENTER)) == {
        "center_weight": {0.0: "softmax", 0.001: "λ 0.001", 0.003: "λ 0.003", 0.1: "λ 0.1"},
        "center_rate": {0.01: "rate 0.01", 0.5: "λ 0.003", 1.0: "rate 1.0"},
    }


def test_nsl_of_the_same_scale_is_margin_0(tmp_path):
    assert found(make(tmp_path, LMCL)) == {"margin": {0.0: "nsl", 0.2: "m 0.2", 0.4: "m 0.4"}}
    other = LMCL | {"nsl": Arm("nsl", {"scale": 30.0}, figures=LFW)}
    assert found(make(tmp_path / "other", other)) == {}, "two margins and an nsl of another scale make no curve"


def test_rows_that_differ_in_anything_else_are_no_curve(tmp_path):
    longer = {"m 0.4": replace(LMCL["m 0.4"], trial={"epochs": 9})}
    assert found(make(tmp_path, LMCL | longer)) == {}
    assert _sections.find("settings").render(reports.read(tmp_path / "made_up")) == ""


def test_the_table_has_the_figures_of_the_records(tmp_path):
    study = make(tmp_path, LMCL)
    html = _sections.find("settings").render(study)
    assert_well_formed(html)
    assert "lmcl: margin m, with scale s 64. Mean" in text_of(html)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", html)
    for value, label in (("0", "nsl"), ("0.2", "m 0.2"), ("0.4", "m 0.4")):
        own = [one.metrics["lfw/accuracy"] for one in study if one.trial.name == label]
        at = cells.index(label)
        assert cells[at - 1 : at + 3] == [value, label, _words.plus_minus(np.mean(own), np.std(own, ddof=1)), "5"]


def test_of_several_searches_the_deviation_is_over_these(tmp_path):
    html = settings.render(make(tmp_path, LMCL, searches=3, seeds=2))
    assert "Mean ± standard deviation over searches" in html and "6 in 3 searches" in html
    assert "95 % interval over searches" in html and "over training seeds" not in html


def test_a_panel_for_each_hyperparameter_and_protocol(tmp_path):
    two = {label: replace(arm, figures={**LFW, "ytf/accuracy": 0.8}) for label, arm in CENTER.items()}
    html = _sections.find("settings").render(make(tmp_path, two))
    for text in ("center weight λ of center", "center rate \N{GREEK SMALL LETTER ALPHA} of center"):
        assert html.count(f">{text}</text>") == 2, "once for each protocol"
    assert html.count(">LFW accuracy, %</text>") == html.count(">YTF accuracy, %</text>") == 2
    assert html.count(">//</text>") == 2, "0 stands apart on the logarithmic axes"


@pytest.mark.parametrize(
    ("values", "log", "zero"),
    [([0.0, 0.15, 0.45], False, 0.0), ([0.0, 0.001, 0.1], True, 0.001 / 100**0.3), ([0.01, 1.0], True, None)],
)
def test_values_that_span_decades_stand_on_a_logarithmic_axis(values, log, zero):
    ax = _plots.panels(1, 1)[1][0][0]
    places = settings._places(ax, values)
    assert (ax.get_xscale() == "log") is log
    assert places.get(0.0) == (None if zero is None else pytest.approx(zero))
    assert [places[value] for value in values if value] == [value for value in values if value]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [_words.value(float(value)) for value in values]


def test_an_ordinary_study_has_no_such_section(full):
    assert settings.sweeps(full) == [] and _sections.find("settings").render(full) == ""


LEVELS, ANGLES = np.linspace(0.1, 1.2, 7), np.radians([1, 10, 45, 90, 170])


def test_the_measured_margins_are_those_of_the_definitions():
    """softmax -sqrt(2) L (r-1)/(r+1); NSL 0; LMCL sqrt(2) m; A-Softmax sqrt(2) theta (m-1)/(m+1)."""
    close = {"abs": 1e-10}
    wanted = -math.sqrt(2) * LEVELS * (3 - 1) / (3 + 1)
    assert _measured.margins("softmax", "cosine", LEVELS, (6.0, 2.0)) == pytest.approx(wanted, **close)
    assert _measured.margins("nsl", "cosine", LEVELS) == pytest.approx(0.0, **close)
    for margin in (0.1, 0.35):
        assert _measured.margins("lmcl", "cosine", LEVELS, margin=margin) == pytest.approx(
            math.sqrt(2) * margin, **close
        )
    for margin in (1, 2, 3, 4):
        wanted = math.sqrt(2) * ANGLES * (margin - 1) / (margin + 1)
        assert _measured.margins("asoftmax", "angle", ANGLES, margin=margin) == pytest.approx(wanted, **close)


def test_the_four_losses_pass(tmp_path):
    study = reports.read(made_up_toys.make(tmp_path, {"nsl": FOUR["nsl"]}, seeds=2, images=60, criteria=["boundaries"]))
    html = _sections.find("boundaries").render(study)
    assert_well_formed(html)
    assert html.count(">PASS<") == 4 and "FAIL" not in html
    for text in ("\N{MINUS SIGN}0.283", "0.000", "76.4°", "0.495"):
        assert html.count(f">{text}<") == 3, "in the panel, by formula and measured"
    assert html.count("<image") == 0, "ten classes have no place in these planes"


def test_a_wrong_formula_fails(monkeypatch):
    honest = _boundaries.lmcl
    monkeypatch.setattr(_boundaries, "lmcl", lambda margin, level: honest(margin + 1e-5, level))
    verdicts = {panel.loss: _decisions.measure(panel).passed for panel in _decisions.four({})}
    assert verdicts == {"softmax": True, "nsl": False, "asoftmax": True, "lmcl": False}, "nsl is lmcl at margin 0"


def test_a_wrong_loss_fails(monkeypatch):
    from losses.lmcl import LMCL as Loss

    monkeypatch.setattr(Loss, "target", lambda self, cosine: cosine - self.margin * cosine)
    lmcl = _decisions.four({})[3]
    found = _decisions.measure(lmcl)
    assert not found.passed and found.off > 1e-3 and found.formula == pytest.approx(math.sqrt(2) * 0.35)


def test_two_classes_are_drawn_with_their_own_settings(tmp_path):
    study = reports.read(made_up_toys.make(tmp_path, FOUR, seeds=2, images=100, classes=2))
    html = _sections.find("boundaries").render(study)
    assert html.count("<image") == 4, "each loss's unseen images"
    said = text_of(html)
    assert "A-Softmax, m = 3" in said and "LMCL, m = 0.2" in said and "‖W₁‖ / ‖W₂‖ = 1" in said
    assert "Dots: the unseen images of one run" in said


def test_one_loss_of_two_classes_is_no_comparison(tmp_path):
    study = reports.read(made_up_toys.make(tmp_path, {"nsl": FOUR["nsl"]}, seeds=2, images=60, classes=2))
    assert _sections.find("boundaries").render(study) == ""


def test_every_confirmed_row_is_found_by_its_label(tmp_path):
    study = make(tmp_path, LMCL, reference="m 0.2")
    assert [row.label for row in _rows.in_order(study, "tuned")] == list(LMCL)
    assert {row.loss for row in _rows.in_order(study, "tuned")} == {"nsl", "lmcl"}
