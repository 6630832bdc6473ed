"""Thresholds frozen on development data, and what they come to on a test: against counts by hand."""

import json

import numpy as np
import pytest
from made_up_lists import embed, make

from bench import development, scoring
from bench.trial import Result, Trial, run


def known(impostors=200, genuine=50, seed=0):
    """Scored development pairs without ties."""
    random = np.random.default_rng(seed)
    scores = np.concatenate([random.normal(0, 1, impostors), random.normal(2, 1, genuine)])
    return scores, np.arange(len(scores)) >= impostors


def test_the_threshold_is_the_least_score_that_so_few_impostors_reach():
    scores, same = known()
    frozen = development.freeze(scores, same, "dev 1")
    reached = [score for score in scores if sum(scores[~same] >= score) <= 2]  # FAR 1e-2 of 200
    assert frozen.thresholds == {"1e-2": min(reached)}
    assert frozen.marks["1e-2"].startswith("the development threshold hangs on 2 false accepts")
    assert frozen.undefined["1e-3"] == "development: FAR 1e-03 is undefined on 200 impostor pairs"
    scores, same = known(4000)
    frozen = development.freeze(scores, same, "dev 2")
    assert set(frozen.thresholds) == {"1e-2", "1e-3"} and set(frozen.marks) == {"1e-3"}
    assert frozen.plain["source"] == "dev 2" and json.loads(json.dumps(frozen.plain)) == frozen.plain


def test_development_pairs_of_one_kind_set_no_threshold():
    frozen = development.freeze(np.arange(3000.0), np.zeros(3000, bool), "dev")
    assert not frozen.thresholds and frozen.undefined["1e-2"] == "development: there are no genuine pairs"


def test_where_no_score_is_strict_enough_nothing_is_accepted():
    frozen = development.freeze(np.zeros(400), np.arange(400) < 50, "dev")
    assert frozen.thresholds["1e-2"] == np.inf and frozen.plain["thresholds"]["1e-2"] is None
    protocol = make("lfw")
    answer = protocol.score(embed(protocol))
    assert development.enter(answer, protocol, frozen)
    assert answer.metrics["lfw/far_at_dev_1e-2"] == 0 and answer.metrics["lfw/frr_at_dev_1e-2"] == 1


@pytest.mark.parametrize("name", ["lfw", "ytf", "heldout", "pairs"])
def test_the_realised_rates_are_counts_at_that_threshold(name):
    protocol = make(name)
    answer = protocol.score(embed(protocol))
    frozen = development.Frozen("dev", {"1e-2": 0.4}, {"1e-3": "too few"}, {"1e-2": "few"})
    assert development.enter(answer, protocol, frozen)
    genuine = [s for s, same in zip(answer.raw["scores"], answer.raw["same"], strict=True) if same]
    impostor = [s for s, same in zip(answer.raw["scores"], answer.raw["same"], strict=True) if not same]
    far, frr = sum(s >= 0.4 for s in impostor) / len(impostor), sum(s < 0.4 for s in genuine) / len(genuine)
    assert 0 < far < 1 and 0 < frr < 1
    assert answer.metrics[f"{name}/far_at_dev_1e-2"] == pytest.approx(far, abs=1e-15)
    assert answer.metrics[f"{name}/frr_at_dev_1e-2"] == pytest.approx(frr, abs=1e-15)
    assert answer.undefined[f"{name}/far_at_dev_1e-3"] == "too few" == answer.undefined[f"{name}/frr_at_dev_1e-3"]
    assert answer.marks[f"{name}/far_at_dev_1e-2"] == "few"
    assert len(answer.clusters[f"{name}/frr_at_dev_1e-2"].values) >= 2


def test_each_file_of_a_folder_of_bins_has_its_own_rates():
    protocol = make("bins")
    answer = protocol.score(embed(protocol))
    assert development.enter(answer, protocol, development.Frozen("dev", {"1e-2": 0.4}, {"1e-3": "few"}, {}))
    for part in ("one-bin", "two-bin"):
        scores, same = answer.raw[f"{part}/scores"], answer.raw[f"{part}/same"]
        assert answer.metrics[f"{part}/far_at_dev_1e-2"] == np.mean(scores[~same] >= 0.4)
        rows = [protocol.images[row] for row in answer.raw[f"{part}/first"]]
        assert all(name.startswith(part.removesuffix("-bin")) for name in rows)


def test_a_partial_protocol_marks_these_figures_too():
    protocol = make("lfw").without(make("lfw").images[:3])
    answer = protocol.score(embed(protocol))
    development.enter(answer, protocol, development.Frozen("dev", {"1e-2": 0.4, "1e-3": 0.5}, {}, {"1e-2": "few"}))
    assert answer.marks["lfw/far_at_dev_1e-2"].startswith("partial: 3 of 110 images are missing")
    assert answer.marks["lfw/far_at_dev_1e-2"].endswith("; few")


