"""The made-up faces: determinism, people, difficulty, videos, the protocols' lists."""

import hashlib
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from bench import datasets, protocols
from bench.datasets import (
    _face_names,
    _face_pose,
    _face_render,
    _face_shape,
    faces,
)
from bench.errors import RequestError

MIXED = (
    "train-000003/train-000003_0002.jpg",
    "ytf-000001/1/0003.jpg",
    "distractor-000999/distractor-000999_0001.jpg",
    "lfw-000000/lfw-000000_0004.jpg",
    "megaface-000012/megaface-000012_0010.jpg",
    "train-000003/train-000003_0001.jpg",
)


GOLDEN = [[141.0, 136.2, 157.8, 146.4], [191.0, 176.6, 164.3, 141.1]]  # mean grey of four strips of the first two


def pictures(names, **settings):
    """(N, size, size, 3) float64 images of a generator."""
    return np.stack(list(faces.Generator(**({"size": 32} | settings)).images(names))).astype(float)


def digest(names, **settings):
    return hashlib.sha256(pictures(names, **settings).astype(np.uint8).tobytes()).hexdigest()


def gallery(difficulty, people=12, each=6):
    """(people, each, 8, 8, 3): thumbnails of the central part, where the face is."""
    names = [_face_names.still("train", i, j + 1) for i in range(people) for j in range(each)]
    images = pictures(names, difficulty=difficulty)[:, 4:28, 4:28]
    return images.reshape(people, each, 8, 3, 8, 3, 3).mean((3, 5))


def spreads(images):
    """Mean distance of two images of one person, and of two people."""
    rows = images.reshape(*images.shape[:2], -1)
    within = [np.abs(a - b).mean() for person in rows for a, b in combinations(person, 2)]
    between = [np.abs(a - b).mean() for p, q in combinations(rows, 2) for a, b in zip(p, q, strict=True)]
    return float(np.mean(within)), float(np.mean(between))


# The generator


def test_images_are_uint8_pictures_of_the_asked_size():
    for size in (16, 33, 64):
        (image,) = faces.Generator(size=size).images(MIXED[:1])
        assert image.shape == (size, size, 3) and image.dtype == np.uint8 and image.std() > 20


def test_an_image_depends_on_its_own_name_alone():
    many = [*MIXED, *(_face_names.still("train", i, 1) for i in range(30))]
    assert len(MIXED) < _face_render.batch_size(32) < len(many)  # batches of several, and several batches
    together = pictures(many, difficulty=2.5)  # all nuisances occur
    alone = np.concatenate([pictures([name], difficulty=2.5) for name in reversed(many)])[::-1]
    assert np.array_equal(together, alone)


def test_images_differ_by_name_and_seed():
    seen = [*pictures(MIXED), *pictures(MIXED, seed=1)]
    assert all(np.abs(a - b).mean() > 3 for a, b in combinations(seen, 2))


def test_threads_decide_no_pixel():
    script = (
        "import hashlib, sys\nfrom bench.datasets import faces\n"
        "images = faces.Generator(size=32).images(sys.argv[1:])\n"
        "print(hashlib.sha256(b''.join(i.tobytes() for i in images)).hexdigest())"
    )
    for threads in ("1", "2"):
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        run = [sys.executable, "-c", script, *MIXED]
        root = Path(__file__).parents[1]
        done = subprocess.run(run, capture_output=True, text=True, env=environment, cwd=root, check=True, timeout=120)
        assert done.stdout.strip() == digest(MIXED), f"{threads} threads"


def test_other_pixels_need_another_version():
    """The cache of pixels trusts VERSION: whoever changes what is drawn raises it, and renews GOLDEN."""
    thumbnails = pictures(MIXED[:2]).reshape(2, 4, 8, 32, 3).mean((2, 3, 4)).round(1)
    assert _face_render.VERSION == 3
    assert np.abs(thumbnails - GOLDEN).max() < 0.15, thumbnails.tolist()


def test_the_size_is_resolution_only():
    names = [_face_names.still("train", i, 1) for i in range(8)]
    fine = pictures(names, size=64, difficulty=0.2).reshape(8, 32, 2, 32, 2, 3).mean((2, 4))
    coarse = pictures(names, size=32, difficulty=0.2)
    assert np.abs(fine - coarse).mean() < 6 < np.abs(fine - np.roll(coarse, 1, 0)).mean()


def test_people_differ_more_than_images_of_one():
    within, between = spreads(gallery(1.0))
    assert between > 1.8 * within


