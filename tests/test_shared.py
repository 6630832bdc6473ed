"""Several drivers on one study in one database: no trial twice, none left, the same choices, whoever dies where."""

import threading

import optuna
import pytest
from made_up_drivers import drivers, until  # noqa: F401 (fixture)
from made_up_shared import RANDOM, check_whole, rows, study  # noqa: F401 (fixture)
from made_up_sweep import BUDGET, make, no_mlflow, numbers, of  # noqa: F401 (fixture)

from bench import record
from sweeps import shared, tuner
from sweeps.claims import Claims

SMALL = {
    "losses": ["softmax"],
    "tune": {"trials": 6, "epochs": 2, "finalists": 1, "finalist_seeds": 1},
    "confirm": {"seeds": 1, "epochs": 1},
    "again": False,
    "untrained": False,
}


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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "name", "after"),
    [
        (tuner.Tuner, "take_up", False),  # between claim and ask
        (tuner.Tuner, "take_up", True),  # between ask and the claim's move
        (optuna.trial.Trial, "suggest_float", False),  # within the ask
        (Claims, "insert", False),
        (Claims, "insert", True),
        (Claims, "move", True),  # between the claim's end and Optuna
        (record.Journal, "append", True),
        (record, "finish", True),  # between record and claim
        (tuner.Tuner, "tell", True),
        (Claims, "rows", True),
    ],
)
def test_a_driver_killed_anywhere_goes_on(place, name, after, study, drivers, tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "LOOK", 0.0)  # else a quick study is over before there were four looks
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "events", [pytest.param(3, marks=pytest.mark.long), 20, pytest.param(45, marks=pytest.mark.long)]
)
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


@pytest.mark.slow
def test_an_ask_cut_short_is_inherited_too(study, drivers, tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "STALE", 1.0)
    small = study(tune=RANDOM)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_at(patch, optuna.trial.Trial, "suggest_float", 4)
        drivers.drive("a", small)
    drivers.drive("b", small)
    drivers.drive("a", small)
    check_whole(tmp_path, drivers, ("a", "b"))


@pytest.mark.slow
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
        return finish(folder, *given, **more)

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
