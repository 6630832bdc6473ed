"""Every protocol on small made-up lists: the contract, literal float64 references, and what bad lists are answered."""

import json
import math
import subprocess
import sys
import zipfile
from itertools import combinations

import numpy as np
import pytest

from bench import protocols
from bench.errors import RequestError
from bench.protocols.heldout import Heldout

PEOPLE = [f"Person_{number:02d}" for number in range(40)]


def lfw_pairs(folds=10, each=4):
    """LFW's own format: four people a fold, so that folds share nobody."""
    lines = [f"{folds}\t{each}" if folds > 1 else f"{each}"]
    for fold in range(folds):
        group = PEOPLE[4 * fold : 4 * fold + 4]
        lines += [f"{group[n % 4]}\t{1 + n // 4}\t{3 + n // 4}" for n in range(each)]
        lines += [f"{a}\t1\t{b}\t2" for a, b in list(combinations(group, 2))[:each]]
    return "\n".join(lines) + "\n"


def ytf_lists():
    pairs, frames = ["split,pair,first,second,same"], []
    for split in range(10):
        a, b = PEOPLE[2 * split : 2 * split + 2]
        rows = [(f"{a}/0", f"{a}/1", 1), (f"{b}/0", f"{b}/2", 1), (f"{a}/0", f"{b}/0", 0), (f"{a}/1", f"{b}/2", 0)]
        pairs += [f"{split + 1},{n},{first},{second},{same}" for n, (first, second, same) in enumerate(rows, 1)]
        for number, video in enumerate([f"{a}/0", f"{a}/1", f"{b}/0", f"{b}/2"]):
            frames += [f"{video}/{frame:04d}.jpg" for frame in range(1 + number)]
    return {"splits.txt": "\n".join(pairs), "images.txt": "\n".join(frames)}


def faces(people, each):
    return "\n".join(f"{person}/{number}.jpg" for person in people for number in range(each))


LISTS = {
    "lfw": {"pairs.txt": lfw_pairs()},
    "ytf": ytf_lists(),
    "megaface": {"probes.txt": faces(PEOPLE[:6], 4), "distractors.txt": faces(PEOPLE[6:], 5)},
    "heldout": {"images.txt": faces(PEOPLE[:24], 3)},
}
VARIANTS = [(name, {}) for name in protocols.names()] + [
    ("ytf", {"aggregation": "mean_score"}),
    ("ytf", {"aggregation": "max_score"}),
    ("megaface", {"sizes": [7, 50]}),
]


def make(name, **options):
    assert name in LISTS, f"give the new protocol {name!r} a small example in LISTS, so that the contract is tested"
    return protocols.create(name, root=LISTS[name], **options)


def embed(protocol, seed=0, noise=0.9, width=12):
    """Images of one person lie near each other; a few rows are copied, so that there are ties."""
    random = np.random.default_rng(seed)
    centres = {person: random.normal(size=width) for person in sorted(set(protocol.people))}
    rows = np.stack([centres[person] for person in protocol.people]) + noise * random.normal(size=(len(protocol.people), width))
    rows[::9] = rows[0]
    return rows


@pytest.fixture(params=VARIANTS, ids=lambda variant: "-".join([variant[0], *map(str, variant[1].values())]))
def protocol(request):
    name, options = request.param
    return make(name, **options)


# --- the contract, for every entry ---


def test_the_protocol_describes_itself(protocol):
    assert len(set(protocol.images)) == len(protocol.images) == len(protocol.people)
    assert all(image.startswith(person + "/") for image, person in zip(protocol.images, protocol.people, strict=True))
    assert json.loads(json.dumps(protocol.spec)) == protocol.spec
    assert len(protocol.hash) == 16 and int(protocol.hash, 16) >= 0


