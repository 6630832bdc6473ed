"""All records of a study in one file of its parent run: what comes back from it, and what does not."""

import os
import shutil
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
from made_up_tracking import _done, begun, done, runs, sweep, template  # noqa: F401 (fixtures)

from bench import _mlflow_back, _mlflow_bundle, places, record, tracking
from bench.errors import RequestError


@pytest.fixture
def singly(monkeypatch):
    """The trials that are read from a run of their own."""
    seen = []

    def trial(of, run, folder):
        seen.append(run.data.tags["facebench.trial"])
        return real(of, run, folder)

    real = _mlflow_back._trial
    monkeypatch.setattr(_mlflow_back, "_trial", trial)
    return seen


def parent():
    """The client, and the run that the study's bundle belongs to."""
    of = tracking.client(tracking.uri())
    return of, _mlflow_back._newest(of, "study", tracking.uri()).info.run_id


def same(back, there) -> bool:
    def plain(known):
        return asdict(known) | {"folder": ""}, known.curves()

    return [plain(known) for known in record.read_study(back)] == [plain(known) for known in there]


def test_a_study_that_has_ended_comes_back_from_one_file(done, tmp_path, singly):
    assert same(tracking.records_from_mlflow("study", None, tmp_path / "back"), done)
    assert singly == []
    for known in done:
        for file in _mlflow_bundle.FILES:
            ours, back = known.folder / file, tmp_path / "back" / known.folder.name / file
            assert ours.exists() == back.exists() and (not ours.exists() or ours.read_bytes() == back.read_bytes())


def test_what_is_not_as_its_run_says_is_left_to_that_run(done, tmp_path):
    of, run = parent()
    old, gone = done[0].folder.name, done[1].folder.name
    spoiled = tmp_path / "records.zip"
    with zipfile.ZipFile(of.download_artifacts(run, "records.zip", str(tmp_path))) as archive:
        content = {name: archive.read(name) for name in archive.namelist() if not name.startswith(gone)}
    content[f"{old}/record.json"] = content[f"{old}/record.json"].replace(b"finished", b"failed")
    with zipfile.ZipFile(spoiled, "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    names = _mlflow_bundle.fetch(Stand(spoiled), run, tmp_path, wanted(of))
    assert names == {known.folder.name for known in done} - {old, gone}
    assert not (tmp_path / old).exists()


def wanted(of) -> dict[str, str]:
    experiment = of.get_experiment_by_name("study").experiment_id
    tags = [run.data.tags for run in of.search_runs([experiment]) if "facebench.trial" in run.data.tags]
    return {tag["facebench.trial"]: tag["facebench.record"] for tag in tags}


class Stand:
    """A store that has one bundle."""

    def __init__(self, path):
        self.path = path

    def list_artifacts(self, run):
        return [self]

    def download_artifacts(self, run, path, to):
        return shutil.copy(self.path, Path(to) / "records.zip")


@pytest.mark.parametrize("name", ["../x/record.json", "/x/record.json"])
def test_a_bundle_that_leads_out_of_its_folder_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "records.zip", "w") as archive:
        archive.writestr(name, "{}")
    (tmp_path / "to").mkdir()
    with pytest.raises(RequestError, match="leads out of it"):
        _mlflow_bundle.fetch(Stand(tmp_path / "records.zip"), "run", tmp_path / "to", {"x": ""})


def test_a_bundle_that_was_cut_short_is_passed_over(done, tmp_path, singly, monkeypatch):
    of, _ = parent()
    whole = type(of).download_artifacts

    def cut(self, run, path, to):
        file = whole(self, run, path, to)
        if path == "records.zip":
            Path(file).write_bytes(Path(file).read_bytes()[:-30])
        return file

    monkeypatch.setattr(type(of), "download_artifacts", cut)
    assert same(tracking.records_from_mlflow("study", None, tmp_path / "back"), done) and len(singly) == len(done)


def test_a_member_that_is_damaged_leaves_its_trial_to_the_run(done, tmp_path):
    of, run = parent()
    file = Path(of.download_artifacts(run, "records.zip", str(tmp_path)))
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        first = archive.infolist()[0]
    content[first.header_offset + 40 + len(first.filename)] ^= 255
    file.write_bytes(content)
    (tmp_path / "to").mkdir()
    found = _mlflow_bundle.fetch(Stand(file), run, tmp_path / "to", wanted(of))
    assert {known.folder.name for known in done} - found == {first.filename.partition("/")[0]}


def test_files_of_before_1980_are_sent_too(begun):
    from bench.plain import Trial

    ended = record.start(Trial(study="study"), begun)
    record.finish(ended, "failed", "of a made-up reason")
    os.utime(ended / "trial.json", (-120_000_000, -120_000_000))
    tracking.sync("study")
    of, run = parent()
    assert "records.zip" in {file.path for file in of.list_artifacts(run)}


def test_the_bundle_is_sent_once(runs, monkeypatch):
    sweep(tune={"trials": 1, "epochs": 1})
    sent = []
    of, run = parent()
    logged = type(of).log_artifact
    monkeypatch.setattr(type(of), "log_artifact", lambda self, *a: sent.append(a[1]) or logged(self, *a))
    tracking.sync("study")
    assert not [path for path in sent if path.endswith(".zip")]
    of.delete_tag(run, "facebench.records.zip")  # a call that failed
    tracking.sync("study")
    assert len([path for path in sent if path.endswith(".zip")]) == 1


def test_a_study_that_was_stopped_has_no_bundle_until_it_is_synced(begun, tmp_path, singly):
    from bench.plain import Trial

    ended = record.start(Trial(study="study"), begun)
    record.finish(ended, "failed", "of a made-up reason")
    mirror = tracking.Mirror("study", begun, tracking.uri())
    mirror.send(record.read(ended))
    mirror.close("stopped")
    tracking.records_from_mlflow("study", None, tmp_path / "stopped")
    assert singly == [ended.name]
    tracking.sync("study")
    back = tracking.records_from_mlflow("study", None, tmp_path / "synced")
    assert same(back, record.read_study(places.study_folder("study"))) and singly == [ended.name]
