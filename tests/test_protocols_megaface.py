"""MegaFace from the devkit's lists against plain loops: its sets, galleries that are not nested, its names and options."""

import json
from statistics import mean, stdev

import numpy as np
import pytest
from literal_megaface import DEVKIT, FARS, listed, rank, scored, tar
from made_up_lists import LISTS, devkit_lists, embed, make

from bench import protocols
from bench.errors import RequestError

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
    for draw, part in zip((1, 2, 3), parts, strict=True):
        key = f"{alone[draw - 1].name}/tar_at_far_1e-3"
        assert answer.marks[f"megaface-sets/tar_at_far_1e-3_set{draw}"] == part.marks[key]
        assert part.marks[key] in answer.marks["megaface-sets/tar_at_far_1e-3"]
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


def test_no_figure_depends_on_where_the_products_are_made():
    plain, through_torch = make("megaface"), make("megaface", device="cpu")
    rows = embed(plain)
    assert through_torch.hash == plain.hash
    assert through_torch.score(rows).metrics == plain.score(rows).metrics
    with pytest.raises(RequestError, match="device"):
        make("megaface", device="quantum").score(rows)
