"""Every sampler, on a real Optuna study in a real SQLite file: what a kill leaves behind changes nothing that is asked."""

import itertools

import pytest

from sweeps import samplers, tuner
from sweeps.tuner import Tuner

SAMPLERS = sorted(samplers.SAMPLERS)
FLAT = {"margin": ("linear", 0.0, 0.5)}
SPACE = {"learning_rate": ("log", 0.01, 0.3), **FLAT, "weight_decay": ("log", 5e-5, 5e-3)}
COUNT = 10  # trials: past the random start of each sampler, past the first generation of CMA-ES (7 in three dimensions)


class Killed(Exception):
    """Stands for a kill -9: nothing that comes after it is done."""


@pytest.fixture
def store(tmp_path):
    return tuner.storage(f"sqlite:///{tmp_path / 'optuna.db'}")


def make(store, name, sampler, space=SPACE, **options) -> Tuner:
    return Tuner(name, store, space, seed="0:cnn4:lmcl", sampler=sampler, **{"trials": COUNT, "epochs": 4} | options)


def quality(params: dict[str, float]) -> float:
    return 0.9 - abs(params["margin"] - 0.2) - abs(params.get("learning_rate", 0.1) - 0.1)


def finish(search: Tuner, count: int) -> list[dict[str, float]]:
    asked = []
    for _ in range(count):
        trial = search.ask()
        search.tell(trial.number, "finished", quality(trial.params))
        asked.append(trial.params)
    return asked


def cut_short(search: Tuner, parameters: int, monkeypatch) -> None:
    """Ask, and die when so many parameters of the trial are drawn."""
    from optuna.trial import Trial

    suggest, left = Trial.suggest_float, [parameters]

    def dying(trial, *given, **options):
        if not left[0]:
            raise Killed
        left[0] -= 1
        return suggest(trial, *given, **options)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trial, "suggest_float", dying)
        search.ask()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_whatever_a_kill_leaves_behind_the_search_asks_what_it_would_have_asked(store, sampler, monkeypatch):
    whole = finish(make(store, "whole", sampler), COUNT + 1)
    assert len({tuple(params.items()) for params in whole}) == COUNT + 1, "no trial is asked twice"
    for params in whole:
        assert all(low <= params[key] <= high for key, (_, low, high) in SPACE.items())

    parts = finish(make(store, "parts", sampler), 1)
    for parameters in (0, 1, 2):  # of the three: early, in the random start, and late
        cut_short(make(store, "parts", sampler), parameters, monkeypatch)
        parts += finish(make(store, "parts", sampler), 3)
    make(store, "parts", sampler).ask()  # all of it is in the database; the driver that asked it is gone
    after = make(store, "parts", sampler)
    taken_up_twice = make(store, "parts", sampler).known()[-1]  # so is the one that took it up
    assert after.known()[-1] == taken_up_twice
    assert [known.params for known in after.known()] == [*parts, taken_up_twice.params]
    assert parts + taken_up(make(store, "parts", sampler)) == whole
    assert len(parts) == COUNT


def taken_up(search: Tuner) -> list[dict[str, float]]:
    """The trial that was left running, finished."""
    left = search.known()[-1]
    search.tell(left.number, "finished", quality(left.params))
    return [left.params]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_with_several_in_flight_no_trial_is_another_ones_copy(store, sampler):
    asked = {}
    for _ in range(
        4
    ):  # four drivers, one after the other: three trials in flight each, of which the last is never told
        search = make(store, "flight", sampler)
        for left in search.known()[len(asked) - 1 :]:
            search.tell(left.number, "finished", quality(left.params))
        flight = [search.ask() for _ in range(3)]
        asked |= {trial.number: trial.params for trial in flight}
        for trial in flight[:2]:
            search.tell(trial.number, "finished", quality(trial.params))
    assert sorted(asked) == list(range(12))
    for one, two in itertools.combinations(asked.values(), 2):
        assert one != two
        if sampler not in ("grid", "gp"):  # which come to the same bound, or point of an axis, more than once
            assert not set(one.values()) & set(two.values())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_hyper_parameter_is_enough(store, sampler):
    whole = finish(make(store, "whole", sampler, FLAT, trials=8), 8)
    parts = finish(make(store, "parts", sampler, FLAT, trials=8), 5)
    assert parts + finish(make(store, "parts", sampler, FLAT, trials=8), 3) == whole
    assert len({params["margin"] for params in whole}) == 8


@pytest.mark.parametrize(("sampler", "pruner"), [("tpe", "hyperband"), ("cmaes", "asha")])
def test_with_pruned_trials_too_the_search_goes_on_as_it_would_have(store, sampler, pruner):
    def go(search, count):
        """Every other trial is pruned."""
        asked = []
        for _ in range(count):
            trial = search.ask()
            asked.append((trial, [search.report(trial.number, step, quality(trial.params)) for step in (1, 2, 3, 4)]))
            search.tell(trial.number, "pruned" if trial.number % 2 else "finished", quality(trial.params))
        return asked

    options = {"pruner": pruner, "epochs": 9}
    name = "study/cnn4/lmcl"  # a trial's bracket of Hyperband is drawn from the name of the search
    whole = go(make(store, name, sampler, **options), 10)
    tuner.forget(name, store)
    parts = [said for count in (5, 3, 2) for said in go(make(store, name, sampler, **options), count)]
    assert parts == whole


def test_cma_es_finds_a_better_place_than_where_it_began():
    asked = finish(make(None, "search", "cmaes"), 56)
    begun, ended = asked[:14], asked[-14:]
    assert sum(map(quality, ended)) / 14 > sum(map(quality, begun)) / 14 + 0.03


def test_searches_that_ask_in_turns_share_no_randomness(store):
    from optuna.distributions import FloatDistribution
    from optuna.samplers import RandomSampler

    first, second = make(store, "first", "random"), make(store, "second", "random")
    asked = [search.ask().params for _ in range(COUNT) for search in (first, second)]
    search = samplers.Search(FLAT, "0:cnn4:lmcl", "median", COUNT)
    for number in range(COUNT):
        alone = RandomSampler(seed=search.number(f"{number}:margin"))
        drawn = alone.sample_independent(None, None, "margin", FloatDistribution(0.0, 0.5))
        assert asked[2 * number]["margin"] == asked[2 * number + 1]["margin"] == drawn
