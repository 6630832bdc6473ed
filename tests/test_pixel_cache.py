"""The file of decoded images: resumed, checked, repaired, listed."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import _pixel_file
from bench.images import Faces, Unreadable
from bench.pixels import cache, listed, pixels


class Numbers:
    """A source of 12 x 12 images by number, the picture of -1 broken, that stops before the picture of `stop`."""

    fingerprint = "numbers"

    def __init__(self, stop=None, shift=0):
        self.stop, self.shift, self.seen = stop, shift, []

    def images(self, names):
        for name in names:
            if name == self.stop:
                raise KeyboardInterrupt
            self.seen.append(name)
            broken = Unreadable(name, "made so")
            yield broken if name.startswith("-") else np.full((12, 12, 3), int(name) + self.shift, np.uint8)


NAMES = ["0", "1", "2", "-3", "4", "5", "6"]


@pytest.fixture
def small_blocks(monkeypatch, tmp_path):
    """A cache of its own, two images of 8 x 8 x 3 in a block."""
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_pixel_file, "BLOCK", 2 * 8 * 8 * 3)
    return tmp_path / "cache"


def right(shown):
    (path,) = Path(os.environ["FACEBENCH_CACHE"]).glob("*.npy")
    assert path.stat().st_size == 128 + 7 * 8 * 8 * 3, "the header and the rows, nothing behind"
    values = [0, 1, 2, 0, 4, 5, 6]
    assert [bad.name for bad in shown.unreadable] == ["-3"]
    return np.array_equal(shown.array, np.broadcast_to(np.reshape(values, (7, 1, 1, 1)), (7, 8, 8, 3)))


def test_an_interrupted_build_goes_on_where_it_stood(small_blocks):
    with pytest.raises(KeyboardInterrupt):
        pixels(Numbers(stop="5"), NAMES, 8)
    assert not list(small_blocks.glob("*.npy")) and len(list(small_blocks.glob("*.building"))) == 1
    assert [one.state for one in listed()] == ["unfinished"]
    source, steps = Numbers(), []
    shown = pixels(source, NAMES, 8, progress=lambda done, total: steps.append((done, total)))
    assert source.seen == ["4", "5", "6"], "two blocks of two were there"
    assert steps == [(6, 7), (7, 7)] and shown.state == "resumed" and right(shown)
    assert sorted(p.suffix for p in small_blocks.iterdir()) == [".json", ".lock", ".npy"]
    assert pixels(Numbers(stop="0"), NAMES, 8).state == "complete"


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (lambda building, journal: building.write_bytes(building.read_bytes()[:-100]), ["2", "-3", "4", "5", "6"]),
        (lambda building, journal: building.write_bytes(building.read_bytes() + b"half a block" * 99), ["4", "5", "6"]),
        (lambda building, journal: journal.write_text(journal.read_text()[:-5]), ["2", "-3", "4", "5", "6"]),
        (lambda building, journal: journal.write_text(journal.read_text() + '{"sum": 1'), ["4", "5", "6"]),
        (lambda building, journal: journal.write_text("nothing"), NAMES),
        (lambda building, journal: journal.unlink(), NAMES),
        (lambda building, journal: building.unlink(), NAMES),
        (lambda building, journal: flip(building, 128 + 5), NAMES),
        (lambda building, journal: flip(building, 2), ["4", "5", "6"]),
    ],
)
def test_only_what_is_as_noted_is_kept_of_an_interrupted_build(small_blocks, spoil, seen):
    with pytest.raises(KeyboardInterrupt):
        pixels(Numbers(stop="5"), NAMES, 8)
    spoil(next(small_blocks.glob("*.building")), next(small_blocks.glob("*.journal")))
    source = Numbers()
    assert right(pixels(source, NAMES, 8)) and source.seen == seen
    assert right(pixels(Numbers(stop="0"), NAMES, 8))


def test_a_build_that_is_killed_goes_on(tmp_path):
    """By a signal that nothing can catch, in the middle of a block."""
    code = (
        "import os, signal, sys; sys.path.insert(0, 'tests')\n"
        "from test_pixel_cache import NAMES, Numbers, _pixel_file, pixels\n"
        "class Kills(Numbers):\n"
        "    def images(self, names):\n"
        "        for name, image in zip(names, super().images(names)):\n"
        "            if name == '5': os.kill(os.getpid(), signal.SIGKILL)\n"
        "            yield image\n"
        "_pixel_file.BLOCK = 2 * 8 * 8 * 3\n"
        "pixels(Kills(), NAMES, 8)\n"
    )
    environment = os.environ | {"FACEBENCH_CACHE": str(tmp_path)}
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, timeout=120)
    assert done.returncode == -signal.SIGKILL
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEBENCH_CACHE", str(tmp_path))
        patch.setattr(_pixel_file, "BLOCK", 2 * 8 * 8 * 3)
        source = Numbers()
        assert right(pixels(source, NAMES, 8)) and source.seen == ["4", "5", "6"]


def flip(path, place):
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 255]))


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (lambda path: flip(path, 128 + 3 * 192 + 7), ["2", "-3"]),
        (lambda path: flip(path, path.stat().st_size - 1), ["6"]),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), ["6"]),
        (lambda path: path.write_bytes(path.read_bytes() + b"more"), []),
        (lambda path: path.write_bytes(b""), NAMES),
        (lambda path: flip(path, 3), NAMES),
        (lambda path: path.unlink(), NAMES),
        (lambda path: os.utime(path), []),
        (lambda path: path.with_suffix(".json").unlink(), NAMES),
        (lambda path: path.with_suffix(".json").write_text('{"form": 2, "shape": [1]}'), NAMES),
        (lambda path: path.with_suffix(".json").write_text("[]"), NAMES),
    ],
)
def test_a_damaged_file_is_found_and_only_the_damaged_blocks_made_again(small_blocks, spoil, seen):
    assert pixels(Numbers(), NAMES, 8).state == "fresh"
    spoil(next(small_blocks.glob("*.npy")))
    source = Numbers()
    shown = pixels(source, NAMES, 8)
    assert right(shown) and source.seen == seen
    again = pixels(Numbers(stop="0"), NAMES, 8)
    assert right(again) and again.state == "complete"


def test_who_has_the_file_open_sees_it_repaired(small_blocks):
    before = pixels(Numbers(), NAMES, 8)
    flip(next(small_blocks.glob("*.npy")), 128 + 3)
    assert before.array[0].max() == 255
    assert pixels(Numbers(), NAMES, 8).state == "repaired" and right(before)


def test_blocks_that_come_out_otherwise_are_not_mixed_with_the_old_ones(small_blocks):
    pixels(Numbers(), NAMES, 8)
    flip(next(small_blocks.glob("*.npy")), 128 + 3)
    shown = pixels(Numbers(shift=1), NAMES, 8)
    assert shown.state == "fresh" and shown.array[:, 0, 0, 0].tolist() == [1, 2, 3, 0, 5, 6, 7]


def test_opening_reads_no_pixel_and_verifying_reads_all(small_blocks, monkeypatch):
    faces = Faces(tuple(NAMES), np.zeros(7, np.int64), ("who",), Numbers())
    made = cache(faces, 8)
    assert (made.state, made.images, made.unreadable, made.request["size"]) == ("fresh", 7, 1, 8)
    assert made.path.exists() and made.bytes == made.path.stat().st_size == 128 + 7 * 8 * 8 * 3
    assert listed() == listed(verify=True) == [replace(made, state="complete")]
    times = made.path.stat()
    flip(made.path, 128 + 5 * 192)
    os.utime(made.path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a bad disk would: nothing but the bytes
    with monkeypatch.context() as patch:
        patch.setattr(_pixel_file, "damaged", None)  # nobody may ask
        assert cache(faces, 8).state == "complete"
    assert [one.state for one in listed(verify=True)] == ["damaged"]
    source = Numbers()
    assert cache(replace(faces, source=source), 8).state == "repaired" and source.seen == ["4", "5"]
    assert [one.state for one in listed(verify=True)] == ["complete"]
    made.path.with_suffix(".json").unlink()
    assert [one.state for one in listed(verify=True)] == ["unknown"]


def test_a_source_that_ends_early_is_no_cache(small_blocks):
    class Short(Numbers):
        def images(self, names):
            yield from super().images(names[:3])

    with pytest.raises(ValueError, match="ended after 3 of 7 images"):
        pixels(Short(), NAMES, 8)
    assert right(pixels(Numbers(), NAMES, 8))


def test_no_images_are_no_rows(small_blocks):
    for _ in range(2):
        assert pixels(Numbers(), [], 8).array.shape == (0, 8, 8, 3)
