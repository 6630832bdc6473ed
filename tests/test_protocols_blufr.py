"""BLUFR: loops over its trials, the tail of a stream of scores, and all of LFW."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import literal_cosine, literal_tar
from made_up_lists import LISTS, blufr_trials, make
from real_faces import DATA, LFW, needs_data, pixels

from bench import protocols, scorers
from bench.metrics import exact
from bench.metrics.tail import Tail

TEXT = LISTS["lfw_blufr"]


def embedded(protocol, kind="plain"):
    """Images of one person lie near each other, and some are copies (ties).

    `hub`: most of the highest impostor scores have one person on a side. `close`: the images of six people score so
    high with each other that float32 cannot tell these scores apart, and neither two people's gallery images.
    """
    random = np.random.default_rng(3)
    centres = {person: random.normal(size=6) for person in sorted(set(protocol.people))}
    rows = np.stack([centres[person] for person in protocol.people]) + 0.5 * random.normal(
        size=(len(protocol.people), 6)
    )
    row = {name.split("/")[1][:-4]: place for place, name in enumerate(protocol.images)}
    rows[row["Person_01_0002"]] = rows[row["Person_02_0002"]] = rows[row["Person_02_0001"]]
    rows[row["Person_31_0001"]] = rows[row["Person_30_0001"]]
    if kind == "hub":
        rows[[row[f"Person_03_000{n}"] for n in (1, 2, 3, 4)]] = 1.0
        for other in range(5, 40, 2):
            rows[row[f"Person_{other:02d}_0001"]] = 1.0 + 0.05 * random.normal(size=6)
    if kind == "close":
        for person in (2, 3, 6, 7, 10, 11):
            near = 1.0 + 1e-4 * random.normal(size=6)
            for n in range(1, 2 + person % 4):
                rows[row[f"Person_{person:02d}_000{n}"]] = near + 3e-5 * random.normal(size=6)
    return rows


def literal_trial(scores, people, test, gallery, probes, without=None):
    """VR at FAR 1e-3 and DIR at FAR 0.1 of one trial, without one person if asked."""
    test, gallery, probes = ([row for row in side if people[row] != without] for side in (test, gallery, probes))
    pairs = [(i, j) for i in test for j in test if i < j]
    genuine = [scores[i][j] for i, j in pairs if people[i] == people[j]]
    impostor = [scores[i][j] for i, j in pairs if people[i] != people[j]]
    if not genuine or not impostor:
        return None
    known = {people[row]: row for row in gallery}
    strangers = [max(scores[probe][row] for row in gallery) for probe in probes if people[probe] not in known]
    right = []
    for probe in probes:
        if people[probe] in known:
            mate = scores[probe][known[people[probe]]]
            rank_1 = all(scores[probe][row] < mate for row in gallery if people[row] != people[probe])
            right.append(mate if rank_1 else -np.inf)
    return literal_tar(genuine, impostor, 1e-3), literal_tar(right, strangers, 0.1)


@lru_cache
def literal_table(kind):
    """(1 + n, trials, 2) the rates of all people and without every fourth person; and these people."""
    protocol = make("lfw_blufr")
    rows = embedded(protocol, kind).tolist()
    scores = [[literal_cosine(a, b) for b in rows] for a in rows]
    left_out = sorted(set(protocol.people))[3::4]  # the hub among them
    found = [
        [literal_trial(scores, protocol.people, *t, without=one) for t in blufr_trials(TEXT)]
        for one in (None, *left_out)
    ]
    return np.array(found), left_out


@pytest.mark.parametrize("block", [1, 200, exact.BLOCK])
@pytest.mark.parametrize("kind", ["plain", "hub", "close"])
def test_blufr_equals_loops_over_its_trials(kind, block, monkeypatch):
    monkeypatch.setattr(exact, "BLOCK", block)
    protocol, trials = make("lfw_blufr"), blufr_trials(TEXT)
    answer = protocol.score(embedded(protocol, kind))
    table, left_out = literal_table(kind)
    ranked = sorted(set(protocol.people), key=lambda person: (-protocol.people.count(person), person))
    for figure, values in (("vr_at_far_1e-3", table[:, :, 0]), ("dir_at_far_1e-1_rank1", table[:, :, 1])):
        key = f"lfw-blufr/{figure}"
        mean, spread = values.mean(axis=1), values.std(axis=1, ddof=1)
        assert answer.raw[figure] == pytest.approx(values[0], abs=1e-15)
        assert answer.metrics[f"{key}_mean"] == pytest.approx(mean[0], abs=1e-15)
        assert answer.metrics[f"{key}_std"] == pytest.approx(spread[0], abs=1e-15)
        assert answer.metrics[key] == pytest.approx(max(mean[0] - spread[0], 0), abs=1e-15)
        for one, found in (("", np.maximum(mean - spread, 0)), ("_mean", mean), ("_std", spread)):
            clusters = [answer.clusters[key + one].values[ranked.index(person)] for person in left_out]
            assert clusters == pytest.approx(found[1:], abs=1e-14)
        assert "hangs on" in answer.marks[key] and "effective identities in the" in answer.marks[key]
    assert answer.undefined["lfw-blufr/vr_at_far_1e-5"].startswith("FAR 1e-05 is undefined on ")
    assert "probes without a mate in the gallery of a trial" in answer.undefined["lfw-blufr/dir_at_far_1e-2_rank1"]
    assert (answer.counts["images"], answer.counts["people"], answer.counts["trials"]) == (100, 40, 4)
    assert answer.counts["test_images"] == np.mean([len(test) for test, _, _ in trials])
    assert answer.counts["gallery"] == np.mean([len(gallery) for _, gallery, _ in trials])
    assert answer.counts["genuine"] + answer.counts["impostor"] == np.mean(
        [len(t) * (len(t) - 1) / 2 for t, _, _ in trials]
    )


def test_another_scorer_is_counted_exactly_too():
    protocol = make("lfw_blufr")
    rows = embedded(protocol)
    answer = protocol.score(rows, scorers.fit("l2"))
    scores = [[-float(np.sum((a - b) ** 2)) / 2 for b in rows] for a in rows]
    rounded = np.round(scores, 9).tolist()
    found = [literal_trial(rounded, protocol.people, *trial) for trial in blufr_trials(TEXT)]
    assert answer.raw["vr_at_far_1e-3"].tolist() == [vr for vr, _ in found]
    assert answer.raw["dir_at_far_1e-1_rank1"].tolist() == [rate for _, rate in found]


def test_a_missing_gallery_image_takes_its_person_out_of_identification():
    protocol = make("lfw_blufr")
    trial = protocol.trials[0]
    lost = protocol.images[trial.gallery[0]]
    partial = protocol.without({lost})
    person = lost.split("/")[0]
    assert person not in {partial.people[row] for row in partial.trials[0].probes}
    assert person in {partial.people[row] for row in partial.trials[0].test}
    rows = embedded(protocol)
    answer = partial.score(rows[[name != lost for name in protocol.images]])
    assert answer.marks["lfw-blufr/vr_at_far_1e-3"].startswith("partial: 1 of 100 images are missing; ")


# --- the tail ---


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 3)), max_size=30), max_size=8),
    st.integers(1, 12),
)
def test_the_tail_of_any_stream_is_the_end_of_its_sorted_list(chunks, keep):
    tail = Tail(keep, 4)
    for chunk in chunks:
        numbers = np.array(chunk, float).reshape(-1, 3)
        high = numbers[numbers[:, 0] >= tail.floor]
        tail.add(high[:, 0], high[:, 1:].T.astype(int))
    tail.close()
    stream = [pair for chunk in chunks for pair in chunk]
    for without in (None, 0, 1, 2, 3):
        falling = sorted((s for s, a, b in stream if without not in (a, b)), reverse=True)
        for allowed in range(len(stream) + 2):
            (found,) = tail.to_exceed([allowed], without)
            if found is None:
                assert allowed >= sum(s >= tail.floor and without not in (a, b) for s, a, b in stream)
            else:
                assert found == (falling[allowed] if allowed < len(falling) else -np.inf)
        assert all(level is not None for level in tail.to_exceed(list(range(keep)))), "it keeps what it was asked to"


# --- all of LFW ---


@pytest.mark.slow
@needs_data
def test_all_of_lfw_in_trials_of_the_papers_size():
    protocol = protocols.create("lfw_blufr", root=DATA, images=LFW, lists="generated", trials=2)
    named = protocols.create("lfw_blufr", root=DATA, lists="generated", names="protocols/lfw_names.txt", trials=2)
    assert sorted(named.images) == sorted(protocol.images) and len(named.images) == 13_233
    owner = np.array(protocol.people)
    for trial in protocol.trials:
        assert len(set(owner[trial.test])) == 4_249 and len(trial.gallery) == 1_000
        assert 9_000 < len(trial.test) < 10_400, "9,708 in the mean of the paper's ten"
    answer = protocol.score(pixels(protocol.images))
    rate = answer.metrics["lfw-blufr_generated/vr_at_far_1e-3_mean"]
    assert 0.004 < rate < 0.2, "above chance, 0.001"
    assert 0 < answer.metrics["lfw-blufr_generated/dir_at_far_1e-2_rank1_mean"] < 0.2
    assert "hangs on" not in answer.marks["lfw-blufr_generated/vr_at_far_1e-3"]
    assert "effective identities in the genuine pairs" in answer.marks["lfw-blufr_generated/vr_at_far_1e-3"]
    trial, rows = protocol.trials[0], pixels(protocol.images).astype(np.float64)
    units = rows[trial.test] / np.linalg.norm(rows[trial.test], axis=1, keepdims=True)
    genuine, high, impostors = [], [], 0
    for row, unit in enumerate(units):  # each pair once; only high impostor scores are kept
        scores, same = units[:row] @ unit, owner[trial.test[:row]] == owner[trial.test[row]]
        genuine.append(scores[same])
        high.append(scores[~same & (scores > 0.2)])
        impostors += int((~same).sum())
    falling = np.sort(np.concatenate(high))[::-1]
    level = falling[impostors // 1_000]
    assert answer.raw["vr_at_far_1e-3"][0] == pytest.approx(np.mean(np.concatenate(genuine) > level + 1e-12), abs=1e-5)
