"""Sweeps that are interrupted, lose runs, are refused or go on: nothing is lost, nothing is counted twice."""

import io
import json
import shutil

import fake_trial
import pytest
from made_up_sweep import NoWindow, done, make, no_mlflow, numbers, of, sweep  # noqa: F401 (fixtures)

import sweeps
from bench import record
from bench.errors import RequestError, TrialFailed
from bench.locks import alone
from bench.plain import Progress, Trial
from sweeps import session
from sweeps.driver import Driver
from sweeps.inline import Inline
from sweeps.progress import board


@pytest.mark.parametrize("after", [0, 30, 110])
def test_an_interrupted_study_ends_as_an_uninterrupted_one(after, done):
    with pytest.raises(KeyboardInterrupt):
        sweep(make(), fake_trial.interrupted(after))
    assert NoWindow.closed == "stopped"
    assert sweeps.status("study")["state"] == "stopped"
    again, _ = sweep(make())
    assert numbers(again) == numbers(done.records)
    assert sweeps.status("study")["state"] == "finished"


def test_a_crash_at_any_write_loses_nothing(done, monkeypatch):
    """The driver dies at the n-th record it writes; the next one goes on."""
    finish = record.finish
    for nth in (2, 9, 14, 20):
        calls = [nth]

        def dying(folder, *rest, calls=calls, **more):
            calls[0] -= 1
            if calls[0] == 0:
                raise MemoryError("killed")
            return finish(folder, *rest, **more)

        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(record, "finish", dying)
            sweep(make())
    again, _ = sweep(make())
    assert numbers(again) == numbers(done.records)


def test_a_finished_study_runs_nothing_again():
    whole, _ = sweep(make())

    def never(trial, folder):
        raise AssertionError("a finished trial was run again")

    again, lines = sweep(make(), never)
    assert numbers(again) == numbers(whole) and "finished" not in lines


def test_a_deleted_study_begins_anew():
    small = make(tune={"trials": 2, "epochs": 1})
    first, _ = sweep(small)
    shutil.rmtree(first[0].folder.parent)
    again, _ = sweep(small)
    assert numbers(again) == numbers(first)


def test_a_study_that_an_older_facebench_began_goes_on(done):
    """Its `study.json` says less of each cell."""
    with pytest.raises(KeyboardInterrupt):
        sweep(make(), fake_trial.interrupted(30))
    file = session.places.study_folder("study") / "study.json"
    facts = json.loads(file.read_text())
    facts.pop("used")
    for cell in facts["cells"].values():
        for name in ("trials", "epochs", "train_seconds", "stopped_early"):
            cell.pop(name)
    file.write_text(json.dumps(facts))
    assert sweeps.status("study")["state"] == "stopped"
    again, _ = sweep(make())
    assert numbers(again) == numbers(done.records)


def test_a_changed_study_under_the_same_name_is_refused():
    sweep(make(tune={"trials": 1, "epochs": 1}))
    with pytest.raises(
        RequestError, match=r"another version of study 'study': rename the study in its file, or delete"
    ):
        sweep(make(tune={"trials": 2, "epochs": 1}))


def test_a_study_that_another_process_runs_is_refused(tmp_path):
    (tmp_path / "runs" / "study").mkdir(parents=True)
    with alone(tmp_path / "runs" / "study"), pytest.raises(RequestError, match="is being run by another process"):
        sweep(make())


def test_a_loss_that_always_diverges_does_not_stop_the_others_and_is_said_at_the_end():
    stream = io.StringIO()
    with pytest.raises(TrialFailed, match=r"^cnn4/lmcl was not confirmed: no tuning trial finished"):
        sweeps.sweep(make(data={"diverge": ["lmcl"]}), address="inline", run=fake_trial.run, stream=stream)
    records, lines = record.read_study(session.places.study_folder("study")), stream.getvalue()
    assert sweeps.status("study")["state"] == "finished"
    search = of(records, "search")
    assert {r.kind for r in search} == {"diverged"}
    assert len(search) == 8 and {r.state for r in search} == {"failed"}
    assert search[0].reason == "the loss is nan at step 1"
    assert len(of(records, "tuned", "softmax")) == 3 and not of(records, "tuned")
    assert "cnn4/lmcl: no tuning trial finished" in lines


def test_a_defect_is_kept_with_its_traceback():
    with pytest.raises(TrialFailed, match=r"not one trial of the study finished.*ZeroDivisionError: a defect"):
        sweep(make(data={"defect": True}, untrained=False, stop_after_failures=0))
    failed = record.read_study(session.places.study_folder("study"))[0]
    assert "fake_trial.py" in (failed.folder / "error.txt").read_text()