def test_every_figure_is_a_fraction_with_its_name_and_company(protocol):
    scores = protocol.score(embed(protocol))
    assert protocol.primary in scores.metrics
    assert all(key.startswith(protocol.name + "/") for key in [*scores.metrics, *scores.undefined])
    assert all(isinstance(value, float) and 0 <= value <= 1 for value in scores.metrics.values())
    assert not set(scores.metrics) & set(scores.undefined)
    assert set(scores.marks) <= set(scores.metrics) and set(scores.clusters) <= set(scores.metrics)
    assert protocol.primary in scores.clusters
    for clusters in scores.clusters.values():
        assert clusters.kind in ("folds", "jackknife") and len(clusters.values) >= 2
        assert all(isinstance(value, float) and 0 <= value <= 1 for value in clusters.values)
    assert json.loads(json.dumps([scores.counts, scores.curves]))
    for curve in scores.curves.values():
        assert len({len(column) for column in curve.values()}) == 1
    assert all(isinstance(array, np.ndarray) for array in scores.raw.values())
    assert not any(set(key) & set("@=+[]") for key in scores.metrics), "MLflow refuses these"


def test_the_same_embeddings_give_the_same_figures(protocol):
    rows = embed(protocol)
    first, again = protocol.score(rows), make_again(protocol).score(rows)
    assert first.metrics == again.metrics and first.clusters == again.clusters and first.curves == again.curves


def make_again(protocol):
    if isinstance(protocol, Heldout):
        return Heldout(protocol.images, protocol.people)
    name = protocol.spec["protocol"]
    options = {key: protocol.spec[key] for key in ("aggregation",) if key in protocol.spec}
    options |= {"sizes": protocol.sizes} if name == "megaface" else {}
    again = make(name, **options)
    assert again.hash == protocol.hash
    return again


def test_lengths_and_rotations_do_not_matter(protocol):
    rows = embed(protocol)
    before = protocol.score(rows).metrics
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(12, 12)))[0]
    lengths = np.random.default_rng(6).uniform(0.1, 50, (len(rows), 1))
    after = protocol.score((rows * lengths) @ turn).metrics
    assert after == pytest.approx(before, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_very_short_and_very_long_embeddings_are_scored(protocol, scale):
    rows = embed(protocol)
    assert protocol.score(rows * scale).metrics == pytest.approx(protocol.score(rows).metrics, abs=1e-12)


@pytest.mark.parametrize("value", [1.0, 0.3, 0.0])
def test_a_constant_embedding_scores_chance(protocol, value):
    metrics = protocol.score(np.full((len(protocol.images), 7), value, np.float32)).metrics
    chance = {"accuracy": 0.5, "accuracy_se": 0.0, "auc": 0.5, "eer": 0.5}
    for key, found in metrics.items():
        figure = key.partition("/")[2]
        if not figure.endswith("_optimistic"):
            assert found == chance.get(figure, 0.0), key
        else:
            assert found == 1.0, key


def test_integers_and_half_precision_are_embeddings_too(protocol):
    rows = np.round(10 * embed(protocol))
    before = protocol.score(rows).metrics
    for kind in (np.int32, np.float16, np.float32):
        assert protocol.score(rows.astype(kind)).metrics == before


def test_another_number_of_rows_is_refused_with_both_numbers(protocol):
    with pytest.raises(RequestError, match=rf"each of its {len(protocol.images)} images.*got an array of shape \(3, 8\)"):
        protocol.score(np.zeros((3, 8)))
    with pytest.raises(RequestError, match="real numbers, got an array of type complex128"):
        protocol.score(np.zeros((len(protocol.images), 8), complex))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused_with_its_image(protocol, bad):
    rows = embed(protocol)
    rows[[4, 11], 2] = bad
    with pytest.raises(RequestError, match=r"^2 of .* nan or infinity, the first is row 4 \(") as caught:
        protocol.score(rows)
    assert f"({protocol.images[4]})" in str(caught.value)


def test_the_hash_says_which_lists_and_options():
    hashes = {make(name, **options).hash for name, options in VARIANTS}
    assert len(hashes) == len(VARIANTS)
    other = protocols.create("lfw", root={"pairs.txt": lfw_pairs(each=3)})
    assert other.hash not in hashes
    assert protocols.create("lfw", root={"pairs.txt": lfw_pairs()}).hash in hashes


def test_unknown_names_and_options_list_the_known_ones():
    with pytest.raises(RequestError, match="no 'lwf' in protocols; there is: .*heldout, lfw, megaface, ytf"):
        protocols.create("lwf")
    with pytest.raises(RequestError, match="'lfw' has no option 'pears'; it has: pairs, images, label"):
        make("lfw", pears="x")


def test_protocols_import_numpy_alone():
    heavy = "torch sklearn scipy pandas ray optuna mlflow matplotlib PIL"
    code = f"import sys, bench.protocols.megaface, bench.protocols.ytf; print(*set('{heavy}'.split()) & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


# --- lfw ---


def cosine(a, b):
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return round(dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b)), 12)