def test_a_protocol_without_pairs_has_none():
    protocol = make("megaface")
    answer = protocol.score(embed(protocol))
    before = dict(answer.metrics)
    assert not development.enter(answer, protocol, development.freeze(*known(), "dev")) and answer.metrics == before


def test_a_trial_freezes_its_thresholds_on_its_held_out_people():
    """By the scorer of the test: the same pairs by another scorer set another threshold."""
    base = {
        "data": {"name": "digits"},
        "channels": 1,
        "image_size": 16,
        "embedding_dim": 8,
        "epochs": 1,
        "holdout": 0.3,
        "backbone_options": {"widths": [4, 4, 4, 4]},
        "protocols": [{"name": "heldout", "data": {"name": "digits"}}],
    }
    thresholds = []
    for scorer in ("cosine", "l2"):
        *_, result = run(Trial.from_plain({**base, "scorer": scorer}))
        assert isinstance(result, Result)
        found = result.scores["heldout"]["development"]
        assert found["source"].startswith("dev ") and set(found["thresholds"]) == {"1e-2", "1e-3"}
        threshold = found["thresholds"]["1e-2"]
        raw = {what: result.raw[f"heldout/{what}"] for what in ("scores", "same")}
        far = np.mean(raw["scores"][~raw["same"]] >= threshold)
        assert result.metrics["heldout/far_at_dev_1e-2"] == pytest.approx(far, abs=1e-15)
        thresholds.append(threshold)
    assert thresholds[0] > 0 > thresholds[1]


# --- protocols among the images of any data set ---


def test_heldout_and_retrieval_of_any_data_set_or_of_the_people_whom_a_trial_holds_out(tree):
    faces = {"name": "folder", "paths": [str(tree)]}
    whole, source = scoring.open_protocol({"name": "retrieval", "faces": faces})
    assert len(whole.images) == 12 and next(source.images(whole.images[:1])).shape == (20, 16, 3)
    part, _ = scoring.open_protocol({"name": "heldout", "faces": faces, "holdout": 0.5, "holdout_seed": 3})
    other, _ = scoring.open_protocol({"name": "heldout", "faces": faces, "holdout": 0.5, "holdout_seed": 4})
    assert len(set(part.people)) == 2 and set(part.images) < set(whole.images) and part.hash != other.hash


def test_groups_of_the_images_of_a_data_set_are_a_file_of_the_users(tree, monkeypatch):
    (tree / "kinds.csv").write_text("person,kind\nAnn,a\nBob,a\nCy,b\nDee,b\n")
    monkeypatch.setenv("FACEBENCH_DATA", str(tree))
    spec = {"name": "retrieval", "faces": {"name": "folder", "paths": [str(tree)]}}
    for wanted in ("kinds.csv", f"{tree / 'kinds.csv'}:kind"):
        protocol = scoring.create({**spec, "groups": wanted})
        answer = protocol.score(np.random.default_rng(0).normal(size=(12, 4)))
        assert "retrieval/group_a/map_at_r" in answer.metrics
    from bench.errors import RequestError

    with pytest.raises(RequestError, match="of `data` or `faces`, or of a `root`: give one"):
        scoring.create({**spec, "root": str(tree)})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"faces": "folder"}, "a protocol's faces are a data set like"),
        ({"holdout": 1}, "holdout is the share of identities held out"),
        ({"holdout_seed": -1}, "holdout_seed is a whole number from 0 on, got -1"),
        ({"holdout": 0.1}, "holdout 0.1 of 4 identities leaves 0 for development"),
        ({"allow_missing": "yes"}, "allow_missing is true or false, got 'yes'"),
    ],
)
def test_wrong_faces_are_refused_in_a_sentence(tree, options, sentence):
    from bench.errors import RequestError

    with pytest.raises(RequestError, match=sentence):
        scoring.open_protocol({"name": "heldout", "faces": {"name": "folder", "paths": [str(tree)]}, **options})


def test_images_that_are_not_there_are_left_out_where_it_is_allowed(tree):
    lists = {"probes": "p.txt", "distractors": "d.txt"}
    (tree / "p.txt").write_text("Ann/0.png\nAnn/1.png\nBob/0.png\nBob/1.png\nBob/7.png\n")
    (tree / "d.txt").write_text("Cy/0.png\nCy/1.png\nDee/9.png\n")
    spec = {"name": "megaface", "root": str(tree), **lists}
    partial, source = scoring.open_protocol({**spec, "allow_missing": True})
    assert len(partial.images) == 6 and len(list(source.images(partial.images))) == 6
    assert partial.hash != scoring.create(spec).hash
    assert (
        "2 of 8 images are missing"
        in partial.score(np.random.default_rng(0).normal(size=(6, 3))).marks["megaface/rank1"]
    )
