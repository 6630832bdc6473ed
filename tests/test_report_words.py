"""The sentences of a report against its figures: the verdict, what speaks against it, and the digits of numbers."""

import json
import re
import shutil

import pytest
from made_up_study import copy, edit, full, keep, pilot, runs, text_of  # noqa: F401 (fixtures)

import reports
from bench import record
from reports import _comparisons, _markup, _plots, _sections, _tables, _words, _write
from reports._caveats import caveats
from reports.verdict import answer, scope, sensitivity


def test_the_verdict_of_a_pilot_claims_nothing(pilot):
    said = answer(pilot)
    assert said.startswith("Pilot, no verdict: with 3 training seeds a loss (a verdict needs 5)")
    assert "better" not in said and "worse" not in said
    assert set(_comparisons.ranks(pilot, "lfw/accuracy").values()) == {(1, 3)}
    assert "pilot, no verdict" in _sections.find("differences").render(pilot)


def test_the_verdict_of_five_seeds_is_written_from_its_numbers(full):
    said = answer(full)
    lines = {line.row.loss: line.comparison for line in _comparisons.against_reference(full, "lfw/accuracy")}
    assert lines["lmcl"].verdict == "better" and lines["center"].verdict == "tie"
    assert re.search(
        r"On LFW accuracy, lmcl \(\+2\.\d\d points.*\) is better than softmax; center \(.*\) is tied with softmax\.",
        said,
    )
    assert f"{100 * lines['lmcl'].difference:+.2f} points" in said
    assert f"A true difference of {100 * max(c.detectable for c in lines.values()):.1f} points" in sensitivity(full)
    assert "is a tie, as it must be" in sensitivity(full)
    assert "as tuned by one search of 48 epochs a loss, with cnn4 trained for 10 epochs on digits" in scope(full)


def test_an_again_row_that_is_no_tie_is_said_loudly(copy):
    def worse(body):
        body["metrics"]["lfw/accuracy"] -= 0.2
        body["scores"]["lfw"]["metrics"]["lfw/accuracy"] -= 0.2

    edit(copy, worse, role="again")
    study = reports.read(copy)
    assert "is NOT a tie" in sensitivity(study)
    assert "The A/A row is not a tie" in " ".join(caveats(study))
    assert "not a tie: see the note" in _sections.find("differences").render(study)


def test_without_confirmed_runs_the_report_says_so(copy):
    keep(copy, "tune")
    page = text_of(reports.write(copy).read_text())
    assert "There are no test figures yet: no confirmation run was started." in page
    assert (copy / "report" / "leaderboard.csv").exists()


def test_half_a_study_says_what_is_missing(copy):
    for one in reports.read(copy).of("tuned"):
        if one.trial.number > 1:
            (one.folder / "record.json").unlink()
    study = reports.read(copy)
    assert "9 confirmation runs not finished" in " ".join(caveats(study))
    assert "3 to come" in _sections.find("leaderboard").render(study)
    assert answer(study).startswith("Pilot, no verdict: with 2 training seeds")


def test_one_seed_is_shown_without_spread_and_without_comparison(copy):
    for one in reports.read(copy).of("tuned", "again"):
        if one.trial.number > 0:
            shutil.rmtree(one.folder)
    study = reports.read(copy)
    assert "at least 2 of each" in answer(study)
    assert "nan" not in text_of(_write.page(study, sections=["verdict", "leaderboard", "differences", "figures"]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: body["provenance"].update(dirty=True), "uncommitted changes"),
        (lambda body: body["provenance"].update(data="elsewhere"), "did not all train on the same data"),
        (lambda body: body["cost"].update(precision="float32"), "computed alike: "),
        (
            lambda body: body["scores"]["lfw"].update(overlap={"verdict": "allowed"}),
            "overlap, by the study's own leave, on lfw",
        ),
        (lambda body: body["scores"]["lfw"].update(overlap={}), "unknown on lfw"),
    ],
)
def test_what_speaks_against_the_answer_is_said(copy, change, words):
    assert words not in " ".join(caveats(reports.read(copy)))
    edit(copy, change, role="tuned", loss="lmcl")
    assert words in " ".join(caveats(reports.read(copy)))


def test_runs_lost_to_errors_are_said_and_not_called_chance(copy):
    for one in [r for r in reports.read(copy).of("tuned") if r.trial.loss == "lmcl"][:2]:
        record.finish(one.folder, "failed", "CUDA error: out of memory", kind="error")
    study = reports.read(copy)
    said = " ".join(caveats(study))
    assert "2 runs were lost to errors of the machine or the request and in no figure: run the sweep again." in said
    assert "counts in the means as chance" not in said
    page = text_of(_sections.find("failures").render(study))
    assert "An error is one of the machine or the request and not of the training" in page


def test_a_loss_that_was_not_confirmed_does_not_vanish(copy):
    facts = json.loads((copy / "study.json").read_text())
    facts["cells"] = {"cnn4/softmax": {"trouble": ""}, "cnn4/lmcl": {"trouble": "no tuning trial finished"}}
    (copy / "study.json").write_text(json.dumps(facts))
    said = caveats(reports.read(copy))
    assert said[0] == "lmcl was not confirmed: no tuning trial finished."
    assert sum("was not confirmed" in sentence for sentence in said) == 1


