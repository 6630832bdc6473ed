"""The index of a study: a copy that is believed only while it is one, and made again where it is not."""

import json
import os
import shutil
from pathlib import Path

import pytest

from bench import index, record
from bench.plain import Options, Progress, Result, Trial


def make(folder, number, state="finished", epochs=2):
    """A trial's record; `state` may be `running` too."""
    trial = Trial(study="study", stage="tune", role="search", number=number, loss_options=Options(margin=0.1))
    where = record.start(trial, folder)
    for epoch in range(1, epochs + 1):
        record.Journal(where).append(Progress(10 * epoch, epoch, {"dev/accuracy": 0.5 + epoch / 10}, 1.5 * epoch))
    if state == "running":
        return record.read(where)
    result = Result({"dev/accuracy": 0.7}, {"lfw": {"primary": "x", "metrics": {}}}) if state == "finished" else None
    known = record.finish(where, state, "" if result else "why", result, kind="error" if state == "failed" else "")
    index.enter(known)
    return known


@pytest.fixture
def study(tmp_path):
    """Three trials that have ended, one that runs, and what else lies in a study's folder."""
    (tmp_path / "report").mkdir()
    (tmp_path / "study.json").write_text("{}")
    for number, state in enumerate(("finished", "pruned", "failed", "running")):
        make(tmp_path, number, state)
    return tmp_path


def lines(folder):
    return (folder / index.NAME).read_text().splitlines()


def truth(folder):
    return [index.entry(known) for known in record.read_study(folder)]


@pytest.fixture
def reads(monkeypatch):
    """The folders whose records were read."""
    seen = []
    read = record.read
    monkeypatch.setattr(record, "read", lambda folder: seen.append(folder.name) or read(folder))
    return seen


def test_an_entry_says_in_short_what_the_record_says(study):
    done, pruned, failed, running = index.entries(study)
    assert (done.state, done.metrics, done.last, done.epochs, done.seconds) == (
        "finished", {"dev/accuracy": 0.7}, {}, 2, 3.0,
    )  # fmt: skip
    assert done.params == {"learning_rate": 0.1, "weight_decay": 5e-4, "margin": 0.1} and done.scored and done.ended
    assert (pruned.state, pruned.reason, pruned.metrics, pruned.last) == ("pruned", "why", {}, {"dev/accuracy": 0.7})
    assert (failed.kind, failed.scored) == ("error", False)
    assert (running.state, running.ended, running.last) == ("running", False, {"dev/accuracy": 0.7})
    assert [one.id for one in (done, pruned, failed, running)] == [k.trial.id for k in record.read_study(study)]


def test_what_has_ended_is_read_once_and_what_runs_always(study, reads):
    running = index.entries(study)[3].id
    assert reads == [running] and len(lines(study)) == 3
    assert index.entries(study) == truth(study)


def test_a_missing_index_is_made_again(study, reads):
    (study / index.NAME).unlink()
    before = index.entries(study)
    assert len(reads) == 4 and len(lines(study)) == 3
    reads.clear()
    assert index.entries(study) == before == truth(study)
    assert len(reads) == 1 + 4  # the running one, and what `truth` reads


@pytest.mark.parametrize("file", ["trial.json", "events.jsonl", "record.json"])
def test_a_line_that_is_older_than_its_record_does_not_count(study, file, reads):
    """The same length, another content: the time tells it."""
    chosen = index.entries(study)[0].id
    path = study / chosen / file
    old = path.read_text()
    new = old.replace("0.7", "0.9").replace('"margin": 0.1', '"margin": 0.3')
    assert new != old and len(new) == len(old)
    path.write_text(new)
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 5_000_000_000))
    reads.clear()
    assert index.entries(study) == truth(study)
    assert reads.count(chosen) == 2, "the line was believed"  # by `entries` and by `truth`
    reads.clear()
    index.entries(study)
    assert chosen not in reads, "the index was not written anew"


