"""MegaFace without its noisy images, both ways, and without missing ones, against plain loops."""

from statistics import mean

import numpy as np
import pytest
from literal_megaface import DEVKIT, FARS, as_insightface_refines, listed, literal_closeness, noisy, rank, scored, tar
from made_up_lists import LISTS, PEOPLE, embed, make

from bench import protocols, scorers
from bench.errors import RequestError

# --- noisy images ---


def test_refined_by_exclusion_equals_loops_over_what_is_clean():
    protocol = make("megaface", **DEVKIT, **FARS, refined="exclusion")
    assert protocol.images == make("megaface", **DEVKIT).images, "one array of embeddings has both figures"
    rows = embed(protocol)
    score = scored(protocol, rows)
    probes = [name for name in protocol.images[:24] if not noisy(name)]
    gallery = {size: [name for name in listed(size, 1) if not noisy(name)] for size in (20, 60, 150)}
    answer = protocol.score(rows)
    found = {key.split("/")[1]: value for key, value in answer.metrics.items()}
    assert protocol.name == "megaface-refined" and 0 < len(gallery[20]) < 20 and len(probes) == 21
    assert found["rank1_at_20"] == rank(score, probes, gallery[20])
    assert found["rank1"] == rank(score, probes, gallery[150])
    assert found["tar_at_far_1e-2"] == tar(score, probes, gallery[150], 1e-2)
    assert answer.counts["impostor"] == 21 * len(gallery[150]) and answer.counts["noisy_probes"] == 3
    assert answer.counts["distractors"] == len(gallery[150]) == 150 - sum(map(noisy, listed(150, 1)))
    assert {protocol.images[row] for row in answer.raw["probe"]} == set(probes)


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("noise", [0.6, 1.5])
def test_refined_the_insightface_way_is_what_the_devkit_makes_of_its_features(seed, noise):
    protocol = make("megaface", **DEVKIT, **FARS, refined="insightface", noise_seed=seed)
    assert protocol.name == "megaface-refined_insightface"
    random = np.random.default_rng(1)  # no copies: Euclidean distances do not keep ties
    rows = np.stack([np.eye(12)[PEOPLE.index(who) if who in PEOPLE else 11] for who in protocol.people]) * 2
    rows = rows + noise * random.normal(size=rows.shape)
    score = scored(protocol, as_insightface_refines(protocol, rows, seed), literal_closeness)
    probes = protocol.images[:24]
    answer = protocol.score(rows)
    found = {key.split("/")[1]: value for key, value in answer.metrics.items()}
    for key, size, k in [("rank1", 150, 1), ("rank10", 150, 10), ("rank1_at_20", 20, 1), ("rank1_at_60", 60, 1)]:
        assert found[key] == rank(score, probes, listed(size, 1), k), key
    for far in (1e-1, 1e-2, 1e-3):
        assert found[f"tar_at_far_{far:.0e}".replace("e-0", "e-")] == tar(score, probes, listed(150, 1), far), far
    assert (answer.counts["probes"], answer.counts["distractors"], answer.counts["impostor"]) == (24, 150, 3600)
    scaled = protocol.score(rows * random.uniform(1e-3, 1e3, (len(rows), 1)))
    assert scaled.metrics == pytest.approx(answer.metrics, abs=1e-12)


def test_the_two_ways_give_other_numbers_under_other_names_and_hashes():
    made = [make("megaface", **DEVKIT, refined=way) for way in (None, "exclusion", "insightface")]
    made.append(make("megaface", **DEVKIT, refined="insightface", noise_seed=1))
    rows = embed(made[0], noise=1.4)
    figures = [protocol.score(rows).metrics[protocol.primary] for protocol in made[:3]]
    assert len(set(figures)) == 3 and len({protocol.hash for protocol in made}) == 4
    assert all(protocol.images == made[0].images for protocol in made)
    assert made[2].spec["refined"]["probes"]["count"] == 3 and made[2].spec["refined"]["seed"] == 0
    everything = make("megaface", **DEVKIT, set="all", refined="exclusion")
    assert everything.name == "megaface-refined-sets"


def test_a_gallery_whose_distractors_are_all_noisy_is_no_obstacle():
    lists = dict(LISTS["megaface"])
    lists["megaface_noises.txt"] = "\n".join(listed(20, 1))
    for way in ("exclusion", "insightface"):
        protocol = protocols.create("megaface", root=lists, **DEVKIT, refined=way)
        assert protocol.score(embed(protocol)).metrics[f"{protocol.name}/rank1_at_20"] == 1.0


def test_lists_of_ones_own_are_refined_too():
    lists = {**LISTS["megaface"], "bad.txt": "Person_02/1.jpg\n"}
    protocol = protocols.create(
        "megaface", root=lists, refined="exclusion", probe_noises="bad.txt", distractor_noises=None
    )
    raw = make("megaface")
    rows = embed(protocol)
    score, probes = scored(raw, rows), [name for name in raw.images[:24] if name != "Person_02/1.jpg"]
    answer = protocol.score(rows)
    assert answer.metrics["megaface-refined/rank1"] == rank(score, probes, raw.images[24:])
    assert raw.spec == {key: value for key, value in protocol.spec.items() if key != "refined"}


