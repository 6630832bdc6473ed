"""MegaFace from the devkit's lists against plain loops: sets, galleries that are not nested, noisy images, partial lists."""

import json
from statistics import mean, stdev

import numpy as np
import pytest
from literal import literal_cosine
from made_up_lists import LISTS, PEOPLE, devkit_lists, embed, make

from bench import protocols, scorers
from bench.errors import RequestError

DEVKIT = {"probes": "probes.json", "distractors": "drawn.json", "sizes": [20, 60, 150]}
FARS = {"fars": [1e-1, 1e-2, 1e-3, 1e-4]}
NOISY_PROBES = {"Person_00_2", "Person_03_0", "Person_03_1"}


def listed(size, draw):
    return json.loads(LISTS["megaface"][f"templatelists/drawn.json_{size}_{draw}"])["path"]


def noisy(name):
    lines = LISTS["megaface"]["megaface_noises.txt"].splitlines()
    return name in {line.split("\t")[1] for line in lines} or name.split("/")[-1].removesuffix(".png") in NOISY_PROBES


def scored(protocol, rows, score=literal_cosine):
    """(probe, other) -> score, of all probes with all images."""
    place = {name: row for row, name in enumerate(protocol.images)}
    probes = protocol.images[: protocol.probes]
    return {
        (a, b): score(rows[place[a]].tolist(), rows[place[b]].tolist())
        for a in probes
        for b in protocol.images
        if a != b
    }


def trials_of(probes):
    return [(a, b) for a in probes for b in probes if a != b and a.split("/")[0] == b.split("/")[0]]


def rank(score, probes, gallery, k=1):
    """The share of M(M-1) trials of each person in which fewer than k distractors score as much as the mate."""
    hits = [sum(score[a, d] >= score[a, b] for d in gallery) < k for a, b in trials_of(probes)]
    return sum(hits) / len(hits)


def tar(score, probes, gallery, far, impostors=None):
    """At the smallest threshold that at most floor(far x impostors) impostor pairs reach; `impostors`: how many count."""
    genuine = [score[a, b] for a, b in trials_of(probes) if a < b]
    falling = sorted((score[a, d] for a in probes for d in gallery), reverse=True)
    allowed = int(far * (impostors or len(falling)) + 1e-9)
    over = falling[allowed] if allowed < len(falling) else -2
    return sum(s > over for s in genuine) / len(genuine)


# --- raw ---


@pytest.mark.parametrize("draw", [1, 2, 3])
def test_each_set_equals_loops_over_its_lists(draw):
    protocol = make("megaface", **DEVKIT, **FARS, set=draw)
    assert protocol.name == ("megaface" if draw == 1 else f"megaface-set{draw}")
    assert len(protocol.sets[0].chains) == (3 if draw == 2 else 1), "one pass where lists are nested"
    rows = embed(protocol)  # some rows are copies of others: ties
    score, probes = scored(protocol, rows), protocol.images[:24]
    answer = protocol.score(rows)
    found = {key.split("/")[1]: value for key, value in answer.metrics.items()}
    assert found["rank1_at_20"] == rank(score, probes, listed(20, draw))
    assert found["rank1_at_60"] == rank(score, probes, listed(60, draw))
    for k in (1, 5, 10):
        assert found[f"rank{k}"] == rank(score, probes, listed(150, draw), k), k
    assert found["tar_at_far_1e-1"] == tar(score, probes, listed(150, draw), 1e-1)
    assert found["tar_at_far_1e-3"] == tar(score, probes, listed(150, draw), 1e-3)
    assert answer.marks[f"{protocol.name}/tar_at_far_1e-3"].startswith("hangs on 3 false accepts")
    assert answer.undefined == {f"{protocol.name}/tar_at_far_1e-4": "FAR 1e-04 is undefined on 3,600 impostor pairs"}
    assert (answer.counts["probes"], answer.counts["distractors"], answer.counts["trials"]) == (24, 150, 72)


def test_the_figures_of_all_sets_are_their_mean_and_spread():
    alone = [make("megaface", **DEVKIT, set=draw) for draw in (1, 2, 3)]
    both = make("megaface", **DEVKIT, set="all")
    assert both.name == "megaface-sets" and both.primary == "megaface-sets/rank1"
    rows = embed(both, noise=1.3)
    place = {name: row for row, name in enumerate(both.images)}
    parts = [protocol.score(rows[[place[name] for name in protocol.images]]) for protocol in alone]
    answer = both.score(rows)
    for figure in ("rank1", "rank10", "rank1_macro", "rank1_at_20", "tar_at_far_1e-3"):
        values = [part.metrics[f"{p.name}/{figure}"] for p, part in zip(alone, parts, strict=True)]
        assert answer.metrics[f"megaface-sets/{figure}"] == pytest.approx(mean(values), abs=1e-15)
        assert answer.metrics[f"megaface-sets/{figure}_sd"] == pytest.approx(stdev(values), abs=1e-15)
        assert [answer.metrics[f"megaface-sets/{figure}_set{draw}"] for draw in (1, 2, 3)] == values
    assert answer.metrics["megaface-sets/rank1_sd"] > 0
    left = zip(*[part.clusters[f"{p.name}/rank1"].values for p, part in zip(alone, parts, strict=True)], strict=True)
    assert answer.clusters["megaface-sets/rank1"].values == pytest.approx([mean(column) for column in left])
    assert answer.curves["cmc_set2"] == parts[1].curves["cmc"] and answer.curves["cmc"] == parts[0].curves["cmc"]
    assert answer.raw["rank1"].mean() == pytest.approx(answer.metrics["megaface-sets/rank1"])
    assert answer.counts["sets"] == 3 and answer.counts["distractors"] == 150
    assert len({protocol.hash for protocol in (*alone, both)}) == 4


