"""A whole sweep through `inline`, on a trial that is a formula: stages, budget, seal, records, interruption, failure."""

import io
import json
import shutil
from typing import NamedTuple

import fake_trial
import pytest

import sweeps
from bench import ledger, record
from bench.errors import RequestError, TrialFailed
from bench.locks import alone
from bench.plain import Options, Progress, Trial
from sweeps import session
from sweeps.driver import Driver, check_sealed
from sweeps.inline import Inline
from sweeps.progress import board
from sweeps.study import Study
from sweeps.work import WorkerLost

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
def _no_mlflow(monkeypatch):
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


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One whole sweep that many tests look at: its records, the lines it printed, its ledger and its status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEBENCH_RUNS", str(tmp_path_factory.mktemp("done")))
        patch.setattr(session, "MlflowWindow", NoWindow)
        records, lines = sweep(make())
        yield Done(records, lines, ledger.entries(), sweeps.status("study"), set(NoWindow.sent), NoWindow.closed)


class Done(NamedTuple):
    records: list
    lines: str
    ledger: list
    status: dict
    sent: set
    closed: str


def of(records, role, loss="lmcl"):
    return [r for r in records if (r.trial.role, r.trial.loss) == (role, loss)]


def numbers(records):
    """All that must be equal between two runs of a study."""
    return {r.trial.id: (r.state, r.reason, r.metrics, [(e.step, e.metrics) for e in r.events]) for r in records}


def test_every_stage_is_there_with_its_number_of_trials(done):
    records = done.records
    for loss in ("softmax", "lmcl"):
        assert len(of(records, "finalist", loss)) == 3 * 2
        assert len(of(records, "tuned", loss)) == len(of(records, "default", loss)) == 3
    assert len(of(records, "again", "softmax")) == len(of(records, "untrained", "softmax")) == 3
    assert not of(records, "again") and not of(records, "untrained")
    assert all(r.state in ("finished", "pruned") for r in records)
    assert {r.trial.epochs for r in of(records, "untrained", "softmax")} == {0}


def test_each_loss_spends_the_same_budget_and_pruning_buys_more_trials(done):
    records = done.records
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


def test_tuning_never_sees_a_test_and_every_look_at_one_is_in_the_ledger(done):
    scored = [r.trial.id for r in done.records if r.trial.stage != "tune"]
    assert all(not r.trial.protocols and not r.scores for r in done.records if r.trial.stage == "tune")
    assert sorted(entry["trial"] for entry in done.ledger) == sorted(scored)
    first = done.ledger[0]
    assert (first["study"], first["protocol"], first["hash"]) == ("study", "lfw", "fa" * 8)
    assert set(first["figure"]) == {"lfw/accuracy"}


def test_the_ledger_counts_by_test_and_by_study():
    for study, hash in (("a", "one"), ("a", "one"), ("b", "one"), ("a", "two")):
        ledger.append(study, "trial", "lfw", hash, {"lfw/accuracy": 0.5})
    with ledger.path().open("a") as file:
        file.write('{"cut short by a cra')
    assert (ledger.count("one"), ledger.count("one", "a"), ledger.count("two"), ledger.count("three")) == (3, 2, 1, 0)


def test_a_tuning_trial_with_a_protocol_is_refused():
    sealed = Trial(stage="tune", role="search", protocols=(Options(name="lfw"),))
    with pytest.raises(ValueError, match=r"carries the test protocols lfw: tuning never sees the test"):
        check_sealed(sealed)
    check_sealed(Trial(stage="confirm", protocols=(Options(name="lfw"),)))


def test_development_and_confirmation_seeds_are_disjoint(done):
    tuned = {r.trial.seed for r in done.records if r.trial.stage == "tune"}
    assert len(tuned) == 3
    assert not tuned & {r.trial.seed for r in done.records if r.trial.stage != "tune"}


def test_the_same_study_twice_gives_the_same_numbers(done):
    second, _ = sweep(make())
    assert numbers(done.records) == numbers(second)
    assert len(second) > 40


@pytest.mark.parametrize("after", [0, 7, 30, 61, 110])
def test_an_interrupted_study_ends_as_an_uninterrupted_one(after, done):
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
            finish(folder, *rest, **more)

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


def test_somebody_elses_search_in_a_shared_database_is_left_alone(tmp_path, monkeypatch):
    study = make(storage=f"sqlite:///{tmp_path / 'shared.db'}")
    sweep(study)
    monkeypatch.setenv("FACEBENCH_RUNS", str(tmp_path / "elsewhere"))
    with pytest.raises(RequestError, match=r"already holds 'study/cnn4/softmax', not begun here: rename the study"):
        sweep(study)


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
        sweep(make(data={"defect": True}, untrained=False))
    failed = record.read_study(session.places.study_folder("study"))[0]
    assert "fake_trial.py" in (failed.folder / "error.txt").read_text()


