"""The figures of a report against the records: means, spreads, diverged runs, what is compared and what is refused."""

import json
import re
import statistics
from dataclasses import replace

import made_up_study
import numpy as np
import pytest
from made_up_study import copy, edit, full, runs, text_of  # noqa: F401 (fixtures)

import reports
from bench import record
from reports import _comparisons, _figures, _rows, _sections, _tables, _write
from reports import _markup as html
from reports._caveats import caveats


def test_the_board_holds_the_means_and_spreads_of_the_records(full):
    board = _tables.board(full).set_index(["loss", "role"])
    for loss in made_up_study.LOSSES:
        figures = [r.metrics["lfw/accuracy"] for r in full.of("tuned") if r.trial.loss == loss]
        line = board.loc[(loss, "tuned")]
        assert line["lfw/accuracy"] == pytest.approx(statistics.mean(figures), abs=1e-12)
        assert line["lfw/accuracy.sd"] == pytest.approx(statistics.stdev(figures), abs=1e-12)
        assert line["lfw/accuracy.n"] == 5
        assert line["lfw/accuracy.low"] < line["lfw/accuracy"] < line["lfw/accuracy.high"]
    assert board.loc[("chance", "chance"), "megaface/rank1"] == 1 / 10_001


def test_the_standard_error_of_one_run_is_the_protocols_own(full):
    runs = [r for r in full.of("tuned") if r.trial.loss == "softmax"]
    own = np.sqrt(np.mean([r.metrics["lfw/accuracy_se"] ** 2 for r in runs]))
    row = next(row for row in _rows.rows(full, "tuned") if row.loss == "softmax")
    assert _rows.cell(full, row, "lfw/accuracy").sample.within == pytest.approx(own, rel=1e-9)


def test_a_diverged_run_scores_chance_and_stays_in(full):
    runs = [r for r in full.of("default") if r.trial.loss == "lmcl"]
    assert [r.state for r in runs].count("failed") == 1
    row = next(row for row in _rows.rows(full, "default") if row.loss == "lmcl")
    cell = _rows.cell(full, row, "lfw/accuracy")
    expected = [r.metrics.get("lfw/accuracy", 0.5) for r in runs]
    assert sorted(cell.sample.values) == pytest.approx(sorted(expected)) and cell.diverged == 1
    assert cell.sample.clusters.shape == (5, 10)
    assert "each scores chance" in _sections.find("leaderboard").render(full)


def test_a_loss_that_always_diverges_is_compared_as_chance(copy):
    for one in reports.read(copy).of("tuned"):
        if one.trial.loss == "lmcl":
            record.finish(one.folder, "failed", "the loss became nan")
    study = reports.read(copy)
    line = next(one for one in _comparisons.against_reference(study, "lfw/accuracy") if one.row.loss == "lmcl")
    assert line.comparison.verdict == "worse" and line.comparison.difference < -0.3
    assert "5 confirmation runs of lmcl failed" in " ".join(caveats(study))


def test_a_run_lost_to_an_error_is_no_sample(copy):
    lost = next(r for r in reports.read(copy).of("tuned") if r.trial.loss == "lmcl")
    before = _rows.rows(reports.read(copy), "tuned")
    record.finish(lost.folder, "failed", "CUDA error: out of memory", kind="error")
    study = reports.read(copy)
    row = next(row for row in _rows.rows(study, "tuned") if row.loss == "lmcl")
    cell = _rows.cell(study, row, "lfw/accuracy")
    kept = [r.metrics["lfw/accuracy"] for r in next(row for row in before if row.loss == "lmcl").records]
    kept.remove(lost.metrics["lfw/accuracy"])
    assert sorted(cell.sample.values) == pytest.approx(sorted(kept)) and cell.diverged == 0
    assert ",lmcl,tuned,4,0," in _tables.csv(study)


def test_a_row_of_which_every_run_was_lost_says_so(copy):
    for one in reports.read(copy).of("tuned"):
        if one.trial.loss == "lmcl":
            record.finish(one.folder, "failed", "the worker died", kind="error")
    study = reports.read(copy)
    row = next(row for row in _rows.rows(study, "tuned") if row.loss == "lmcl")
    assert _rows.cell(study, row, "lfw/accuracy").missing == "lost to errors"
    assert "lost to errors" in text_of(_write.page(study, sections=["leaderboard"]))