def test_the_optimistic_figure_of_sets_takes_the_others_where_no_ties_matter():
    protocol = make("megaface", **DEVKIT, set="all")
    rows = np.random.default_rng(3).normal(size=(len(protocol.images), 12))
    only_in_3 = next(name for name in listed(150, 3) if name not in listed(150, 1) + listed(150, 2))
    probe, mate = protocol.images[:2]
    place = {name: row for row, name in enumerate(protocol.images)}
    rows[place[mate]] = rows[place[probe]] + 1e-3
    rows[place[only_in_3]] = rows[place[mate]]
    found = protocol.score(rows).metrics
    hits = {draw: found[f"megaface-sets/rank1_set{draw}"] for draw in (1, 2, 3)}
    tied = {draw: found[f"megaface-sets/rank1_set{draw}_optimistic"] for draw in (1, 2, 3)}
    assert tied[1] == hits[1] and tied[2] == hits[2] and tied[3] > hits[3]
    assert found["megaface-sets/rank1_optimistic"] == pytest.approx(mean(tied.values()), abs=1e-15)


def test_the_cmc_goes_as_deep_as_is_asked():
    every = make("megaface", **DEVKIT, depth="all")
    rows = embed(every, noise=2.0)
    score, probes = scored(every, rows), every.images[:24]
    curve = every.score(rows).curves["cmc"]
    assert curve["rank"][:100] == list(range(1, 101)) and curve["rank"][-1] == 150
    for k, rate in zip(curve["rank"], curve["rate"], strict=True):
        assert rate == rank(score, probes, listed(150, 1), k), k
    short = make("megaface", **DEVKIT, depth=20).score(rows)
    assert short.curves["cmc"] == {"rank": curve["rank"][:20], "rate": curve["rate"][:20]}
    assert short.metrics == every.score(rows).metrics
    assert len({make("megaface", **DEVKIT, depth=depth).hash for depth in (20, 100, "all")}) == 3


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


def as_insightface_refines(protocol, rows, seed):
    """Its remove_noises.py: features of length 1 with one more dimension, noisy ones replaced."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    out = np.concatenate([unit, np.zeros((len(unit), 1))], axis=1)
    random = np.random.default_rng(seed)
    for row, name in enumerate(protocol.images[: protocol.probes]):
        if noisy(name):
            center = np.zeros(unit.shape[1])
            for other, mate in enumerate(protocol.images[: protocol.probes]):
                if mate.split("/")[0] == name.split("/")[0] and not noisy(mate):
                    center = center + unit[other]
            center = center + random.uniform(-0.001, 0.001, unit.shape[1])
            out[row, :-1] = center / np.linalg.norm(center)
    for row, name in enumerate(protocol.images[protocol.probes :], protocol.probes):
        if noisy(name):
            out[row, -1] = 100
    return out


def literal_closeness(a, b):
    """The devkit's Euclidean distance, turned round."""
    return -sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


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


# --- names and options ---


def test_challenge_2_is_the_same_with_other_lists():
    lists = devkit_lists()
    second = {
        name.replace("templatelists/drawn", "templatelists/challenge2/megaface_features_list"): text
        for name, text in lists.items()
    }
    protocol = protocols.create("megaface", root=second, probes="probes.json", challenge=2, sizes=[20, 150])
    first = make("megaface", **{**DEVKIT, "sizes": [20, 150]})
    assert protocol.name == "megaface2" and protocol.images == first.images and protocol.hash != first.hash
    rows = embed(protocol)
    assert protocol.score(rows).metrics["megaface2/rank1"] == first.score(rows).metrics["megaface/rank1"]
    with pytest.raises(RequestError, match="no list file 'distractors.txt'"):
        protocols.create("megaface", root=second, probes="probes.json", sizes=[20, 150])
    assert (
        make("megaface", challenge=2).name == "megaface2"
        and make("megaface", challenge=2).hash != make("megaface").hash
    )