def literal_accuracy(scores, same, folds):
    """Per fold: the lower median of the thresholds with the most right decisions on the other folds."""
    found = []
    for fold in sorted(set(folds)):
        known = [(s, y) for s, y, f in zip(scores, same, folds, strict=True) if f != fold]
        levels = sorted({s for s, _ in known})
        middles = [(a + b) / 2 for a, b in zip(levels, levels[1:], strict=False)]
        candidates = [-math.inf, *middles, math.inf]
        right = [sum((s > t) == y for s, y in known) for t in candidates]
        best = [t for t, r in zip(candidates, right, strict=True) if r == max(right)]
        threshold = best[(len(best) - 1) // 2]
        part = [(s > threshold) == y for s, y, f in zip(scores, same, folds, strict=True) if f == fold]
        found.append(sum(part) / len(part))
    return found


def literal_auc(scores, same):
    genuine = [s for s, y in zip(scores, same, strict=True) if y]
    impostor = [s for s, y in zip(scores, same, strict=True) if not y]
    return sum((g > i) + 0.5 * (g == i) for g in genuine for i in impostor) / (len(genuine) * len(impostor))


def test_lfw_equals_loops_over_its_file():
    protocol = make("lfw")
    rows = embed(protocol)
    row = {image: list(map(float, values)) for image, values in zip(protocol.images, rows, strict=True)}
    scores, same, folds = [], [], []
    for number, line in enumerate(lfw_pairs().splitlines()[1:]):
        fields = line.split("\t")
        first, second = (fields[0], fields[1]), (fields[-2] if len(fields) == 4 else fields[0], fields[-1])
        names = [f"{name}/{name}_{int(index):04d}.jpg" for name, index in (first, second)]
        scores.append(cosine(*(row[name] for name in names)))
        same.append(len(fields) == 3)
        folds.append(number // 8)
    accuracies = literal_accuracy(scores, same, folds)
    answer = protocol.score(rows)
    assert answer.clusters["lfw/accuracy"].values == pytest.approx(accuracies, abs=1e-15)
    assert answer.metrics["lfw/accuracy"] == pytest.approx(sum(accuracies) / 10, abs=1e-15)
    assert answer.metrics["lfw/accuracy_se"] == pytest.approx(np.std(accuracies, ddof=1) / math.sqrt(10), abs=1e-15)
    assert answer.metrics["lfw/auc"] == literal_auc(scores, same)
    assert answer.raw["scores"].tolist() == pytest.approx(scores, abs=1e-12)
    assert answer.counts == {"pairs": 80, "genuine": 40, "impostor": 40, "people": 40, "folds": 10, "images": 160}
    assert answer.undefined["lfw/tar_at_far_1e-2"] == "FAR 1e-02 is undefined on 40 impostor pairs"
    assert answer.marks["lfw/tar_at_far_1e-1"].startswith("hangs on ")


def test_the_order_of_the_pairs_within_a_fold_does_not_matter():
    lines = lfw_pairs().splitlines()
    mixed = [lines[0]]
    for start in range(1, len(lines), 4):
        mixed += lines[start : start + 4][::-1]
    before, after = make("lfw"), protocols.create("lfw", root={"pairs.txt": "\n".join(mixed)})
    assert after.images == before.images
    rows = embed(before)
    assert after.score(rows).metrics == before.score(rows).metrics


def test_folds_that_share_people_are_marked():
    text = lfw_pairs().replace("Person_39", "Person_00")
    answer = (protocol := protocols.create("lfw", root={"pairs.txt": text})).score(embed(protocol))
    assert "share 1 people" in answer.marks["lfw/accuracy"]
    assert "lfw/accuracy" not in make("lfw").score(embed(make("lfw"))).marks


def test_one_view_1_file_has_no_accuracy_and_two_have():
    lists = {"train.txt": lfw_pairs(1, 4), "test.txt": lfw_pairs(1, 4).replace("Person_0", "Person_2")}
    alone = protocols.create("lfw", root=lists, pairs="train.txt")
    answer = alone.score(embed(alone))
    assert alone.primary == "lfw-view1/auc" in answer.metrics
    assert "none to choose the threshold on" in answer.undefined["lfw-view1/accuracy"]
    both = protocols.create("lfw", root=lists, pairs=["train.txt", "test.txt"])
    rows = embed(both, noise=0.2)
    answer = both.score(rows)
    train, test = alone.score(rows[: len(alone.images)]), answer.raw
    threshold_fold = literal_accuracy(
        [*train.raw["scores"], *test["scores"]], [*train.raw["same"], *test["same"]], [0] * 8 + [1] * 8
    )
    assert both.primary == "lfw-view1/accuracy" and answer.metrics[both.primary] == threshold_fold[1]
    assert "lfw-view1/accuracy_se" in answer.undefined


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: expected `folds pairs-per-kind`"),
        ("ten\t300\n", "line 1: expected `folds pairs-per-kind`.*got 'ten 300'"),
        ("2\t1\nA\t1\t2\nA\t1\tB\t1\n", r"promises 2 x \(2 x 1\) pairs = 4, it has 2"),
        ("1\n\nA\t1\nA\t1\tB\t1\n", "line 3: expected a genuine pair `NAME i j`, got 'A 1'"),
        ("1\nA\t1\t2\nA\t1\tB\tx\n", "line 3: expected an impostor pair `NAME i OTHER j`, got 'A 1 B x'"),
        ("1\nA\t1\t1\nA\t1\tB\t1\n", "line 2: 'A 1 1' compares an image with itself"),
        ("1\nA\t1\t2\nA\t1\tA\t2\n", "line 3: 'A 1 A 2' compares a person with itself"),
    ],
)
def test_a_malformed_pairs_file_is_answered_with_its_line(text, sentence):
    with pytest.raises(RequestError, match=f"^pairs.txt:? ?{sentence}"):
        protocols.create("lfw", root={"pairs.txt": text})


