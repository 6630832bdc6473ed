"""The search, on a real Optuna study in a real SQLite file."""

import pytest
from optuna.distributions import FloatDistribution

from bench.errors import RequestError
from sweeps import patience, tuner
from sweeps.claims import Claims
from sweeps.tuner import Tuner

SPACE = {"learning_rate": ("log", 0.01, 0.3), "margin": ("linear", 0.0, 0.5)}


@pytest.fixture
def store(tmp_path):
    return tuner.storage(f"sqlite:///{tmp_path / 'optuna.db'}")


def make(store, name="study/cnn4/lmcl", **options) -> Tuner:
    return Tuner(name, store, SPACE, **{"seed": "0:cnn4:lmcl", "trials": 8, "epochs": 4} | options)


def trials(store, name="study/cnn4/lmcl"):
    """As the database has them."""
    return store.get_all_trials(store.get_study_id_from_name(name))


def quality(params: dict[str, float]) -> float:
    return 0.9 - abs(params["margin"] - 0.2) - abs(params["learning_rate"] - 0.1)


def finish(search: Tuner, count: int) -> list[dict[str, float]]:
    """Ask and tell `count` times; what was asked."""
    asked = []
    for _ in range(count):
        trial = search.ask()
        search.tell(trial.number, "finished", quality(trial.params) if "margin" in trial.params else 0.5)
        asked.append(trial.params)
    return asked


def test_another_seed_asks_for_something_else(store):
    assert finish(make(store, "a", seed="0"), 2) != finish(make(store, "b", seed="1"), 2)


def test_tpe_finds_a_better_place_than_where_it_began(store):
    asked = finish(make(store, trials=20), 20)
    begun, ended = asked[:6], asked[14:]
    assert sum(map(quality, ended)) / 6 > sum(map(quality, begun)) / 6


def test_a_trial_left_running_is_taken_up_with_the_same_parameters(store):
    before = make(store)
    done, left = before.ask(), before.ask()
    before.tell(done.number, "finished", 0.5)
    after = make(store)
    assert after.known() == [done, left]
    assert not after.report(left.number, 1, 0.4)
    after.tell(left.number, "finished", 0.6)
    assert after.ask().number == 2


@pytest.mark.parametrize("sampler", tuner.samplers.SAMPLERS)
def test_a_crash_before_a_trial_is_written_asks_for_the_same_one_again(store, sampler):
    finish(search := make(store, sampler=sampler), 5)
    search._twin._storage = None  # the process dies before the database hears of it
    lost = search.ask()
    assert make(store, sampler=sampler).ask() == lost


@pytest.mark.parametrize("written", [0, 1])
def test_a_trial_that_an_older_version_wrote_in_part_is_completed_as_it_would_have_been(store, written):
    whole = make(store, "whole").ask()
    make(store, "crashed")
    place = store.create_new_trial(store.get_study_id_from_name("crashed"))
    for name in list(SPACE)[:written]:
        kind = FloatDistribution(*SPACE[name][1:], log=SPACE[name][0] == "log")
        store.set_trial_param(place, name, whole.params[name], kind)
    assert make(store, "crashed").known() == [whole]
    assert store.get_trial(place).params == whole.params


def test_telling_twice_changes_nothing(store):
    search = make(store)
    trial = search.ask()
    search.tell(trial.number, "finished", 0.5)
    search.tell(trial.number, "failed")
    assert trials(store)[0].value == 0.5


def test_a_second_report_at_a_step_and_one_that_is_not_finite_change_nothing(store):
    search = make(store)
    trial = search.ask()
    search.report(trial.number, 1, 0.5)
    search.report(trial.number, 1, 0.9)
    assert not search.report(trial.number, 2, float("nan"))
    assert trials(store)[0].intermediate_values == {1: 0.5}


@pytest.mark.parametrize(
    ("sampler", "pruner"), [("tpe", "median"), ("cmaes", "asha"), ("grid", "hyperband"), ("tpe", "none")]
)
def test_the_database_holds_what_is_in_memory(store, sampler, pruner):
    """All but the times, and the mark of each ask: so that a search that is read again goes on as it would have gone on."""
    search = make(store, sampler=sampler, pruner=pruner, trials=16, epochs=9)
    states = set()
    for _ in range(12):
        trial = search.ask()
        pruned = any(search.report(trial.number, step, step * quality(trial.params)) for step in range(1, 10))
        search.tell(trial.number, "pruned" if pruned else "finished", 9 * quality(trial.params))
        states.add(pruned)
    assert states == ({False} if pruner == "none" else {False, True})
    kept = trials(store)
    for ours in search._twin.trials():
        there = kept[ours.number]
        assert there.system_attrs.pop(patience.MARK)
        for part in ("state", "values", "params", "distributions", "intermediate_values", "system_attrs"):
            assert getattr(ours, part) == getattr(there, part), part
    assert make(store, sampler=sampler, pruner=pruner, trials=16, epochs=9).ask() == search.ask()


def test_what_another_driver_did_is_learned_before_a_trial_is_taken_up(store):
    one, other = make(store), make(store)
    first = other.ask()
    other.report(first.number, 1, 0.4)
    assert one.take_up(0) == first
    other.tell(0, "finished", 0.4)
    second = one.take_up(1)
    assert second.number == 1 and other.params([0, 1]) == [first, second]
    one.tell(0, "failed")  # it has heard of the end
    assert [trial.state.name for trial in trials(store)] == ["COMPLETE", "RUNNING"]


def test_of_two_drivers_that_ask_at_once_one_takes_the_trial_of_the_other(store):
    one, other = make(store, seed="one"), make(store, seed="other")
    first = other.ask()  # `one` has not heard of it
    assert one.ask() == first
    assert [trial.state.name for trial in trials(store)] == ["RUNNING", "RUNNING"]
    one.close(1)
    assert [trial.state.name for trial in trials(store)] == ["RUNNING", "FAIL"]


def test_a_grid_ends_when_every_point_was_asked_for_and_the_last_can_be_told(store):
    search = make(store, sampler="grid", trials=4)
    assert not search.exhausted()
    asked = finish(search, 4)
    assert len({tuple(params.items()) for params in asked}) == 4
    assert search.exhausted() and make(store, sampler="grid", trials=4).exhausted()
    assert [trial.state.name for trial in trials(store)] == ["COMPLETE"] * 4


def test_a_grid_has_no_more_points_on_an_axis_than_its_trials_need(store):
    cube = {key: ("linear", 0.0, 1.0) for key in "abc"}
    search = Tuner("cube", store, cube, seed="0", sampler="grid", trials=27, epochs=1)
    asked = finish(search, 27)
    assert {value for params in asked for value in params.values()} == {0.0, 0.5, 1.0}
    assert search.exhausted()


def test_other_samplers_never_end(store):
    search = make(store, sampler="random", trials=2)
    finish(search, 5)
    assert not search.exhausted()


def test_a_search_can_be_forgotten(store):
    make(store, "mine").ask()
    assert tuner.exists("mine", store) and not tuner.exists("other", store)
    tuner.forget("mine", store)
    assert make(store, "mine").known() == []


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:////no/such/folder/optuna.db", "oracle+none://host/base", "postgresql://h:port/d"]
)
@pytest.mark.parametrize("opened", [tuner.storage, lambda url: Claims(url, "study", print)], ids=["search", "claims"])
def test_a_database_that_cannot_be_opened_is_answered_in_one_sentence(url, opened):
    with pytest.raises(
        RequestError, match=r"^storage '.*' cannot be opened \(.*\): expected an SQLAlchemy URL"
    ) as error:
        opened(url)
    assert "\n" not in str(error.value)