def test_a_wrong_request_ends_the_sweep_at_its_first_trial():
    with pytest.raises(RequestError, match=r"^training and test share 3 people$"):
        sweep(make(data={"request": "training and test share 3 people"}))
    assert len(record.read_study(session.places.study_folder("study"))) == 1


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
        sweep(make(), lambda trial, folder: broken(trial, folder, "search"))
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


def test_a_grid_that_is_used_up_ends_the_search():
    tune = {"trials": 4, "epochs": 4, "sampler": "grid", "finalists": 1, "finalist_seeds": 0}
    study = make(tune=tune, losses=["softmax"], confirm={"seeds": 1, "epochs": 1}, untrained=False)
    records, _ = sweep(study)
    search = of(records, "search", "softmax")
    assert len(search) == 4 and len({(r.trial.learning_rate, r.trial.weight_decay) for r in search}) == 4
    assert len(of(records, "tuned", "softmax")) == 1


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
        record.append(record.start(trial, tmp_path), Progress(epoch, epoch, {"dev/accuracy": 0.5}))
    driver = Driver(make(), tmp_path, [], Takes(), NoWindow("study", tmp_path), board(make(), [], io.StringIO()))
    driver._start(Asks(), trial)
    assert heard == [1, 2] and submitted == [trial]


def test_an_objective_that_the_data_cannot_give_is_answered_with_those_they_can():
    with pytest.raises(
        RequestError, match=r"no 'dev/auc' to tune by: choose another `objective`.*there is: dev/accuracy"
    ):
        sweep(make(objective="dev/auc", untrained=False, default_seeds=0))


def test_an_error_rate_is_minimised():
    def errors(trial, folder):
        for event in fake_trial.run(trial, folder):
            if "dev/accuracy" in event.metrics:
                event.metrics["dev/eer"] = 1 - event.metrics.pop("dev/accuracy")
            yield event

    records, _ = sweep(make(objective="dev/eer"), errors)
    mean = {r.trial.number: r.metrics["dev/eer"] for r in of(records, "search") if r.state == "finished"}
    best = sorted(mean, key=mean.get)[:3]
    assert {r.trial.number for r in of(records, "finalist")} == set(best)
    assert of(records, "tuned")[0].trial.loss_options in [r.trial.loss_options for r in of(records, "finalist")]


def test_status_tells_where_every_trial_stands(done):
    told = done.status
    assert (told["study"], told["state"], len(told["trials"])) == ("study", "finished", len(done.records))
    tuned = next(t for t in told["trials"] if t["role"] == "tuned" and t["loss"] == "lmcl")
    assert set(tuned) >= {"id", "backbone", "loss", "stage", "state", "seed", "params", "metrics"}
    assert (tuned["stage"], tuned["state"]) == ("confirm", "finished")
    assert set(tuned["params"]) == {"learning_rate", "weight_decay", "margin", "margin_warmup_fraction"}
    assert "lfw/accuracy" in tuned["metrics"]
    json.dumps(told)


def test_the_status_of_a_study_that_was_never_run_is_refused():
    sweep(make(tune={"trials": 1, "epochs": 1}))
    with pytest.raises(RequestError, match=r"no study 'other' in .*; there is: study"):
        sweeps.status("other")


def test_no_checkpoint_of_a_tuning_trial_is_kept_and_one_of_each_other(done):
    for known in done.records:
        kept = len(list(known.folder.glob("checkpoint-*.pt")))
        assert kept == (known.trial.stage != "tune" and known.trial.epochs > 0)


def test_plain_lines_say_every_trial_and_every_stage(done):
    ended = [line for line in done.lines.splitlines() if " finished" in line or " pruned" in line]
    assert len(ended) == len(done.records)
    for words in ("cnn4/lmcl: finalists (best dev/accuracy", "cnn4/lmcl: confirm", "cnn4/lmcl: done", " left]"):
        assert words in done.lines


def test_the_table_on_a_terminal_counts_and_ends():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    sweeps.sweep(make(tune={"trials": 2, "epochs": 1}), address="inline", run=fake_trial.run, stream=stream)
    last = stream.getvalue().rpartition("study study")[2]
    rows = [line.split() for line in last.splitlines() if "cnn4" in line]
    assert [row[3] for row in rows] == ["softmax", "lmcl"]
    assert all("done" in row for row in rows)
    assert "about 0 s left" in last


def test_the_window_is_told_of_every_trial(done):
    assert done.sent == {r.trial.id for r in done.records} and done.closed == "finished"


def test_slots_below_one_are_refused():
    with pytest.raises(RequestError, match="slots must be at least 1, got 0"):
        sweep(make(), slots=0)
