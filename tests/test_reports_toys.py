"""The sections that show the papers' experiments: panels, figures and verdicts against the records; left out elsewhere."""

import math
import re

import made_up_toys
import numpy as np
import pytest
from made_up_study import text_of
from made_up_toys import clusters, rays
from well_formed import assert_well_formed

import reports
from reports import _scatter, _sections, _toy, _words, _write

DRAW = np.random.default_rng(5)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """`runs/` with a study of center losses over ten classes and one of cosine margins over eight."""
    root = tmp_path_factory.mktemp("toys") / "runs"
    made_up_toys.make(root, made_up_toys.CENTER, name="centers", images=400, seeds=3)
    made_up_toys.make(root, made_up_toys.LMCL, name="margins", images=400, seeds=3, classes=8)
    return root


@pytest.fixture(scope="module")
def centers(runs):
    return reports.read(runs / "centers")


@pytest.fixture(scope="module")
def margins(runs):
    return reports.read(runs / "margins")


def test_the_features_section_has_a_panel_a_row_and_split(centers):
    html = _sections.find("features").render(centers)
    assert_well_formed(html)
    assert html.count("<image") == 2 * 5, "each panel's points are one picture"
    for label in made_up_toys.CENTER:
        assert f">{label}</text>" in html
    assert "Shown: seed 1;" in html and "training images" in html and "unseen images" in html


def test_the_features_table_has_the_means_over_seeds(centers):
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", _sections.find("features").render(centers))
    at = cells.index("center .01")
    kept = dict((row.label, kept) for row, kept in _toy.arms(centers))["center .01"]
    within = [_toy.scatter(one.train, one.train_labels).within for one in kept]
    assert cells[at + 2] == _words.measure(np.mean(within), np.std(within, ddof=1))
    assert cells[at + 1] == "training" and cells[at + 7 : at + 10] == [_words.DASH, _words.DASH, "3"], (
        "accuracy is of unseen images"
    )
    unseen = cells.index("center .01", at + 1)
    right = [r.metrics["closed/accuracy"] for r in centers if r.trial.label == "center .01"]
    assert cells[unseen + 7] == _words.plus_minus(np.mean(right), np.std(right, ddof=1))


def test_collapsed_features_are_drawn_and_have_no_ratio(tmp_path):
    def collapsed(draw, classes, images):
        raw = clusters(1.0)(draw, classes, images)
        return {key: array if "labels" in key else 0 * array for key, array in raw.items()}

    arms = {"softmax": ("softmax", {}, rays()), "center alone": ("center", {"softmax_weight": 0.0}, collapsed)}
    study = reports.read(made_up_toys.make(tmp_path, arms, seeds=2, images=60))
    html = _sections.find("features").render(study)
    assert html.count("<image") == 4 and "nan" not in text_of(html).lower()


def test_a_toy_study_has_no_section_that_is_not_about_it(centers):
    page = _write.page(centers)
    assert_well_formed(page)
    found = re.findall(r'<section id="(\w+)">', page)
    assert "features" in found and "leaderboard" in found
    assert not {"tuning", "hyperparameters", "rates", "angles", "boundaries", "claims"} & set(found)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    assert len(page.encode()) < 1_000_000 and page == _write.page(centers)


def test_a_closed_set_test_is_called_so(centers):
    said = text_of(_write.page(centers))
    assert "closed-set accuracy" in said and "says nothing of people that the network never saw" in said
    assert "Whether training and test share people is unknown" not in said
    assert "closed-set 1\N{NON-BREAKING HYPHEN}NN accuracy" not in said, "1-NN is no leading figure"
    assert re.search(r"chance.{0,20}10\.00", said, re.DOTALL)
    assert "as set in the study file" in said and "as tuned by" not in said


def test_angles_measure_the_arc_beside_its_theory(margins):
    html = _sections.find("angles").render(margins)
    assert_well_formed(html)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", html)
    assert cells[: cells.index("nsl")] == ["softmax", _words.DASH, _words.DASH, *cells[3:5], _words.DASH, "3"]
    assert cells[cells.index("lmcl .1") :][1:3] == ["0.1", "15.0"]
    at = cells.index("lmcl .2")
    kept = dict((row.label, kept) for row, kept in _toy.arms(margins))["lmcl .2"]
    least = [math.degrees(_toy.empty_arcs(_toy.arcs(one.train, one.train_labels)).min()) for one in kept]
    assert cells[at + 1 : at + 4] == ["0.2", "30.3", f"{np.mean(least):.1f} ± {np.std(least, ddof=1):.1f}"]
    shares = [_toy.satisfied(one.train, one.train_labels, one.weight, 0.2)[1] for one in kept]
    by_class = cells[cells.index("lmcl .2", at + 1) :][1:9]
    assert by_class == [f"{100 * share:.1f}" for share in np.mean(shares, axis=0)]


def test_a_margin_beyond_the_bound_has_no_theory(tmp_path):
    arms = {"lmcl .4": ("lmcl", {"margin": 0.4}, rays(0.02))}
    study = reports.read(made_up_toys.make(tmp_path, arms, seeds=2, images=100, classes=8))
    assert "cannot be kept (m &gt; 0.293)" in _sections.find("angles").render(study)


def test_many_rows_make_several_pictures_of_equal_size():
    assert [list(part) for part in _scatter.chunks(list(range(5)))] == [[0, 1, 2, 3, 4]]
    assert [len(part) for part in _scatter.chunks(list(range(11)))] == [4, 3, 4]
    assert [one for part in _scatter.chunks(list(range(23))) for one in part] == list(range(23))


def test_a_cloud_of_many_points_is_thinned():
    axes = _scatter.grid(1, 1)[1]
    _scatter.cloud(axes[0][0], DRAW.normal(0, 1, (9000, 2)), np.repeat(np.arange(9), 1000))
    shown = axes[0][0].collections[0].get_offsets()
    assert len(shown) == _scatter.MOST


def test_a_label_is_escaped_in_every_section(tmp_path):
    arms = {"<b>a</b>": ("lmcl", {"margin": 0.1}, rays())}
    study = reports.read(made_up_toys.make(tmp_path, arms, seeds=2, images=60, classes=8))
    page = _write.page(study)
    assert "<b>a" not in page and "&lt;b&gt;a" in page
    assert_well_formed(page)


def test_a_study_without_features_has_none_of_these_sections(tmp_path):
    folder = made_up_toys.make(tmp_path, {"nsl": made_up_toys.LMCL["nsl"]}, seeds=2, images=50)
    for one in reports.read(folder):
        (one.folder / "raw.npz").unlink()
    study = reports.read(folder)
    assert [_sections.find(name).render(study) for name in ("features", "angles", "boundaries")] == ["", "", ""]
