"""Several drivers on one study in one database: no trial twice, none left, the same choices, whoever dies where."""

import sqlite3
import threading
from collections import Counter
from contextlib import closing

import optuna
import pytest
from made_up_drivers import drivers, until  # noqa: F401 (fixture)
from made_up_sweep import BUDGET, make, no_mlflow, numbers, of  # noqa: F401 (fixture)

from bench import record
from bench.errors import RequestError, TrialFailed
from sweeps import shared, tuner
from sweeps.claims import Begun, Claim, Claims, Key

SMALL = {
    "losses": ["softmax"],
    "tune": {"trials": 6, "epochs": 2, "finalists": 1, "finalist_seeds": 1},
    "confirm": {"seeds": 1, "epochs": 1},
    "again": False,
    "untrained": False,
}
RANDOM = {"trials": 5, "epochs": 3, "sampler": "random", "pruner": "none", "finalists": 2, "finalist_seeds": 1}


@pytest.fixture
def study(tmp_path):
    def made(**changes):
        return make(storage=f"sqlite:///{tmp_path / 'shared.db'}", **changes)

    return made


def rows(tmp_path, query):
    with closing(sqlite3.connect(tmp_path / "shared.db")) as base:
        return base.execute(query).fetchall()


def check_whole(tmp_path, many, names):
    """Every trial ended once, at one driver; Optuna knows all ends; all drivers made the same choices. All records."""
    claims = rows(tmp_path, "select owner, state from facebench_claims")
    assert not {state for _, state in claims} & {"asking", "running"}
    records = [known for name in names for known in many.records(name)]
    assert max(Counter(known.trial.id for known in records).values()) == 1
    assert len(records) == len([state for _, state in claims if state not in ("closed", "void")])
    assert {known.state for known in records} <= {"finished", "pruned"}
    assert set(rows(tmp_path, "select distinct state from trials")) <= {("COMPLETE",), ("PRUNED",)}
    cells = [{k: v for k, v in many.facts(name)["cells"].items()} for name in names]
    assert all(own == cells[0] for own in cells)
    return records


def test_three_drivers_run_the_trials_of_one(study, drivers, tmp_path):
    """Without history in the sampler the set of trials and all their figures are a single driver's."""
    alone = drivers.drive("alone", make(tune=RANDOM))
    drivers.executed.clear()
    names = ["a", "b", "c"]
    for name in names:
        drivers.start(name, study(tune=RANDOM))
    drivers.join(*names)
    together = check_whole(tmp_path, drivers, names)
    assert numbers(together) == numbers(alone)
    assert set(drivers.executed.values()) == {1}
    assert len({drivers.facts(name)["created"] for name in names}) == 1
    assert all(drivers.records(name) for name in names), "each had a share of the work"


def test_a_search_with_history_keeps_its_budget(study, drivers, tmp_path):
    for name in ("a", "b"):
        drivers.start(name, study())
    drivers.join("a", "b")
    records = check_whole(tmp_path, drivers, ("a", "b"))
    for loss in ("softmax", "lmcl"):
        search = of(records, "search", loss)
        assert BUDGET - 4 < sum(len(known.events) for known in search) <= BUDGET
        assert sorted(known.trial.number for known in search) == list(range(len(search)))
        assert len({known.trial.learning_rate for known in search}) == len(search)
        assert len(of(records, "tuned", loss)) == len(of(records, "default", loss)) == 3
        assert len({(k.trial.learning_rate, k.trial.loss_options) for k in of(records, "tuned", loss)}) == 1


def test_one_driver_in_a_shared_database_does_what_it_does_alone(study, drivers):
    """Also where history counts: the claims change no number."""
    alone = drivers.drive("alone", make())
    assert numbers(drivers.drive("a", study())) == numbers(alone)


class Killed(BaseException):
    pass


def die_at(patch, place, name, nth, after=False):
    """The process dies at the n-th call of `place.name`, before it or (`after`) when it is done."""
    real, left = getattr(place, name), [nth]

    def dying(*given, **more):
        left[0] -= 1
        if left[0] == 0 and not after:
            raise Killed
        answer = real(*given, **more)
        if left[0] == 0:
            raise Killed
        return answer

    patch.setattr(place, name, dying)


