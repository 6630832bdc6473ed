"""The curves of a report: where they end, and what has none."""

import json

import numpy as np
import pytest
from made_up_study import make

import reports
from reports import _plots, rates


def test_a_curve_ends_where_a_seed_was_no_longer_measured():
    """MegaFace-style protocols count no false accept rate above 1e-3: nothing is drawn there, a flat line least of all."""
    seeds = [{"far": [1e-5, 1e-3], "tar": [0.1, 0.4]}, {"far": [1e-5, 2e-3], "tar": [0.2, 0.6]}]
    grid, accepts = rates._rates(seeds)
    assert grid[0] == pytest.approx(1e-5) and grid[-1] == pytest.approx(1e-3)
    np.testing.assert_allclose(accepts[:, [0, -1]], [[10, 40], [20, 20]])


@pytest.mark.parametrize("perfect", ["lmcl", "all"])
def test_a_network_without_an_error_has_no_line_on_a_logarithmic_axis_and_stops_no_report(tmp_path, perfect):
    folder = make(tmp_path / "runs")
    for known in reports.read(folder).records:
        file = known.folder / "curves.json"
        if file.exists():
            kept = json.loads(file.read_text())["lfw"]
            if perfect in ("all", known.trial.loss):
                kept["roc"] = {"far": [0.0, 1.0], "tar": [1.0, 1.0]}
            file.write_text(json.dumps({"lfw": kept}))
    page = rates.render(reports.read(folder))
    assert page.count("no error") == (perfect == "all")


@pytest.mark.parametrize(("low", "high"), [(86, 100), (6, 15), (5.5, 19), (12, 95), (0.001, 1000)])
def test_a_logarithmic_axis_has_ticks_enough_to_read_it(low, high):
    _, [[ax]] = _plots.panels(1, 1)
    ax.set(xscale="log", xlim=(low, high))
    _plots.log_ticks(ax.xaxis)
    assert 2 <= sum(low <= tick <= high for tick in ax.get_xticks()) <= 8
