"""`--set KEY=VALUE`: what becomes a number, what is refused."""

import pytest

from bench import settings
from bench.errors import RequestError


def test_a_number_is_a_number_wherever_it_stands():
    assert settings.parse(["fars=[1e-3, .01]", "a.b={c: 1e-4, d: 1e-4x}", "n=3"]) == {
        "fars": [0.001, 0.01],
        "a": {"b": {"c": 0.0001, "d": "1e-4x"}},
        "n": 3,
    }


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        (["a"], "--set takes KEY=VALUE, got 'a'"),
        (["a..b=1"], "--set takes KEY=VALUE"),
        (["a=1", "a.b=2"], "goes below 'a', which was set to a value"),
        (["a=["], "the value is not valid yaml"),
        (["a=2020-01-01"], "expected numbers, words, lists and mappings"),
    ],
)
def test_what_is_no_setting_is_refused(pairs, says):
    with pytest.raises(RequestError) as told:
        settings.parse(pairs)
    assert says in str(told.value)
