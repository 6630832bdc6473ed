"""The section of hardest pairs and probes: what it picks, counted by hand; names and pictures, and why there are none."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from made_up_hard import FACES, NOISE, SEEDS, make
from made_up_study import text_of
from markupsafe import Markup
from real_faces import DATA, LFW, needs_data
from well_formed import assert_well_formed

import reports
from bench import places, scoring
from reports import _hard, _pictures, _write, hardest

PICTURE = 'src="data:image/jpeg;base64,'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("hard"))


@pytest.fixture(scope="module")
def study(folder):
    return reports.read(folder)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "hard")


def wrong_by_hand(study, loss):
    """(n,) the share of the runs of a loss that decide each LFW pair wrongly."""
    found = []
    for record in study.of("tuned"):
        if record.trial.loss == loss:
            raw = np.load(record.folder / "raw.npz")
            folds = sorted(set(raw["lfw/folds"].tolist()))
            threshold = [raw["lfw/thresholds"][folds.index(fold)] for fold in raw["lfw/folds"].tolist()]
            found.append((raw["lfw/scores"] > np.array(threshold)) != raw["lfw/same"])
    return np.mean(found, axis=0)


class TestPairs:
    def test_right_and_wrong_are_those_of_the_accuracy(self, study):
        (found,) = _hard.pairs(study, "lfw")
        assert {row.loss for row in found.rows} == set(NOISE) and found.threshold == _hard.FOLDS
        for place, row in enumerate(found.rows):
            assert found.wrong[place].tolist() == wrong_by_hand(study, row.loss).tolist()
            accuracy = np.mean([record.metrics["lfw/accuracy"] for record in row.records])
            assert 1 - found.wrong[place].mean() == pytest.approx(accuracy)
            decided = found.wrong[place] * SEEDS
            assert (found.margin[place][decided == 0] >= 0).all() and (found.margin[place][decided == SEEDS] <= 0).all()

    def test_what_every_loss_fails_on_comes_first_and_what_one_fails_on_apart(self, study):
        (found,) = _hard.pairs(study, "lfw")
        failed = {row.loss: wrong_by_hand(study, row.loss) > 0.5 for row in found.rows}
        both = failed["softmax"] & failed["lmcl"]
        picked = found.hardest(found.same, 4)
        assert len(picked) == 4 and all(both[place] and found.same[place] for place in picked)
        means = found.margin.mean(axis=0)
        assert means[picked].tolist() == sorted(means[both & found.same])[:4]
        for place, row in enumerate(found.rows):
            other = failed["lmcl" if row.loss == "softmax" else "softmax"]
            assert all(failed[row.loss][one] and not other[one] for one in found.alone(place, 99))
            assert len(found.alone(place, 99)) == (failed[row.loss] & ~other).sum() > 0

    def test_without_folds_the_threshold_is_where_both_errors_are_equal(self, copy, study):
        for path in copy.glob("*/raw.npz"):
            kept = {key: array for key, array in np.load(path).items() if key != "lfw/folds"}
            np.savez(path, **kept)
        (found,) = _hard.pairs(reports.read(copy), "lfw")
        assert found.threshold == _hard.EQUAL_ERRORS
        for place, row in enumerate(found.rows):
            eer = np.mean([record.metrics["lfw/eer"] for record in row.records])
            for kind in (found.same, ~found.same):
                assert found.wrong[place][kind].mean() == pytest.approx(eer, abs=0.02)

    def test_runs_of_another_version_are_left_out(self, copy):
        path = next(r.folder / "record.json" for r in reports.read(copy).of("tuned") if r.trial.loss == "lmcl")
        body = json.loads(path.read_text())
        body["scores"]["lfw"]["hash"] = "another"
        path.write_text(json.dumps(body))
        ((_, runs),) = _hard._sets(reports.read(copy), "lfw", _hard._pair_sets)
        assert {row.loss: len(raws) for row, raws in runs} == {"softmax": SEEDS, "lmcl": SEEDS - 1}


class TestProbes:
    def test_rank_and_misses_are_those_of_rank_1(self, study):
        (found,) = _hard.probes(study, "megaface")
        protocol = scoring.open_protocol(FACES[1])[0]
        assert found.images[:, 0].tolist() == list(range(protocol.probes))
        for place, row in enumerate(found.rows):  # each probe has as many searches: 4 images a person
            rank1 = np.mean([record.metrics["megaface/rank1"] for record in row.records])
            assert 1 - found.wrong[place].mean() == pytest.approx(rank1)
        assert (found.shown >= 1).all() and found.shown[found.wrong == 0].tolist() == [1] * int(
            (found.wrong == 0).sum()
        )

    def test_a_probe_without_a_mate_is_none(self):
        raw = {"probe": np.array([4, 7]), "better": np.array([9, 0, 3]), "mate_scores": np.array([0.1, -np.inf, 0.3])}
        rank, missed, cut = _hard._found(raw, np.array([4, 7]), 9)
        assert np.exp(rank) == pytest.approx([10, 4]) and missed.tolist() == [1, 1] and cut.tolist() == [1, 0]

    @pytest.mark.parametrize(("depth", "first"), [(9, "rank ≥ 10<"), (10, "rank 10<"), (np.inf, "rank 10<")])
    def test_a_rank_that_was_not_counted_to_its_end_is_a_bound(self, depth, first):
        raw = {"probe": np.array([4, 7]), "better": np.array([9, 3]), "mate_scores": np.array([0.1, 0.3])}
        found = _hard._probe_set("megaface", [("softmax", [raw])], depth)
        shown = [hardest._rank(found, 0, place).html for place in (0, 1)]
        assert first in shown[0] and "rank 4<" in shown[1]

    def test_a_mean_over_seeds_of_which_one_was_not_counted_to_its_end_is_a_bound(self):
        seeds = [{"probe": np.array([4]), "better": np.array([n]), "mate_scores": np.array([0.1])} for n in (3, 15)]
        found = _hard._probe_set("megaface", [("softmax", seeds)], 15)
        assert "rank ≥ 8<" in hardest._rank(found, 0, 0).html

    @pytest.mark.parametrize(
        ("spec", "depth"),
        [({"protocol": "megaface"}, 100), ({"protocol": "megaface", "depth": 20}, 20),
         ({"protocol": "megaface", "depth": "all"}, np.inf), ({"protocol": "rank_k"}, np.inf), ({}, np.inf)],
    )  # fmt: skip
    def test_how_deep_a_search_counts_stands_in_the_protocols_facts(self, spec, depth, copy):
        for path in copy.glob("*/record.json"):
            body = json.loads(path.read_text())
            body["scores"]["megaface"]["spec"] = spec
            path.write_text(json.dumps(body))
        assert _hard._depth(reports.read(copy), "megaface") == depth

    def test_searches_of_several_galleries_at_once_are_no_set_of_probes(self):
        raw = {"probe": np.array([4]), "better": np.array([[9, 3]]), "mate_scores": np.array([[0.1, 0.3]])}
        assert _hard._probe_sets("ijb", raw) == {}


class TestSection:
    def test_it_shows_names_scores_and_pictures(self, study):
        html = hardest.render(study)
        assert_well_formed(html)
        (found,) = _hard.pairs(study, "lfw")
        protocol = scoring.open_protocol(FACES[0])[0]
        place = found.hardest(found.same, 1)[0]
        text = text_of(html)
        assert all(protocol.images[row] in text for row in found.images[place])
        assert f"✗\N{NO-BREAK SPACE}{found.shown[0, place]:.3f}".replace("-", "\N{MINUS SIGN}") in html
        assert html.count(PICTURE) > 20 and "holds images of persons" not in text
        assert "MegaFace-style" in text and "Wrong with one loss alone" in text

    def test_pictures_can_be_left_out(self, folder):
        page = reports.write(folder, sections=["hardest", "data"], pictures=False).read_text()
        assert PICTURE not in page and page.count("Pictures are left out, as was asked.") == 3
        assert "lfw-0000" in page, "the names stay"

    def test_the_command_line_leaves_them_out(self, folder, facebench, monkeypatch, tmp_path):
        monkeypatch.setenv("FACEBENCH_RUNS", str(folder.parent))
        asked = []

        def write(folder, **options):
            asked.append((places.data("."), options["pictures"]))

        monkeypatch.setattr(_write, "write", write)
        assert facebench("report", "hard", "--no-pictures", "--data", tmp_path)[0] == 0
        assert facebench("report", "hard")[0] == 0
        assert asked == [(tmp_path, False), (tmp_path, True)]

    def test_another_version_of_the_lists_gives_neither_names_nor_pictures(self, study):
        trial = study[0].trial
        made = _pictures.album(trial, "lfw", "0" * 16, [0])
        assert made.name(3) == "image 3" and "another version of it" in made.missing and not made.shown

    def test_without_the_data_the_reason_is_said(self, study):
        from bench.plain import Options

        trial = replace(study[0].trial, protocols=(Options(name="lfw", pairs="lists/pairs.txt"),))
        made = _pictures.album(trial, "lfw", "0" * 16, [0])
        assert "set $FACEBENCH_DATA" in made.missing and made.names == ()

    def test_a_study_that_kept_no_scores_says_so(self, copy):
        for path in copy.glob("*/raw.npz"):
            path.unlink()
        assert "No scores of pairs or probes" in text_of(hardest.render(reports.read(copy)))


class TestNote:
    """What stands above the tables of a protocol."""

    def test_where_no_loss_is_wrong_nothing_is_left_out(self, study, monkeypatch):
        monkeypatch.setattr(hardest, "_chosen", lambda found: [])
        assert "left out" not in text_of(hardest.render(study))

    def test_one_unreadable_image_leaves_the_other_pictures(self, study):
        album = _pictures.Album(("a", "b"), "a cannot be read (cut short)", shown={1: Markup("<img>")})
        assert "Some pictures are left out: a cannot be read" in hardest._missing(study, album)
        assert "Pictures are left out: a cannot" in hardest._missing(study, _pictures.Album(album.names, album.missing))

    def test_one_loss_alone_is_wrong_with_nobody_else(self, study):
        (found,) = _hard.pairs(study, "lfw")
        assert "with it alone" in hardest._counts(study, found)
        one = replace(found, rows=found.rows[:1], **{k: getattr(found, k)[:1] for k in ("shown", "margin", "wrong")})
        html = hardest._counts(study, one)
        assert_well_formed(html)
        assert "with it alone" not in html and html.count("<td") == 2


@needs_data
def test_real_faces_are_shown_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEBENCH_DATA", str(DATA))
    study = reports.read(make(tmp_path, ({"name": "lfw", "pairs": "protocols/lfw_pairs.txt", "images": LFW},)))
    html = hardest.render(study)
    assert "holds images of persons" in html and html.count(PICTURE) > 20 and len(html) < 400_000
    monkeypatch.delenv("FACEBENCH_DATA")
    html = hardest.render(study)
    assert PICTURE not in html and "set $FACEBENCH_DATA" in html and "image 1" in html
