"""What fails and why: a user's own loss that raises, a loss that diverges, a corrupt image, one defect over and over."""

import io
import json
import os
import sys

import fake_trial
import numpy as np
import pytest
from made_up_sweep import make, no_mlflow, numbers, of, sweep  # noqa: F401 (fixtures)
from PIL import Image

import sweeps
from bench import places, record
from bench.errors import RequestError, StudyIncomplete, StudyStopped, TrialFailed
from sweeps.failures import Streak, alike
from sweeps.study import Study
from sweeps.work import WorkerLost


def study_facts() -> dict:
    return json.loads((places.study_folder("study") / "study.json").read_text())


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (RuntimeError("CUDA error at 0x7f3a of device 0"), RuntimeError("CUDA error at 0x11b2 of device 3")),
        (OSError(28, "No space left", "/data/runs/a1b2/checkpoint-1.pt"), OSError(28, "No space left", "/tmp/x.pt")),
        (ValueError("loss 1.5e-7 at step 300"), ValueError("loss -3 at step 12")),
        (WorkerLost("the worker died 3 times"), WorkerLost("the worker died 5 times")),
    ],
)
def test_failures_of_one_defect_are_alike_whatever_their_numbers_and_paths(one, two):
    assert alike(one) == alike(two)


def test_another_kind_or_another_sentence_is_another_defect():
    said = {alike(e) for e in (RuntimeError("no memory"), ValueError("no memory"), RuntimeError("no disk"))}
    assert len(said) == 3


def losing(wanted, error, calls=None):
    """A run in which trials of these numbers of a loss end by an error in their second epoch."""

    def run(trial, folder):
        for event in fake_trial.run(trial, folder):
            if getattr(event, "epoch", 0) == 2 and wanted(trial):
                raise error(trial)
            yield event

    return run


def test_after_so_many_failures_alike_the_study_stops_and_says_why_and_the_same_command_tries_again():
    def broken(trial):
        return trial.role == "search"

    run = losing(broken, lambda trial: RuntimeError(f"device {trial.number} is gone (seed {trial.learning_rate})"))
    with pytest.raises(
        StudyStopped,
        match=r"^5 trials in a row failed of the same cause, at last cnn4/\w+ search \d+ in .*: RuntimeError: device \d "
        r"is gone .*error\.txt\); mend it, and the same command tries again",
    ) as stopped:
        sweep(make(untrained=False), run)
    records = record.read_study(stopped.value.folder)
    failed = [r for r in records if r.state == "failed"]
    assert len(failed) == 5 and {r.kind for r in failed} == {"error"} and study_facts()["state"] == "stopped"
    assert all("is gone" in (r.folder / "error.txt").read_text() for r in failed)
    again, _ = sweep(make(untrained=False))
    assert study_facts()["state"] == "finished" and {r.state for r in again} <= {"finished", "pruned"}
    whole, _ = sweep(make("whole", untrained=False))
    assert sorted(map(str, numbers(again).values())) == sorted(map(str, numbers(whole).values()))


def test_a_limit_of_its_own_and_none_at_all():
    def run(trial, folder):
        raise ZeroDivisionError("a defect")
        yield

    with pytest.raises(StudyStopped, match=r"^2 trials in a row"):
        sweep(make(stop_after_failures=2, untrained=False), run)
    with pytest.raises(TrialFailed, match="not one trial of the study finished") as ended:
        sweep(make("never", stop_after_failures=0, untrained=False), run)
    assert not isinstance(ended.value, StudyStopped)


def test_a_loss_that_only_fails_takes_no_turns_from_the_others():
    """They are searched and confirmed; only then, with nothing but failures left, the study stops."""
    run = losing(lambda trial: trial.loss == "lmcl", lambda trial: RuntimeError("my own loss"))
    with pytest.raises(StudyIncomplete, match="my own loss|lmcl was not confirmed"):
        sweep(make(), run)
    records = record.read_study(places.study_folder("study"))
    assert len(of(records, "tuned", "softmax")) == len(of(records, "again", "softmax")) == 3
    assert {r.state for r in records if r.trial.loss == "softmax"} <= {"finished", "pruned"}


def test_neither_divergence_nor_success_nor_another_cause_makes_a_row(tmp_path):
    from bench.plain import Trial
    from bench.record import Record

    known = Record(Trial(), tmp_path, "failed", reason="x")
    streak = Streak(3)
    assert not streak.fails(RuntimeError("a 1"), known) and not streak.fails(RuntimeError("a 2"), known)
    assert not streak.fails(RuntimeError("b"), known), "another cause"
    assert not streak.fails(RuntimeError("b"), known)
    streak.ends()
    assert not streak.fails(RuntimeError("b"), known) and not streak.fails(RuntimeError("b"), known)
    assert streak.fails(RuntimeError("b"), known).startswith("3 trials in a row failed of the same cause")
    with pytest.raises(TrialFailed, match=r"lmcl was not confirmed"):
        sweep(make(data={"diverge": ["lmcl"]}, stop_after_failures=2))


def test_a_wrong_request_ends_its_cell_and_not_the_study():
    run = losing(lambda trial: trial.loss == "lmcl", lambda trial: RequestError("no such option"))
    with pytest.raises(StudyIncomplete, match=r"^cnn4/lmcl was not confirmed: no such option"):
        sweep(make(stop_after_failures=1), run)
    assert len(of(record.read_study(places.study_folder("study")), "tuned", "softmax")) == 3