def test_the_csv_is_fractions_and_the_markdown_percent(full):
    rows = _tables.csv(full).splitlines()
    assert rows[0].startswith("rank_low,rank_high,backbone,loss,role,seeds,failed,hyperparameters,lfw/accuracy,")
    assert ",lmcl,tuned,5,0," in rows[1] and ",0.89" in rows[1]
    markdown = _tables.markdown(full)
    assert re.search(r"\| 1 \| lmcl \| cnn4 \| 5 \| 89\.\d\d ± 0\.\d\d \|", markdown)
    assert "\N{NO-BREAK SPACE}" not in markdown


def test_protocol_versions_are_never_mixed_in_a_row(copy):
    edit(copy, lambda body: body["scores"]["lfw"].update(hash="other"), role="tuned", loss="center", number=0)
    study = reports.read(copy)
    row = next(row for row in _rows.rows(study, "tuned") if row.loss == "center")
    assert _rows.cell(study, row, "lfw/accuracy").sample is None
    page = text_of(_write.page(study, sections=["verdict", "leaderboard"]))
    assert "scored with different versions of the protocol (a1b2c3d4e5f60718 and other)" in page
    assert "lfw was scored with 2 versions of its lists" in page


def test_protocol_versions_are_never_mixed_in_a_comparison(copy):
    edit(copy, lambda body: body["scores"]["lfw"].update(hash="other"), role="tuned", loss="center")
    study = reports.read(copy)
    line = next(one for one in _comparisons.against_reference(study, "lfw/accuracy") if one.row.loss == "center")
    assert line.comparison is None and "different versions of the protocol" in line.refused
    assert _comparisons.ranks(study, "lfw/accuracy") == {}
    assert line.refused in text_of(_sections.find("differences").render(study))


def test_a_marked_figure_is_shown_and_not_ranked(copy):
    edit(
        copy,
        lambda body: body["scores"]["lfw"]["marks"].update({"lfw/accuracy": "7 false accepts"}),
        role="tuned",
        loss="lmcl",
    )
    study = reports.read(copy)
    assert _comparisons.ranks(study, "lfw/accuracy") == {}
    line = next(one for one in _comparisons.against_reference(study, "lfw/accuracy") if one.row.loss == "lmcl")
    assert line.comparison is None and "marked: 7 false accepts" in line.refused
    assert "Not ranked: 7 false accepts" in text_of(_sections.find("leaderboard").render(study))


@pytest.mark.parametrize("marks", [{}, {"lfw/accuracy": "without the people who look like training identities"}])
def test_seeds_that_were_tested_on_other_people_have_a_mean_where_nothing_is_ranked_by_it(marks, copy):
    tuned = {"role": "tuned", "loss": "lmcl"}
    edit(copy, lambda body: body["scores"]["lfw"]["marks"].update(marks), **tuned)
    edit(copy, lambda body: body["scores"]["lfw"]["clusters"]["lfw/accuracy"]["values"].pop(), seed=1000, **tuned)
    study = reports.read(copy)
    row = next(row for row in _rows.rows(study, "tuned") if row.loss == "lmcl")
    found = _rows.cell(study, row, "lfw/accuracy")
    shown = text_of(html.join(_sections.find(name).render(study) for name in ("leaderboard", "figures", "variance")))
    if marks:
        assert found.sample.seeds == 5 and found.sample.spread > 0 and np.isnan(found.sample.within)
        assert _comparisons.ranks(study, "lfw/accuracy") == {}
        assert f"{100 * found.sample.mean:.2f}" in shown and "kept different numbers" not in shown
    else:
        assert found.sample is None and "kept different numbers of identity clusters" in found.missing
        assert found.missing in shown


def test_an_undefined_figure_stands_with_its_reason(full):
    html = _sections.find("figures").render(full)
    assert "FAR 1e-3 is undefined on 300 impostor pairs" in html
    assert "Not ranked: 3 false accepts, fewer than 30." in html


