"""The report: every section on every kind of study, its figures against the records, its words against its figures."""

import json
import re
import shutil
import statistics
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import made_up_study
import numpy as np
import pytest
from markupsafe import Markup

import reports
from bench import record
from bench.errors import RequestError
from reports import _comparisons, _figures, _markup, _plots, _rows, _sections, _tables, _words, _write
from reports._caveats import caveats
from reports.verdict import answer, scope, sensitivity

VOID = {"meta", "img", "link", "br", "circle", "line", "path", "use", "rect", "hr"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """`runs/` with a pilot of three seeds and a study of five."""
    root = tmp_path_factory.mktemp("reports") / "runs"
    made_up_study.make(root, name="pilot", seeds=3)
    made_up_study.make(root, name="full", seeds=5)
    return root


@pytest.fixture(scope="module")
def full(runs) -> reports.Study:
    return reports.read(runs / "full")


@pytest.fixture(scope="module")
def pilot(runs) -> reports.Study:
    return reports.read(runs / "pilot")


@pytest.fixture
def copy(runs, tmp_path) -> Path:
    """A copy of the study of five that a test may spoil."""
    return Path(shutil.copytree(runs / "full", tmp_path / "runs" / "full"))


def keep(folder: Path, *stages: str) -> None:
    """Throw away the trials of all other stages."""
    for one in record.read_study(folder):
        if one.trial.stage not in stages:
            shutil.rmtree(one.folder)


def edit(folder: Path, change, **chosen) -> None:
    """Apply `change(body)` to the record.json of every trial whose fields are as `chosen`."""
    for one in record.read_study(folder):
        if all(getattr(one.trial, key) == value for key, value in chosen.items()) and one.state == "finished":
            body = json.loads((one.folder / "record.json").read_text())
            change(body)
            record.write_text(one.folder / "record.json", json.dumps(body))


class Balance(HTMLParser):
    """Refuses a tag that is closed out of order or never."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def assert_well_formed(html: str) -> None:
    parser = Balance()
    parser.feed(html)
    parser.close()
    assert parser.open == []


def text_of(html: str) -> str:
    return Markup(re.sub(r"<(style|script).*?</\1>", "", html, flags=re.DOTALL)).striptags()


# --- the contract of every section


@pytest.mark.parametrize("section", _sections.names())
@pytest.mark.parametrize("state", ["full", "tuning only", "confirmed only", "waiting", "no facts"])
def test_every_section_answers_every_study(section, state, runs, copy):
    if state == "tuning only":
        keep(copy, "tune")
    elif state == "confirmed only":
        keep(copy, "confirm", "default")
    elif state == "waiting":
        for path in [*copy.glob("*/record.json"), *copy.glob("*/events.jsonl"), *copy.glob("*/curves.json")]:
            path.unlink()
    elif state == "no facts":
        (copy / "study.json").unlink()
    html = _sections.find(section).render(reports.read(copy))
    assert isinstance(html, Markup)
    assert_well_formed(html)
    assert html.striptags(), "a section without an answer says so in words"


def test_the_sections_stand_in_their_order():
    names = reports.names()
    assert names[:3] == ["verdict", "leaderboard", "differences"] and names[-1] == "provenance"
    assert {"curves", "hyperparameters", "tuning", "data", "failures"} <= set(names)


def test_an_unknown_section_lists_the_known(runs):
    with pytest.raises(RequestError, match=r"'leaderbord'.*there is: verdict, leaderboard"):
        reports.write(runs / "full", sections=["leaderbord"])
    with pytest.raises(RequestError, match="'_rows'"):
        _sections.find("_rows")


def test_a_section_is_a_file(monkeypatch, tmp_path, full):
    """A new file with `render(records)` is found, has a title, and is given the records."""
    (tmp_path / "hello.py").write_text(
        "def render(records):\n    return f'<p>{len(records)} {records[0].trial.study}</p>'\n"
    )
    monkeypatch.setattr(_sections, "__file__", str(tmp_path / "_sections.py"))
    monkeypatch.setattr(reports, "__path__", [*reports.__path__, str(tmp_path)])
    assert _sections.names() == ["hello"] and _sections.title("hello") == "Hello"
    assert _sections.find("hello").render(full) == f"<p>{len(full)} full</p>"


def test_the_door_is_light():
    code = "import sys, reports; print(sorted({'pandas', 'matplotlib', 'scipy', 'jinja2', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    with pytest.raises(AttributeError, match="nothing"):
        reports.nothing  # noqa: B018


# --- the files


def test_write_makes_three_files_that_stay_the_same(copy):
    first = reports.write(copy)
    assert first == copy / "report" / "report.html"
    names = sorted(path.name for path in first.parent.iterdir())
    assert names == ["leaderboard.csv", "leaderboard.md", "report.html"]
    before = {path.name: path.read_bytes() for path in first.parent.iterdir()}
    reports.write(copy)
    assert before == {path.name: path.read_bytes() for path in first.parent.iterdir()}


def test_the_page_is_whole_and_needs_nothing_else(full):
    page = _write.page(full)
    assert_well_formed(page)
    assert len(page.encode()) < 2_000_000
    loaded = re.findall(r'(?:src|href|xlink:href)="([^"]+)"', page)
    assert [address for address in loaded if not address.startswith(("#", "data:image/png"))] == []
    assert "@import" not in page and not re.search(r"url\((?!#)", page)
    doubled = [name for name, count in Counter(re.findall(r'\sid="([^"]+)"', page)).items() if count > 1]
    assert doubled == []
    known = set(re.findall(r'\sid="([^"]+)"', page))
    assert {name for name in re.findall(r'href="#([^"]+)"', page)} <= known


def test_figures_take_the_ink_of_the_page_and_carry_no_date():
    figure, axes = _plots.panels(1, 1)
    axes[0][0].plot([1, 2], [1, 2], label="a")
    _plots.title(axes[0][0], "Title")
    svg = _plots.svg(figure, "one", 'a "quoted" description')
    assert svg.startswith('<svg role="img" aria-label="a &#34;quoted&#34; description"')
    assert "currentColor" in svg and _plots.INK not in svg
    assert "#000000" not in svg and "dc:date" not in svg and "<metadata>" not in svg
    assert ">Title</text>" in svg, "text stays text"
    assert all(name.startswith("one-") for name in re.findall(r'\sid="([^"]+)"', svg))


def test_only_the_sections_asked_for_in_their_order(full):
    page = _write.page(full, sections=["cost", "verdict"])
    assert re.findall(r'<section id="(\w+)">', page) == ["cost", "verdict"]


def test_what_comes_from_a_study_is_escaped(copy):
    trial = replace(reports.read(copy).of("search")[0].trial, loss="<b>bold</b>", number=99)
    record.finish(record.start(trial, copy), "failed", "<script>alert(1)</script>")
    page = _write.page(reports.read(copy))
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "<b>bold" not in page
    assert_well_formed(page)


def test_a_page_over_eight_megabytes_is_refused(copy, monkeypatch):
    monkeypatch.setattr(_write, "LARGEST", 1000)
    with pytest.raises(RequestError, match=r"at most 0 MB.*fewer sections"):
        reports.write(copy)
    assert not (copy / "report").exists()


@pytest.mark.parametrize(("make", "words"), [(False, "does not exist"), (True, "holds no trial")])
def test_a_folder_that_is_no_study_is_refused(tmp_path, make, words):
    folder = tmp_path / "runs" / "none"
    if make:
        folder.mkdir(parents=True)
    with pytest.raises(RequestError, match=rf"{words}.*runs/<study>"):
        reports.write(folder)


@pytest.mark.parametrize(("text", "words"), [("{", "is not JSON"), ("[1]", "holds a list, expected an object")])
def test_broken_facts_are_refused(copy, text, words):
    (copy / "study.json").write_text(text)
    with pytest.raises(RequestError, match=words):
        reports.read(copy)


# --- the figures


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
    page = text_of(_write.page(study))
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
    page = text_of(_write.page(study))
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
    ],
)
def test_chance(metric, counts, level):
    assert _figures.chance(metric, counts) == (None if level is None else pytest.approx(level))


# --- the words


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
    assert cells[at : at + 8] == ["lmcl", "8", "5", "2", "1", "0", "39", "48"]
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


def test_a_whisker_beyond_the_axis_is_an_arrow_without_a_cap():
    inside = _markup.whisker(0.5, 0.4, 0.6, (0.0, 1.0))
    assert "<circle" in inside and inside.count("v6") == 2
    beyond = _markup.whisker(-0.5, -0.6, 0.2, (0.0, 1.0))
    assert "<circle" not in beyond and 'class="beyond"' in beyond and beyond.count("v6") == 1


# --- the tables for one's own analysis


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


def test_the_curve_frame_has_a_row_a_point(full):
    frame = reports.curve_frame(full)
    kept = next(r for r in full.of("tuned") if r.trial.loss == "center")
    own = frame[(frame["id"] == kept.trial.id) & (frame["protocol"] == "lfw") & (frame["curve"] == "roc")]
    assert own["tar"].tolist() == kept.curves()["lfw"]["roc"]["tar"]