def test_lists_and_images_in_folders_and_archives(tmp_path):
    names = make("lfw").images
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("lists/pairs.txt", lfw_pairs())
        for name in names[:100]:
            archive.writestr(name.replace(".jpg", ".png"), "")
    for name in names[100:]:
        (tmp_path / "loose" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "loose" / name).touch()
    protocol = protocols.create("lfw", root=tmp_path, pairs="a.zip/lists/pairs.txt", images=["a.zip", "loose"])
    assert protocol.images == (*(name.replace(".jpg", ".png") for name in names[:100]), *names[100:])
    with pytest.raises(RequestError, match="60 of the 160 images of the pairs are missing, the first is 'Person_25"):
        protocols.create("lfw", root=tmp_path, pairs="a.zip/lists/pairs.txt", images=["a.zip"])
    with pytest.raises(RequestError, match="is both in .*a.zip and in .*a.zip: name only one"):
        protocols.create("lfw", root=tmp_path, pairs="a.zip/lists/pairs.txt", images=["a.zip", "./a.zip"])
    with pytest.raises(RequestError, match="no file 'pears.txt' in .*a.zip"):
        protocols.create("lfw", root=tmp_path, pairs="a.zip/pears.txt")
    with pytest.raises(RequestError, match="no list file at .*pairs.txt: check the protocol's root"):
        protocols.create("lfw", root=tmp_path)
    with pytest.raises(RequestError, match="no folder or archive of images at .*b.zip"):
        protocols.create("lfw", root=tmp_path, pairs="a.zip/lists/pairs.txt", images=["b.zip"])
    with pytest.raises(RequestError, match="no list file 'pairs.txt' in this embedded protocol; it has: x.txt"):
        protocols.create("lfw", root={"x.txt": ""})


# --- ytf ---


def literal_video_score(first, second, aggregation):
    units = [[[x / math.sqrt(math.fsum(y * y for y in row)) for x in row] for row in video] for video in (first, second)]
    pairs = [math.fsum(x * y for x, y in zip(a, b, strict=True)) for a in units[0] for b in units[1]]
    if aggregation == "mean_score":
        return math.fsum(pairs) / len(pairs)
    if aggregation == "max_score":
        return max(pairs)
    return cosine(*([math.fsum(column) / len(video) for column in zip(*video, strict=True)] for video in units))


