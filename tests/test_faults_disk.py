"""A full disk, under a trial's checkpoint and under the driver itself: a real small disk."""

import contextlib
import subprocess

import counted
import pytest
from counted import until

from bench import record

pytestmark = pytest.mark.slow
PATIENCE = 80.0
STUDY = counted.STUDY | {
    "data": {"name": "digits", "ballast": 300_000},
    "tune": {**counted.STUDY["tune"], "pruner": "none"},
}


@pytest.fixture(scope="module")
def forks():
    return counted.Forks()


@pytest.fixture
def small(tmp_path):
    """Makes a small disk of a folder; skipped where nobody may."""
    mounted = []

    def mount(folder, size):
        folder.mkdir(parents=True, exist_ok=True)
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True
        )
        if made.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def run(forks, runs, code=0, **given):
    process = forks.start(runs / "log", runs=str(runs), **given)
    process.join(PATIENCE)
    assert process.exitcode == code, (runs / "log").read_text()[-3000:]


def test_a_checkpoint_that_does_not_fit_fails_its_trial_and_no_other(forks, small, tmp_path):
    small(tmp_path / "study", "520k")  # one checkpoint of the second trial, not two
    run(forks, tmp_path, study=STUDY)
    records = record.read_study(tmp_path / "study")
    (failed,) = (known for known in records if known.state == "failed")
    assert (failed.trial.role, failed.trial.number, failed.kind) == ("search", 1, "error")
    assert "No space left on device" in failed.reason
    assert [event.epoch for event in failed.events] == [1, 2]
    assert {known.state for known in records if known is not failed} == {"finished"}
    assert not counted.count(tmp_path).wrong


def test_the_old_checkpoint_is_intact_and_nothing_of_the_new_one_is_left(small, tmp_path):
    from bench.checkpoint import Checkpoints
    from bench.plain import Options, Trial

    small(tmp_path / "study" / "it", "400k")
    trial = Trial(role="search", number=1, epochs=3, data=Options(ballast=300_000))
    with pytest.raises(OSError, match="No space left"):
        list(counted.run(trial, str(tmp_path / "study" / "it")))
    state, events = Checkpoints(str(tmp_path / "study" / "it")).latest()
    assert state["epoch"] == 2 and len(events) == 2
    assert [path.name for path in (tmp_path / "study" / "it").iterdir()] == ["checkpoint-1.pt"]


@pytest.mark.parametrize("full", ["records", "database"])
def test_a_full_disk_under_the_driver_is_a_sentence_and_with_room_the_sweep_goes_on(full, forks, small, tmp_path):
    place = tmp_path / ("study" if full == "records" else "database")
    small(place, "2m")
    study = counted.STUDY if full == "records" else counted.STUDY | {"storage": f"sqlite:///{place / 'optuna.db'}"}
    process = forks.start(tmp_path / "log", runs=str(tmp_path), study=study)
    until(lambda: counted.epochs(tmp_path))
    with contextlib.suppress(OSError), (place / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    process.join(PATIENCE)
    assert process.exitcode == 1
    *_, last = (tmp_path / "log").read_text().strip().split("\n")
    assert last.startswith("bench.errors.TrialFailed: the disk is full: the records of study 'study' in ")
    assert last.endswith("make room, and the same command goes on where it stands")
    (place / "fill").unlink()
    run(forks, tmp_path, study=study)
    counts = counted.count(tmp_path, optuna=place / "optuna.db" if full == "database" else None)
    assert not counts.wrong and counts.trials == counted.TRIALS