@pytest.mark.parametrize(
    ("place", "name", "after"),
    [
        (tuner.Tuner, "take_up", False),  # between claim and ask
        (tuner.Tuner, "take_up", True),  # between ask and the claim's move
        (optuna.trial.Trial, "suggest_float", False),  # within the ask
        (Claims, "insert", False),
        (Claims, "insert", True),
        (Claims, "move", True),  # between the claim's end and Optuna
        (record, "append", True),
        (record, "finish", True),  # between record and claim
        (tuner.Tuner, "tell", True),
        (Claims, "rows", True),
    ],
)
def test_a_driver_killed_anywhere_goes_on(place, name, after, study, drivers, tmp_path, monkeypatch):
    alone = drivers.drive("alone", make(**SMALL))
    for nth in (2, 4):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            die_at(patch, place, name, nth, after)
            drivers.drive("a", study(**SMALL))
    assert numbers(drivers.drive("a", study(**SMALL))) == numbers(alone)
    check_whole(tmp_path, drivers, ["a"])


def stopping(run, events):
    """A run whose driver dies after so many events."""
    left = [events]

    def dying(trial, folder):
        for event in run(trial, folder):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            yield event

    return dying


def test_the_claims_of_a_killed_driver_wait_for_it(study, drivers, tmp_path):
    small = study(tune=RANDOM)
    with pytest.raises(Killed):
        drivers.drive("a", small, stopping(drivers.run, 20))
    drivers.start("b", small)
    until(lambda: "waiting for" in drivers.said("b"))
    drivers.drive("a", small)
    drivers.join("b")
    check_whole(tmp_path, drivers, ("a", "b"))
    assert set(drivers.executed.values()) == {1}, (
        "the epoch that the killed driver had not heard of was in its checkpoint"
    )


@pytest.mark.parametrize("events", [3, 20, 45])
def test_a_driver_that_never_returns_is_inherited_and_finds_its_claims_lost(
    study, drivers, tmp_path, monkeypatch, events
):
    monkeypatch.setattr(shared, "STALE", 1.0)
    small = study(tune=RANDOM)
    alone = drivers.drive("alone", make(tune=RANDOM))
    with pytest.raises(Killed):
        drivers.drive("a", small, stopping(drivers.run, events))
    drivers.drive("b", small)
    assert "has not been heard of for 1 s" in drivers.said("b")
    before = {known.trial.id for known in drivers.records("a")}
    drivers.drive("a", small)
    assert {known.trial.id for known in drivers.records("a")} < before
    assert numbers(check_whole(tmp_path, drivers, ("a", "b"))) == numbers(alone)


def test_an_ask_cut_short_is_inherited_too(study, drivers, tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "STALE", 1.0)
    small = study(tune=RANDOM)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_at(patch, optuna.trial.Trial, "suggest_float", 4)
        drivers.drive("a", small)
    drivers.drive("b", small)
    drivers.drive("a", small)
    check_whole(tmp_path, drivers, ("a", "b"))


@pytest.mark.parametrize("place", ["epoch", "finish"])
def test_a_driver_that_was_held_up_drops_what_it_lost(study, drivers, tmp_path, monkeypatch, place):
    """It neither records nor tells anything of a trial that another driver has taken over meanwhile."""
    monkeypatch.setattr(shared, "STALE", 1.0)
    held, free = threading.Event(), threading.Event()
    beat = Claims.beat

    def beating(self, driver, session):
        return beat(self, driver, session) if not held.is_set() or free.is_set() or driver != held.driver else True

    monkeypatch.setattr(Claims, "beat", beating)

    def hold():
        if not held.is_set() and drivers.here.name == "a":
            held.driver = (tmp_path / "a" / "study" / ".driver").read_text().strip()
            held.set()
            assert free.wait(120)

    def slow(trial, folder):
        for event in drivers.run(trial, folder):
            if place == "epoch" and trial.role == "search" and trial.number == 1:
                hold()
            yield event

    finish = record.finish

    def finishing(folder, *given, **more):
        if place == "finish" and record.read(folder).trial.role == "finalist":
            hold()
        finish(folder, *given, **more)

    monkeypatch.setattr(record, "finish", finishing)
    small = study(tune=RANDOM)
    drivers.start("a", small, slow)
    assert held.wait(120)
    drivers.start("b", small)
    until(lambda: "is taken over" in drivers.said("b"), lambda: drivers.said("b"))
    drivers.join("b")
    free.set()
    drivers.join("a")
    assert "what was begun of it here is dropped" in drivers.said("a")
    check_whole(tmp_path, drivers, ("a", "b"))