def test_difficulty_makes_images_of_one_person_differ_more_against_people():
    found = [spreads(gallery(difficulty)) for difficulty in (0.25, 1.0, 2.0)]
    withins, ratios = [w for w, _ in found], [b / w for w, b in found]
    assert withins == sorted(withins) and ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 1.2 * ratios[1] > 1.2 * 1.1 * ratios[2]


def test_difficulty_brings_people_together():
    for identity in range(3):
        far, near = (_face_render._identity("train", identity, difficulty, 0) for difficulty in (0.0, 4.0))
        mean = _face_shape.CONTINUOUS["face_width"][0]
        ratio = (near["face_width"] - mean) / (far["face_width"] - mean)
        assert ratio == pytest.approx(_face_shape.spread(4.0) / _face_shape.spread(0.0)) and 0 < ratio < 0.7


def test_a_name_that_no_face_has_is_refused():
    wrong = [
        "train-000001/train-000001_0000.jpg",  # images count from 1
        "train-000001/train-000001_00001.jpg",  # a second name of one image
        "train-000001/train-000002_0001.jpg",
        "ytf-000001/01/0001.jpg",
        "other-000001/other-000001_0001.jpg",
        "train-000001/train-000001_0001.png",
    ]
    for name in wrong:
        with pytest.raises(RequestError, match=r"1 of 2 images are missing.*the first is") as caught:
            next(iter(faces.Generator().images([MIXED[0], name])))
        assert repr(name) in str(caught.value) and "megaface" in str(caught.value)


def test_the_fingerprint_follows_all_that_decides_pixels():
    settings = [{}, {"size": 32}, {"seed": 1}, {"difficulty": 1.5}]
    prints = [faces.Generator(**setting).fingerprint for setting in settings]
    assert len(set(prints)) == 4 and faces.Generator(difficulty=1).fingerprint == prints[0]


# Geometry, light and camera


def test_a_video_moves_smoothly():
    names = [_face_names.frame("ytf", person, 0, number) for person in range(4) for number in range(1, 31)]
    clips = pictures(names).reshape(4, 30, -1)
    for clip in clips:
        steps = np.abs(np.diff(clip, axis=0)).mean()
        order = np.random.default_rng(0).permutation(30)
        assert steps < 0.75 * np.abs(np.diff(clip[order], axis=0)).mean()
        assert np.abs(clip[1:] - clip[:-1]).mean(1).min() > 0.1  # and does move


def test_frames_of_a_video_are_more_alike_than_photographs():
    people, numbers = range(6), range(1, 7)
    stills = pictures([_face_names.still("ytf", i, k) for i in people for k in numbers]).reshape(6, 6, -1)
    frames = pictures([_face_names.frame("ytf", i, 0, k) for i in people for k in numbers]).reshape(6, 6, -1)
    between_stills, between_frames = (np.abs(np.diff(x, axis=1)).mean() for x in (stills, frames))
    assert between_frames < 0.5 * between_stills


def test_moving_draws_keep_mean_0_and_variance_1():
    draws = [_face_pose.frame(np.random.default_rng(video), 40).moving for video in range(400)]
    assert np.mean(draws) == pytest.approx(0, abs=0.05) and np.var(draws) == pytest.approx(1, abs=0.06)


# The training set and the lists of the protocols


def test_load_names_every_image_and_person():
    found = datasets.load("faces", identities=3, per_identity=2, size=16)
    assert found.names[:3] == (
        "train-000000/train-000000_0001.jpg",
        "train-000000/train-000000_0002.jpg",
        "train-000001/train-000001_0001.jpg",
    )
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2] and found.labels.dtype == np.int64
    assert found.identities == tuple(found.people) == ("train-000000", "train-000001", "train-000002")
    assert [image.shape for image in found.source.images(found.names)] == [(16, 16, 3)] * 6


def test_lfw_list_has_disjoint_folds_of_different_pairs():
    lists, _ = faces.protocol("lfw", folds=4, pairs=20, identities=22, per_identity=4)
    assert set(lists) == {"pairs.txt"}
    header, *lines = lists["pairs.txt"].splitlines()
    assert header == "4\t20" and len(lines) == 4 * 2 * 20 == len(set(lines))
    people = []
    for fold in range(4):
        rows = [line.split("\t") for line in lines[fold * 40 : fold * 40 + 40]]
        assert all(len(row) == 3 and int(row[1]) < int(row[2]) <= 4 for row in rows[:20])
        assert all(len(row) == 4 and row[0] != row[2] for row in rows[20:])
        people.append({name for row in rows for name in (row[0], row[2] if len(row) == 4 else row[0])})
    assert not any(a & b for a, b in combinations(people, 2))