# From here on with the real training.

REAL = {
    "name": "study",
    "data": {"name": "digits"},
    "holdout": 0.3,
    "channels": 1,
    "image_size": 16,
    "embedding_dim": 8,
    "backbones": {"cnn4": {"widths": [4, 8, 8, 8]}},
    "train": {"precision": "float32"},
    "tune": {"trials": 2, "epochs": 2, "pruner": "none", "finalists": 1, "finalist_seeds": 0},
    "confirm": {"seeds": 1, "epochs": 2},
    "default_seeds": 0,
    "again": False,
    "untrained": False,
    "objective": "dev/auc",
    "protocols": [{"name": "heldout", "data": {"name": "digits"}}],
}


OWN = """
import torch
from losses.softmax import Softmax

SPACE = {}


class Own(Softmax):
    def __init__(self, num_classes, embedding_dim, *, bias=True):
        super().__init__(num_classes, embedding_dim, bias=bias)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, embeddings, labels):
        loss = super().forward(embeddings, labels)
        self.calls += 1
        return self.wrong(loss) if self.calls > 25 else loss  # in the second epoch

    def wrong(self, loss):
        {wrong}
"""
RAISES = 'raise KeyError(f"my own mistake at call {self.calls:g}")'


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs a user's package that brings the loss `own`, which does something wrong."""

    def install(wrong):
        site = tmp_path / "site"
        (site / "somebody-1.0.dist-info").mkdir(parents=True)
        (site / "somebody.py").write_text(OWN.replace("{wrong}", wrong))
        (site / "somebody-1.0.dist-info" / "METADATA").write_text("Name: somebody\nVersion: 1.0\n")
        (site / "somebody-1.0.dist-info" / "entry_points.txt").write_text("[facebench.losses]\nown = somebody\n")
        monkeypatch.syspath_prepend(site)
        monkeypatch.setenv("PYTHONPATH", f"{site}:{os.environ.get('PYTHONPATH', '')}")  # for workers
        monkeypatch.delitem(sys.modules, "somebody", raising=False)

    yield install
    sys.modules.pop("somebody", None)


def real(address="inline", **changes):
    """A sweep with the real training; what it complains of, and its records."""
    with pytest.raises(StudyIncomplete) as said:
        sweeps.sweep(Study.model_validate(REAL | changes), address=address, stream=io.StringIO(), slots=1)
    return str(said.value), record.read_study(said.value.folder)


def own_loss_raises(address):
    said, records = real(address, losses={"softmax": None, "own": None})
    assert said.startswith("cnn4/own was not confirmed: no tuning trial finished")
    for known in of(records, "search", "own"):
        assert (known.state, known.kind, len(known.events)) == ("failed", "error", 1)
        assert known.reason.startswith("KeyError: 'my own mistake at call 26'")
        trace = (known.folder / "error.txt").read_text()
        assert "somebody.py" in trace and "in forward" in trace and "bench/train.py" in trace
    others = [r for r in records if r.trial.loss == "softmax"]
    assert {r.state for r in others} == {"finished"} and len(of(records, "tuned", "softmax")) == 1


def test_an_exception_in_a_users_own_loss_fails_its_trials_and_no_other(package):
    package(RAISES)
    own_loss_raises("inline")


@pytest.mark.long
@pytest.mark.slow
def test_on_a_worker_too_the_traceback_is_that_of_the_users_own_code(package):
    package(RAISES)
    own_loss_raises("local")


def test_a_loss_that_is_not_a_number_fails_its_trials_with_cause_and_traceback(package):
    package("return loss * float('nan')")
    said, records = real(losses={"softmax": None, "own": None}, stop_after_failures=1)
    assert said.startswith("cnn4/own was not confirmed"), "a divergence is a finding: it stops no study"
    for known in of(records, "search", "own"):
        assert (known.state, known.kind) == ("failed", "diverged")
        assert known.reason.startswith("the loss is nan at step 26 (epoch 2, learning rate ")
        assert "TrialFailed: the loss is nan" in (known.folder / "error.txt").read_text()
    assert {r.state for r in records if r.trial.loss == "softmax"} == {"finished"}


def test_a_corrupt_image_is_left_out_and_counted_in_every_record(tmp_path):
    draw = np.random.default_rng(0)
    for person in range(12):
        folder = tmp_path / "data" / f"person {person}"
        folder.mkdir(parents=True)
        for i in range(8):
            pixels = (draw.integers(0, 40, (16, 16)) + 15 * person).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    bad = tmp_path / "data" / "person 3" / "5.png"
    bad.write_bytes(bad.read_bytes()[:40])
    data = {"name": "folder", "paths": [str(tmp_path / "data")]}
    study = REAL | {
        "data": data,
        "losses": {"softmax": None},
        "closed_every": 4,
        "protocols": [],
        "train": {"batch_size": 16},
    }
    folder = sweeps.sweep(Study.model_validate(study), address="inline", stream=io.StringIO())
    records = record.read_study(folder)
    assert {r.state for r in records} == {"finished"}
    for known in records:
        assert known.provenance["skipped_images"] == 1 and known.provenance["first_skipped"][0].startswith(
            "person 3/5.png:"
        )
