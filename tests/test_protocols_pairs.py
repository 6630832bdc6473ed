"""LFW and YTF: loops over their files, and what malformed files are answered."""

import math
import zipfile

import numpy as np
import pytest
from literal import literal_accuracy, literal_auc, literal_cosine
from made_up_lists import LISTS, embed, lfw_pairs, make

from bench import protocols
from bench.errors import RequestError


def test_lfw_equals_loops_over_its_file():
    protocol = make("lfw")
    rows = embed(protocol)
    row = {image: list(map(float, values)) for image, values in zip(protocol.images, rows, strict=True)}
    scores, same, folds = [], [], []
    for number, line in enumerate(lfw_pairs().splitlines()[1:]):
        fields = line.split("\t")
        first, second = (fields[0], fields[1]), (fields[-2] if len(fields) == 4 else fields[0], fields[-1])
        names = [f"{name}/{name}_{int(index):04d}.jpg" for name, index in (first, second)]
        scores.append(literal_cosine(*(row[name] for name in names)))
        same.append(len(fields) == 3)
        folds.append(number // 8)
    accuracies = literal_accuracy(scores, same, folds)
    answer = protocol.score(rows)
    assert answer.clusters["lfw/accuracy"].values == pytest.approx(accuracies, abs=1e-15)
    assert answer.metrics["lfw/accuracy"] == pytest.approx(sum(accuracies) / 10, abs=1e-15)
    assert answer.metrics["lfw/accuracy_se"] == pytest.approx(np.std(accuracies, ddof=1) / math.sqrt(10), abs=1e-15)
    assert answer.metrics["lfw/auc"] == literal_auc(scores, same)
    assert answer.raw["scores"].tolist() == pytest.approx(scores, abs=1e-12)
    assert answer.counts == {"pairs": 80, "genuine": 40, "impostor": 40, "people": 40, "folds": 10, "images": 110}
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
        ("2\t1\nA\t1\t2\nA\t1\tB\t1\n", r"its first line promises 2 x \(2 x 1\) = 4 pairs, it has 2"),
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
    with pytest.raises(
        RequestError, match="10 of the 110 images of the pairs are missing, the first is 'Person_36/Person_36_0003'"
    ):
        protocols.create("lfw", root=tmp_path, pairs="a.zip/lists/pairs.txt", images=["a.zip"])
    with pytest.raises(RequestError, match=r"is both in .*a.zip and in .*a.zip: name only one"):
        protocols.create("lfw", root=tmp_path, pairs="a.zip/lists/pairs.txt", images=["a.zip", "./a.zip"])
    with pytest.raises(RequestError, match=r"no file 'pears.txt' in .*a.zip"):
        protocols.create("lfw", root=tmp_path, pairs="a.zip/pears.txt")
    with pytest.raises(RequestError, match=r"no list file at .*pairs.txt: check the protocol's root"):
        protocols.create("lfw", root=tmp_path)
    (tmp_path / "pairs.gz").write_bytes(b"no gzip")
    with pytest.raises(RequestError, match=r"pairs.gz is no list: expected UTF-8 text, or such text packed by gzip"):
        protocols.create("lfw", root=tmp_path, pairs="pairs.gz")
    with pytest.raises(RequestError, match=r"no folder or archive of images at .*b.zip"):
        protocols.create("lfw", root=tmp_path, pairs="a.zip/lists/pairs.txt", images=["b.zip"])
    with pytest.raises(RequestError, match=r"no list file 'pairs.txt' in this embedded protocol; it has: x.txt"):
        protocols.create("lfw", root={"x.txt": ""})


# --- ytf ---


def literal_video_score(first, second, aggregation):
    units = [
        [[x / math.sqrt(math.fsum(y * y for y in row)) for x in row] for row in video] for video in (first, second)
    ]
    pairs = [math.fsum(x * y for x, y in zip(a, b, strict=True)) for a in units[0] for b in units[1]]
    if aggregation == "mean_score":
        return math.fsum(pairs) / len(pairs)
    if aggregation == "max_score":
        return max(pairs)
    return literal_cosine(*([math.fsum(column) / len(video) for column in zip(*video, strict=True)] for video in units))


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
    with pytest.raises(
        RequestError, match="no aggregation 'median' in ytf; there is: mean_feature, mean_score, max_score"
    ):
        make("ytf", aggregation="median")
    with pytest.raises(
        RequestError, match=r"splits.txt has no column 'same': expected a csv with the header split,pair"
    ):
        protocols.create("ytf", root={**LISTS["ytf"], "splits.txt": "split,pair,first,second\n1,1,A/0,A/1\n"})


def test_lfw_without_missing_images_is_what_the_pairs_that_are_left_say():
    protocol = make("lfw")
    lost = protocol.images[:3]
    partial, rows = protocol.without(lost), embed(protocol)
    keep = np.array([name not in lost for name in protocol.images])
    left = keep[protocol.pairs.first] & keep[protocol.pairs.second]
    answer = partial.score(rows[keep])
    assert answer.counts["pairs"] == left.sum() < len(left) == protocol.score(rows).counts["pairs"]
    assert answer.raw["scores"].tolist() == protocol.score(rows).raw["scores"][left].tolist()
    assert answer.marks["lfw/auc"] == (
        f"partial: 3 of {len(keep)} images are missing, {(~left).sum()} of {len(left)} pairs are missing"
    )