def test_an_error_rate_is_better_when_lower(copy):
    facts = json.loads((copy / "study.json").read_text())
    (copy / "study.json").write_text(json.dumps(facts | {"primary": "lfw/eer"}))
    study = reports.read(copy)
    assert next(iter(_rows.rows(study, "tuned"))).loss == "lmcl"
    line = next(one for one in _comparisons.against_reference(study, "lfw/eer") if one.row.loss == "lmcl")
    assert line.comparison.difference < 0 and line.comparison.verdict == "better"
    assert _comparisons.ranks(study, "lfw/eer")["cnn4", "lmcl"][0] == 1


def test_the_family_is_every_loss_against_the_reference_and_the_again_row_is_outside(full):
    lines = _comparisons.against_reference(full, "lfw/accuracy")
    assert {line.row.loss for line in lines} == {"center", "lmcl"}
    assert all(line.against.loss == "softmax" for line in lines)
    smallest = min(line.comparison.p for line in lines)
    assert min(line.comparison.adjusted for line in lines) == pytest.approx(2 * smallest)
    (again,) = _comparisons.against_itself(full, "lfw/accuracy")
    assert again.comparison.adjusted == again.comparison.p > 0.05


def test_without_facts_the_reference_and_the_primary_figure_are_the_usual_ones(copy):
    (copy / "study.json").unlink()
    study = reports.read(copy)
    assert (study.name, study.reference, study.objective) == ("full", "softmax", "dev/accuracy")
    assert _rows.primary(study) == "lfw/accuracy"


def test_the_ledger_counts_this_study_and_all(runs, full, copy):
    assert full.scorings("lfw", made_up_study.HASHES["lfw"]) == (39, 39 + 23)
    assert full.scorings("lfw", "other") == (0, 0)
    assert "39 / 62" in _sections.find("leaderboard").render(full)
    assert reports.read(copy).ledger == (), "no ledger beside the copy"
    (copy.parent / "test_ledger.jsonl").write_text('{"study": "full", "protocol": "lfw", "hash": "h"}\n{"stu')
    assert reports.read(copy).scorings("lfw", "h") == (1, 1), "a line cut short by a crash is dropped"


def test_two_backbones_are_compared_each_with_its_own_reference(copy):
    for one in reports.read(copy).of("tuned", "again"):
        body = json.loads((one.folder / "record.json").read_text())
        trial = replace(one.trial, backbone="resnet10t")
        where = record.start(trial, copy)
        record.write_text(where / "record.json", json.dumps(body))
    study = reports.read(copy)
    lines = _comparisons.against_reference(study, "lfw/accuracy")
    assert len(lines) == 4 and all(line.row.backbone == line.against.backbone for line in lines)
    page = text_of(_write.page(study, sections=["verdict", "leaderboard", "differences", "tuning"]))
    assert "lmcl (resnet10t)" in page and "lmcl (cnn4)" in page


@pytest.mark.parametrize(
    ("metric", "counts", "level"),
    [
        ("lfw/accuracy", {}, 0.5),
        ("lfw/auc", {}, 0.5),
        ("ytf-mean_score/eer", {}, 0.5),
        ("lfw/tar_at_far_1e-3", {}, 1e-3),
        ("megaface/rank1", {"distractors": 9999}, 1e-4),
        ("megaface/rank1", {}, None),
        ("megaface/rank1_at_1000", {"distractors": 9999}, 1 / 1001),
        ("megaface/rank10_at_99", {}, 0.1),
        ("lfw/accuracy_se", {}, None),
        ("lfw/threshold", {}, None),
        ("closed/accuracy", {"identities": 8, "images": 100}, 1 / 8),
        ("closed/nearest", {"identities": 10}, 0.1),
        ("closed/accuracy", {}, None),
    ],
)
def test_chance(metric, counts, level):
    assert _figures.chance(metric, counts) == (None if level is None else pytest.approx(level))


