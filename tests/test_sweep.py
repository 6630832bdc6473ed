"""A whole sweep through `inline`, on a trial that is a formula: stages, budget, seal, records, interruption, failure."""

import io
import json

import fake_trial
import pytest

import sweeps
from bench import ledger, record
from bench.errors import RequestError, TrialFailed
from bench.trial import Options, Trial
from sweeps import plan, session
from sweeps.driver import alone, check_sealed
from sweeps.progress import LiveBoard
from sweeps.study import Study

BUDGET = 8 * 4


class NoWindow:
    """Stands where MLflow would (test_tracking.py has the real one): remembers what it was told."""

    def __init__(self, study, folder):
        NoWindow.sent = []
        NoWindow.closed = ""

    def send(self, folder):
        NoWindow.sent.append(folder.name)

    def close(self, state):
        NoWindow.closed = state
        return ""


@pytest.fixture(autouse=True)
def _runs(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(session, "MlflowWindow", NoWindow)


def make(name="study", data=None, **changes) -> Study:
    body = {
        "name": name,
        "data": {"name": "digits"} | (data or {}),
        "backbones": ["cnn4"],
        "losses": {"softmax": None, "lmcl": {"fixed": {"margin_warmup_fraction": 0.25}}},
        "tune": {"trials": 8, "epochs": 4},
        "confirm": {"seeds": 3, "epochs": 2},
        "protocols": [{"name": "lfw"}],
    }
    return Study.model_validate(body | changes)


def sweep(study, run=fake_trial.run, **options):
    stream = io.StringIO()
    folder = sweeps.sweep(study, address="inline", run=run, stream=stream, **options)
    return record.read_study(folder), stream.getvalue()


def of(records, role, loss="lmcl"):
    return [r for r in records if (r.trial.role, r.trial.loss) == (role, loss)]


def numbers(records):
    """All that must be equal between two runs of a study."""
    return {r.trial.id: (r.state, r.reason, r.metrics, [(e.step, e.metrics) for e in r.events]) for r in records}


def test_every_stage_is_there_with_its_number_of_trials():
    records, _ = sweep(make())
    for loss in ("softmax", "lmcl"):
        assert len(of(records, "finalist", loss)) == 3 * 2
        assert len(of(records, "tuned", loss)) == len(of(records, "default", loss)) == 3
    assert len(of(records, "again", "softmax")) == len(of(records, "untrained", "softmax")) == 3
    assert not of(records, "again") and not of(records, "untrained")
    assert all(r.state in ("finished", "pruned") for r in records)
    assert {r.trial.epochs for r in of(records, "untrained", "softmax")} == {0}


def test_each_loss_spends_the_same_budget_and_pruning_buys_more_trials():
    records, _ = sweep(make())
    for loss in ("softmax", "lmcl"):
        search = of(records, "search", loss)
        pruned = [r for r in search if r.state == "pruned"]
        spent = sum(len(r.events) for r in search)
        assert BUDGET - 4 < spent <= BUDGET, "all but what cannot hold another whole trial"
        assert pruned and len(search) > 8
        assert all(len(r.events) >= 2 for r in pruned), "no trial ends within its margin's warm-up"
    facts = json.loads((records[0].folder.parent / "study.json").read_text())
    assert facts["tune"]["budget_epochs"] == BUDGET
    assert facts["cells"]["cnn4/lmcl"]["spent_epochs"] == sum(len(r.events) for r in of(records, "search"))


def test_without_a_pruner_there_are_as_many_trials_as_asked_for():
    records, _ = sweep(make(tune={"trials": 5, "epochs": 4, "pruner": "none"}))
    assert len(of(records, "search")) == len(of(records, "search", "softmax")) == 5


def test_the_winner_is_the_best_mean_over_its_development_seeds():
    def moody(trial, folder):
        """The best search trial was lucky: on other seeds it is the worst of the finalists."""
        for event in fake_trial.run(trial, folder):
            if trial.stage == "tune" and "dev/accuracy" in event.metrics:
                event.metrics["dev/accuracy"] = {0: 0.90, 1: 0.85, 2: 0.8}.get(trial.number, 0.1)
                if trial.role == "finalist":
                    event.metrics["dev/accuracy"] = {0: 0.60, 1: 0.86, 2: 0.8}[trial.number]
            yield event

    study = make(tune={"trials": 5, "epochs": 1, "pruner": "none"})
    records, _ = sweep(study, moody)
    chosen = next(r.trial for r in of(records, "search") if r.trial.number == 1)
    for known in of(records, "tuned"):
        assert known.trial.loss_options == chosen.loss_options
        assert known.trial.learning_rate == chosen.learning_rate
    assert {r.trial.number for r in of(records, "finalist")} == {0, 1, 2}


def test_tuning_never_sees_a_test_and_every_look_at_one_is_in_the_ledger():
    records, _ = sweep(make())
    scored = [r.trial.id for r in records if r.trial.stage != "tune"]
    assert all(not r.trial.protocols and not r.scores for r in records if r.trial.stage == "tune")
    entries = ledger.entries()
    assert sorted(entry["trial"] for entry in entries) == sorted(scored)
    first = entries[0]
    assert first["study"] == "study" and set(first["figure"]) == {"lfw/accuracy"}
    assert ledger.count("fa" * 8) == ledger.count("fa" * 8, "study") == len(scored)
    assert ledger.count("fa" * 8, "another") == ledger.count("other") == 0


def test_a_tuning_trial_with_a_protocol_is_refused():
    sealed = Trial(stage="tune", role="search", protocols=(Options(name="lfw"),))
    with pytest.raises(ValueError, match=r"carries the test protocols lfw: tuning never sees the test"):
        check_sealed(sealed)
    check_sealed(Trial(stage="confirm", protocols=(Options(name="lfw"),)))


def test_development_and_confirmation_seeds_are_disjoint():
    records, _ = sweep(make())
    tuned = {r.trial.seed for r in records if r.trial.stage == "tune"}
    assert len(tuned) == 3
    assert not tuned & {r.trial.seed for r in records if r.trial.stage != "tune"}


def test_the_same_study_twice_gives_the_same_numbers(tmp_path, monkeypatch):
    first, _ = sweep(make())
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "elsewhere"))
    second, _ = sweep(make())
    assert numbers(first) == numbers(second)
    assert len(first) > 40