@pytest.mark.parametrize("aggregation", ["mean_feature", "mean_score", "max_score"])
def test_ytf_equals_loops_over_its_files(aggregation):
    protocol = make("ytf", aggregation=aggregation)
    rows = embed(protocol)
    videos = {}
    for image, values in zip(protocol.images, rows.tolist(), strict=True):
        videos.setdefault(image.rpartition("/")[0], []).append(values)
    table = [line.split(",") for line in LISTS["ytf"]["splits.txt"].splitlines()[1:]]
    scores = [literal_video_score(videos[first], videos[second], aggregation) for _, _, first, second, _ in table]
    same = [line[4] == "1" for line in table]
    answer = protocol.score(rows)
    assert answer.raw["scores"].tolist() == pytest.approx(scores, abs=1e-11)
    rounded = answer.raw["scores"].tolist()
    accuracies = literal_accuracy(rounded, same, [int(line[0]) for line in table])
    assert answer.metrics[f"{protocol.name}/accuracy"] == pytest.approx(sum(accuracies) / 10, abs=1e-15)
    assert answer.metrics[f"{protocol.name}/auc"] == literal_auc(rounded, same)
    assert protocol.name == ("ytf" if aggregation == "mean_feature" else f"ytf-{aggregation}")
    assert answer.counts["videos"] == 40 and answer.counts["images"] == 100


def test_unbalanced_splits_carry_no_accuracy_and_rank_by_auc():
    lines = LISTS["ytf"]["splits.txt"].splitlines()
    protocol = protocols.create("ytf", root={**LISTS["ytf"], "splits.txt": "\n".join(lines[:-1])})
    answer = protocol.score(embed(protocol))
    assert protocol.primary == "ytf/auc" in answer.metrics and "ytf/accuracy" not in answer.metrics
    assert answer.undefined["ytf/accuracy"] == "the classes are unbalanced: split 10 has 2 same and 1 different pairs"


def test_the_official_splits_file_has_no_header_and_spaces():
    text = "\n".join(LISTS["ytf"]["splits.txt"].splitlines()[1:]).replace(",", ", ")
    protocol = protocols.create("ytf", root={**LISTS["ytf"], "splits.txt": text})
    rows = embed(protocol)
    assert protocol.score(rows).metrics == make("ytf").score(rows).metrics


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("1,9,A/0,A/1", r"line 42: expected 5 fields \(split,pair,first,second,same\)"),
        ("1,9,A/0,A/1,yes", "line 42: expected split,pair,PERSON/VIDEO,PERSON/VIDEO,0 or 1, got '1,9,A/0,A/1,yes'"),
        ("1,9,A/0,B/0,1", "line 42: A/0 and B/0 cannot be a pair with same=1"),
        ("1,9,A/0,A/1,1", "2 of the 42 videos in splits.txt have no frames, the first is 'A/0'"),
    ],
)
def test_a_malformed_splits_file_is_answered_with_its_line(line, sentence):
    text = LISTS["ytf"]["splits.txt"] + "\n" + line
    with pytest.raises(RequestError, match=sentence):
        protocols.create("ytf", root={**LISTS["ytf"], "splits.txt": text})


def test_ytf_refuses_an_unknown_aggregation_and_missing_columns():
    with pytest.raises(RequestError, match="no aggregation 'median' in ytf; there is: mean_feature, mean_score, max_score"):
        make("ytf", aggregation="median")
    with pytest.raises(RequestError, match=r"splits.txt has no column 'same': expected a csv with the header split,pair"):
        protocols.create("ytf", root={**LISTS["ytf"], "splits.txt": "split,pair,first,second\n1,1,A/0,A/1\n"})


# --- megaface ---