@pytest.mark.parametrize(
    ("name", "images", "people"), [("facescrub", 3530, 80), ("facescrub_uncropped", 3530, 80), ("fgnet", 1002, 82)]
)
def test_the_devkits_probe_lists_have_the_devkits_counts(tmp_path, name, images, people):
    folder = tmp_path / "devkit" / "templatelists"
    folder.mkdir(parents=True)
    for file, text in devkit_lists(sizes=(10, 100)).items():
        place = folder / file.split("/")[-1].replace("drawn.json", "megaface_features_list.json")
        place.write_text(text)
    names = [f"Celebrity {n % people}/Celebrity {n % people}_{n}.png" for n in range(images)]
    if name == "fgnet":
        names = [f"{n % people:03d}A{n}.JPG" for n in range(images)]
    file = folder / f"{name}_features_list.json"
    file.write_text(json.dumps({"id": [n % people for n in range(images)], "path": names}))
    protocol = protocols.create("megaface", root=tmp_path, **({} if name == "facescrub" else {"probes": name}))
    assert protocol.name == ("megaface-fgnet" if name == "fgnet" else "megaface")
    assert (protocol.probes, len(set(protocol.people[: protocol.probes])), protocol.sizes) == (
        images,
        people,
        (10, 100),
    )
    assert protocol.people[1] == ("1" if name == "fgnet" else "Celebrity 1")
    assert protocol.fars[-1] == 1e-9
    (tmp_path / "mine.txt").write_text("a/1.jpg\na/2.jpg")
    mixed = protocols.create("megaface", root=tmp_path, probes=name, distractors="mine.txt")
    assert mixed.images == (*protocol.images[:images], "a/1.jpg", "a/2.jpg")
    file.write_text(json.dumps({"path": names[:-1], "id": [n % people for n in range(images - 1)]}))
    with pytest.raises(
        RequestError, match=f"lists {images - 1:,} images of {people} people, and {name} has {images:,}"
    ):
        protocols.create("megaface", root=tmp_path, probes=name)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"set": 4}, "set is 1, 2, 3 or all, got 4"),
        ({"set": True}, "set is 1, 2, 3 or all, got True"),
        ({"challenge": 3}, "challenge is 1 or 2, got 3"),
        ({"sizes": [20, 33]}, "no list drawn.json_33_1 in this embedded protocol or in its folder templatelists"),
        ({"depth": 9}, "depth is a whole number from 10 on, got 9"),
        ({"fars": 1e-3}, "fars is a list of false accept rates"),
        ({"fars": [0.0]}, "a false accept rate lies between 0 and 1, got 0.0"),
        ({"distractors": None, "probes": None, "set": 2}, "set=2 needs the devkit's lists of distractors"),
        ({"probes": "facescrub", "distractors": None}, "no facescrub_features_list.json in this embedded protocol"),
    ],
)
def test_bad_options_are_answered(options, sentence):
    with pytest.raises(RequestError, match=sentence):
        make("megaface", **{**DEVKIT, **options})


def test_sets_with_other_lists_are_answered():
    lists = {name: text for name, text in devkit_lists(sizes=(10, 100)).items() if not name.endswith("_2")}
    asked = {"probes": "probes.json", "distractors": "drawn.json"}
    assert protocols.create("megaface", root=lists, **asked, set=3).sizes == (10, 100)
    with pytest.raises(RequestError, match="no list drawn.json_<size>_2 in this embedded protocol: check root and set"):
        protocols.create("megaface", root=lists, **asked, set="all")
    lists["templatelists/drawn.json_10_2"] = lists["templatelists/drawn.json_10_1"]
    with pytest.raises(RequestError, match=r"lists of other sizes \(1: 10, 100; 2: 10; 3: 10, 100\): give sizes"):
        protocols.create("megaface", root=lists, **asked, set="all")
    assert protocols.create("megaface", root=lists, **asked, set="all", sizes=[10]).sizes == (10,)


def test_images_that_are_missing_are_an_error_or_make_the_figures_partial(tmp_path):
    for file, text in devkit_lists().items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    images = make("megaface", **DEVKIT).images
    for name in images[3:]:
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "faces" / name).write_bytes(b"")
    with pytest.raises(RequestError, match="3 of the 174 images in the lists of probes and distractors are missing"):
        protocols.create("megaface", root=tmp_path, **DEVKIT, images=["faces"])
    partial = protocols.create("megaface", root=tmp_path, **DEVKIT, images=["faces"], allow_missing=True)
    assert partial.images == images[3:]
    assert partial.score(embed(partial)).marks["megaface/rank1"].startswith("partial: 3 of 174 images are missing")


def test_people_are_left_out_of_probes_and_distractors():
    lists = {
        **LISTS["megaface"],
        "out.txt": "Person_00\n" + "\n".join(sorted({name.rpartition("/")[0] for name in listed(20, 1)})),
    }
    protocol = protocols.create("megaface", root=lists, **DEVKIT, exclude="out.txt")
    assert protocol.probes == 20 and "Person_00" not in protocol.people
    answer = protocol.score(embed(protocol))
    assert answer.metrics["megaface/rank1_at_20"] == 1.0 and answer.counts["distractors"] < 150
