"""The ledger of looks at a test: lines that a crash cut short, scorings of another machine, and a trial by hand."""

import json

import fake_trial
import pytest

import bench.trial
from bench import ledger, record, single
from bench.plain import Options, Trial


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path))
    return tmp_path


def enter(trial: str) -> None:
    ledger.append("study", trial, "lfw", "hash", {"lfw/accuracy": 0.5})


@pytest.mark.parametrize(
    "torn", ['{"study": "study", "tri', '{"study": "\u00e9'.encode()[:-1].decode("latin-1"), "7", "[]"]
)
def test_a_torn_line_costs_itself_alone(torn):
    enter("first")
    with ledger.path().open("a", encoding="latin-1") as file:
        file.write(torn)
    assert [entry["trial"] for entry in ledger.entries()] == ["first"]
    enter("second")
    assert [entry["trial"] for entry in ledger.entries()] == ["first", "second"]
    assert ledger.count("hash") == 2


def test_a_whole_last_line_without_its_end_counts():
    enter("first")
    ledger.path().write_text(ledger.path().read_text().rstrip("\n"))
    enter("second")
    assert [entry["trial"] for entry in ledger.entries()] == ["first", "second"]


def test_there_is_no_blank_line_in_a_ledger_without_crashes():
    enter("first")
    enter("second")
    assert [json.loads(line)["trial"] for line in ledger.path().read_text().splitlines()] == ["first", "second"]


def test_no_ledger_has_no_entries(runs):
    assert ledger.entries() == ledger.entries(runs / "other.jsonl") == []


def test_scorings_of_another_machine_are_merged_once(runs):
    enter("here")
    enter("both")
    (here, both), there = ledger.entries(), {"study": "study", "trial": "there", "hash": "hash"}
    for _ in range(2):
        ledger.merge([both, there, there], ledger.path())
        assert ledger.entries() == [here, both, there, there]


def test_a_look_counts_though_its_record_could_not_be_written(monkeypatch):
    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(bench.trial, "run", fake_trial.run)
    monkeypatch.setattr(record, "finish", full)
    with pytest.raises(OSError, match="no space left"):
        single.train(Trial(study="single", epochs=1, protocols=(Options(name="lfw"),)), quiet=True)
    assert [entry["protocol"] for entry in ledger.entries()] == ["lfw"]
