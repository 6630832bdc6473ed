"""The figures of a report as files, for a paper."""

import xml.etree.ElementTree as xml

import pytest
from made_up_study import copy, full, runs  # noqa: F401 (fixtures)
from PIL import Image

import reports
from reports import _plots, _write

SECTIONS = ["effort", "failures"]


def test_every_figure_of_the_page_is_a_file_that_stands_alone(copy):
    page = reports.write(copy, sections=SECTIONS, figures=True).read_text()
    files = sorted(path.name for path in (copy / "report" / "figures").iterdir())
    names = {name.rpartition(".")[0] for name in files}
    assert files == sorted(f"{name}.{kind}" for name in names for kind in ("svg", "png"))
    assert len(names) == page.count("<svg role=") > 0
    for name in names:
        text = (copy / "report" / "figures" / f"{name}.svg").read_text()
        assert xml.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        # What only the page knows: its ink, and its colours by day and night.
        assert "currentColor" not in text and "var(" not in text and _plots.INK not in text
        with Image.open(copy / "report" / "figures" / f"{name}.png") as picture:
            assert round(picture.info["dpi"][0]) == 300 and picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_they_are_written_only_where_asked_for(copy):
    reports.write(copy, sections=SECTIONS)
    assert not (copy / "report" / "figures").exists()


def test_those_of_an_older_report_go_and_a_report_that_fails_leaves_them(copy, monkeypatch):
    folder = copy / "report" / "figures"
    folder.mkdir(parents=True)
    (folder / "old.svg").write_text("old")
    monkeypatch.setattr(_write, "_lead", lambda study: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reports.write(copy, sections=SECTIONS, figures=True)
    assert [path.name for path in folder.iterdir()] == ["old.svg"] and not folder.with_name("figures.part").exists()
    monkeypatch.undo()
    reports.write(copy, sections=SECTIONS, figures=True)
    assert not (folder / "old.svg").exists() and (folder / "effort.svg").exists()


def test_those_of_an_older_report_are_drawn_anew_with_the_page(copy):
    drawn = copy / "report" / "figures" / "effort.svg"
    drawn.parent.mkdir(parents=True)
    drawn.write_text("old")
    reports.write(copy, sections=SECTIONS, refresh=5.0)
    assert (
        drawn.read_text() == "old"
    )  # while a study runs, a page comes every few seconds; the last one has no `refresh`
    reports.write(copy, sections=SECTIONS)
    assert drawn.read_text() != "old"


def test_they_are_not_watched(copy, facebench, monkeypatch):
    monkeypatch.setenv("FACEBENCH_RUNS", str(copy.parent))
    code, _, err = facebench("report", copy.name, "--figures", "--watch")
    assert code == 2 and err.startswith("facebench: --figures are of a study that rests: leave out --watch")
