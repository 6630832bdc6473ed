"""The running statistics of the losses that have any."""

import numpy as np
import pytest
import torch
from literal_modern import placed
from made_up_batches import batch, make

from losses._moments import follow, moments


def test_moments_are_mean_and_deviation():
    values = torch.tensor([3.0, 4.5, 1.0, 7.25])
    mean, deviation = moments(values)
    assert mean.item() == values.double().mean().item()
    assert deviation.item() == pytest.approx(np.std(values.numpy(), ddof=1), rel=1e-12)
    assert moments(values[:1])[0].item() == 3 and moments(values[:1])[1].isnan()
    assert moments(torch.full((5,), 0.1))[1].item() == pytest.approx(0, abs=1e-7)  # never the root of a negative number


def test_a_state_follows_by_its_rate_and_ignores_what_is_not_finite():
    state = torch.tensor(10.0)
    follow(state, torch.tensor(20.0, dtype=torch.float64), 0.1)
    assert state.item() == pytest.approx(11)
    follow(state, torch.tensor(torch.nan, dtype=torch.float64), 0.1)
    assert state.item() == pytest.approx(11)


def test_adaface_follows_the_lengths_after_each_training_call():
    criterion = make("adaface", statistics_rate=0.25).double()
    x, y = batch()
    mean, deviation = 20.0, 100.0
    for scale in (1.0, 5.0, 9.0):
        fresh = placed(make("adaface"), {"mean": mean, "deviation": deviation}).eval()
        assert criterion(scale * x, y).item() == fresh(scale * x, y).item()  # by the statistics of before
        lengths = np.linalg.norm(scale * x.numpy(), axis=1)
        mean += 0.25 * (lengths.mean() - mean)
        deviation += 0.25 * (lengths.std(ddof=1) - deviation)
        assert criterion.mean.item() == pytest.approx(mean, abs=1e-12)
        assert criterion.deviation.item() == pytest.approx(deviation, abs=1e-12)
    criterion(x[:1], y[:1])  # one embedding has a length, but no deviation
    assert criterion.mean.item() < mean and criterion.deviation.item() == pytest.approx(deviation, abs=1e-12)
    assert {"mean", "deviation"} <= set(criterion.state_dict())


def test_curricularface_follows_the_own_cosines_after_each_training_call():
    criterion = make("curricularface", curriculum_rate=0.25).double()
    x, y = batch()
    t, mean = 0.0, torch.cosine_similarity(x, criterion.weight[y]).mean().item()
    for _ in range(3):
        fresh = placed(make("curricularface"), {"curriculum": t}).eval()
        assert criterion(x, y).item() == fresh(x, y).item()  # by the t of before
        t += 0.25 * (mean - t)
        assert criterion.curriculum.item() == pytest.approx(t, abs=1e-12)
    assert "curriculum" in criterion.state_dict()
