"""The protocols on the real lists: what they count is what the literature and the data's own README say."""

import os
from pathlib import Path

import numpy as np
import pytest

from bench import protocols

DATA = Path(os.environ.get("FACEBENCH_DATA") or Path(__file__).parents[1] / "../shared/data").resolve()
LFW = ["lfw_view2_aligned112.zip", "lfw_rest_aligned112.zip"]
FACESCRUB = "protocols/facescrub_face_info.txt.gz"
pytestmark = pytest.mark.skipif(
    not (DATA / LFW[0]).exists(), reason=f"no real data at {DATA}: set FACEBENCH_DATA to the folder that holds {LFW[0]}"
)


def noisy(protocol, noise=1.0, width=64):
    """Embeddings that know the people, with noise."""
    random = np.random.default_rng(0)
    place = np.unique(np.array(protocol.people), return_inverse=True)[1]
    rows = random.normal(size=(place.max() + 1, width))[place] + noise * random.normal(size=(len(place), width))
    return rows.astype(np.float32)


def test_lfw_view_2():
    protocol = protocols.create("lfw", root=DATA, pairs="protocols/lfw_pairs.txt", images=LFW[:1])
    answer = protocol.score(noisy(protocol))
    assert answer.counts["images"] == 7_701 and answer.counts["people"] == 4_281
    assert (answer.counts["pairs"], answer.counts["genuine"], answer.counts["impostor"]) == (6_000, 3_000, 3_000)
    assert len(answer.clusters["lfw/accuracy"].values) == 10 and "lfw/accuracy" not in answer.marks, (
        "people are disjoint"
    )
    assert "3 false accepts" in answer.marks["lfw/tar_at_far_1e-3"]
    assert 0.9 < answer.metrics["lfw/accuracy"] < 1
    loose = protocols.create("lfw", root=DATA, pairs="protocols/lfw_pairs.txt")
    assert loose.images == protocol.images and loose.hash == protocol.hash


def test_lfw_view_1_is_shown_with_the_threshold_of_its_training_pairs():
    files = ["protocols/lfw_pairsDevTrain.txt", "protocols/lfw_pairsDevTest.txt"]
    protocol = protocols.create("lfw", root=DATA, pairs=files, images=LFW)
    answer = protocol.score(noisy(protocol))
    assert protocol.primary == "lfw-view1/accuracy" and 0.9 < answer.metrics[protocol.primary] < 1
    assert (answer.counts["pairs"], len(protocol.train.same)) == (1_000, 2_200)


def test_ytf_pairs_that_are_covered():
    zipped = "ytf_subset_aligned112.zip"
    protocol = protocols.create("ytf", root=DATA, splits=f"{zipped}/splits_covered.csv", images=[zipped])
    answer = protocol.score(noisy(protocol))
    assert (answer.counts["pairs"], answer.counts["genuine"], answer.counts["impostor"]) == (1_426, 1_150, 276)
    assert protocol.primary == "ytf/auc" and "unbalanced" in answer.undefined["ytf/accuracy"]
    assert answer.undefined["ytf/tar_at_far_1e-3"] == "FAR 1e-03 is undefined on 276 impostor pairs"


def test_the_official_ytf_splits_are_balanced_and_their_people_disjoint(tmp_path):
    from bench.protocols import _lists, ytf

    table = ytf._parse(_lists.read(DATA, "protocols/ytf_splits.txt.gz"), "ytf_splits.txt.gz")
    videos = sorted({video for _, first, second, _ in table for video in (first, second)})
    (tmp_path / "images.txt").write_text("\n".join(f"{video}/0.jpg" for video in videos))
    protocol = protocols.create("ytf", root=tmp_path, splits=DATA / "protocols/ytf_splits.txt.gz")
    assert len(protocol.pairs.same) == 5_000 and protocol.unbalanced() is None and protocol.pairs.shared_people == 0


def test_megaface_of_lfw_people():
    protocol = protocols.create("megaface", root=DATA, images=LFW)
    answer = protocol.score(noisy(protocol))
    counts = answer.counts
    assert (counts["probes"], counts["probe_identities"], counts["trials"]) == (3_241, 423, 23_468)
    assert round(counts["effective_identities"]) == 328
    assert counts["distractors"] == 13_233 - sum(protocol_images_per_probe_person(protocol))
    assert counts["impostor"] == counts["probes"] * counts["distractors"]
    assert "megaface/rank1" not in answer.marks and len(answer.clusters["megaface/rank1"].values) == 423
    assert 0.3 < answer.metrics["megaface/rank1"] < 1


