"""The decoded-image cache and the changes that augmentation makes."""

import multiprocessing

import numpy as np
import pytest
import torch

from bench import augment, contact, datasets
from bench.errors import RequestError
from bench.pixels import fit, pixels, row_hashes


class Counting:
    """A source that counts how often it was read."""

    def __init__(self, fingerprint="a"):
        self.fingerprint = fingerprint
        self.reads = 0

    def images(self, names):
        self.reads += 1
        for name in names:
            yield np.full((12, 12, 3), int(name), np.uint8)


def test_images_are_decoded_once_and_again_when_anything_changes(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    source = Counting()
    first = pixels(source, ["3", "7"], 8)
    assert source.reads == 1 and first.array.shape == (2, 8, 8, 3) and first.array[1].min() == 7
    assert np.array_equal(pixels(source, ["3", "7"], 8).array, first.array) and source.reads == 1
    for request in (
        (["7", "3"], 8, None, 3),
        (["3", "7"], 9, None, 3),
        (["3", "7"], 8, 10, 3),
        (["3", "7"], 8, None, 1),
    ):
        pixels(source, *request)
    assert source.reads == 5
    pixels(Counting("b"), ["3", "7"], 8)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 6 and not list((tmp_path / "cache").glob("*.part"))


def test_a_builder_that_fails_leaves_nothing_half_written(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match="invalid literal"):
        pixels(Counting(), ["3", "x"], 8)
    assert not list((tmp_path / "cache").glob("*.part")) and not list((tmp_path / "cache").glob("*.npy"))
    assert pixels(Counting(), ["3", "4"], 8).array[1].min() == 4


class Slow(Counting):
    def images(self, names):
        import time

        time.sleep(0.5)
        yield from super().images(names)


def _ask(folder, queue):
    import os

    os.environ["FACEBENCH_CACHE"] = folder
    source = Slow()
    array = pixels(source, ["1", "2"], 8).array
    queue.put((source.reads, int(array.sum())))


@pytest.mark.slow
def test_of_two_processes_one_builds(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_ask, args=(str(tmp_path), queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    answers = sorted(queue.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(60)
    assert [reads for reads, _ in answers] == [0, 1] and answers[0][1] == answers[1][1] == 3 * 8 * 8 * 3


def test_fit_takes_the_central_square():
    image = np.zeros((20, 30, 3), np.uint8)
    image[5:15, 10:20] = 200
    assert fit(image, 10, 10, 3).min() == 200
    assert fit(image, 20, None, 3).shape == (20, 20, 3)
    assert fit(image, 8, 10, 1).shape == (8, 8, 1) and fit(image[:, :, :1], 8, 10, 3).shape == (8, 8, 3)
    with pytest.raises(RequestError, match="1 or 3 channels, .* got channels=2, size=8"):
        pixels(Counting(), ["1"], 8, channels=2)


def test_fit_takes_the_central_rectangle():
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    np.testing.assert_array_equal(fit(image, (112, 96), None, 3), image[:, 8:104])
    np.testing.assert_array_equal(fit(image, (56, 48), 56, 3), image[28:84, 32:80])
    assert fit(image[:50], (112, 96), None, 1).shape == (112, 96, 1)


def test_a_square_has_one_file_however_it_was_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    source = Counting()
    assert pixels(source, ["3"], (8, 8)).key == pixels(source, ["3"], 8).key and source.reads == 1
    assert pixels(source, ["3"], (8, 6)).array.shape == (1, 8, 6, 3)


def test_equal_pixels_have_equal_hashes():
    array = np.stack([np.full((4, 4, 1), value, np.uint8) for value in (1, 2, 1)])
    first, second, third = row_hashes(array)
    assert first == third != second


# --- augmentation ------------------------------------------------------------------------------------

NONE = dict.fromkeys(augment.DEFAULTS, 0.0)


def images(count=6, size=10, channels=3):
    return np.random.default_rng(1).integers(0, 256, (count, size, size, channels), np.uint8)


def changed(batch, seed=0, **options):
    return augment.augmented(batch, NONE | options, np.random.default_rng(seed))


def test_nothing_asked_nothing_changed():
    batch = images()
    expected = (torch.from_numpy(batch).permute(0, 3, 1, 2).float() - 127.5) / 128
    torch.testing.assert_close(changed(batch), expected, rtol=0, atol=1e-6)


def test_each_option_does_what_it_says():
    batch = images()
    plain = augment.normalise(batch)
    torch.testing.assert_close(changed(batch, flip=1.0), plain.flip(3), rtol=0, atol=1e-6)
    grey = changed(batch, grey=1.0)
    assert torch.equal(grey[:, 0], grey[:, 1]) and torch.equal(grey[:, 1], grey[:, 2])
    flat = np.full((50, 10, 10, 3), 128, np.uint8)
    lifts = changed(flat, brightness=0.1).mean((1, 2, 3))
    assert 0.1 < lifts.max() <= 0.2 + 0.01 and -0.2 - 0.01 <= lifts.min() < -0.1  # a tenth of the range of 2
    spread = changed(images(50) // 2 + 64, contrast=0.3).std((1, 2, 3)) / augment.normalise(images(50) // 2 + 64).std(
        (1, 2, 3)
    )
    assert 0.69 < spread.min() < 0.8 and 1.2 < spread.max() < 1.31
    erased = (changed(np.full((50, 20, 20, 3), 255, np.uint8), erase=1.0) == 0).all(1).float().mean((1, 2))
    assert erased.min() > 0 and erased.max() <= 0.21 and erased.std() > 0.02


def test_a_shift_moves_the_image_and_repeats_the_edge():
    batch = images(40)
    moved = changed(batch, shift=0.2)
    plain = augment.normalise(np.pad(batch, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge"))
    windows = [plain[:, :, y : y + 10, x : x + 10] for y in range(5) for x in range(5)]
    hits = torch.stack([(moved - w).abs().amax((1, 2, 3)) < 1e-6 for w in windows])
    assert hits.any(0).all() and hits.any(1).sum() > 10


def test_the_same_draws_give_the_same_batch():
    first, second = (changed(images(), seed=3, **augment.DEFAULTS) for _ in range(2))
    assert torch.equal(first, second) and not torch.equal(first, changed(images(), seed=4, **augment.DEFAULTS))
    assert changed(images(channels=1), **augment.DEFAULTS).shape == (6, 1, 10, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blur": 0.1}, "augment has no 'blur'; it has: flip"),
        ({"flip": 2}, r"augment.flip must be .* between 0 and 1, got 2"),
    ],
)
def test_a_wrong_augmentation_is_answered(options, message):
    with pytest.raises(RequestError, match=message):
        augment.check(options)


def test_a_contact_sheet_shows_a_row_an_identity(tree, tmp_path):
    from PIL import Image

    faces = datasets.load("folder", paths=[str(tree)])
    with Image.open(contact.sheet(faces, tmp_path / "sheet.png", identities=3, per_identity=2, size=16)) as picture:
        assert picture.size == (2 * 18 - 2, 3 * 18 - 2)
        cells = np.asarray(picture)
    assert np.array_equal(cells[:16, :16], fit(next(iter(faces.source.images(["Ann/0.png"]))), 16, None, 3))
    with pytest.raises(RequestError, match="at least one row"):
        contact.sheet(faces, tmp_path / "none.png", identities=0)


def test_a_patch_is_cut_from_the_central_square_and_scaled():
    image = np.arange(40 * 60, dtype=np.int64).reshape(40, 60, 1).astype(np.uint8)
    square = image[:, 10:50]
    assert np.array_equal(fit(image, 20, 40, 1, patch=(0.25, 0.5, 0.5)), square[10:30, 20:40])
    assert np.array_equal(fit(image, 40, 40, 1, patch=(0.0, 0.0, 1.0)), fit(image, 40, 40, 1))


def test_patches_are_cached_apart(tree):
    faces = datasets.load("folder", paths=[str(tree)])
    whole = pixels(faces.source, faces.names[:1], 8)
    part = pixels(faces.source, faces.names[:1], 8, patch=(0.0, 0.0, 0.5))
    assert whole.key != part.key and not np.array_equal(whole.array, part.array)


@pytest.mark.parametrize("patch", [(0.0, 0.0, 0.0), (0.6, 0.0, 0.5), (-0.1, 0.0, 0.5), (0.0, 0.0, 1.1)])
def test_a_patch_outside_the_image_is_refused(patch):
    with pytest.raises(RequestError, match="a patch is .* lies within it"):
        pixels(Counting(), ["3"], 8, patch=patch)
