"""Every pruner, on real Optuna studies: no trial ends too soon, and a resumed search prunes alike."""

import pytest

from sweeps import tuner
from sweeps.tuner import Tuner

SPACE = {"learning_rate": ("log", 0.01, 0.3)}


def make(store=None, name="study/cnn4/lmcl", **options) -> Tuner:
    return Tuner(name, store, SPACE, **{"seed": "0", "sampler": "random", "trials": 8, "epochs": 4} | options)


def train(search: Tuner, quality: float, steps: int) -> list[int]:
    """Ask for a trial of this quality and train it until it is pruned; the steps at which it was, none or one."""
    number = search.ask().number
    for step in range(1, steps + 1):
        if search.report(number, step, quality * step):
            search.tell(number, "pruned")
            return [step]
    search.tell(number, "finished", quality * steps)
    return []


def worse_than_three(search: Tuner, steps: int) -> list[bool]:
    """What is said after each step to a trial that is worse than three that finished."""
    for number in range(3):
        search.ask()
        for step in range(1, steps + 1):
            search.report(number, step, 0.8)
        search.tell(number, "finished", 0.8)
    bad = search.ask()
    return [search.report(bad.number, step, 0.1) for step in range(1, steps + 1)]


def test_the_median_pruner_prunes_but_never_before_the_first_step_allowed():
    assert worse_than_three(make(None, "soon", first_pruning_step=1), 4)[0]
    assert worse_than_three(make(None, "late", first_pruning_step=3, epochs=5), 4) == [False, False, True, True]
    assert worse_than_three(make(None, "none", pruner="none"), 4) == [False] * 4


def test_an_error_rate_is_minimised_by_the_pruner_too():
    search = make(minimise=True)
    assert worse_than_three(search, 3) == [False] * 3  # 0.1 is the better error


@pytest.mark.parametrize(("first", "rungs"), [(1, {1, 3, 9, 27}), (2, {2, 6, 18}), (5, {5, 15}), (40, set())])
@pytest.mark.parametrize("pruner", ["asha", "hyperband"])
def test_successive_halving_prunes_at_its_rungs_the_first_of_which_is_the_first_step_allowed(pruner, first, rungs):
    """Ever worse trials: each is pruned at the first rung of its bracket; ASHA has one bracket, Hyperband one a rung."""
    search = make(pruner=pruner, epochs=27, first_pruning_step=first)
    ends = [train(search, 1 / (2 + number), 27) for number in range(24)]
    seen = {step for end in ends for step in end}
    assert seen <= rungs
    if pruner == "asha":
        assert seen == ({first} if rungs else set()) and ends[0] == []
        assert all(ends[1:]) or not rungs
    elif len(rungs) > 1:
        assert len(seen) > 1, "brackets that begin later prune later"


def test_of_rising_trials_asha_stops_none_and_of_any_three_it_lets_the_best_go_on():
    search = make(None, "rising", pruner="asha", epochs=9)
    assert [train(search, 1 + n, 9) for n in range(5)] == [[]] * 5
    search = make(None, "mixed", pruner="asha", epochs=9)
    assert [train(search, quality, 9) for quality in (0.5, 0.2, 0.9, 0.4, 0.95)] == [[], [1], [], [1], []]


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_a_resumed_search_prunes_what_an_uninterrupted_one_prunes(tmp_path, pruner):
    store = tuner.storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    qualities = [0.5, 0.9, 0.2, 0.6, 0.8, 0.3, 0.95, 0.1]
    options = {"pruner": pruner, "epochs": 9, "first_pruning_step": 2}
    whole = make(store, **options)
    expected = [train(whole, quality, 9) for quality in qualities]
    tuner.forget("study/cnn4/lmcl", store)
    # The name is the same, for a trial's bracket of Hyperband is drawn from it and from the trial's number.
    assert [train(make(store, **options), quality, 9) for quality in qualities] == expected
    assert any(expected)