def test_an_unequal_budget_is_said(copy):
    assert "did not cost the same" not in " ".join(caveats(reports.read(copy)))
    for one in reports.read(copy).of("search"):
        if one.trial.loss == "lmcl" and one.trial.number < 3:
            shutil.rmtree(one.folder)
    assert "did not cost the same number of training epochs: center 39, lmcl 21 and softmax 39." in " ".join(
        caveats(reports.read(copy))
    )


def test_pruned_and_failed_trials_are_counted_and_shown(full):
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", _sections.find("tuning").render(full))
    at = cells.index("lmcl")
    assert cells[at : at + 9] == ["lmcl", "8", "5", "2", "1", "0", "39", "48", "1.9 min"]
    assert "the loss became nan at step 120 (epoch 4)" in _sections.find("failures").render(full)
    hyper = _sections.find("hyperparameters").render(full)
    assert "5 finished, 2 pruned, 1 failed." in hyper
    for name in (
        "margin m",
        "center weight λ",
        "center rate \N{GREEK SMALL LETTER ALPHA}",
        "learning rate",
        "weight decay",
    ):
        assert f">{name}</text>" in hyper, name


def test_contact_sheets_are_embedded_while_there_is_room(copy, monkeypatch):
    from reports import data

    (copy / "contact_sheets").mkdir()
    (copy / "contact_sheets" / "a_faces.png").write_bytes(b"x" * 100)
    (copy / "contact_sheets" / "b_faces.png").write_bytes(b"y" * 100)
    monkeypatch.setattr(data, "ROOM", 150)
    html = data.render(reports.read(copy))
    assert 'src="data:image/png;base64,eHh4' in html and "a faces" in html
    assert "b faces: left out to keep this file small (0.0 MB); see contact_sheets/b_faces.png." in html


def test_the_provenance_names_code_machine_data_and_command(full):
    said = text_of(_sections.find("provenance").render(full))
    for word in (
        "facebench sweep full --address inline",
        "facebench report full",
        "f318bb3d",
        "2.14.0",
        "Xeon",
        "5d3b9e01aa",
    ):
        assert word in said, word
    assert "a1b2c3d4e5f60718" in said


def test_numbers_have_the_digits_that_their_spread_carries():
    assert (
        _words.digits([0.0043, 0.02]) == 2 and _words.digits([0.012, 0.02]) == 1 and _words.digits([float("nan")]) == 2
    )
    assert _words.percent(-0.0123, 1, sign=True) == "\N{MINUS SIGN}1.2"
    assert _words.percent(-0.00001, 2, sign=True) == "0.00"
    assert _words.plus_minus(0.8768, float("nan")) == "87.68"
    assert (_words.p(0.0004), _words.p(0.0213), _words.p(1.0)) == ("< .001", ".021", "1")
    assert _words.listing(["a", "b", "c"]) == "a, b and c" and _words.listing([]) == ""
    assert (_words.ranks((2, 2)), _words.ranks((1, 3))) == ("2", "1\N{EN DASH}3")


@pytest.mark.parametrize(
    ("mean", "spread", "text"),
    [
        (12.3456, 0.42, "12.3 ± 0.4"),
        (1596.51, 6.4, "1,597 ± 6"),
        (0.177962, 0.00143, "0.1780 ± 0.0014"),
        (3.00223, 0.0096, "3.002 ± 0.010"),
        (-0.5, 0.04, "\N{MINUS SIGN}0.50 ± 0.04"),
        (12345.0, 250.0, "12,345 ± 250"),
        (3.2e-9, 4e-10, "3.2e-09 ± 4e-10"),
        (0.0, 0.0, "0.00 ± 0.00"),
        (2.5, 0.0, "2.50 ± 0.00"),
        (60.2, float("nan"), "60.2"),
        (float("nan"), float("nan"), "\N{EN DASH}"),
    ],
)
def test_a_measure_has_the_digits_that_its_spread_carries(mean, spread, text):
    assert _words.measure(mean, spread) == text


def test_a_study_that_tuned_nothing_says_so(copy):
    facts = json.loads((copy / "study.json").read_text())
    (copy / "study.json").write_text(json.dumps(facts | {"tune": None}))
    keep(copy, "confirm")
    study = reports.read(copy)
    assert not study.searched
    assert scope(study).startswith("All of this holds for these losses as set in the study file, with cnn4 trained for")
    page = _write.page(study)
    assert re.findall(r'<section id="(tuning|hyperparameters)">', page) == []
    assert "tuned loss" not in text_of(page) and "| hyper-parameters |" in _tables.markdown(study)


def test_a_study_without_facts_is_taken_for_one_that_tuned(copy):
    (copy / "study.json").unlink()
    assert reports.read(copy).searched


def test_ten_rows_look_different():
    looks = [_plots.style(index) for index in range(10)]
    assert len({look["color"] for look in looks}) == 10
    lines = {(look["color"], look["linestyle"]) for look in (_plots.style(index) for index in range(20))}
    assert len(lines) == 20, "colours that come again have other dashes"


def test_a_whisker_beyond_the_axis_is_an_arrow_without_a_cap():
    inside = _markup.whisker(0.5, 0.4, 0.6, (0.0, 1.0))
    assert "<circle" in inside and inside.count("v6") == 2
    beyond = _markup.whisker(-0.5, -0.6, 0.2, (0.0, 1.0))
    assert "<circle" not in beyond and 'class="beyond"' in beyond and beyond.count("v6") == 1
