"""Sweeps that lose runs or a whole search to the machine: what is run again, and what was built on stays."""

import shutil

import fake_trial
import pytest
from made_up_sweep import NoWindow, done, make, no_mlflow, numbers, of, sweep  # noqa: F401 (fixtures)

from bench import record
from bench.errors import RequestError, TrialFailed
from bench.plain import Progress, Trial
from sweeps import session
from sweeps.work import WorkerLost


def losing(*roles, error, loss="lmcl"):
    """A run on a machine that fails for these roles of a loss, after the first epoch."""

    def run(trial, folder):
        for event in fake_trial.run(trial, folder):
            if trial.role in roles and trial.loss == loss and trial.number < 2:
                raise error
            yield event

    return run


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), WorkerLost("the worker died"), RequestError("no disk")])
def test_runs_lost_to_the_machine_are_said_and_run_again(done, error):
    with pytest.raises(TrialFailed, match=r"(2|3|4) run\(s\) of the report were lost|was not confirmed"):
        sweep(make(), losing("tuned", "default", error=error))
    folder = session.places.study_folder("study")
    lost_runs = [r for r in record.read_study(folder) if r.state == "failed"]
    assert lost_runs and {r.kind for r in lost_runs} == {"error"}
    again, _ = sweep(make())
    assert numbers(again) == numbers(done.records)
    assert not list(folder.glob("*/error.txt"))


def test_a_search_lost_as_a_whole_is_begun_anew(done):
    with pytest.raises(TrialFailed, match=r"^cnn4/lmcl was not confirmed: no tuning trial finished"):
        sweep(make(stop_after_failures=0), lambda trial, folder: broken(trial, folder, "search"))
    again, _ = sweep(make())
    assert numbers(again) == numbers(done.records)


def broken(trial, folder, role):
    if trial.role == role and trial.loss == "lmcl":
        raise OSError("no space left on device")
    yield from fake_trial.run(trial, folder)


def test_a_lost_finalist_is_run_again_only_while_no_winner_is_confirmed():
    records, _ = sweep(make(), lambda trial, folder: broken(trial, folder, "finalist"))
    assert {r.kind for r in of(records, "finalist")} == {"error"}
    again, _ = sweep(make())
    assert numbers(again) == numbers(records)
    for known in of(records, "tuned"):
        shutil.rmtree(known.folder)
    again, _ = sweep(make())
    assert {r.state for r in of(again, "finalist")} == {"finished"} and len(of(again, "tuned")) == 3


def test_a_run_that_diverged_is_not_tried_again():
    failing = losing("default", error=TrialFailed("the loss is nan"))
    first, _ = sweep(make(), failing)
    again, _ = sweep(make())
    assert numbers(again) == numbers(first)
    assert [r.kind for r in of(again, "default")].count("diverged") == 2


def test_a_search_of_which_a_trial_still_trains_is_not_lost(tmp_path):
    """One trial ended by an error, another was interrupted in its second epoch: it keeps its checkpoint."""
    from bench import index
    from sweeps import lost

    failed, running = (Trial(loss="lmcl", stage="tune", role="search", number=n, epochs=2) for n in range(2))
    record.finish(record.start(failed, tmp_path), "failed", "gone", kind="error")
    place = record.start(running, tmp_path)
    for trained in (False, True):
        if trained:
            record.Journal(place).append(Progress(1, 1, {}))
        forgotten = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lost, "_remove", lambda folder: None)
            lost.again(tmp_path, index.entries(tmp_path), forgotten.append)
        assert bool(forgotten) != trained


def test_a_search_that_is_thrown_away_is_forgotten_by_the_tuner_before_its_records_go(done, monkeypatch):
    """The session that does it dies in between: the next one does it again."""
    from sweeps import lost

    with pytest.raises(TrialFailed, match="no tuning trial finished"):
        sweep(make(stop_after_failures=0), lambda trial, folder: broken(trial, folder, "search"))
    remove, calls = lost._remove, [0]

    def dying(folder):
        calls[0] += 1
        if calls[0] == 3:
            raise MemoryError("killed")
        remove(folder)

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(lost, "_remove", dying)
        sweep(make())
    again, _ = sweep(make())
    assert numbers(again) == numbers(done.records)
