"""Two and three processes train as one does, to rounding in float64: weights, statistics, centres, momenta, dropout."""

import pytest
import torch
from ranks import ran
from ranks_fit import CASES, trained


@pytest.fixture(
    scope="module",
    params=[pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=[pytest.mark.slow, pytest.mark.long])],
)
def ranks(request, tmp_path_factory):
    return ran("ranks_fit.py", request.param, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("case", CASES)
def test_several_processes_train_as_one(ranks, case):
    seen, state = trained(**CASES[case])
    for place, rank in enumerate(ranks):
        found, reached = rank[case]
        torch.testing.assert_close(found, seen, rtol=1e-9, atol=0)
        torch.testing.assert_close(reached["network"], state["network"], rtol=1e-6, atol=1e-9)
        if place == 0 or case != "sharded and sampled":  # of shared class weights, the first one has all
            torch.testing.assert_close(reached["criterion"], state["criterion"], rtol=1e-6, atol=1e-9)
            torch.testing.assert_close(reached["optimizer"]["state"], state["optimizer"]["state"], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("case", [case for case in CASES if case != "sharded and sampled"])
def test_criteria_of_all_processes_stay_equal_to_the_last_bit(ranks, case):
    first, *others = (rank[case][1]["criterion"] for rank in ranks)
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)