def test_a_noisy_probe_is_put_in_its_persons_place_and_a_little_aside():
    protocol = make("megaface", **DEVKIT, refined="insightface", noise_seed=3)
    rows = embed(protocol)
    expected = as_insightface_refines(protocol, rows, seed=3)[:24, :-1]
    found = protocol.noise.replaced(rows[:24].astype(np.float32), protocol.owner)
    assert found / np.linalg.norm(found, axis=1, keepdims=True) == pytest.approx(expected, abs=1e-6)
    other = make("megaface", **DEVKIT, refined="insightface", noise_seed=4).noise.replaced(rows[:24], protocol.owner)
    aside = np.abs(other - protocol.noise.replaced(rows[:24], protocol.owner)).max(axis=1)
    assert (aside[protocol.noise.probes] > 1e-4).all() and (aside[~protocol.noise.probes] == 0).all()


def test_another_scorer_sees_vectors_of_the_same_size():
    protocol = make("megaface", **DEVKIT, refined="insightface")
    rows = embed(protocol) * 40
    noise = protocol.noise.replaced(rows[:24], protocol.owner)
    lengths = np.linalg.norm(rows[:24], axis=1)
    for row in np.flatnonzero(protocol.noise.probes):
        clean = (protocol.owner == protocol.owner[row]) & ~protocol.noise.probes
        assert np.linalg.norm(noise[row]) == pytest.approx(lengths[clean].mean())
    kept = ~protocol.noise.probes
    assert np.array_equal(noise[kept], rows[:24][kept])
    assert protocol.primary in protocol.score(rows, scorers.fit("l2")).metrics


@pytest.mark.parametrize(
    ("lists", "options", "sentence"),
    [
        ({}, {"refined": "cleaned"}, "refined is one of exclusion, insightface, got 'cleaned'"),
        (
            {"facescrub_noises.txt": "Nobody_1.png", "megaface_noises.txt": ""},
            {"refined": "exclusion"},
            "none of the 1 noisy images is among the 174",
        ),
        (
            {"facescrub_noises.txt": "\n".join(f"Person_01_{n}.png" for n in range(4))},
            {"refined": "insightface"},
            "all probes of 1 people are noisy, the first is 'Person_01'",
        ),
        (
            {"facescrub_noises.txt": "\n".join(f"{p}_{n}.png" for p in PEOPLE[:6] for n in range(3))},
            {"refined": "exclusion"},
            "none of the 6 probe people has two images",
        ),
        ({}, {"refined": "exclusion", "probe_noises": "none.txt"}, "no list file 'none.txt'"),
        ({}, {"refined": "insightface", "noise_seed": -1}, "noise_seed is a whole number from 0 on, got -1"),
    ],
)
def test_bad_noise_lists_are_answered(lists, options, sentence):
    with pytest.raises(RequestError, match=sentence):
        protocols.create("megaface", root={**LISTS["megaface"], **lists}, **DEVKIT, **options)


# --- partial ---


@pytest.mark.parametrize("options", [{}, {"set": "all"}, {"refined": "exclusion"}, {"refined": "insightface"}])
def test_without_some_images_the_lists_are_what_is_left_of_them(options):
    whole = make("megaface", **DEVKIT, **options)
    missing = {whole.images[5], *whole.images[26::9]}
    partial = whole.without(missing)
    assert partial.images == tuple(name for name in whole.images if name not in missing)
    rows = embed(partial, noise=1.2)
    if options.get("refined") == "insightface":
        changed = as_insightface_refines(partial, rows, 0)
        score = scored(partial, changed, literal_closeness)
    else:
        score = scored(partial, rows)
    out = noisy if options.get("refined") == "exclusion" else (lambda name: False)
    probes = [name for name in partial.images[: partial.probes] if not out(name)]
    draws = (1, 2, 3) if options.get("set") else (1,)
    for size, key in [(20, "rank1_at_20"), (150, "rank1")]:
        left = [[name for name in listed(size, draw) if name not in missing and not out(name)] for draw in draws]
        found = partial.score(rows).metrics[f"{partial.name}/{key}"]
        assert found == pytest.approx(mean(rank(score, probes, gallery) for gallery in left), abs=1e-15)
    with pytest.raises(RequestError, match="needs probes and distractors, got 24 probe and 0 distractor images"):
        whole.without(whole.images[24:])


def test_what_is_left_has_a_clean_probe_of_each_or_is_refused():
    protocol = make("megaface", **DEVKIT, refined="insightface")
    with pytest.raises(RequestError, match="all probes of 1 people are noisy, the first is 'Person_03'"):
        protocol.without([f"Person_03/Person_03_{n}.png" for n in (2, 3)])