def test_a_wrong_request_ends_the_sweep_at_its_first_trial():
    with pytest.raises(RequestError, match=r"^training and test share 3 people$"):
        sweep(make(data={"request": "training and test share 3 people"}))
    assert len(record.read_study(session.places.study_folder("study"))) == 1


def overlapping(trial, folder):
    """Training and test share people."""
    if trial.protocols and not trial.allow_overlap:
        raise RequestError("training and lfw share 3 people: give --allow-overlap")
    yield from fake_trial.run(trial, folder)


@pytest.mark.parametrize("untrained", [True, False])
def test_what_a_refusal_recommends_is_done(untrained):
    study = make(untrained=untrained)
    with pytest.raises((RequestError, TrialFailed), match="give --allow-overlap"):
        sweep(study, overlapping)
    records, _ = sweep(study, overlapping, allow_overlap=True)
    assert {r.state for r in records} <= {"finished", "pruned"}
    assert len(of(records, "tuned")) == len(of(records, "default")) == 3
    again, _ = sweep(study, overlapping)  # the leave once given stays
    assert numbers(again) == numbers(records)


def test_leave_given_after_a_network_was_scored_makes_no_second_set_of_runs(done):
    sweep(make())
    again, _ = sweep(make(), allow_overlap=True)
    assert numbers(again) == numbers(done.records)


def test_a_study_that_came_to_no_trial_is_begun_anew_when_its_file_is_corrected(tmp_path):
    wrong = make(storage=f"sqlite:///{tmp_path / 'optuna.db'}", confirm={"seeds": 2, "epochs": 1})
    with pytest.raises(RequestError, match="slots must be at least 1, got 0"):
        sweep(wrong, slots=0)
    assert (session.places.study_folder("study") / "study.json").exists() and NoWindow.closed == "failed"
    records, _ = sweep(wrong.model_copy(update={"holdout": 0.2, "tune": make().tune}))
    assert len(of(records, "tuned")) == 2


def test_ray_is_started_only_when_all_else_stands(monkeypatch):
    def no_ray(*given):
        raise AssertionError("Ray was started")

    monkeypatch.setattr(session, "_workers", no_ray)
    monkeypatch.setattr(session, "Cell", lambda *given: (_ for _ in ()).throw(MemoryError("a cell")))
    with pytest.raises(MemoryError, match="a cell"):
        sweep(make())


def test_known_epochs_are_counted_before_the_pruner_is_asked(tmp_path):
    """At an epoch that it passed in an earlier session a trial is not pruned now that others have done better."""
    heard, submitted = [], []

    class Asks:
        def heard(self, trial, epoch, figure):
            heard.append(epoch)
            return epoch == 1

    class Takes(Inline):
        def submit(self, trial, folder):
            submitted.append(trial)

    trial = Trial(study="study", stage="tune", role="search", epochs=4)
    for epoch in (1, 2):
        record.Journal(record.start(trial, tmp_path)).append(Progress(epoch, epoch, {"dev/accuracy": 0.5}))
    driver = Driver(make(), tmp_path, [], Takes(), NoWindow("study", tmp_path), board(make(), [], io.StringIO()))
    driver._start(Asks(), trial)
    assert heard == [1, 2] and submitted == [trial]


def test_ctrl_c_in_the_report_is_no_traceback_and_leaves_the_records(facebench, monkeypatch):
    import reports

    def interrupted(folder):
        raise KeyboardInterrupt

    sweep(make())
    monkeypatch.setattr(sweeps, "sweep", lambda asked, **more: session.places.study_folder("study"))
    monkeypatch.setattr(sweeps, "load", lambda name, **more: make())
    monkeypatch.setattr(reports, "write", interrupted)
    code, _, err = facebench("sweep", "study")
    assert code == 130 and "the same command continues" in err and "Traceback" not in err
    assert sweeps.status("study")["state"] == "finished"


def test_a_study_json_that_was_spoiled_is_a_sentence(done):
    sweep(make(tune={"trials": 1, "epochs": 1}))
    (session.places.study_folder("study") / "study.json").write_text("")
    for ask in (lambda: sweep(make(tune={"trials": 1, "epochs": 1})), lambda: sweeps.status("study")):
        with pytest.raises(RequestError, match=r"study\.json cannot be read"):
            ask()