def test_megaface_equals_loops():
    protocol = make("megaface", sizes=[7, 50])
    rows = embed(protocol)
    probes, distractors = list(range(24)), list(range(24, 24 + 170))
    order = np.random.default_rng(0).permutation(170)
    score = {(i, j): cosine(rows[i].tolist(), rows[j].tolist()) for i in probes for j in [*probes, *distractors] if i != j}
    answer = protocol.score(rows)
    trials = [(i, j) for i in probes for j in probes if i != j and protocol.people[i] == protocol.people[j]]
    assert answer.counts["trials"] == len(trials) == 6 * 4 * 3
    for key, size, k in [("rank1", 170, 1), ("rank10", 170, 10), ("rank1_at_7", 7, 1), ("rank1_at_50", 50, 1)]:
        gallery = [distractors[d] for d in order[:size]]
        hits = [sum(score[i, d] >= score[i, j] for d in gallery) < k for i, j in trials]
        assert answer.metrics[f"megaface/{key}"] == sum(hits) / len(hits), key
        owners = [protocol.people[i] for i, _ in trials]
        left = [
            np.mean([hit for hit, owner in zip(hits, owners, strict=True) if owner != person])
            for person in sorted(set(owners))
        ]
        assert answer.clusters[f"megaface/{key}"].values == pytest.approx(left, abs=1e-12)
    impostor = np.array([score[i, d] for i in probes for d in distractors])
    genuine = np.array([score[i, j] for i, j in trials if i < j])
    allowed = int(len(impostor) * 1e-3)
    threshold = np.sort(impostor)[::-1][allowed]
    assert answer.metrics["megaface/tar_at_far_1e-3"] == np.mean(genuine > threshold)
    assert answer.marks["megaface/tar_at_far_1e-3"].endswith("(FAR 1e-03 of 4,080 impostor pairs)")
    assert answer.undefined["megaface/tar_at_far_1e-6"] == "FAR 1e-06 is undefined on 4,080 impostor pairs"
    assert "6.0 effective identities" in answer.marks["megaface/rank1"]


def test_rank_k_falls_with_distractors_and_rises_with_k():
    protocol = make("megaface", sizes=[1, 2, 5, 20, 80])
    answer = protocol.score(embed(protocol, noise=1.5))
    rates = answer.curves["distractors"]["rank1"]
    assert answer.curves["distractors"]["distractors"] == [1, 2, 5, 20, 80, 170]
    assert rates == sorted(rates, reverse=True) and rates[0] > rates[-1]
    curve = answer.curves["cmc"]["rate"]
    assert len(curve) == 100 and curve == sorted(curve) and curve[0] == answer.metrics["megaface/rank1"] < curve[-1]


def test_the_optimistic_figure_stands_there_only_where_ties_matter():
    protocol = make("megaface")
    rows = embed(protocol)
    rows[30] = rows[1]  # a distractor that is a copy of a mate
    tied = protocol.score(rows).metrics
    assert tied["megaface/rank1_optimistic"] > tied["megaface/rank1"]
    apart = protocol.score(np.random.default_rng(0).normal(size=rows.shape)).metrics
    assert "megaface/rank1_optimistic" not in apart


