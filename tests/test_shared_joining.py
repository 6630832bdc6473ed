"""Who may join a study that several drivers share, what is refused, what was lost and is run again."""

import threading

import optuna
import pytest
from made_up_drivers import DEADLINE, drivers, until  # noqa: F401 (fixture)
from made_up_shared import RANDOM, check_whole, rows, study  # noqa: F401 (fixture)
from made_up_sweep import BUDGET, make, no_mlflow, numbers, of  # noqa: F401 (fixture)

from bench.errors import RequestError, TrialFailed
from sweeps import shared
from sweeps.claims import Begun, Claim, Claims, Key


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


def test_a_driver_that_joins_before_a_search_and_looks_after_it_takes_it_in(study, drivers, tmp_path, monkeypatch):
    """Its first ask finds that the other has asked for all, trained it and closed the search meanwhile."""
    joined, seen, ask = threading.Event(), set(), shared.Shared.ask

    def late(share, place, tuner):
        if drivers.here.name != "late" or place in seen:
            return ask(share, place, tuner)
        seen.add(place)
        joined.set()
        until(lambda: drivers.said("quick").count(": finalists") == 2, lambda: drivers.said("quick"))
        share.refresh()
        return None

    monkeypatch.setattr(shared.Shared, "ask", late)
    drivers.start("late", study(tune=RANDOM))
    assert joined.wait(DEADLINE)
    drivers.start("quick", study(tune=RANDOM))
    drivers.join("late", "quick")
    check_whole(tmp_path, drivers, ["late", "quick"])


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


@pytest.mark.parametrize(
    "changes", [{"budget": {"max_hours": 1.0}}, {"tune": RANDOM | {"early_stop": {"confidence": 0.95}}}]
)
def test_what_one_driver_keeps_is_refused_where_there_may_be_several(study, drivers, changes):
    with pytest.raises(RequestError, match=r"`budget` and `early_stop` are kept by one driver.* names a `storage`"):
        drivers.drive("a", study(**changes))
