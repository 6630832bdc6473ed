"""Which of the ten digits: what the data sets of digits share."""

from collections.abc import Sequence

from bench.errors import RequestError


def check_classes(dataset: str, classes: Sequence[int]) -> None:
    """Refuse what is no list of different digits.

    Raises:
        RequestError: `classes` is empty, or holds what is no digit or one twice.
    """
    whole = isinstance(classes, Sequence) and all(isinstance(c, int) for c in classes)
    if not whole or not len(set(classes)) == len(classes) > 0 or not set(classes) <= set(range(10)):
        raise RequestError(f"classes of {dataset} are different digits from 0 to 9, got {classes!r}")