def test_two_processes_with_one_name_are_not_two_drivers(study, drivers, monkeypatch):
    """A folder of records that was copied has the name of the first driver in it."""
    taken = threading.Event()

    def run(trial, folder):
        if not taken.is_set():
            other = Claims(study().storage, "study", print)
            other.arrive((drivers.runs() / "study" / ".driver").read_text().strip(), "another session")
            other.close()
            taken.set()
        yield from drivers.run(trial, folder)

    monkeypatch.setattr(shared, "LOOK", 0.0)
    with pytest.raises(RequestError, match=r"another process drives study 'study' under the name of this one"):
        drivers.drive("a", study(), run)


def test_another_study_of_the_same_name_is_refused(study, drivers):
    drivers.drive("a", study(tune=RANDOM))
    with pytest.raises(RequestError, match=r"holds another study 'study', or another version of it: rename the study"):
        drivers.drive("b", study(tune=RANDOM | {"trials": 6}))


def test_a_search_that_facebench_did_not_begin_is_left_alone(study, drivers):
    optuna.create_study(study_name="study/cnn4/lmcl", storage=study().storage)
    with pytest.raises(RequestError, match=r"already holds 'study/cnn4/lmcl', not begun here: rename the study"):
        drivers.drive("a", study())


def test_runs_lost_to_errors_are_run_again_by_whoever_comes(study, drivers, tmp_path):
    def broken(trial, folder):
        if trial.role in ("tuned", "default") and trial.loss == "lmcl":
            raise OSError("no space left on device")
        yield from drivers.run(trial, folder)

    small = study(tune=RANDOM)
    with pytest.raises(TrialFailed, match=r"6 run\(s\) of the report were lost"):
        drivers.drive("a", small, broken)
    drivers.drive("b", small)
    assert len(of(drivers.records("b"), "tuned")) == len(of(drivers.records("b"), "default")) == 3
    drivers.drive("a", small)
    check_whole(tmp_path, drivers, ("a", "b"))


def test_a_search_lost_as_a_whole_asks_again(study, drivers, tmp_path):
    def broken(trial, folder):
        if trial.role == "search" and trial.loss == "lmcl":
            raise OSError("no space left on device")
        yield from drivers.run(trial, folder)

    small = study(tune=RANDOM)
    with pytest.raises(TrialFailed, match="no tuning trial finished"):
        drivers.drive("a", small, broken)
    drivers.drive("b", small)
    assert len([known for known in of(drivers.records("b"), "search") if known.state == "finished"]) == 5
    assert drivers.facts("b")["cells"]["cnn4/lmcl"]["stage"] == "done"


def test_a_wrong_request_at_one_driver_does_not_stop_another(study, drivers):
    """Its data may be missing there alone."""

    def wrong(trial, folder):
        raise RequestError("no data here")
        yield

    small = study(tune=RANDOM)
    with pytest.raises(RequestError, match="^no data here$"):
        drivers.drive("a", small, wrong)
    drivers.drive("b", small)
    assert len(of(drivers.records("b"), "tuned")) == 3 and len(of(drivers.records("b"), "untrained", "softmax")) == 3


def test_a_study_without_a_search_is_shared_too(study, drivers):
    for name in ("a", "b"):
        drivers.start(name, study(tune=None))
    drivers.join("a", "b")
    tuned = [known for name in ("a", "b") for known in of(drivers.records(name), "tuned")]
    assert len(tuned) == len({known.trial.id for known in tuned}) == 3


def test_claims_are_taken_once_and_changed_by_their_owner(tmp_path):
    claims = Claims(f"sqlite:///{tmp_path / 'claims.db'}", "study", print)
    where, mine = Key("cnn4", "lmcl", "search", 0, 0), Claim("a", "asking")
    assert claims.insert(where, mine) and not claims.insert(where, Claim("b", "asking"))
    assert claims.insert(where, mine), "the answer to the first try may have been lost"
    ended = Claim("a", "finished", "", 0.1 + 0.2, 4, 2.5)
    assert not claims.move(where, "b", "asking", ended) and not claims.move(where, "a", "running", ended)
    assert claims.move(where, "a", "asking", ended) and claims.move(where, "a", "asking", ended)
    assert claims.rows() == {where: ended}
    claims.remove(where, mine)
    assert claims.read(where) == ended
    claims.remove(where, ended)
    assert claims.read(where) is None


def test_all_drivers_agree_on_one_run_in_mlflow(tmp_path):
    claims = Claims(f"sqlite:///{tmp_path / 'claims.db'}", "study", print)
    claims.begin(Begun("hash", "now", False))
    assert (claims.agree("one"), claims.agree("two"), claims.agree("two", "one"), claims.agree("three", "one")) == (
        "one",
        "one",
        "two",
        "two",
    )
