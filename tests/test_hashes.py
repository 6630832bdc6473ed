"""Perceptual hashes against a literal cosine transform, and the search for near ones against plain loops."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from bench import datasets, hashes
from bench.errors import RequestError
from bench.hashes import hashed, nearest


def pictures(count=12, seed=0):
    """Smooth images that differ."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 9, 9), np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((64, 64), Image.Resampling.BICUBIC)) for one in coarse])


def bits(packed):
    return np.unpackbits(packed, axis=-1)


def literal(image):
    """One image's bits, by scipy's transform and in words."""
    low = dctn(image.astype(float), norm="ortho")[:16, :16].ravel()
    middle = sorted(low[1:])[127]
    return [0] + [int(value > middle) for value in low[1:]]


def test_the_bits_are_those_of_a_literal_transform():
    images = pictures(300)
    found = hashed(images)
    for row in (0, 7, 255, 256, 299):
        assert bits(found.bits[row]).tolist() == literal(images[row])
        assert bits(found.mirrored[row]).tolist() == literal(images[row][:, ::-1])
    assert found.known.all() and bits(found.bits).sum(1).tolist() == [127] * 300


def test_flat_images_are_not_known():
    images = pictures(3)
    images[1] = 77
    assert hashed(images).known.tolist() == [True, False, True]


def test_equal_pixels_alone_have_equal_exact_hashes():
    images = pictures(4)
    images[2] = images[0]
    images[3] = images[0]
    images[3, 5, 5] ^= 1
    exact = hashed(images).exact
    assert exact[0] == exact[2] and len(set(exact.tolist())) == 3


def copies(image):
    def packed(quality):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    small = (
        Image.fromarray(image).resize((40, 40), Image.Resampling.BILINEAR).resize((64, 64), Image.Resampling.BICUBIC)
    )
    yield from (packed(75), packed(30), np.asarray(small), image // 2 + 40, np.clip(image.astype(int) + 20, 0, 255))


def test_copies_of_faces_are_near_and_other_faces_are_not():
    faces = datasets.load("faces", identities=40, per_identity=2, size=64)
    images = np.stack([np.asarray(Image.fromarray(i).convert("L")) for i in faces.source.images(faces.names)])
    found = hashed(images)
    for row in range(0, 80, 8):
        changed = np.stack([np.asarray(copy, np.uint8) for copy in copies(images[row])])
        assert nearest(hashed(changed).bits, found.bits).row.tolist() == [row] * len(changed)
        assert nearest(hashed(changed[..., ::-1]).mirrored, found.bits).row.tolist() == [row] * len(changed)
    others = nearest(found.bits[::2], found.bits[1::2])
    assert (others.row == -1).all(), "two photographs of one person are no copies"


def slow(first, second, limit):
    """The distances one by one."""
    rows, distances, counts, hit = [], [], [], [False] * len(second)
    for one in first:
        far = [sum(a != b for a, b in zip(bits(one), bits(other), strict=True)) for other in second]
        near = [place for place, distance in enumerate(far) if distance <= limit]
        for place in near:
            hit[place] = True
        best = min(near, key=lambda place: far[place], default=-1)
        rows.append(best)
        distances.append(far[best] if near else -1)
        counts.append(len(near))
    return rows, distances, counts, hit


@pytest.mark.parametrize("limit", [0, 20, 44, 127])
def test_the_search_agrees_with_plain_loops_whatever_the_blocks(monkeypatch, limit):
    random = np.random.default_rng(3)
    second = random.integers(0, 256, (23, 32), np.uint8)
    second[9] = second[4]  # a tie: the first counts
    flips = np.packbits(random.random((17, 256)) < np.linspace(0, 0.4, 17)[:, None], axis=1)
    first = second[random.integers(0, 23, 17)] ^ flips
    expected = slow(first, second, limit)
    for rows, columns in ((2048, 4096), (5, 7), (1, 1)):
        monkeypatch.setattr(hashes, "_ROWS", rows)
        monkeypatch.setattr(hashes, "_COLUMNS", columns)
        found = nearest(first, second, limit)
        got = (found.row.tolist(), found.distance.tolist(), found.count.tolist(), found.hit.tolist())
        assert got == expected
    steps = []
    nearest(first, second, limit, lambda *step: steps.append(step))
    assert steps == [(place, 23) for place in range(1, 24)]


def test_nothing_is_near_nothing():
    empty = np.zeros((0, 32), np.uint8)
    assert len(nearest(empty, empty).row) == 0
    assert nearest(hashed(pictures(2)).bits, empty).row.tolist() == [-1, -1]
    assert len(hashed(np.zeros((0, 64, 64), np.uint8)).bits) == 0


@pytest.mark.parametrize(
    "images", [np.zeros((2, 64, 60), np.uint8), np.zeros((2, 64, 64)), np.zeros((64, 64), np.uint8)]
)
def test_images_of_another_shape_are_refused(images):
    with pytest.raises(RequestError, match=r"hashes are made of \(N, 64, 64\) uint8 images, got"):
        hashed(images)