def protocol_images_per_probe_person(protocol):
    """All LFW images of the probe people, more than the ten that are probes, from LFW's own list of names."""
    probe_people = set(protocol.people[: protocol.probes])
    table = (line.split() for line in (DATA / "protocols/lfw_names.txt").read_text().splitlines())
    return [int(count) for name, count in table if name in probe_people]


@pytest.mark.slow
def test_uncapped_megaface_of_lfw_is_one_mans_figure_and_marked():
    protocol = protocols.create("megaface", root=DATA, images=LFW, max_images=1_000)
    answer = protocol.score(noisy(protocol, width=16))
    assert answer.counts["trials"] == 478_966
    assert answer.counts["largest_identity_share"] == pytest.approx(0.585, abs=5e-4)
    assert "2.8 effective identities, the largest has 58.5% of the trials" in answer.marks["megaface/rank1"]


def pixels(trees, names, size=16):
    """Embeddings of sorts: small grey pictures, less their mean."""
    from PIL import Image

    from bench.files import FileImages, Tree

    source = FileImages([("", Tree(DATA / tree)) for tree in trees])
    rows = [np.asarray(Image.fromarray(image).convert("L").resize((size, size))) for image in source.images(names)]
    flat = np.stack(rows).reshape(len(rows), -1).astype(np.float32)
    return flat - flat.mean(axis=1, keepdims=True)


@pytest.mark.slow
def test_megaface_of_cfp_people_falls_with_the_lfw_distractors(tmp_path):
    from bench.files import Tree

    cfp = "cfp_train400_aligned112.zip"
    frontal = [
        name for name in Tree(DATA / cfp).files() if name[4:] in ("frontal/01.jpg", "frontal/02.jpg", "frontal/03.jpg")
    ]
    distractors = [name for name in Tree(DATA / LFW[1]).files() if name.endswith(".jpg")]
    (tmp_path / "probes.txt").write_text("\n".join(frontal))
    (tmp_path / "distractors.txt").write_text("\n".join(distractors))
    trees = [cfp, LFW[1]]
    protocol = protocols.create(
        "megaface", root=tmp_path, probes="probes.txt", distractors="distractors.txt", sizes=[10, 100, 1_000],
        images=[DATA / tree for tree in trees],
        exclude=str(DATA / cfp / "identities.csv:lfw_name_match"),
    )  # fmt: skip
    assert protocol.sizes == (10, 100, 1_000, 5_532) and len(set(protocol.people[: protocol.probes])) == 400 - 156
    answer = protocol.score(pixels(trees, protocol.images))
    rates = answer.curves["distractors"]["rank1"]
    assert rates == sorted(rates, reverse=True) and 0.9 > rates[0] > 1.2 * rates[-1] > 0.05
    assert rates[-1] == answer.metrics["megaface/rank1"] and answer.counts["trials"] == 244 * 3 * 2


def test_megaface_of_facescrubs_probes_with_lfw_people_as_distractors(tmp_path):
    from bench.files import Tree
    from bench.overlap import _plain
    from bench.protocols import _devkit_lists

    listed = _devkit_lists.listing(DATA, FACESCRUB)
    known = {_plain(person) for person in listed.people}
    others = [name for tree in LFW for name in Tree(DATA / tree).files() if name.endswith(".jpg")]
    others = [name for name in others if _plain(name.split("/")[0]) not in known]
    (tmp_path / "distractors.txt").write_text("\n".join(others))
    protocol = protocols.create("megaface", root=tmp_path, probes=str(DATA / FACESCRUB), sizes=[10, 100, 1_000])
    answer = protocol.score(noisy(protocol, noise=1.2))
    assert (answer.counts["probes"], answer.counts["probe_identities"]) == (3_530, 80)
    assert answer.counts["distractors"] == len(others) > 12_000
    each = np.unique(protocol.people[: protocol.probes], return_counts=True)[1]
    weight = each * (each - 1)
    assert answer.counts["trials"] == weight.sum() == 153_634
    assert answer.counts["effective_identities"] == pytest.approx(weight.sum() ** 2 / np.sum(weight**2))
    rates = answer.curves["distractors"]["rank1"]
    assert rates == sorted(rates, reverse=True) and rates[0] > rates[-1] > 0.1
    assert answer.undefined == {} and "megaface/tar_at_far_1e-6" in answer.metrics