def test_ytf_list_has_disjoint_splits_of_different_pairs():
    lists, _ = faces.protocol("ytf", folds=3, pairs=10, identities=15, videos=3, frames=4)
    header, *lines = lists["splits.txt"].splitlines()
    assert header == "split,pair,first,second,same" and len(lines) == 3 * 20
    rows = [line.split(",") for line in lines]
    people = {split: set() for split in "123"}
    for split, _, first, second, same in rows:
        assert (first.split("/")[0] == second.split("/")[0]) == (same == "1") and first != second
        people[split] |= {first.split("/")[0], second.split("/")[0]}
    assert not any(a & b for a, b in combinations(people.values(), 2))
    assert len({(first, second) for _, _, first, second, _ in rows}) == 60
    assert sum(same == "1" for *_, same in rows) == 30
    assert len(lists["images.txt"].splitlines()) == len(set(lists["images.txt"].splitlines())) == 15 * 3 * 4


def test_megaface_and_heldout_list_all_images():
    lists, _ = faces.protocol("megaface", identities=3, per_identity=2, distractors=5)
    probes, others = (lists[f"{what}.txt"].splitlines() for what in ("probes", "distractors"))
    assert len(set(probes)) == 6 and len({name.split("/")[0] for name in probes}) == 3
    assert len({name.split("/")[0] for name in others}) == len(others) == 5
    lists, _ = faces.protocol("heldout", identities=2, per_identity=3)
    assert len(set(lists["images.txt"].splitlines())) == 6


SMALL = {
    "lfw": {"folds": 2, "pairs": 4, "identities": 8, "per_identity": 3},
    "ytf": {"folds": 2, "pairs": 4, "identities": 8, "videos": 3, "frames": 2},
    "megaface": {"identities": 4, "per_identity": 3, "distractors": 9},
    "heldout": {"identities": 4, "per_identity": 3},
}


@pytest.mark.parametrize("name", SMALL)
def test_protocols_read_the_lists_and_find_the_images(name):
    lists, source = datasets.protocol({"name": "faces", "size": 16, **SMALL[name]}, name)
    protocol = protocols.create(name, root=lists)
    images = np.stack(list(source.images(protocol.images)))
    scores = protocol.score(images.reshape(len(images), -1).astype(float))
    assert scores.metrics and all(np.isfinite(value) for value in scores.metrics.values())
    assert lists == datasets.protocol({"name": "faces", **SMALL[name]}, name)[0]  # the pixels' size changes no list


def test_no_two_parts_share_a_person():
    train = set(faces.load(identities=5, per_identity=1).identities)
    seen = [train]
    for name, scale in SMALL.items():
        lists, _ = faces.protocol(name, **scale)
        seen.append({person for person in protocols.create(name, root=lists).people})
    assert not any(a & b for a, b in combinations(seen, 2))
    first = pictures([_face_names.still(part, 0, 1) for part in _face_names.PARTS])
    assert all(np.abs(a - b).mean() > 3 for a, b in combinations(first, 2))


def test_another_seed_draws_other_pairs():
    assert faces.protocol("lfw", **SMALL["lfw"])[0] != faces.protocol("lfw", seed=1, **SMALL["lfw"])[0]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: faces.protocol("ijb"), "no protocol 'ijb'; it has: lfw, ytf, megaface, heldout"),
        (lambda: faces.protocol("lfw", frames=3), "no option 'frames'; it has: folds, pairs, identities, per_identity"),
        (lambda: faces.protocol("lfw", folds=10, identities=19), "at least 20 identities, got 19"),
        (lambda: faces.protocol("lfw", pairs=500, identities=20), "500 genuine pairs a fold are more than the 30"),
        (lambda: faces.protocol("ytf", videos=1), "videos of faces must be a whole number of at least 2, got 1"),
        (lambda: faces.protocol("heldout", identities=2.5), "identities of faces must be a whole number"),
        (lambda: faces.load(identities=0), "identities of faces must be a whole number of at least 1, got 0"),
        (lambda: faces.load(size=8), "from 16 to 512, got 8"),
        (lambda: faces.load(difficulty=-1), "a number from 0 to 4 .*got -1"),
        (lambda: faces.load(difficulty=float("nan")), "a number from 0 to 4 .*got nan"),
        (lambda: faces.load(seed=-1), "seed of faces must be a whole number"),
        (lambda: datasets.load("faces", colour=1), "no option 'colour'"),
    ],
)
def test_wrong_requests_are_answered_in_a_sentence(call, words):
    with pytest.raises(RequestError, match=words):
        call()


# Digits
