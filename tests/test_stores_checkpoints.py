"""Checkpoints and copies of finished records under fsspec URLs."""

import io
import json
import shutil
from collections import Counter

import fake_trial
import fsspec
import pytest
import torch
from made_up_sweep import make, numbers
from made_up_tracking import template  # noqa: F401 (fixture)

import sweeps
from bench import places, record
from bench.checkpoint import Checkpoints
from bench.elsewhere import Elsewhere
from bench.errors import RequestError, TrialFailed
from bench.plain import Progress
from sweeps.reading import digest


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch, template):
    """A place of its own, with an empty MLflow store."""
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "runs"))
    places.runs().mkdir()
    shutil.copy(template, places.runs() / "mlflow.db")


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path):
    shared = tmp_path / "shared"
    yield {"file": f"file://{shared}", "memory": "memory://bucket/x"}[request.param]
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()


def worker(executed, interrupt=0, fail=()):
    """A formula with real checkpoints; counts its epochs, is interrupted before one, loses the trials of some seeds."""

    def run(trial, folder):
        saved = Checkpoints(folder)
        past = found[1] if (found := saved.latest()) else []
        yield from past
        if trial.seed in fail:
            raise RequestError("lost")
        for epoch in range(len(past) + 1, trial.epochs + 1):
            if interrupt and sum(executed.values()) == interrupt:
                raise KeyboardInterrupt
            executed[trial.id, epoch] += 1
            metrics = {"train/loss": 1 / epoch, "dev/accuracy": fake_trial.figure(trial, epoch)}
            past.append(Progress(10 * epoch, epoch, metrics, 0.5 * epoch))
            saved.save({"epoch": epoch, "weights": torch.zeros(1)}, past)
            yield past[-1]
        yield fake_trial.result(trial, past)

    return run


def small(**changes):
    tune = {"trials": 3, "epochs": 3, "finalists": 1, "finalist_seeds": 1}
    return make(losses=["softmax"], tune=tune, confirm={"seeds": 2, "epochs": 2}, untrained=False, **changes)


def sweep(study, run):
    sweeps.sweep(study, address="inline", run=run, stream=io.StringIO(), command="facebench sweep x")
    return record.read_study(places.study_folder("study"))


def files(url):
    """Path below the study -> content."""
    of, root = fsspec.core.url_to_fs(f"{url}/study")
    return {path.removeprefix(root).lstrip("/"): of.cat_file(path) for path in of.find(root)}


def test_an_interrupted_study_goes_on_from_checkpoints_elsewhere_and_its_records_are_copied(url, monkeypatch, tmp_path):
    executed = Counter()
    study = small(checkpoints=url)
    for interrupt in (4, 7, 11):
        with pytest.raises(KeyboardInterrupt):
            sweep(study, worker(executed, interrupt))
    records = sweep(study, worker(executed))
    assert set(executed.values()) == {1} and len(executed) == sum(len(known.events) for known in records)
    assert not list(places.runs().rglob("checkpoint-*"))
    there = files(url)
    assert json.loads(there.pop("study.json"))["state"] == "finished"
    kept = [path for path in there if "checkpoint-" in path]
    assert sorted(path.split("/")[0] for path in kept) == sorted(r.trial.id for r in records if r.trial.stage != "tune")
    local = {
        str(path.relative_to(places.study_folder("study"))): path.read_bytes()
        for known in records
        for path in known.folder.iterdir()
    }
    assert {path: content for path, content in there.items() if path not in kept} == local
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "alone"))
    places.runs().mkdir()
    shutil.copy(tmp_path / "runs" / "mlflow.db", places.runs() / "mlflow.db")
    assert numbers(sweep(small(), worker(Counter()))) == numbers(records)


def test_a_study_that_is_put_back_from_there_goes_on(tmp_path):
    study = small(checkpoints=f"file://{tmp_path / 'shared'}")
    executed = Counter()
    with pytest.raises(KeyboardInterrupt):
        sweep(study, worker(executed, 11))
    shutil.rmtree(places.study_folder("study"))
    with pytest.raises(RequestError, match=r"already holds a study that was not begun here: copy its folder back"):
        sweep(study, worker(executed))
    shutil.copytree(tmp_path / "shared" / "study", places.study_folder("study"), dirs_exist_ok=True)
    records = sweep(study, worker(executed))
    assert all(known.state == "finished" for known in records)
    assert set(executed.values()) == {1} and len(executed) == sum(len(known.events) for known in records)


def test_the_copy_of_a_lost_run_is_replaced_when_it_is_run_again(tmp_path):
    url = f"file://{tmp_path / 'shared'}"
    study = small(checkpoints=url)
    lost = next(r.trial for r in sweep(small(), worker(Counter())) if r.trial.role == "tuned")
    shutil.rmtree(places.study_folder("study"))
    with pytest.raises(TrialFailed):
        sweep(study, worker(Counter(), fail=[lost.seed]))
    assert json.loads(files(url)[f"{lost.id}/record.json"])["state"] == "failed"
    sweep(study, worker(Counter()))
    assert json.loads(files(url)[f"{lost.id}/record.json"])["state"] == "finished"


def test_where_the_checkpoints_and_the_search_lie_makes_no_other_study(tmp_path):
    moved = small(checkpoints="s3://bucket/x", storage="postgresql://u:p@h/d")
    assert digest(moved) == digest(small())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("here", "checkpoints must be a URL or an absolute folder, got 'here'"),
        ("file://here", "checkpoints must be a URL or an absolute folder, got 'file://here'"),
        ("nosuch://u:hush@b/x", r"checkpoints 'nosuch://\*\*\*@b/x' cannot be opened: Protocol not known: nosuch"),
        ("${NOT_SET_AT_ALL}/x", "names the environment variable NOT_SET_AT_ALL, which is not set"),
    ],
)
def test_a_place_that_cannot_be_is_refused(url, said):
    with pytest.raises(RequestError, match=said):
        Elsewhere(url, "study")


def test_a_store_without_empty_folders_has_no_checkpoint_yet(monkeypatch):
    """As object stores are: a folder is there once a file is in it."""
    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "makedirs", lambda *_, **__: None)
    saved = Checkpoints("memory://bucket/nothing/here")
    assert saved.latest() is None and saved.attempt == 1
    saved.save({"epoch": 1}, [])
    assert Checkpoints("memory://bucket/nothing/here").latest()[0] == {"epoch": 1}


def test_a_store_that_does_not_answer_is_not_one_without_checkpoints(monkeypatch, tmp_path):
    Checkpoints(str(tmp_path)).save({"epoch": 1}, [])
    saved = Checkpoints(str(tmp_path))

    def silent(path, **_):
        raise TimeoutError("the store")

    monkeypatch.setattr(saved.files, "cat_file", silent)
    with pytest.raises(TimeoutError):
        saved.latest()
