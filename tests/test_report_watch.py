"""The report that is written again while a sweep runs: when a trial has ended, and a last time."""

import gc
import threading
import weakref
from functools import partial

import pytest
from made_up_study import make

from bench import locks, record
from reports import _watch, read, verdict
from reports._write import write


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Its report has one section: a whole one takes seconds."""
    monkeypatch.setattr(_watch, "write", partial(write, sections=["failures"]))
    return make(tmp_path, seeds=2)


def test_no_study_stays_in_memory_once_its_page_is_written(study):
    """A watch of days reads the study anew for each page."""
    known = read(study)
    assert verdict.sentences(known)
    seen = weakref.ref(known)
    del known
    gc.collect()
    assert seen() is None


def test_the_page_follows_the_trials_and_is_whole_when_nobody_runs_them(study):
    pages, looks = [], []
    ends = sorted(path.parent for path in study.glob("*/record.json"))[:2]
    bodies = [(folder / "record.json").read_bytes() for folder in ends]
    for folder in ends:
        (folder / "record.json").unlink()
    sweep = locks.alone(study)

    def sleep(seconds):
        """What the sweep does between two looks: nothing, a trial, nothing, a trial, its end."""
        looks.append(seconds)
        if len(looks) in (2, 4):
            (ends[len(looks) // 2 - 1] / "record.json").write_bytes(bodies[len(looks) // 2 - 1])
        if len(looks) == 5:
            sweep.__exit__(None, None, None)

    sweep.__enter__()
    path = _watch.watch(study, 7, lambda path: pages.append(path.read_text()), sleep)
    assert looks == [7] * 5 and path == study / "report" / "report.html"
    reload = '<meta http-equiv="refresh" content="7">'
    assert [reload in page for page in pages] == [True, True, True, False]
    assert pages[-1] == path.read_text() and record.read(ends[0]).state != "running"


def test_a_study_that_nobody_runs_is_reported_once(study):
    pages = []
    _watch.watch(study, 1, pages.append, lambda seconds: pytest.fail("nobody runs it"))
    assert len(pages) == 1 and not locks.held(study)


def test_whether_a_lock_is_held_is_seen_without_taking_it(tmp_path):
    assert not locks.held(tmp_path)
    with locks.alone(tmp_path):
        seen = []
        thread = threading.Thread(target=lambda: seen.append(locks.held(tmp_path)))
        thread.start()
        thread.join()
        assert seen == [True] and locks.owner(tmp_path)
    assert not locks.held(tmp_path)


def test_the_command_line_takes_it(facebench, study, monkeypatch):
    monkeypatch.setenv("FACEBENCH_RUNS", str(study.parent))
    code, out, _ = facebench("report", "made_up", "--watch", "--every", "1")
    assert code == 0 and out.strip().endswith("report.html")
    code, _, err = facebench("report", "made_up", "--watch", "--from-mlflow")
    assert code == 2 and "leave out --from-mlflow" in err