def test_probes_and_distractors_are_taken_from_a_listing(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for person, count in [("A", 12), ("B", 5), ("C", 4), ("D", 1), ("E", 6)]:
            for number in range(count):
                archive.writestr(f"{person}/{number:02d}.jpg", "")
        archive.writestr("ids.csv", "id,other\nD,yes\nC,\nE,no\n")
        archive.writestr("readme.txt", "not an image")
    protocol = protocols.create("megaface", root=tmp_path, images=["a.zip"])
    assert protocol.images[: protocol.probes] == tuple(
        f"{person}/{number:02d}.jpg" for person, count in [("A", 10), ("B", 5), ("E", 6)] for number in range(count)
    )
    assert protocol.people[protocol.probes :] == ("C",) * 4 + ("D",) and protocol.sizes == (5,)
    fewer = protocols.create("megaface", root=tmp_path, images=["a.zip"], exclude="a.zip/ids.csv:other", max_images=2)
    assert sorted(set(fewer.people)) == ["A", "B", "C"] and fewer.probes == 4
    (tmp_path / "out.txt").write_text("A\nB\nE\n")
    with pytest.raises(RequestError, match="needs probes and distractors, got 0 probe and 5 distractor images"):
        protocols.create("megaface", root=tmp_path, images=["a.zip"], exclude="out.txt")


@pytest.mark.parametrize(
    ("lists", "options", "sentence"),
    [
        ({"probes.txt": "A/1.jpg\nB/1.jpg"}, {}, "none of the 2 probe people has two images"),
        ({"probes.txt": "A/1.jpg\nA/2.jpg\nPerson_08/1.jpg"}, {}, "1 people are both probes and distractors, the first is 'Person_08'"),
        ({"probes.txt": "A/1.jpg\nA/1.jpg"}, {}, "'A/1.jpg' stands twice in probes.txt"),
        ({"probes.txt": "\n"}, {}, "probes.txt lists no images"),
        ({"probes.txt": "A.jpg\nA/1.jpg"}, {}, "'A.jpg' of probes and distractors lies in no folder"),
        ({}, {"sizes": [10, 0]}, "gallery sizes are whole numbers of distractors from 1 on, got 0"),
        ({}, {"images": ["x.zip"]}, r"images=\[...\] needs a root that is a folder"),
        ({}, {"probes": "p.txt"}, "no list file 'p.txt' in this embedded protocol"),
    ],
)
def test_bad_lists_of_megaface_are_answered(lists, options, sentence):
    with pytest.raises(RequestError, match=sentence):
        protocols.create("megaface", root={**LISTS["megaface"], **lists}, **options)


# --- heldout ---


def test_heldout_equals_loops_over_all_pairs():
    protocol = make("heldout")
    rows = embed(protocol)
    pairs = list(combinations(range(len(rows)), 2))
    scores = {pair: cosine(rows[pair[0]].tolist(), rows[pair[1]].tolist()) for pair in pairs}
    same = [protocol.people[i] == protocol.people[j] for i, j in pairs]
    answer = protocol.score(rows)
    assert answer.counts["genuine"] == sum(same) == 24 * 3 and answer.counts["impostor"] == len(pairs) - sum(same)
    assert answer.metrics["heldout/auc"] == literal_auc([scores[pair] for pair in pairs], same)
    hits = []
    for i in range(len(rows)):
        to = {j: scores[min(i, j), max(i, j)] for j in range(len(rows)) if j != i}
        mates = [s for j, s in to.items() if protocol.people[j] == protocol.people[i]]
        hits.append(max(mates) > max(s for j, s in to.items() if protocol.people[j] != protocol.people[i]))
    assert answer.metrics["heldout/rank1"] == sum(hits) / len(hits)


def test_the_folds_of_heldout_share_nobody_and_are_balanced():
    protocol = make("heldout")
    pairs = protocol._in_folds
    assert pairs.shared_people == 0 and len(np.unique(pairs.folds)) == 10
    for fold in range(10):
        part = pairs.folds == fold
        assert pairs.same[part].sum() == (~pairs.same[part]).sum() > 0
    people = np.array(protocol.people)
    assert ((people[pairs.first] == people[pairs.second]) == pairs.same).all()


def test_few_people_have_no_accuracy():
    protocol = Heldout(tuple(f"{p}/{n}" for p in "abc" for n in range(9)), tuple("a" * 9 + "b" * 9 + "c" * 9), name="dev")
    answer = protocol.score(np.random.default_rng(0).normal(size=(27, 5)))
    assert protocol.primary == "dev/auc" in answer.metrics
    assert answer.undefined["dev/accuracy"] == "3 people do not fill 10 person-disjoint folds: 20 are needed"


@pytest.mark.parametrize("people", [30, 3])
def test_samples_of_pairs_are_different_pairs_of_the_right_kind(people):
    """Both ways of sampling: of a full list, and (millions of pairs) without one."""
    names = tuple(f"p{n % people}/{n}" for n in range(7_000))
    protocol = Heldout(names, tuple(name.split("/")[0] for name in names), most_genuine=500, most_impostor=800)
    pairs = protocol._comparisons
    owner = np.array(protocol.people)
    assert ((owner[pairs.first] == owner[pairs.second]) == pairs.same).all() and (pairs.first != pairs.second).all()
    assert pairs.same.sum() == 500 and (~pairs.same).sum() == 800
    keys = {frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}
    assert len(keys) == 1300
    used = np.bincount([int(owner[row][1:]) for row in pairs.first[pairs.same]], minlength=people)
    assert used.min() > 0.5 * 500 / people - 8 and used.max() < 1.5 * 500 / people + 8


@pytest.mark.parametrize(("images", "people"), [(("a/1", "a/2"), ("a", "a")), (("a/1", "b/1"), ("a", "b"))])
def test_heldout_needs_two_people_and_a_pair(images, people):
    with pytest.raises(RequestError, match="at least 2 people, one of them with 2 images"):
        Heldout(images, people)
