"""What a figure varies by: against numbers that were put in, and on the page."""

import numpy as np
import pytest
from made_up_study import make
from well_formed import assert_well_formed

import reports
from reports import _rows, variance


def test_pooled_weighs_by_degrees_of_freedom():
    assert variance.pooled([(1.0, 2), (4.0, 1), (99.0, 0)]) == pytest.approx(2.0)


def test_between_takes_off_what_noise_puts_into_the_means_and_a_root_is_never_negative():
    draw = np.random.default_rng(0)
    means = draw.normal(0, 0.02, 4000) + draw.normal(0, 0.01, 4000)
    assert variance.between(means, 0.01**2) == pytest.approx(0.02**2, rel=0.05)
    assert variance.between([0.5, 0.51], 1.0) == pytest.approx(5e-5 - 1) and variance.root(-1.0) == 0.0


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Seeds spread by .4 points, losses .865, .872 and .893."""
    return reports.read(make(tmp_path_factory.mktemp("runs"), seeds=12))


def test_what_was_put_in_is_found(study):
    found = {part.name: part for part in variance.parts(study, "lfw/accuracy")}
    assert set(found) == {"Training seed", "Test identities", "Loss", "Hyper-parameters"}
    assert found["Training seed"].spread == pytest.approx(0.004, rel=0.2)
    assert found["Loss"].spread == pytest.approx(np.std([0.865, 0.872, 0.893], ddof=1), rel=0.2)
    assert found["Test identities"].over == "10 folds"
    rows = [row for row in _rows.rows(study) if row.role in ("tuned", "default", "again")]
    diverged = [row for row in rows if row.done("failed")]
    assert len(diverged) == 1 and found["Training seed"].over.startswith(f"{len(rows) - 1} rows"), (
        "it would be 10 points"
    )


def test_the_section_names_the_largest_first_and_says_what_one_run_is_worth(study):
    html = variance.render(study)
    assert_well_formed(html)
    text = html.striptags()
    assert "One run of one loss is known to ± 0.4" in text and "the losses differ by 1." in text
    assert text.rindex("Loss") < text.rindex("Test identities")


def test_one_seed_tells_no_spread(tmp_path):
    study = reports.read(make(tmp_path, seeds=1, broken=False))
    assert variance.parts(study, "lfw/accuracy") == []
    assert "is not known yet" in variance.render(study)
