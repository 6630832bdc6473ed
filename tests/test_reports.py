"""The report as a page and as files: every section on every kind of study, whole, escaped, the same each time."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
from made_up_study import copy, full, keep, runs  # noqa: F401 (fixtures)
from markupsafe import Markup
from well_formed import assert_well_formed

import reports
from bench import record
from bench.errors import RequestError
from reports import _plots, _sections, _tables, _write, verdict
from reports.statistics import PILOT

# Left out of studies of another kind.
OF_EXPERIMENTS = {"features", "angles", "boundaries", "settings", "claims", "published", "groups"}


@pytest.fixture(scope="module")
def study_in(runs, tmp_path_factory):
    """The made-up study in a state, made and read once."""

    @cache
    def made(state):
        folder = tmp_path_factory.mktemp("state") / "full"
        shutil.copytree(runs / "full", folder)
        if state == "tuning only":
            keep(folder, "tune")
        elif state == "confirmed only":
            keep(folder, "confirm", "default")
        elif state == "waiting":
            for path in [*folder.glob("*/record.json"), *folder.glob("*/events.jsonl"), *folder.glob("*/curves.json")]:
                path.unlink()
        elif state == "no facts":
            (folder / "study.json").unlink()
        return reports.read(folder)

    return made


@pytest.mark.parametrize("state", ["tuning only", "confirmed only", "waiting", "no facts"])
@pytest.mark.parametrize("section", _sections.names())
def test_every_section_answers_a_study_of_which_something_lacks(section, state, study_in):
    html = _sections.find(section).render(study_in(state))
    assert isinstance(html, Markup)
    assert_well_formed(html)
    assert bool(html.striptags()) == (section not in OF_EXPERIMENTS), "a section without an answer says so in words"


def test_the_sections_stand_in_their_order():
    names = reports.names()
    assert names[:3] == ["verdict", "leaderboard", "differences"] and names[-1] == "provenance"
    assert {"rates", "hyperparameters", "tuning", "data", "failures"} <= set(names)


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


def test_write_makes_its_files_and_they_stay_the_same(copy):
    some = ["verdict", "leaderboard", "effort", "provenance"]  # one with a figure
    first = reports.write(copy, sections=some)
    assert first == copy / "report" / "report.html"
    names = sorted(path.name for path in first.parent.iterdir())
    assert names == [*(f"leaderboard.{kind}" for kind in ("csv", "json", "md", "tex")), "report.html"]
    before = {path.name: path.read_bytes() for path in first.parent.iterdir()}
    reports.write(copy, sections=some)
    assert before == {path.name: path.read_bytes() for path in first.parent.iterdir()}


def test_the_table_as_json_has_the_figures_the_comparisons_and_the_sentences(full):
    found = json.loads(_tables.as_json(full), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    board = _tables.board(full)
    assert [row["lfw/accuracy"] for row in found["rows"]] == pytest.approx(list(board["lfw/accuracy"]), rel=1e-12)
    assert found["rows"][-1]["role"] == "chance" and found["rows"][-1]["lfw/accuracy.sd"] is None
    assert found["verdict"][0] == verdict.answer(full) and found["primary"] == "lfw/accuracy"
    assert [(one["loss"], one["against"]) for one in found["comparisons"]][-1] == ("softmax again (A/A)", "softmax")
    assert {one["verdict"] for one in found["comparisons"]} <= {"better", "worse", "tie", PILOT}


def test_the_table_for_a_paper_is_latex_whatever_the_names(copy):
    trial = replace(reports.read(copy).of("tuned")[0].trial, label="50 % & more_{x}~^\\", number=99)
    record.finish(record.start(trial, copy), "failed", "it was made up")
    text = _tables.tex(reports.read(copy))
    rows = [line for line in text.splitlines() if not line.startswith("%")]
    head = rows[2]
    assert rows[0].startswith(r"\begin{tabular}{rllr") and rows[-1] == r"\end{tabular}"
    assert all(row.endswith(r" \\") and row.count(" & ") == head.count(" & ") for row in rows[4:-2])
    assert r"50 \% \& more\_\{x\}\textasciitilde{}\textasciicircum{}\textbackslash{}" in text
    assert r" $\pm$ " in text and "±" not in "".join(rows)


@pytest.fixture(scope="module")
def page(full):
    return _write.page(full)


def test_the_page_is_whole_and_needs_nothing_else(page):
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


def test_a_section_with_nothing_to_say_is_left_out_with_its_link(page):
    for name in reports.names():
        shown = name not in OF_EXPERIMENTS
        assert (f'<section id="{name}">' in page) == (f'href="#{name}"' in page) == shown, name


def test_only_the_sections_asked_for_in_their_order(full):
    page = _write.page(full, sections=["cost", "verdict"])
    assert re.findall(r'<section id="(\w+)">', page) == ["cost", "verdict"]


def test_what_comes_from_a_study_is_escaped(copy):
    trial = replace(reports.read(copy).of("search")[0].trial, loss="<b>bold</b>", number=99)
    record.finish(record.start(trial, copy), "failed", "<script>alert(1)</script>")
    page = _write.page(reports.read(copy), sections=["verdict", "hyperparameters", "tuning", "failures"])
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "<b>bold" not in page
    assert_well_formed(page)


def test_a_page_over_eight_megabytes_is_refused(copy, monkeypatch):
    monkeypatch.setattr(_write, "page", lambda study, **options: "x" * 8_000_001)
    with pytest.raises(RequestError, match=r"would be 8.0 MB, expected at most 8 MB: .*--no-pictures.*fewer sections"):
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
