"""YTF as it is shipped: its folders of frames, missing videos, and the first hundred frames."""

import numpy as np
import pytest
from made_up_lists import embed, ytf_lists
from real_faces import DATA, needs_data

from bench import protocols
from bench.errors import RequestError


def test_ytf_takes_the_frames_of_its_own_folder_in_the_order_of_their_numbers(tmp_path):
    table = ytf_lists()
    (tmp_path / "splits.txt").write_text(table["splits.txt"])
    for video in {line.split(",")[side] for line in table["splits.txt"].splitlines()[1:] for side in (2, 3)}:
        folder = tmp_path / "frame_images_DB" / video
        folder.mkdir(parents=True)
        for frame in ("0.100.jpg", "0.99.jpg"):
            (folder / frame).touch()
    protocol = protocols.create("ytf", root=tmp_path)
    assert protocol.images[:2] == ("Person_00/0/0.99.jpg", "Person_00/0/0.100.jpg")


def test_ytf_leaves_out_the_pairs_of_videos_without_frames_if_allowed():
    lists = ytf_lists()
    lists["images.txt"] = "\n".join(line for line in lists["images.txt"].splitlines() if "Person_03/" not in line)
    with pytest.raises(RequestError, match=r"2 of the 40 videos .* 'Person_03/0': .* allow_missing"):
        protocols.create("ytf", root=lists)
    protocol = protocols.create("ytf", root=lists, allow_missing=True)
    answer = protocol.score(embed(protocol))
    assert answer.counts["pairs"] == 37 and answer.counts["missing_videos"] == 2
    assert answer.marks["ytf/auc"] == "partial: 2 of 40 videos are missing, 3 of 40 pairs are missing"


def test_the_first_100_frames_of_ytf_are_those_and_no_other():
    lists = ytf_lists()
    lists["images.txt"] = "\n".join(
        f"{video}/{frame:04d}.jpg"
        for video in dict.fromkeys(line.rpartition("/")[0] for line in lists["images.txt"].splitlines())
        for frame in range(103)
    )
    mean = protocols.create("ytf", root=lists, aggregation="mean_score")
    first = protocols.create("ytf", root=lists, aggregation="first_100_frames")
    late = np.array([int(name[-8:-4]) >= 100 for name in first.images])
    rows = np.random.default_rng(0).normal(size=(len(late), 6))
    other = np.where(late[:, None], 7.0, rows)
    assert first.name == "ytf-first_100_frames" and first.hash != mean.hash
    assert first.score(rows).raw["scores"].tolist() == first.score(other).raw["scores"].tolist()
    assert mean.score(rows).raw["scores"].tolist() != mean.score(other).raw["scores"].tolist()
    assert mean.without({n for n, x in zip(mean.images, late, strict=True) if x}).score(rows[~late]).raw[
        "scores"
    ] == pytest.approx(first.score(rows).raw["scores"], abs=1e-11)


@needs_data
def test_the_official_splits_with_the_videos_that_are_here():
    """5,000 pairs of 3,425 videos, 1,154 of them here: coverage is counted, and every figure is marked as partial."""
    files = {"splits": "protocols/ytf_splits.txt.gz", "images": ["ytf_subset_aligned112.zip"]}
    with pytest.raises(RequestError, match=r"of the 3,\d+ videos in protocols/ytf_splits.txt.gz have no frames"):
        protocols.create("ytf", root=DATA, **files)
    protocol = protocols.create("ytf", root=DATA, **files, allow_missing=True)
    rows = np.random.default_rng(0).normal(size=(len(protocol.images), 16))
    answer = protocol.score(rows)
    counts = answer.counts
    assert (counts["pairs"], counts["genuine"], counts["impostor"], counts["folds"]) == (1_426, 1_150, 276, 10)
    assert counts["missing_pairs"] == 5_000 - 1_426
    whole = counts["videos"] + counts["missing_videos"]
    assert answer.marks["ytf/auc"].startswith(
        f"partial: {counts['missing_videos']:,} of {whole:,} videos are missing, 3,574 of 5,000 pairs are missing"
    )
    assert set(answer.metrics) == {figure for figure in answer.marks if figure in answer.metrics}, "every figure"
    assert all(words.startswith("partial: ") for words in answer.marks.values())
    assert "unbalanced" in answer.undefined["ytf/accuracy"] and protocol.primary == "ytf/auc"
    covered = protocols.create(
        "ytf", root=DATA, splits="ytf_subset_aligned112.zip/splits_covered.csv", images=files["images"]
    )
    assert covered.images == protocol.images and covered.hash != protocol.hash
    same = covered.score(rows)
    assert same.metrics == answer.metrics and same.raw["scores"].tolist() == answer.raw["scores"].tolist()
    assert not any("partial" in words for words in same.marks.values())
