"""A place that is looked up, against a count of the levels below."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.counting import Places


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    margin=st.sampled_from([1e-6, 3e-5, 0.01, 1.0]),
    scale=st.sampled_from([1e-20, 1.0, 1e20]),
)
def test_a_place_that_is_looked_up_is_certain(seed, margin, scale):
    """Scores at, beside and between the levels: a known place is that of all numbers within the margin."""
    random = np.random.default_rng(seed)
    levels = np.sort(
        random.choice([-1, 0.25, 0.5, 0.5 + 1e-6, 0.75], (3, 6)) + 1e-3 * random.normal(size=(3, 6)), axis=1
    )
    levels[1, 2:] = np.inf
    levels[2] = np.inf
    levels, margins = scale * levels, np.full(3, margin * scale + 1e-30)
    places = Places(levels, margins, 10**6)
    rows = np.repeat(np.arange(3), 400)
    around = np.where(np.isfinite(levels), levels, 0)[rows, random.integers(0, 6, 1200)]
    steps = random.choice([0, 1, -1, 1.01, -1.01, 30, -30], 1200) * margins[0]
    scores = (around + steps + random.choice([0, 1e-3], 1200) * scale * random.normal(size=1200)).astype(np.float32)
    found = places.find(rows, scores)
    low, high = scores.astype(float) - margins[0], scores.astype(float) + margins[0]
    below, above = ((levels[rows] <= edge[:, None]).sum(1) for edge in (np.nextafter(low, -np.inf), high))
    known = found != Places.UNKNOWN
    assert (found[known] - 1 == below[known]).all() and (found[known] - 1 == above[known]).all()
    if margin < 1e-3:
        far = np.abs(scores[:, None] - levels[rows]).min(1) > 0.1 * scale
        assert known[far].all(), "what is far from all levels needs no second look"