@pytest.mark.parametrize("after", [0, 1, 7, 30, 61, 90, 110])
def test_an_interrupted_study_ends_as_an_uninterrupted_one(after, tmp_path, monkeypatch):
    whole, _ = sweep(make())
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "elsewhere"))
    left = [after]

    def interrupted(trial, folder):
        for event in fake_trial.run(trial, folder):
            if left[0] == 0:
                left[0] = -1
                raise KeyboardInterrupt  # the checkpoint is written, the driver has not heard of it
            left[0] -= 1
            yield event

    with pytest.raises(KeyboardInterrupt):
        sweep(make(), interrupted)
    assert NoWindow.closed == "stopped"
    assert sweeps.status("study")["state"] == "stopped"
    again, _ = sweep(make())
    assert numbers(again) == numbers(whole)
    assert sweeps.status("study")["state"] == "finished"


def test_a_crash_at_any_write_loses_nothing(tmp_path, monkeypatch):
    """The driver dies (no clean-up of its own state) at the n-th record it writes; the next one goes on."""
    whole, _ = sweep(make())
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "elsewhere"))
    finish = record.finish
    for nth in (2, 9, 14, 20):
        calls = [nth]

        def dying(folder, *rest, calls=calls, **more):
            calls[0] -= 1
            if calls[0] == 0:
                raise MemoryError("killed")
            finish(folder, *rest, **more)

        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(record, "finish", dying)
            sweep(make())
    again, _ = sweep(make())
    assert numbers(again) == numbers(whole)


def test_a_finished_study_runs_nothing_again():
    whole, _ = sweep(make())

    def never(trial, folder):
        raise AssertionError("a finished trial was run again")

    again, lines = sweep(make(), never)
    assert numbers(again) == numbers(whole) and "finished" not in lines


def test_a_deleted_study_begins_anew():
    first, _ = sweep(make())
    for path in sorted(first[0].folder.parent.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    again, _ = sweep(make())
    assert numbers(again) == numbers(first)


def test_a_changed_study_under_the_same_name_is_refused():
    sweep(make(tune={"trials": 1, "epochs": 1}))
    with pytest.raises(RequestError, match=r"another version of study 'study': rename the study in its file, or delete"):
        sweep(make(tune={"trials": 2, "epochs": 1}))


def test_a_study_that_another_process_runs_is_refused(tmp_path):
    (tmp_path / "runs" / "study").mkdir(parents=True)
    with alone(tmp_path / "runs" / "study"), pytest.raises(RequestError, match="is being run by another process"):
        sweep(make())


def test_somebody_elses_search_in_a_shared_database_is_left_alone(tmp_path, monkeypatch):
    study = make(storage=f"sqlite:///{tmp_path / 'shared.db'}")
    sweep(study)
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "elsewhere"))
    with pytest.raises(RequestError, match=r"already holds 'study/cnn4/softmax', not begun here: rename the study"):
        sweep(study)