def labelled(folder, **labels):
    """Give the confirmed and repeated runs of each loss a label."""
    for one in reports.read(folder).of("tuned", "again"):
        if label := labels.get(one.trial.loss):
            plain = one.trial.plain() | {"label": label}
            record.write_text(one.folder / "trial.json", json.dumps(plain))


def test_rows_go_by_their_labels(copy):
    labelled(copy, lmcl="ours", softmax="plain")
    facts = json.loads((copy / "study.json").read_text())
    (copy / "study.json").write_text(json.dumps(facts | {"reference": "plain", "losses": ["plain", "center", "ours"]}))
    study = reports.read(copy)
    assert [row.label for row in _rows.in_order(study, "tuned")] == ["plain", "center", "ours"]
    lines = _comparisons.against_reference(study, "lfw/accuracy")
    assert {(line.row.label, line.against.label) for line in lines} == {("ours", "plain"), ("center", "plain")}
    assert len(_comparisons.against_itself(study, "lfw/accuracy")) == 1
    assert _comparisons.ranks(study, "lfw/accuracy")["cnn4", "ours"] == (1, 1)
    page = text_of(_write.page(study, sections=["verdict"]))
    assert "ours (+2." in page and "is better than plain" in page
    board = _tables.board(study).set_index(["label", "role"])
    assert board.loc[("ours", "tuned"), "loss"] == "lmcl" and board.loc[("lmcl", "default"), "loss"] == "lmcl"


def test_two_labels_of_one_loss_are_two_rows(copy):
    for one in reports.read(copy).of("tuned"):
        if one.trial.loss == "lmcl":
            where = record.start(replace(one.trial, label="lmcl again"), copy)
            record.write_text(where / "record.json", (one.folder / "record.json").read_text())
    study = reports.read(copy)
    rows = [row for row in _rows.rows(study, "tuned") if row.loss == "lmcl"]
    assert sorted((row.label, len(row.records)) for row in rows) == [("lmcl", 5), ("lmcl again", 5)]
    assert "| lmcl again | cnn4 | 5 |" in _tables.markdown(study)


def test_without_labels_there_is_no_such_column(full):
    assert "label" not in _tables.board(full)


def test_the_frame_has_a_row_a_trial(full, runs):
    frame = reports.frame(runs / "full")
    assert len(frame) == len(full)
    lmcl = frame[(frame["loss"] == "lmcl") & (frame["role"] == "tuned")]
    winner = next(r for r in full.of("tuned") if r.trial.loss == "lmcl").trial
    assert set(lmcl["loss_options.margin"]) == {winner.loss_options["margin"]}
    assert lmcl["lfw/accuracy"].notna().all() and set(lmcl["lfw.hash"]) == {made_up_study.HASHES["lfw"]}
    pruned = frame[frame["state"] == "pruned"]
    assert (pruned["epochs_done"] == 3).all() and pruned["dev/accuracy"].notna().all()
    assert {"cost.train_seconds", "provenance.commit", "lfw.overlap"} <= set(frame.columns)


def test_the_curves_have_a_row_a_point(full):
    frame = reports.curves(full)
    kept = next(r for r in full.of("tuned") if r.trial.loss == "center")
    own = frame[(frame["id"] == kept.trial.id) & (frame["protocol"] == "lfw") & (frame["curve"] == "roc")]
    assert own["tar"].tolist() == kept.curves()["lfw"]["roc"]["tar"]


def test_what_stands_beside_a_protocols_own_figures_comes_after_them():
    names = ["lfw-decontaminated/auc", "lfw/auc", "lfw/group_old/auc", "lfw/accuracy"]
    assert sorted(names, key=_figures.is_further) == [
        "lfw/auc",
        "lfw/accuracy",
        "lfw-decontaminated/auc",
        "lfw/group_old/auc",
    ]
    assert _figures.full_title("lfw-decontaminated/auc") == "LFW AUC (decontaminated)"
    assert _figures.title("lfw/group_old/tar_at_far_1e-2").startswith("TAR at FAR 1e")
    assert _figures.title("lfw/group_old/accuracy") == "accuracy, old"
    assert not _figures.higher_is_better("lfw/far_at_dev_1e-2") and not _figures.higher_is_better("lfw/frr_at_dev_1e-2")