def test_a_trial_that_is_opened_again_is_no_longer_ended(study):
    failed = index.entries(study)[2].id
    (study / failed / "record.json").unlink()
    assert index.entries(study)[2].state == "running"
    index.enter(record.finish(study / failed, "finished", result=Result({"dev/accuracy": 0.8})))
    assert index.entries(study)[2].metrics == {"dev/accuracy": 0.8} and len(lines(study)) == 4  # the last line counts
    assert index.entries(study) == truth(study)


def test_a_trial_that_is_gone_is_not_listed(study):
    shutil.rmtree(study / index.entries(study)[0].id)
    assert len(index.entries(study)) == 3 and index.entries(study) == truth(study)


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_line_cut_short_costs_the_reading_of_its_trial_and_of_the_next(study, cut):
    path = study / index.NAME
    path.write_bytes(path.read_bytes()[:-cut])
    make(study, 4)  # is appended to the rest of the torn line
    assert index.entries(study) == truth(study)
    assert len(lines(study)) == 4 and all(json.loads(line)["stamp"] for line in lines(study))


@pytest.mark.parametrize(
    "line",
    [b"\0" * 50, b"\xff\xfe", b"[]", b"3", b"{}", b'{"stamp": "1", "id": "x"}', b'{"stamp": 1, "new": 2, "id": "x"}'],
)
def test_what_is_no_line_of_ours_is_passed_over(study, line):
    with (study / index.NAME).open("ab") as file:
        file.write(line + b"\n")
    assert index.entries(study) == truth(study)


def test_lines_of_another_form_are_read_anew(study, monkeypatch, reads):
    monkeypatch.setattr(index, "_FORM", 99)
    assert index.entries(study) == truth(study)
    reads.clear()
    index.entries(study)
    assert len(reads) == 1


def test_a_folder_that_cannot_be_written_is_read_all_the_same(study, monkeypatch):
    (study / index.NAME).unlink()

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index.Path, "replace", full)
    assert index.entries(study) == truth(study)
    assert not (study / index.NAME).exists()


def test_a_trial_file_left_empty_by_a_power_cut_is_no_trial_until_it_is_asked_for_again(study):
    known = record.read_study(study)[3]
    (known.folder / "trial.json").write_bytes(b"")
    assert len(index.entries(study)) == len(record.read_study(study)) == 3
    record.start(known.trial, study)
    assert index.entries(study) == truth(study) and len(truth(study)) == 4


def test_a_journal_appends_what_is_new_and_mends_a_torn_line(tmp_path):
    folder = record.start(Trial(), tmp_path)
    journal = record.Journal(folder)
    assert journal.append(Progress(1, 1, {"a": 1.0})) and not journal.append(Progress(1, 1, {"a": 1.0}))
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b'{"step": 2, "ep')  # a write that failed half way, in this process or before it
    assert journal.append(Progress(2, 2, {"a": 2.0}))
    assert [event.step for event in record.events(folder)] == [1, 2]
    later = record.Journal(folder)
    assert not later.append(Progress(2, 2, {"a": 2.0})) and later.append(Progress(3, 3, {"a": float("nan")}))
    assert [event.epoch for event in record.events(folder)] == [1, 2, 3]


def test_an_event_and_a_record_are_on_the_disk_before_anybody_hears_of_them(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(Path(f"/proc/self/fd/{number}").readlink().name))
    folder = record.start(Trial(), tmp_path)
    record.Journal(folder).append(Progress(1, 1, {"a": 1.0}))
    record.finish(folder, "finished", result=Result({"a": 1.0}, {"lfw": {"curves": {"roc": {}}}}, {"lfw/x": [1.0]}))
    assert flushed == [
        "events.jsonl", "curves.json.part", "raw.part.npz", "record.json.part",
    ]  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == [
        "curves.json", "events.jsonl", "raw.npz", "record.json", "trial.json",
    ]  # fmt: skip