def test_a_loss_that_always_diverges_does_not_stop_the_others():
    records, lines = sweep(make(data={"diverge": ["lmcl"]}))
    search = of(records, "search")
    assert len(search) == 8 and {r.state for r in search} == {"failed"}
    assert search[0].reason == "the loss is nan at step 1"
    assert len(of(records, "tuned", "softmax")) == 3 and not of(records, "tuned")
    assert "cnn4/lmcl: no tuning trial finished" in lines


def test_a_defect_is_kept_with_its_traceback():
    with pytest.raises(TrialFailed, match=r"not one trial of the study finished.*ZeroDivisionError: a defect"):
        sweep(make(data={"defect": True}, untrained=False))
    failed = record.read_study(session.places.study_folder("study"))[0]
    assert "fake_trial.py" in (failed.folder / "error.txt").read_text()


def test_a_wrong_request_ends_the_sweep_at_its_first_trial():
    with pytest.raises(RequestError, match="^training and test share 3 people$"):
        sweep(make(data={"request": "training and test share 3 people"}))
    assert len(record.read_study(session.places.study_folder("study"))) == 1


def test_an_objective_that_the_data_cannot_give_is_answered_with_those_they_can():
    with pytest.raises(RequestError, match=r"no 'dev/auc' to tune by: choose another `objective`.*there is: dev/accuracy"):
        sweep(make(objective="dev/auc", untrained=False, default_seeds=0))


def test_an_error_rate_is_minimised():
    def errors(trial, folder):
        for event in fake_trial.run(trial, folder):
            if "dev/accuracy" in event.metrics:
                event.metrics["dev/eer"] = 1 - event.metrics.pop("dev/accuracy")
            yield event

    higher, _ = sweep(make("higher"))
    lower, _ = sweep(make("lower", objective="dev/eer"), errors)
    best = {}
    for name, records in (("higher", higher), ("lower", lower)):
        best[name] = [r.trial.learning_rate for r in of(records, "tuned")]
    assert abs(best["lower"][0] - 0.063) < 0.05 and best["higher"] == pytest.approx(best["lower"], rel=1.5)


def test_status_tells_where_every_trial_stands():
    records, _ = sweep(make())
    told = sweeps.status("study")
    assert told["study"] == "study" and len(told["trials"]) == len(records)
    tuned = next(t for t in told["trials"] if t["role"] == "tuned" and t["loss"] == "lmcl")
    assert set(tuned) >= {"id", "backbone", "loss", "stage", "state", "seed", "params", "metrics"}
    assert (tuned["stage"], tuned["state"]) == ("confirm", "finished")
    assert set(tuned["params"]) == {"learning_rate", "weight_decay", "margin", "margin_warmup_fraction"}
    assert "lfw/accuracy" in tuned["metrics"]
    json.dumps(told)
    with pytest.raises(RequestError, match=r"no study 'other' in .*; there is: study"):
        sweeps.status("other")


def test_no_checkpoint_of_a_tuning_trial_is_kept_and_one_of_each_other():
    records, _ = sweep(make())
    for known in records:
        kept = len(list(known.folder.glob("checkpoint-*.pt")))
        assert kept == (known.trial.stage != "tune" and known.trial.epochs > 0)


def test_plain_lines_say_every_trial_and_every_stage():
    records, lines = sweep(make())
    assert sum(" finished" in line or " pruned" in line for line in lines.splitlines()) == len(records)
    for words in ("cnn4/lmcl: finalists (best dev/accuracy", "cnn4/lmcl: confirm", "cnn4/lmcl: done", " left]"):
        assert words in lines


def test_the_table_on_a_terminal_counts_and_ends():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    sweeps.sweep(make(), address="inline", run=fake_trial.run, stream=stream)
    drawn = stream.getvalue()
    assert "study study" in drawn and "best dev/accuracy" in drawn and "done" in drawn
    assert LiveBoard.left  # both displays estimate the time alike


def test_the_window_is_told_of_every_trial():
    records, _ = sweep(make())
    assert set(NoWindow.sent) == {r.trial.id for r in records} and NoWindow.closed == "finished"


def test_slots_below_one_are_refused():
    with pytest.raises(RequestError, match="slots must be at least 1, got 0"):
        sweep(make(), slots=0)


def test_plan_names_every_shipped_role():
    winner = plan.search(make(), "cnn4", "softmax", 0, {"learning_rate": 0.1, "weight_decay": 1e-3})
    assert {t.role for t in plan.confirm(make(), winner, "again")} == {"again"}
