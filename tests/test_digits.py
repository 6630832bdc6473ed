"""The embedded digits."""

import numpy as np
import pytest

from bench import datasets, protocols
from bench.errors import RequestError


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    data = load_digits()
    found = datasets.load("digits", classes=list(range(10)))
    images = np.stack(list(found.source.images(found.names)))
    assert images.shape == (1797, 8, 8, 1) and images.dtype == np.uint8 and images.max() == 255
    assert np.bincount(found.labels).tolist() == np.bincount(data.target).tolist()
    for digit in range(10):
        ours = images[found.labels == digit][..., 0]
        assert np.array_equal(np.rint(ours / 255 * 16), data.images[data.target == digit])


def test_digits_share_the_classes_out():
    train = datasets.load("digits")
    assert train.identities == tuple(f"digit-{d}" for d in range(7)) and train.names[0] == "digit-0/0001.png"
    assert [train.identities[label] for label in train.labels] == [name.split("/")[0] for name in train.names]
    lists, source = datasets.protocol({"name": "digits"}, "heldout")
    held = protocols.create("heldout", root=lists)
    assert set(held.people) == {"digit-7", "digit-8", "digit-9"} and len(held.images) + len(train.names) == 1797
    assert source.fingerprint == train.source.fingerprint
    assert datasets.load("digits", classes=(3, 1)).identities == ("digit-1", "digit-3")


@pytest.mark.parametrize("classes", [(), (1, 1), (10,), ("a",), 7])
def test_wrong_digits_are_refused(classes):
    with pytest.raises(RequestError, match="classes of digits are different digits from 0 to 9"):
        datasets.load("digits", classes=classes)


def test_wrong_requests_to_digits_are_refused():
    with pytest.raises(RequestError, match="no protocol 'lfw'; it has: heldout"):
        datasets.protocol({"name": "digits"}, "lfw")
    with pytest.raises(RequestError, match=r"1 of 2 images are missing in digits, the first is 'digit-0/9999.png'"):
        list(datasets.load("digits").source.images(["digit-0/0001.png", "digit-0/9999.png"]))
